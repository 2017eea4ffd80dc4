"""Contact sheets: many images in one picture."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Sequence, Tuple

import numpy as np

from ppcls.data.transforms.conversion import to_channels
from ppcls.errors import MachineError
from ppcls.utils import atomic, lettering
from ppcls.utils.logging import warn_once
from ppcls.utils.opencv import cv2

_MARGIN, _LINE_HEIGHT, _MIN_CELL = 4, 15, 96  # pixels
_FONT_SIZE = 11.0  # of letters that OpenCV does not have


def contact_sheet(images: Sequence[np.ndarray], texts: Sequence[str], columns: int = 0) -> np.ndarray:
    """Return one picture [H, W, 3] uint8 with images [h, w, 3] uint8 in rows and a text below each image.

    Images smaller than 96 pixels are enlarged by a whole number, to leave room for the texts.

    Args:
        images: may differ in size.
        texts: one per image; they may have several lines.
        columns: images per row; 0 makes the picture about square.
    """
    columns = columns or math.ceil(math.sqrt(len(images)))
    scale = max(1, _MIN_CELL // max(max(image.shape[:2]) for image in images))
    images = [image.repeat(scale, 0).repeat(scale, 1) for image in images]
    width = max(_MIN_CELL, *(image.shape[1] for image in images))
    lines = max(text.count("\n") + 1 for text in texts)
    height = max(image.shape[0] for image in images)
    cell = (height + lines * _LINE_HEIGHT + 2 * _MARGIN, width + 2 * _MARGIN)
    rows = math.ceil(len(images) / columns)
    sheet = np.full((rows * cell[0], columns * cell[1], 3), 255, np.uint8)
    for number, (image, text) in enumerate(zip(images, texts)):
        top, left = number // columns * cell[0] + _MARGIN, number % columns * cell[1] + _MARGIN
        sheet[top : top + image.shape[0], left : left + image.shape[1]] = image
        for row, line in enumerate(text.split("\n")):
            _draw_text(sheet, line, (left, top + height + 11 + row * _LINE_HEIGHT), width)
    return sheet


def write_picture(image: np.ndarray, target: Path) -> None:
    """Write a picture [H, W, 3] uint8 to a file, whose suffix says the format.

    Raises:
        MachineError: it cannot be written.
    """
    try:
        _, content = cv2.imencode(target.suffix, image[:, :, ::-1])
        with atomic.replacing(target) as temporary:
            temporary.write_bytes(content.tobytes())
    except cv2.error as error:
        raise MachineError(f"--out={target}: {error.err or error}; name a .png or .jpg file") from None
    except OSError as error:
        raise MachineError(f"--out={target}: cannot be written: {error.strerror}") from None


def _draw_text(sheet: np.ndarray, text: str, position: Tuple[int, int], width: int) -> None:
    """Draw a line of text, up to a width, whose base line begins at a position (x, y)."""
    if not text.isascii() and lettering.can_draw(text):
        _draw_letters(sheet, text, position, width)
        return
    if not text.isascii():
        # OpenCV's fonts contain only ASCII characters.
        text = text.encode("ascii", "replace").decode("ascii")
        warn_once("no installed font has all letters of the texts in the picture: some are question marks")
    font, scale = cv2.FONT_HERSHEY_SIMPLEX, 0.38
    while text and cv2.getTextSize(text, font, scale, 1)[0][0] > width:
        text = text[:-1]
    cv2.putText(sheet, text, position, font, scale, (0, 0, 0), 1, cv2.LINE_AA)


def _draw_letters(sheet: np.ndarray, text: str, position: Tuple[int, int], width: int) -> None:
    dark, base = lettering.line_of_text(text, _FONT_SIZE, width)
    left, top = position[0], position[1] - base
    area = sheet[top : top + dark.shape[0], left : left + dark.shape[1]]
    area[:] = np.minimum(area, 255 - dark[: area.shape[0], : area.shape[1], None])


def denormalize(image: np.ndarray, mean: Sequence[float], std: Sequence[float], scale: float) -> np.ndarray:
    """Return the pixels [H, W, 3] uint8 of a normalized image [C, H, W] float32; a channel of zeros is left out."""
    image = image[: len(mean)]
    planes = image * np.array(std, np.float32)[:, None, None] + np.array(mean, np.float32)[:, None, None]
    return to_channels(np.clip(np.rint(planes / scale), 0, 255).astype(np.uint8).transpose(1, 2, 0), 3)
