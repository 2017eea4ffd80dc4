"""Images that are nearly the same: re-encoded, resized or slightly edited copies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterator, List, Optional, Sequence

import numpy as np

from ppcls.utils.opencv import cv2

_BANDS = 4  # of 16 bits; images that have none in common are not compared
_FAR = 8  # of 64 bits; nearer images are compared by pixels
_SIDE = 16  # pixels of the pictures that are compared: half of 32, of which a copy of half the size has all
# Levels of 255. Photos reduced to 16 x 16 pixels differ by up to 7 from their copies (JPEG quality 40, half the size,
# 5 % brighter), and handwritten digits by 8 at least from each other.
_COLOUR = 10  # between the mean colours
_CHANGE = 7.0  # beyond that, root of the mean square
_SHARE = 0.25  # of the contrast: foggy pictures differ by little
_NOISE = 1.0  # of pictures without contrast
_CHUNK = 4096  # pictures compared at once
_ONES = np.array([bin(value).count("1") for value in range(256)], np.uint8)


@dataclass(frozen=True, eq=False)
class Fingerprint:
    """A difference hash (each bit: brighter than the right neighbour, on a 9 x 8 grid) and a picture [16, 16, 3]."""

    bits: int
    small: np.ndarray


def fingerprint(image: np.ndarray) -> Fingerprint:
    """Return the fingerprint of an image [H, W, 3] uint8."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    grid = cv2.resize(grey, (9, 8), interpolation=cv2.INTER_AREA).astype(np.int16)
    bits = int("".join("1" if bit else "0" for bit in (grid[:, 1:] > grid[:, :-1]).ravel()), 2)
    return Fingerprint(bits, cv2.resize(image, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA))


def near_groups(prints: Sequence[Optional[Fingerprint]]) -> List[List[int]]:
    """Return the groups of at least two images of which all are nearly the same as the group's first.

    Args:
        prints: by image; None for one that could not be read.
    """
    known = [(index, print_) for index, print_ in enumerate(prints) if print_ is not None]
    search = _Search([print_ for _, print_ in known])
    grouped = np.zeros(len(known), bool)
    groups = []
    for first in range(len(known)):
        if grouped[first]:
            continue
        later = search.candidates(first)
        copies = search.confirmed(first, later[~grouped[later]])
        grouped[copies] = True
        if len(copies):
            groups.append([known[position][0] for position in (first, *copies.tolist())])
    return groups


class _Search:
    """Near copies among images, by position."""

    def __init__(self, prints: Sequence[Fingerprint]) -> None:
        self._prints = prints
        self._bits = np.array([print_.bits for print_ in prints], np.uint64)
        self._colours = np.array([print_.small.mean((0, 1)) for print_ in prints], np.float32).reshape(-1, 3)
        self._bands = [((self._bits >> np.uint64(16 * band)) & np.uint64(0xFFFF)).astype(int) for band in range(_BANDS)]
        self._orders = [np.argsort(values, kind="stable") for values in self._bands]
        self._starts = [
            np.searchsorted(values[order], np.arange(2**16 + 1)) for values, order in zip(self._bands, self._orders)
        ]

    def candidates(self, first: int) -> np.ndarray:
        """Return the later images with nearly the hash and the mean colour of one, in order."""
        found = []
        for values, order, starts in zip(self._bands, self._orders, self._starts):
            same = order[starts[values[first]] : starts[values[first] + 1]]
            found.append(same[np.searchsorted(same, first, side="right") :])
        later = np.unique(np.concatenate(found))
        later = later[np.abs(self._colours[later] - self._colours[first]).max(1, initial=0) <= _COLOUR]
        changed = (self._bits[later] ^ self._bits[first]).view(np.uint8).reshape(-1, 8)
        return later[_ONES[changed].sum(1) <= _FAR]

    def confirmed(self, first: int, later: np.ndarray) -> np.ndarray:
        """Return those of the images whose pixels, too, are nearly those of one."""
        return np.array([position for part in self._parts(first, later) for position in part.tolist()], int)

    def _parts(self, first: int, later: np.ndarray) -> Iterator[np.ndarray]:
        own, own_contrast = _centred(self._prints[first].small[None])
        for start in range(0, len(later), _CHUNK):
            part = later[start : start + _CHUNK]
            others, contrast = _centred(np.stack([self._prints[position].small for position in part]))
            bound = np.clip(_SHARE * np.minimum(contrast, own_contrast), _NOISE, _CHANGE)
            yield part[_root_mean_square(others - own) <= bound]


def _centred(pictures: np.ndarray) -> tuple:
    """Return pictures [N, H, W, 3] with mean colours of 0, and their contrasts [N]."""
    centred = pictures - pictures.mean((1, 2), keepdims=True, dtype=np.float32)
    return centred, _root_mean_square(centred)


def _root_mean_square(pictures: np.ndarray) -> np.ndarray:
    return np.sqrt(np.square(pictures).mean((1, 2, 3)))
