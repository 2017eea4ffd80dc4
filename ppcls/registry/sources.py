"""Where registered components come from that are not ours, which runs, checkpoints and exports record."""

from __future__ import annotations

import contextvars
import sys
import traceback
import types
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, List, Optional

from ppcls.errors import ConfigError
from ppcls.utils.digests import sha256

# Modules that register on behalf of those who call them.
_REGISTRARS = ("ppcls.registry.registry", "ppcls.registry.sources", "ppcls.arch.registry")


@dataclass(eq=False)
class Source:
    """A file or module of other people's components.

    Attributes:
        name: of the file or, of a module in a package, its dotted name.
        path: of the file; None for an interactive session.
        sha256: of the file when it was imported.
        importer: the file or module whose import led to this one; None if there is none.
    """

    name: str
    path: Optional[Path] = None
    sha256: Optional[str] = None
    importer: Optional[Source] = None
    _undo: List[Callable[[], object]] = field(default_factory=list, repr=False)

    def __str__(self) -> str:
        return self.name if self.path is None else str(self.path)

    @property
    def key(self) -> str:
        """What identifies it in a process."""
        return str(self)

    @property
    def is_interactive(self) -> bool:
        """Whether components may be defined again, as in a notebook."""
        return self.path is None

    @property
    def has_registered(self) -> bool:
        """Whether it, or a file that it imported, has registered anything."""
        return bool(self._undo)

    def __getstate__(self) -> Dict[str, Any]:
        """Leave out the functions that undo the import: only the importing process needs them."""
        return {**self.__dict__, "_undo": []}

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


known: Dict[str, Source] = {}  # by ``Source.key``
current_import: contextvars.ContextVar[Optional[Source]] = contextvars.ContextVar("current_import", default=None)


def records(sources: Iterable[Optional[Source]]) -> List[Dict[str, Optional[str]]]:
    """Return the records of sources and of what imported them, each once; what is to be imported first stands first."""
    ordered: Dict[str, Source] = {}
    for source in sources:
        chain = []
        while source is not None:
            chain.append(source)
            source = source.importer
        ordered.update({item.key: item for item in reversed(chain)})
    return [source.record() for source in ordered.values()]


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
    """Return the file or module whose code is registering something right now; None for ours."""
    frame: Optional[types.FrameType] = sys._getframe(1)
    while frame is not None and frame.f_globals.get("__name__") in _REGISTRARS:
        frame = frame.f_back
    names = frame.f_globals if frame is not None else {}
    module = str(names.get("__name__", "__main__"))
    if module.partition(".")[0] == "ppcls":
        return None  # also where other people's code is what made Python import it
    file = names.get("__file__")
    path = Path(file).resolve() if file is not None and Path(file).is_file() else None
    importer = current_import.get()
    if importer is not None and path in (None, importer.path):
        return importer
    key = module if path is None else str(path)
    if key not in known:
        name = module if path is None or "." in module else path.name
        source = known[key] = Source(name, path, None if path is None else sha256(path), importer)
        if importer is not None:
            importer.on_failure(lambda: forget(source, module))
    return known[key]


def forget(source: Source, module: str = "") -> None:
    """Take back a file that was imported by one whose import has failed, so that both can be imported again.

    Args:
        module: the name under which Python has imported it.
    """
    known.pop(source.key, None)
    source.undo()
    while module and module != "__main__":
        sys.modules.pop(module, None)
        module = module.rpartition(".")[0]
