"""Thumbnails of a checked data set as HTML elements."""

from __future__ import annotations

import base64
from collections import defaultdict
from html import escape
from itertools import islice
from pathlib import Path
from typing import Dict, Iterable, List, Optional, Sequence, Set, Tuple

import numpy as np

from ppcls.data.inspection.checking import CheckedDataset, Group
from ppcls.data.inspection.scanning import read_thumbnails

Place = Tuple[CheckedDataset, int]


class Thumbnails:
    """The thumbnails of some images, which are read once, together.

    Args:
        places: the images.
        workers: number of processes; by default one per core.
    """

    def __init__(self, places: Iterable[Place], workers: Optional[int]) -> None:
        wanted: Dict[str, Tuple[CheckedDataset, Set[int]]] = {}
        for item, index in places:
            if item.findings[index].error is None:
                wanted.setdefault(item.split, (item, set()))[1].add(index)
        self._files = {
            split: read_thumbnails(item.dataset, sorted(indices), workers) for split, (item, indices) in wanted.items()
        }

    def image(self, place: Place) -> str:
        """Return an ``img`` element, or a box that says that the image cannot be read."""
        item, index = place
        name = Path(item.dataset.describe(index)).name
        file = self._files.get(item.split, {}).get(index)
        if file is None:
            return f"<span class='thumb none' title='{escape(name, quote=True)}'>cannot be read</span>"
        data = base64.b64encode(file).decode("ascii")
        title = escape(name, quote=True)
        return f"<img class='thumb' alt='{title}' title='{title}' src='data:image/jpeg;base64,{data}'>"


def choose_samples(checked: Sequence[CheckedDataset], count: int, total: int) -> Dict[str, List[Place]]:
    """Return samples of each class, evenly spread over its readable images, by the class's name.

    Args:
        count: samples of a class, at most.
        total: samples of all classes, at most; where there are many classes the last ones have none.
    """
    classes: Dict[str, List[Place]] = defaultdict(list)
    for item in checked:
        for index, finding in enumerate(item.findings):
            for label in item.dataset.classes(index) if finding.error is None else ():
                classes[item.name_of(label)].append((item, index))
    each = min(count, max(1, total // max(len(classes), 1)))
    return {name: _evenly(places, each) for name, places in islice(classes.items(), total // each)}


def _evenly(places: Sequence[Place], count: int) -> List[Place]:
    positions = np.linspace(0, len(places) - 1, min(count, len(places))).astype(int)
    return [places[int(position)] for position in positions]


def members(groups: Sequence[Group], most: int) -> List[Place]:
    """Return the first members of each group."""
    return [place for group in groups for place in group[:most]]
