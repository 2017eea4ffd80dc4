"""Look for the files of a data set before they are needed: a missing one would end a run in the middle of an epoch."""

from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from typing import List, Optional, Sequence, Tuple

from tqdm import tqdm

from ppcls.data.datasets.paths import PathTable
from ppcls.utils.files import why_unreadable

_THREADS = 16  # they wait for network drives together
_CHUNK = 4096
_SECONDS = 2.0  # without a progress bar

EMPTY = "the file is empty"
Problem = Tuple[int, str]


def find_problems(paths: PathTable, indices: Sequence[int]) -> List[Problem]:
    """Return (index, problem) of the files that are missing, empty or no regular files, in order.

    Long checks show a progress bar on a terminal.
    """
    if len(indices) <= _CHUNK:
        return _check(paths, indices)
    chunks = [indices[start : start + _CHUNK] for start in range(0, len(indices), _CHUNK)]
    problems: List[Problem] = []
    with (
        ThreadPoolExecutor(_THREADS) as pool,
        tqdm(
            total=len(indices), desc="looking for files", unit="file", leave=False, disable=None, delay=_SECONDS
        ) as bar,
    ):
        for chunk, found in zip(chunks, pool.map(lambda chunk: _check(paths, chunk), chunks)):
            problems += found
            bar.update(len(chunk))
    return problems


def _check(paths: PathTable, indices: Sequence[int]) -> List[Problem]:
    found = ((index, _problem(paths.text(index))) for index in indices)
    return [(index, problem) for index, problem in found if problem is not None]


def _problem(path: str) -> Optional[str]:
    try:
        state = os.stat(path)  # noqa: PTH116 - a million Path objects take seconds
    except OSError as error:
        return why_unreadable(path, error)
    if not stat.S_ISREG(state.st_mode):
        return "not a regular file"
    return None if state.st_size else EMPTY
