"""File names of all letters, whatever the locale."""

from __future__ import annotations

import codecs
import io
import os
import sys


def takes_names_for_ascii() -> bool:
    """Return whether Python takes file names for ASCII, as in the locale C without its UTF-8 mode."""
    return os.name == "posix" and codecs.lookup(sys.getfilesystemencoding()).name == "ascii"


def as_file_name(text: str) -> str:
    """Return a path as Python needs it to find the file; names of files are UTF-8 whatever Python takes them for."""
    if text.isascii() or not takes_names_for_ascii():
        return text
    return os.fsdecode(text.encode("utf-8", "surrogateescape"))


def as_text(name: str) -> str:
    """Return the name of a file, or a text with such names in it, as text; as it is where that is not valid UTF-8."""
    if name.isascii() or not takes_names_for_ascii():
        return name
    try:
        return name.encode("utf-8", "surrogateescape").decode("utf-8")
    except UnicodeError:
        return name


def restart_in_utf8() -> None:
    """Restart Python in UTF-8 mode where the locale makes file names ASCII, such as the locale C.

    Names with other letters could neither be printed nor written to lists there. Call it first of all: whatever the
    process did is done again.
    """
    if sys.flags.utf8_mode or not takes_names_for_ascii():
        return
    if sys.version_info >= (3, 10):
        given = sys.orig_argv[1:]
    else:
        is_module = sys.modules["__main__"].__spec__ is not None
        given = [*(("-m", "ppcls") if is_module else sys.argv[:1]), *sys.argv[1:]]
    os.environ["PYTHONUTF8"] = "1"  # for processes that this one starts
    os.execv(sys.executable, [sys.executable, "-X", "utf8", *given])


def escape_unprintable() -> None:
    """Let standard output escape what is no valid text, or not in the terminal's encoding.

    File names may be such. In JSON the escapes mean what such a name is in Python.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
