"""Find near-duplicates: re-encoded, resized or slightly edited copies of an image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, Iterator, List, Optional, Sequence, Tuple

import numpy as np

from ppcls.utils.opencv import cv2

_BANDS = 4  # of 16 hash bits; images without a common band are not compared
_MAX_DIFFERENT_BITS = 8  # of 64 hash bits; images with at most this many are compared by pixels
_SIDE = 16  # pixels of the thumbnails that are compared, so that copies of half the size still have all the detail
# The following limits are in levels of 0 to 255. Thumbnails of photos differ by up to 7 from those of their copies
# (JPEG quality 40, half the size, 5 % brighter). Thumbnails of different handwritten digits differ by at least 8.
_MAX_COLOUR_DIFFERENCE = 10  # of the mean colours
_MAX_RMS = 7.0  # root mean square difference after removing the mean colours
_MAX_RMS_PER_CONTRAST = 0.25  # a lower limit for images of low contrast, which differ little from each other
_MIN_RMS_LIMIT = 1.0  # noise of images without any contrast
_CHUNK = 4096  # thumbnails compared at once
_POPCOUNT = np.array([bin(value).count("1") for value in range(256)], np.uint8)


@dataclass(frozen=True, eq=False)
class Fingerprint:
    """A difference hash and a thumbnail.

    Attributes:
        bits: the 64-bit hash: on a 9 x 8 grid, whether each cell is brighter than its left neighbour.
        thumbnail: [16, 16, 3] uint8.
    """

    bits: int
    thumbnail: np.ndarray


def fingerprint(image: np.ndarray) -> Fingerprint:
    """Return the fingerprint of an image [H, W, 3] uint8."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    grid = cv2.resize(grey, (9, 8), interpolation=cv2.INTER_AREA).astype(np.int16)
    bits = int("".join("1" if bit else "0" for bit in (grid[:, 1:] > grid[:, :-1]).ravel()), 2)
    return Fingerprint(bits, cv2.resize(image, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA))


def near_duplicate_groups(fingerprints: Sequence[Optional[Fingerprint]]) -> List[List[int]]:
    """Return groups of at least two images, in order: near-duplicates, and near-duplicates of these.

    So no image is a near-duplicate of one outside of its group, as of the frames of a video, each of which is one of
    the frame before. Two images of a group may differ more.

    Args:
        fingerprints: one per image; None for an image that could not be read.
    """
    known = [(index, item) for index, item in enumerate(fingerprints) if item is not None]
    search = _NearDuplicateSearch([item for _, item in known])
    groups = _Groups(len(known))
    first_of: Dict[Tuple[int, bytes], int] = {}  # equal ones are not compared with all others one by one
    for position, (_, item) in enumerate(known):
        first = first_of.setdefault((item.bits, item.thumbnail.tobytes()), position)
        if first != position:
            groups.unite(first, position)
    for first in first_of.values():
        others = search.candidates(first)
        others = others[groups.number[others] != groups.number[first]]
        for position in search.confirm(first, others).tolist():
            groups.unite(first, position)
    return [[known[position][0] for position in group] for group in groups.found()]


class _Groups:
    """Disjoint groups of positions, each position in one of its own at first.

    Attributes:
        number: of the group of each position, [N] int.
    """

    def __init__(self, count: int) -> None:
        self.number = np.arange(count)
        self._members: Dict[int, List[int]] = {}  # of groups with more than one

    def unite(self, first: int, second: int) -> None:
        """Make one group of those of two positions."""
        if self.number[first] == self.number[second]:
            return
        larger, smaller = sorted((self._of(first), self._of(second)), key=len, reverse=True)
        self._members.pop(int(self.number[smaller[0]]), None)
        number = int(self.number[larger[0]])
        self.number[smaller] = number
        larger.extend(smaller)
        self._members[number] = larger

    def found(self) -> List[List[int]]:
        """Return the groups of more than one position, sorted."""
        return sorted(sorted(group) for group in self._members.values())

    def _of(self, position: int) -> List[int]:
        return self._members.get(int(self.number[position]), [position])


class _NearDuplicateSearch:
    """Searches near-duplicates among images, which are given by their position."""

    def __init__(self, fingerprints: Sequence[Fingerprint]) -> None:
        self._fingerprints = fingerprints
        self._bits = np.array([item.bits for item in fingerprints], np.uint64)
        self._colours = np.array([item.thumbnail.mean((0, 1)) for item in fingerprints], np.float32).reshape(-1, 3)
        self._bands = [((self._bits >> np.uint64(16 * band)) & np.uint64(0xFFFF)).astype(int) for band in range(_BANDS)]
        self._orders = [np.argsort(values, kind="stable") for values in self._bands]
        self._starts = [
            np.searchsorted(values[order], np.arange(2**16 + 1)) for values, order in zip(self._bands, self._orders)
        ]

    def candidates(self, first: int) -> np.ndarray:
        """Return the images after ``first`` with a similar hash and mean colour, in order."""
        matches = []
        for values, order, starts in zip(self._bands, self._orders, self._starts):
            same = order[starts[values[first]] : starts[values[first] + 1]]
            matches.append(same[np.searchsorted(same, first, side="right") :])
        later = np.unique(np.concatenate(matches))
        later = later[np.abs(self._colours[later] - self._colours[first]).max(1, initial=0) <= _MAX_COLOUR_DIFFERENCE]
        changed = (self._bits[later] ^ self._bits[first]).view(np.uint8).reshape(-1, 8)
        return later[_POPCOUNT[changed].sum(1) <= _MAX_DIFFERENT_BITS]

    def confirm(self, first: int, candidates: np.ndarray) -> np.ndarray:
        """Return the candidates whose thumbnails are similar to that of ``first``."""
        chunks = self._confirmed_chunks(first, candidates)
        return np.array([position for chunk in chunks for position in chunk.tolist()], int)

    def _confirmed_chunks(self, first: int, candidates: np.ndarray) -> Iterator[np.ndarray]:
        reference, reference_contrast = _subtract_mean(self._fingerprints[first].thumbnail[None])
        for start in range(0, len(candidates), _CHUNK):
            chunk = candidates[start : start + _CHUNK]
            others, contrast = _subtract_mean(np.stack([self._fingerprints[i].thumbnail for i in chunk]))
            limit = _MAX_RMS_PER_CONTRAST * np.minimum(contrast, reference_contrast)
            yield chunk[_root_mean_square(others - reference) <= np.clip(limit, _MIN_RMS_LIMIT, _MAX_RMS)]


def _subtract_mean(images: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """Return images [N, H, W, 3] without their mean colours, and their contrasts [N]."""
    centred = images - images.mean((1, 2), keepdims=True, dtype=np.float32)
    return centred, _root_mean_square(centred)


def _root_mean_square(images: np.ndarray) -> np.ndarray:
    return np.sqrt(np.square(images).mean((1, 2, 3)))
