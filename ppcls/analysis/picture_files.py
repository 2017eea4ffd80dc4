"""Pictures that are written to a folder, one per image."""

from __future__ import annotations

import re
from pathlib import Path, PurePath
from typing import Set, Union

import numpy as np

from ppcls.errors import MachineError
from ppcls.utils import atomic
from ppcls.utils.logging import get_logger
from ppcls.utils.opencv import cv2

_UNSAFE = re.compile(r"[^\w.-]+")
_MAX_NAME = 100  # letters


class PictureFolder:
    """A folder for pictures; no two images share a file, and a picture of an earlier run is replaced.

    A picture that cannot be written does not end the command, which has answers to write. The first error is logged.

    Attributes:
        folder: where they are.
        failed: how many pictures could not be written.

    Args:
        folder: exists.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.failed = 0
        self._taken: Set[str] = set()

    def write(self, name: str, picture: np.ndarray) -> Union[Path, MachineError]:
        """Write a picture [H, W, 3] uint8 RGB as PNG; return its path, or why it cannot be written.

        Args:
            name: of the image that it is about, a path or an address.
        """
        path = self.folder / self._file_name(name)
        try:
            write_png(path, picture)
        except MachineError as error:
            if not self.failed:
                get_logger().error("%s; the answers are still written", error)
            self.failed += 1
            return error
        return path

    def _file_name(self, name: str) -> str:
        stem = _UNSAFE.sub("_", PurePath(name.partition("?")[0]).stem)[:_MAX_NAME] or "image"
        candidate, number = f"{stem}_heat.png", 1
        while candidate.lower() in self._taken:
            number += 1
            candidate = f"{stem}_{number}_heat.png"
        self._taken.add(candidate.lower())
        return candidate


def write_png(path: Path, picture: np.ndarray) -> None:
    """Write a picture [H, W, 3] uint8 RGB.

    Raises:
        MachineError: it cannot be written.
    """
    done, data = cv2.imencode(".png", picture[:, :, ::-1])
    if not done:
        raise MachineError(f"{path}: OpenCV cannot write PNG files on this machine")
    try:
        with atomic.replacing(path) as temporary:
            temporary.write_bytes(data.tobytes())
    except OSError as error:
        raise MachineError(f"{path}: cannot be written: {error.strerror}") from None
