"""Other people's code: files, modules and installed packages that register components, imported and told apart.

A file is imported once in a process. Whatever registers a component while it is imported is remembered as the
component's ``Source``, which runs, checkpoints and exports record.
"""

from __future__ import annotations

import contextvars
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
import traceback
import types
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Union

from ppcls.errors import ConfigError
from ppcls.utils.digests import sha256
from ppcls.utils.logging import get_logger
from ppcls.utils.paths import user_path

ENTRY_POINTS = "ppcls.components"  # the group in which installed packages name modules
_PREFIX = "_ppcls_import_"  # of the names of modules that are files
_FILES = "PPCLS_IMPORTED_FILES"  # environment variable, for worker processes: files by the names of their modules
# Modules that register on behalf of those who call them.
_REGISTRARS = ("ppcls.registry.registry", "ppcls.registry.sources", "ppcls.arch.registry")


@dataclass(eq=False)
class Source:
    """Where components that are not ours come from.

    Attributes:
        name: of the file or, of a module in a package, its dotted name.
        path: of the file; None for an interactive session.
        sha256: of the file when it was imported.
    """

    name: str
    path: Optional[Path] = None
    sha256: Optional[str] = None
    _undo: List[Callable[[], object]] = field(default_factory=list, repr=False)

    def __str__(self) -> str:
        return self.name if self.path is None else str(self.path)

    @property
    def is_interactive(self) -> bool:
        """Whether components may be defined again, as in a notebook."""
        return self.path is None

    def __getstate__(self) -> Dict[str, Any]:
        """Leave out what only the importing process can do."""
        return {"name": self.name, "path": self.path, "sha256": self.sha256, "_undo": []}

    def record(self) -> Dict[str, Optional[str]]:
        """Return what runs, checkpoints and exports keep of it."""
        return {"name": self.name, "path": None if self.path is None else str(self.path), "sha256": self.sha256}

    def on_failure(self, undo: Callable[[], object]) -> None:
        """Remember what to undo if the import fails."""
        self._undo.append(undo)

    def undo(self) -> None:
        """Take back what a failed import has registered."""
        for undo in reversed(self._undo):
            undo()


_sources: Dict[str, Source] = {}  # by path, or by name where there is no file
_entry_points_loaded = threading.Event()
_broken_entry_points: List[str] = []
_importing: contextvars.ContextVar[Optional[Source]] = contextvars.ContextVar("importing", default=None)
_lock = threading.RLock()


def import_components(target: Union[str, os.PathLike[str]]) -> None:
    """Import a file or module that registers components; a file that was imported before is not imported again.

    Args:
        target: a path, relative to the working directory, if it ends in ``.py`` or has a path separator in it; else the
            dotted name of a module.

    Raises:
        ConfigError: there is no such file or module, or it cannot be imported.
    """
    import_from(os.fspath(target), f"import_components({os.fspath(target)!r})", Path())


def import_from(target: str, origin: str, folder: Path) -> None:
    """Import a file or module.

    Args:
        target: see ``import_components``.
        origin: who asked for it, for messages: "--import my_parts.py" or "recipe.yaml:3: my_parts.py".
        folder: to which a path is relative.

    Raises:
        ConfigError: as ``import_components``.
    """
    with _lock:
        if is_path(target):
            _import_file((folder / user_path(target)).resolve(), origin)
        else:
            _import_module(target, origin)


def is_path(target: str) -> bool:
    """Return whether ``import_components`` takes a target for a path, and not for the name of a module."""
    return target.endswith(".py") or any(mark in target for mark in (os.sep, os.altsep) if mark)


def _import_file(path: Path, origin: str) -> None:
    if str(path) in _sources:
        return
    if not path.is_file():
        kind = "is a folder; name a file, or the module" if path.is_dir() else "no such file"
        raise ConfigError(f"{origin}: {kind} ({path})")
    _search_also(path.parent)  # so that a file can import its neighbours
    unique = hashlib.sha256(str(path).encode()).hexdigest()[:8]
    module = types.ModuleType(f"{_PREFIX}{re.sub(r'[^0-9A-Za-z]', '_', path.stem)}_{unique}")
    module.__file__ = str(path)

    def run() -> None:
        # Read once, so that the digest is that of the code that runs.
        content = path.read_bytes()
        source.sha256 = hashlib.sha256(content).hexdigest()
        sys.modules[module.__name__] = module
        try:
            exec(compile(content, str(path), "exec"), module.__dict__)
        except BaseException:
            del sys.modules[module.__name__]
            raise

    source = Source(path.name, path)
    _import(run, source, str(path), origin)
    os.environ[_FILES] = json.dumps({**_files_by_module(), module.__name__: str(path)})


def _files_by_module() -> Dict[str, str]:
    """Return the files that this process and those that started it have imported, by the names of their modules."""
    return dict(json.loads(os.environ.get(_FILES, "{}")))


class _FileFinder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports a file again where a worker process that was not forked unpickles an object of a class in it."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Optional[importlib.machinery.ModuleSpec]:
        """Return how to import a file by the name of its module."""
        file = _files_by_module().get(name) if name.startswith(_PREFIX) else None
        return None if file is None else importlib.machinery.ModuleSpec(name, self, origin=file)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        """Import the file."""
        import_from(str(spec.origin), f"worker process: {spec.origin}", Path())
        return sys.modules[spec.name]

    def exec_module(self, module: types.ModuleType) -> None:
        """Do nothing: the module was run when it was created."""


sys.meta_path.append(_FileFinder())


def _import_module(name: str, origin: str) -> None:
    _search_also(Path.cwd())
    try:
        spec = importlib.util.find_spec(name)  # imports the packages around it
    except (ImportError, ValueError) as error:
        raise ConfigError(f"{origin}: {error}") from error
    if spec is None:
        raise ConfigError(f"{origin}: no module {name} is installed; the path of a file ends in .py")
    path = Path(spec.origin).resolve() if spec.has_location and spec.origin else None
    key = name if path is None else str(path)
    if key not in _sources:
        source = Source(name, path, None if path is None else sha256(path))
        _import(lambda: importlib.import_module(name), source, key, origin)


def _import(run: Callable[[], Any], source: Source, key: str, origin: str) -> None:
    """Import with everything that is registered on the way ascribed to ``source``.

    Raises:
        ConfigError: it fails; nothing stays registered.
    """
    token = _importing.set(source)
    _sources[key] = source
    try:
        run()
    except BaseException as error:
        del _sources[key]
        source.undo()
        if isinstance(error, (Exception, SystemExit)):
            raise ConfigError(f"{origin}: cannot be imported: {describe_failure(error, source)}") from error
        raise
    finally:
        _importing.reset(token)


def _search_also(folder: Path) -> None:
    """Let Python find modules in a folder, after all other places."""
    if str(folder) not in sys.path:
        sys.path.append(str(folder))


def describe_failure(error: BaseException, source: Source) -> str:
    """Return "file:line: what went wrong" for an error inside other people's code."""
    text = str(error) if isinstance(error, ConfigError) else f"{type(error).__name__}: {error}"
    if isinstance(error, SyntaxError):
        return f"{error.filename}:{error.lineno}: {text}"
    frames = traceback.extract_tb(error.__traceback__)
    folder = source.path.parent if source.path is not None else None
    inside = [frame for frame in frames if folder in Path(frame.filename).parents and not _is_installed(frame.filename)]
    return f"{inside[-1].filename}:{inside[-1].lineno}: {text}" if inside else text


def _is_installed(file: str) -> bool:
    """Return whether a file belongs to an installed package, which may lie below the user's folder."""
    return not {"site-packages", "dist-packages"}.isdisjoint(Path(file).parts)


def caller_source() -> Optional[Source]:
    """Return where the code comes from that is registering something right now; None for ours."""
    frame: Optional[types.FrameType] = sys._getframe(1)
    while frame is not None and frame.f_globals.get("__name__") in _REGISTRARS:
        frame = frame.f_back
    names = frame.f_globals if frame is not None else {}
    module = str(names.get("__name__", "__main__"))
    if module.partition(".")[0] == "ppcls":
        return None  # also where other people's code is what made Python import it
    return _importing.get() or _source_of_module(module, names.get("__file__"))


def _source_of_module(module: str, file: Optional[str]) -> Source:
    """Return the source for a module that Python itself has imported, such as the program that is running."""
    path = Path(file).resolve() if file is not None and Path(file).is_file() else None
    key = module if path is None else str(path)
    if key not in _sources:
        name = module if path is None or "." in module else path.name
        _sources[key] = Source(name, path, None if path is None else sha256(path))
    return _sources[key]


def require_imported(records: Sequence[Mapping[str, Any]], what: str) -> None:
    """Check that the imports which something was made with are imported here; another version of one is warned of.

    Args:
        records: see ``Source.record``.
        what: was made with them, for messages.

    Raises:
        ConfigError: one of them is not imported. It is never imported because a record says so.
    """
    for record in records:
        source = _find(record)
        if source is None:
            load_entry_points()
            source = _find(record)
        if source is None:
            raise ConfigError(_not_imported(record, what))
        if source.sha256 != record.get("sha256"):
            get_logger().warning("%s was made with another version of %s (%s)", what, record["name"], source)


def _find(record: Mapping[str, Any]) -> Optional[Source]:
    """Return the source that a record means: the same file, the same content, or one of the same name."""
    for key in ("path", "sha256", "name"):
        for source in _sources.values():
            if record.get(key) is not None and source.record()[key] == record[key]:
                return source
    return None


def _not_imported(record: Mapping[str, Any], what: str) -> str:
    name, path = str(record["name"]), record.get("path")
    if path is None:
        return f"{what} was made with components defined in {name}, not in a file: write them to one, and --import it"
    is_file = name.endswith(".py")
    known = path if Path(path).is_file() else f"path/to/{name}"
    target = known if is_file else name
    installed = "" if is_file else " (or install the package that it belongs to)"
    return (
        f"{what} was made with {name}: add --import {target}{installed}; in Python, call "
        f"ppcls.import_components({target!r}) first"
    )


def load_entry_points() -> None:
    """Import what installed packages name in the entry point group ``ppcls.components``, once in a process.

    A package that cannot be imported is warned of; see ``broken_entry_points``.
    """
    if _entry_points_loaded.is_set():
        return
    with _lock:
        _entry_points_loaded.set()
        from importlib import metadata  # takes as long as everything else that a command's help imports

        seen = set()
        for distribution in metadata.distributions():
            for point in distribution.entry_points:
                if point.group == ENTRY_POINTS and (point.name, point.value) not in seen:
                    seen.add((point.name, point.value))
                    _load_entry_point(point, f"{distribution.metadata['Name']} {distribution.version}")


def _load_entry_point(point: Any, package: str) -> None:
    name = point.value.partition(":")[0].strip()
    what = f"entry point {point.name!r} ({point.value}) of the package {package}"
    try:
        import_from(name, what, Path())
    except ConfigError as error:
        _broken_entry_points.append(str(error))
        get_logger().warning("%s", error)


def broken_entry_points() -> Sequence[str]:
    """Return what is wrong with the entry points that could not be loaded."""
    return tuple(_broken_entry_points)
