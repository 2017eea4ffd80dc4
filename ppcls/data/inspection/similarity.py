"""Images that are nearly the same: re-encoded, resized or slightly edited copies."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Callable, Dict, List, Optional, Sequence, Tuple

import numpy as np

from ppcls.utils.opencv import cv2

Root = Callable[[int], int]
_FAR = 3  # of 64 bits; four bands of 16 then have one in common (pigeonhole)
_COLOUR = 10  # of 255, between mean colours: flat images have equal bits whatever their colour


@dataclass(frozen=True)
class Fingerprint:
    """A difference hash (each bit: brighter than the right neighbour, on a 9 x 8 grid) and the mean colour."""

    bits: int
    colour: Tuple[float, float, float]

    def is_near(self, other: Fingerprint) -> bool:
        """Return whether two images are nearly the same."""
        if bin(self.bits ^ other.bits).count("1") > _FAR:
            return False
        return max(abs(a - b) for a, b in zip(self.colour, other.colour)) <= _COLOUR


def fingerprint(image: np.ndarray) -> Fingerprint:
    """Return the fingerprint of an image [H, W, 3] uint8."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, (9, 8), interpolation=cv2.INTER_AREA).astype(np.int16)
    bits = int("".join("1" if bit else "0" for bit in (small[:, 1:] > small[:, :-1]).ravel()), 2)
    red, green, blue = (float(value) for value in cv2.mean(image)[:3])
    return Fingerprint(bits, (red, green, blue))


def near_groups(prints: Sequence[Optional[Fingerprint]]) -> List[List[int]]:
    """Return the groups of at least two images that are nearly the same, directly or by way of others.

    Args:
        prints: by image; None for one that could not be read.
    """
    parent = list(range(len(prints)))

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    for band in range(4):
        buckets: Dict[int, List[int]] = defaultdict(list)
        for index, print_ in enumerate(prints):
            if print_ is not None:
                buckets[(print_.bits >> (16 * band)) & 0xFFFF].append(index)
        for members in buckets.values():
            _join(members, prints, parent, root)
    groups: Dict[int, List[int]] = defaultdict(list)
    for index in range(len(prints)):
        groups[root(index)].append(index)
    return [group for group in groups.values() if len(group) > 1]


def _join(members: List[int], prints: Sequence[Optional[Fingerprint]], parent: List[int], root: Root) -> None:
    """Join the near ones of a bucket; equal fingerprints first, so that many copies cost little."""
    first: Dict[Fingerprint, int] = {}
    for index in members:
        print_ = prints[index]
        assert print_ is not None
        if print_ in first:
            parent[root(index)] = root(first[print_])
        else:
            first[print_] = index
    different = list(first.items())
    for position, (print_, index) in enumerate(different):
        for other, there in different[position + 1 :]:
            if root(index) != root(there) and print_.is_near(other):
                parent[root(there)] = root(index)
