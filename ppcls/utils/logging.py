"""Log lines as PaddleClas users grep them, on the console and in a file, beside progress bars."""

from __future__ import annotations

import contextlib
import logging
import sys
from pathlib import Path
from typing import Any, Iterator, List, Optional, Set

from ppcls.utils import distributed, terminal
from ppcls.utils.encoding import as_text

# ``extra`` of lines that are shown in another form on a terminal: they go to the file, and to a console that is none.
NOT_ON_TERMINAL = {"not_on_terminal": True}


class _Console(logging.Handler):
    """Writes to standard error above the progress bar, if one is drawn.

    On a terminal, lines have no date and fit its width.
    """

    def emit(self, record: logging.LogRecord) -> None:
        if terminal.is_terminal():
            if getattr(record, "not_on_terminal", False):
                return
            text = "\n".join(_terminal_lines(record))
        else:
            text = as_text(self.format(record))
        if "tqdm" in sys.modules:
            sys.modules["tqdm"].tqdm.write(text, file=sys.stderr)
        else:
            print(text, file=sys.stderr, flush=True)


def _terminal_lines(record: logging.LogRecord) -> List[str]:
    """Return a line of the log as a terminal shows it."""
    text = as_text(record.getMessage())
    if record.levelno < logging.WARNING:
        return terminal.wrapped(text)
    word, style = ("error", "red") if record.levelno >= logging.ERROR else ("warning", "yellow")
    first, *others = terminal.wrapped(f"{word}: {text}")
    return [first.replace(word, terminal.styled(word, style), 1), *others]


class _File(logging.FileHandler):
    """Writes names of files as text, and reports once that it cannot write, without a traceback for every line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        return as_text(super().format(record))

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the base class's name
        error = sys.exc_info()[1]
        self.close()
        get_logger().removeHandler(self)
        get_logger().error("%s cannot be written (%s): logging to it ends", self.baseFilename, error)


def get_logger() -> logging.Logger:
    """Return the package's logger; as a library it stays silent below warnings until ``setup`` is called."""
    return logging.getLogger("ppcls")


_said: Optional[Set[str]] = None


@contextlib.contextmanager
def repeats_dropped() -> Iterator[None]:
    """Let ``warn_once`` log each warning once until the end of the block; of nested blocks the outermost counts.

    A command or a training reads some things several times, such as the folder that two sections of a recipe name.
    """
    global _said
    if _said is not None:
        yield
        return
    _said = set()
    try:
        yield
    finally:
        _said = None


def warn_once(text: str, *args: Any, logger: Optional[logging.Logger] = None) -> None:
    """Log a warning, unless the same one was logged in this block of ``repeats_dropped``.

    Args:
        text: with the placeholders of ``args``, as for ``logging``.
        logger: None for that of the package.
    """
    whole = text % args if args else text
    if _said is not None and whole in _said:
        return
    if _said is not None:
        _said.add(whole)
    (logger or get_logger()).warning(text, *args)


def setup(file: Optional[Path] = None, console: bool = True) -> None:
    """Send the package's log lines to the console and, appended, to ``file``.

    With several processes, each line has its rank, and errors go to the console even without ``console``. A further
    call replaces what an earlier one set up.
    """
    logger = get_logger()
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
        handler.close()
    logger.setLevel(logging.INFO)
    logger.propagate = False
    several = distributed.world_size() > 1
    name = f"ppcls rank {distributed.rank()}" if several else "ppcls"
    style = logging.Formatter(f"[%(asctime)s] {name} %(levelname)s: %(message)s", "%Y/%m/%d %H:%M:%S")
    handlers: list = [_Console(logging.NOTSET if console else logging.ERROR)] if console or several else []
    if file is not None:
        handlers.append(_File(file, encoding="utf-8", errors="backslashreplace"))
    for handler in handlers or [logging.NullHandler()]:
        handler.setFormatter(style)
        logger.addHandler(handler)
