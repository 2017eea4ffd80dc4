"""Importing other people's code: files and modules that register components. A file is imported once in a process."""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import json
import os
import re
import sys
import threading
import types
from pathlib import Path
from typing import Any, Callable, Dict, Optional, Sequence, Set, Union

from ppcls.errors import ConfigError
from ppcls.registry import sources
from ppcls.registry.sources import Source
from ppcls.utils import json_text
from ppcls.utils.digests import sha256
from ppcls.utils.logging import get_logger
from ppcls.utils.paths import user_path

_PREFIX = "_ppcls_import_"  # of the names of modules that are files
_FILES = "PPCLS_IMPORTED_FILES"  # environment variable, for worker processes: files by the names of their modules
lock = threading.RLock()


def import_components(target: Union[str, os.PathLike[str]]) -> None:
    """Import a file or module that registers components, unless it was imported before.

    Args:
        target: a path relative to the working directory, which ends in ``.py`` or contains a path separator; or the
            dotted name of a module.

    Raises:
        ConfigError: there is no such file or module, or importing it fails.
    """
    import_from(os.fspath(target), f"import_components({os.fspath(target)!r})", Path())


def import_from(target: str, origin: str, folder: Path) -> None:
    """Import a file or module.

    Args:
        target: see ``import_components``.
        origin: what asks for it, for messages: "--import my_parts.py" or "recipe.yaml:3: my_parts.py".
        folder: the folder to which a path is relative.

    Raises:
        ConfigError: as ``import_components``.
    """
    with lock:
        if is_path(target):
            _import_file((folder / user_path(target)).resolve(), origin)
        else:
            _import_module(target, origin)


def is_path(target: str) -> bool:
    """Return whether a target is a path, not the name of a module; see ``import_components``."""
    return target.endswith(".py") or any(separator in target for separator in (os.sep, os.altsep) if separator)


def _import_file(path: Path, origin: str) -> None:
    if str(path) in sources.known:
        return
    if not path.is_file():
        kind = "is a folder; give a .py file, or the name of a module" if path.is_dir() else "no such file"
        raise ConfigError(f"{origin}: {kind} ({path})")
    _append_to_sys_path(path.parent)  # so that a file can import its neighbours
    source = Source(path.name, path, importer=sources.current_import.get())
    if _loaded_module(path) is not None:  # a neighbour has imported it
        source.sha256 = sha256(path)
        _import(lambda: None, source, origin)
        return
    unique = hashlib.sha256(str(path).encode()).hexdigest()[:8]
    module = types.ModuleType(f"{_PREFIX}{re.sub(r'[^0-9A-Za-z]', '_', path.stem)}_{unique}")
    module.__file__ = str(path)
    names = [module.__name__, *([path.stem] if _is_importable(path) else [])]  # neighbours import it by its own name

    def run() -> None:
        # Read once, so that the digest is that of the code that runs.
        content = path.read_bytes()
        source.sha256 = hashlib.sha256(content).hexdigest()
        sys.modules.update(dict.fromkeys(names, module))
        try:
            exec(compile(content, str(path), "exec"), module.__dict__)
        except BaseException:
            _remove_modules(names)
            raise

    _import(run, source, origin)
    source.on_failure(lambda: _remove_modules(names))
    _require_own_neighbours(path, origin, source)
    os.environ[_FILES] = json_text.dumps({**_files_by_module(), module.__name__: str(path)})


def _require_own_neighbours(path: Path, origin: str, source: Source) -> None:
    """Refuse a file that was given another module than the one beside it: Python keeps one module per name.

    Raises:
        ConfigError: it imports a name for which there is a file beside it, and got a file from elsewhere.
    """
    for name in _imported_names(path):
        beside = [file for file in (path.parent / f"{name}.py", path.parent / name / "__init__.py") if file.is_file()]
        loaded = getattr(sys.modules.get(name), "__file__", None)
        if beside and loaded is not None and Path(loaded).resolve() != beside[0].resolve():
            sources.forget(source)
            raise ConfigError(
                f"{origin}: {path.name} imports {name!r}, which is {loaded} and not the file beside it; rename "
                f"{beside[0]}, because Python keeps one module per name"
            )


def _imported_names(path: Path) -> Set[str]:
    """Return the first part of the name of each module that a file imports anywhere in it."""
    names: Set[str] = set()
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            names.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    return names


def _loaded_module(path: Path) -> Optional[types.ModuleType]:
    """Return the module that Python has made of a file under the file's own name; None if there is none."""
    module = sys.modules.get(path.stem)
    file = getattr(module, "__file__", None)
    return module if file is not None and Path(file).resolve() == path else None


def _is_importable(path: Path) -> bool:
    """Return whether ``import <name of the file>`` would import this file, and no other module."""
    if not path.stem.isidentifier() or path.stem in sys.modules:
        return False
    importlib.invalidate_caches()
    spec = importlib.util.find_spec(path.stem)
    return spec is not None and spec.has_location and spec.origin is not None and Path(spec.origin).resolve() == path


def _remove_modules(names: Sequence[str]) -> None:
    for name in names:
        sys.modules.pop(name, None)


def _files_by_module() -> Dict[str, str]:
    """Return the files that this process and those that started it have imported, by the names of their modules."""
    return dict(json.loads(os.environ.get(_FILES, "{}")))


class _FileFinder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports a file again where a worker process that was not forked unpickles an object of a class in it."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Optional[importlib.machinery.ModuleSpec]:
        """Return how to import a file by the name of its module."""
        file = _files_by_module().get(name) if name.startswith(_PREFIX) else None
        return None if file is None else importlib.machinery.ModuleSpec(name, self, origin=file)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> Optional[types.ModuleType]:
        """Import the file."""
        path = Path(str(spec.origin))
        import_from(str(path), f"worker process: {path}", Path())
        # A neighbour that was imported first may have imported it by its own name.
        return sys.modules.get(spec.name) or _loaded_module(path)

    def exec_module(self, module: types.ModuleType) -> None:
        """Do nothing: the module was run when it was created."""


sys.meta_path.append(_FileFinder())


def _import_module(name: str, origin: str) -> None:
    if not all(part.isidentifier() for part in name.split(".")):
        raise ConfigError(f"{origin}: give a file, whose path ends in .py, or the dotted name of a module")
    _append_to_sys_path(Path.cwd())
    try:
        spec = importlib.util.find_spec(name)  # imports the packages around it
    except (ImportError, ValueError) as error:
        raise ConfigError(f"{origin}: {error}; to import a file, give its path, which ends in .py") from error
    except Exception as error:  # other people's code
        reason = sources.describe_failure(error, Source(name, Path.cwd() / name))
        raise ConfigError(f"{origin}: cannot be imported: {reason}") from error
    if spec is None:
        raise ConfigError(f"{origin}: there is no module {name}; to import a file, give its path, which ends in .py")
    if spec.origin is None and spec.submodule_search_locations is not None:
        raise ConfigError(
            f"{origin}: {name} is a folder without __init__.py; give a file in it "
            f"({name.replace('.', '/')}/FILE.py) or a module ({name}.MODULE)"
        )
    path = Path(spec.origin).resolve() if spec.has_location and spec.origin else None
    source = Source(name, path, None if path is None else sha256(path), sources.current_import.get())
    if source.key not in sources.known:
        _import(lambda: importlib.import_module(name), source, origin)


def _import(run: Callable[[], Any], source: Source, origin: str) -> None:
    """Run an import; what is registered meanwhile comes from ``source``, or from a file that it imports.

    Raises:
        ConfigError: the import fails; nothing stays registered.
    """
    token = sources.current_import.set(source)
    sources.known[source.key] = source
    try:
        run()
    except BaseException as error:
        del sources.known[source.key]
        source.undo()
        if isinstance(error, (Exception, SystemExit)):
            raise ConfigError(f"{origin}: cannot be imported: {sources.describe_failure(error, source)}") from error
        raise
    finally:
        sources.current_import.reset(token)
    if source.importer is not None:
        source.importer.on_failure(lambda: sources.forget(source))
    if not source.has_registered and not _has_registered_submodules(source):
        get_logger().warning("%s: registers no component; is it the right file or module?", origin)


def _has_registered_submodules(source: Source) -> bool:
    """Return whether a package, which Python may have imported before, has modules that register components."""
    return any(other.name.startswith(f"{source.name}.") for other in sources.known.values())


def _append_to_sys_path(folder: Path) -> None:
    """Let Python find modules in a folder, after all other places."""
    if str(folder) not in sys.path:
        sys.path.append(str(folder))
