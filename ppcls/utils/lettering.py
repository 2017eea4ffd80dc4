"""Texts in pictures: a font that has their letters.

Pillow's own font has those of ASCII only. Any other text is drawn with an installed font that has all of its letters.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import sys
from pathlib import Path
from typing import Any, Dict, FrozenSet, Iterable, Iterator, List, Optional, Sequence, Tuple

import numpy as np

_SUFFIXES = (".ttf", ".ttc", ".otf")
_PROBE_SIZE = 16.0
_NO_LETTER = "\U0010fffe"  # is never a letter: it shows what a font draws for one that it does not have
# Plain fonts before others.
_UNUSUAL = ("bold", "italic", "oblique", "light", "thin", "black", "condensed", "narrow", "mono", "serif")


def font_for(text: str, size: float) -> Any:
    """Return a font of Pillow that has the letters of a text; its own one if no font has them."""
    return (_find(frozenset(text)) or _fonts().own).sized(size)


def can_draw(text: str) -> bool:
    """Return whether there is a font that has the letters of a text."""
    return _find(frozenset(text)) is not None


def line_of_text(text: str, size: float, width: int) -> Tuple[np.ndarray, int]:
    """Return how dark the pixels [H, W] uint8 of a line of text are, and the row of its base line.

    Args:
        width: of the picture; letters that do not fit are left out.
    """
    from PIL import Image, ImageDraw

    font = font_for(text, size)
    while text and font.getlength(text) > width:
        text = text[:-1]
    ascent, descent = font.getmetrics()
    image = Image.new("L", (width, ascent + descent))
    ImageDraw.Draw(image).text((0, ascent), text, fill=255, font=font, anchor="ls")
    return np.asarray(image), int(ascent)


class DrawableNames:
    """Names of classes as pictures can show them: one whose letters no font has is shown as the number of its class.

    Attributes:
        numbers: the numbers, as text, of the names that cannot be drawn.

    Args:
        names: by class id.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.numbers: Dict[str, str] = {
            name: str(number) for number, name in enumerate(names) if not name.isascii() and not can_draw(name)
        }
        # A name may be a part of another one.
        self._longest_first = sorted(self.numbers, key=len, reverse=True)

    def replace(self, text: str) -> str:
        """Return a text with numbers in place of the names in it that cannot be drawn."""
        if text.isascii():
            return text
        for name in self._longest_first:
            text = text.replace(name, self.numbers[name])
        return text


class _Font:
    """A font file, or Pillow's own font, and which letters it has."""

    def __init__(self, path: Optional[str] = None) -> None:
        self._path = path
        self._has: Dict[str, bool] = {}
        self._probe = self.sized(_PROBE_SIZE)
        self._nothing = self._drawn(_NO_LETTER)

    def sized(self, size: float) -> Any:
        from PIL import ImageFont

        return ImageFont.load_default(size) if self._path is None else ImageFont.truetype(self._path, size)

    def has_all(self, letters: Iterable[str]) -> bool:
        return all(map(self._has_letter, letters))

    def _has_letter(self, letter: str) -> bool:
        if letter not in self._has:
            self._has[letter] = letter.isspace() or self._drawn(letter) != self._nothing
        return self._has[letter]

    def _drawn(self, letter: str) -> Any:
        mask = self._probe.getmask(letter)
        return mask.size, bytes(mask)


class _Fonts:
    """Pillow's own font and the installed ones, which are opened when they are needed."""

    def __init__(self) -> None:
        self.own = _Font()
        self._opened = [self.own]
        self._files = _files()

    def find(self, letters: Iterable[str]) -> Optional[_Font]:
        """Return the first font that has all of some letters; None if there is none."""
        found = next((font for font in self._opened if font.has_all(letters)), None)
        while found is None:
            path = next(self._files, None)
            if path is None:
                return None
            try:
                font = _Font(path)
            except (OSError, ValueError):  # a font of fixed sizes, such as one of emojis, or a damaged file
                continue
            self._opened.append(font)
            found = font if font.has_all(letters) else None
        return found


@functools.cache
def _fonts() -> _Fonts:
    return _Fonts()


@functools.cache
def _find(letters: FrozenSet[str]) -> Optional[_Font]:
    return _fonts().own if all(map(str.isascii, letters)) else _fonts().find(letters)


def _files() -> Iterator[str]:
    """Yield the paths of installed fonts, plain ones first."""
    found = {str(path) for folder in _folders() for path in folder.rglob("*") if path.suffix.lower() in _SUFFIXES}
    return iter(sorted(found, key=lambda path: (sum(word in path.lower() for word in _UNUSUAL), path)))


def _folders() -> List[Path]:
    """Return where fonts are installed."""
    try:
        home = Path.home()
    except RuntimeError:  # a user without one
        home = Path()
    if sys.platform == "win32":
        folders = [Path(os.environ.get("WINDIR", "C:/Windows"), "Fonts")]
        folders += [Path(os.environ[key], "Microsoft/Windows/Fonts") for key in ("LOCALAPPDATA",) if key in os.environ]
    elif sys.platform == "darwin":
        folders = [home / "Library/Fonts", Path("/Library/Fonts"), Path("/System/Library/Fonts")]
    else:
        data = Path(os.environ.get("XDG_DATA_HOME") or home / ".local/share")
        folders = [data / "fonts", home / ".fonts", Path("/usr/local/share/fonts"), Path("/usr/share/fonts")]
    matplotlib = importlib.util.find_spec("matplotlib")  # brings DejaVu Sans, where it is installed
    if matplotlib is not None and matplotlib.origin is not None:
        folders.append(Path(matplotlib.origin).parent / "mpl-data/fonts/ttf")
    return folders
