"""Pictures of many pictures."""

from __future__ import annotations

import math
from typing import Sequence, Tuple

import numpy as np

from ppcls.utils.opencv import cv2

_MARGIN, _LINE, _CELL = 4, 15, 96  # pixels


def contact_sheet(images: Sequence[np.ndarray], texts: Sequence[str], columns: int = 0) -> np.ndarray:
    """Return images [h, w, 3] uint8 in rows, a text (of several lines) below each, as one picture [H, W, 3] uint8.

    Images smaller than a cell, which has 96 pixels for the text's sake, are enlarged by a whole number.
    """
    columns = columns or math.ceil(math.sqrt(len(images)))
    times = max(1, _CELL // max(max(image.shape[:2]) for image in images))
    images = [image.repeat(times, 0).repeat(times, 1) for image in images]
    width = max(_CELL, *(image.shape[1] for image in images))
    lines = max(text.count("\n") + 1 for text in texts)
    height = max(image.shape[0] for image in images)
    cell = (height + lines * _LINE + 2 * _MARGIN, width + 2 * _MARGIN)
    rows = math.ceil(len(images) / columns)
    sheet = np.full((rows * cell[0], columns * cell[1], 3), 255, np.uint8)
    for number, (image, text) in enumerate(zip(images, texts)):
        top, left = number // columns * cell[0] + _MARGIN, number % columns * cell[1] + _MARGIN
        sheet[top : top + image.shape[0], left : left + image.shape[1]] = image
        for row, line in enumerate(text.split("\n")):
            _write(sheet, line, (left, top + height + 11 + row * _LINE), width)
    return sheet


def _write(sheet: np.ndarray, text: str, place: Tuple[int, int], width: int) -> None:
    # OpenCV's fonts have ASCII only.
    text = text.encode("ascii", "replace").decode("ascii")
    font, scale = cv2.FONT_HERSHEY_SIMPLEX, 0.38
    while text and cv2.getTextSize(text, font, scale, 1)[0][0] > width:
        text = text[:-1]
    cv2.putText(sheet, text, place, font, scale, (0, 0, 0), 1, cv2.LINE_AA)


def denormalized(image: np.ndarray, mean: Sequence[float], std: Sequence[float], scale: float) -> np.ndarray:
    """Return the pixels [H, W, 3] uint8 of a normalized image [3, H, W] float32."""
    planes = image * np.array(std, np.float32)[:, None, None] + np.array(mean, np.float32)[:, None, None]
    return np.clip(np.rint(planes / scale), 0, 255).astype(np.uint8).transpose(1, 2, 0)
