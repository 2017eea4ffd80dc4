"""Draws the block diagrams of docs/models as SVG: ``python docs/figures/draw.py``."""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import List, Sequence, Tuple

WIDTH, STEP, BOX_HEIGHT = 190, 70, 38
COLOURS = {
    "norm": "#e8eef7",
    "channels": "#fde7d3",
    "places": "#d9efe0",
    "plain": "#f4f4f4",
    "act": "#f7e3ee",
}
STYLE = 'font-family="Helvetica, Arial, sans-serif" fill="#222"'


@dataclass
class Column:
    """A chain of boxes from top to bottom.

    Attributes:
        title: above the chain.
        boxes: (text, note on the arrow below it, kind of colour).
        residuals: pairs of box numbers: what enters the first is added to what leaves the second.
    """

    title: str
    boxes: Sequence[Tuple[str, str, str]]
    residuals: Sequence[Tuple[int, int]] = field(default_factory=list)


def draw(columns: Sequence[Column], caption: str) -> str:
    """Return an SVG picture of the columns, side by side."""
    gap = 90
    width = len(columns) * (WIDTH + gap) + 30
    height = 90 + max(len(column.boxes) for column in columns) * STEP + 40
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">',
        f"<title>{escape(caption)}</title>",
        '<defs><marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0 L8 4 L0 8 Z" fill="#555"/></marker></defs>',
        f'<rect width="{width}" height="{height}" fill="white"/>',
    ]
    for number, column in enumerate(columns):
        parts += _column(column, 40 + number * (WIDTH + gap))
    return "\n".join([*parts, "</svg>\n"])


def _column(column: Column, left: int) -> List[str]:
    parts = [_text(left + WIDTH / 2, 30, column.title, size=15, weight="bold")]
    middle = left + WIDTH / 2
    parts.append(_arrow(middle, 44, 66))
    for index, (text, note, kind) in enumerate(column.boxes):
        top = 66 + index * STEP
        parts.append(
            f'<rect x="{left}" y="{top}" width="{WIDTH}" height="{BOX_HEIGHT}" rx="5" fill="{COLOURS[kind]}" '
            f'stroke="#888"/>'
        )
        lines = text.split("\n")
        for row, line in enumerate(lines):
            y = top + BOX_HEIGHT / 2 + 4.5 + (row - (len(lines) - 1) / 2) * 15
            parts.append(_text(middle, y, line, size=13))
        parts.append(_arrow(middle, top + BOX_HEIGHT, top + STEP))
        if note:
            parts.append(_text(middle + 13, top + BOX_HEIGHT + 17, note, size=11, anchor="start", fill="#666"))
    for first, last in column.residuals:
        parts += _residual(left, 66 + first * STEP - 8, 66 + last * STEP + BOX_HEIGHT + 12)
    return parts


def _residual(left: int, top: float, bottom: float) -> List[str]:
    """Return a line past the boxes, and the sum where it ends."""
    middle, side = left + WIDTH / 2, left - 20
    return [
        f'<path d="M{middle} {top} H{side} V{bottom} H{middle - 9}" fill="none" stroke="#555" stroke-width="1.4" '
        f'marker-end="url(#arrow)"/>',
        f'<circle cx="{middle}" cy="{bottom}" r="8" fill="white" stroke="#555"/>',
        _text(middle, bottom + 5, "+", size=15),
    ]


def _arrow(x: float, top: float, bottom: float) -> str:
    line = f'<line x1="{x}" y1="{top}" x2="{x}" y2="{bottom}" stroke="#555" stroke-width="1.4"'
    return f'{line} marker-end="url(#arrow)"/>'


def _text(
    x: float, y: float, text: str, size: int, anchor: str = "middle", weight: str = "normal", fill: str = "#222"
) -> str:
    style = STYLE.replace("#222", fill)
    return (
        f'<text x="{x}" y="{y}" font-size="{size}" font-weight="{weight}" text-anchor="{anchor}" {style}>'
        f"{escape(text)}</text>"
    )


FIGURES = {
    "convmixer": (
        "ConvMixer-h/d: a patch embedding, d equal blocks, pooling. Each block mixes places, then channels.",
        [
            Column(
                "ConvMixer-1536/20, 224 px",
                [
                    ("patch embedding\nconvolution 7 x 7, stride 7", "1536 x 32 x 32", "plain"),
                    ("GELU, batch norm", "1536 x 32 x 32", "norm"),
                    ("block, 20 times", "1536 x 32 x 32", "places"),
                    ("average over places", "1536", "plain"),
                    ("linear", "1000 classes", "channels"),
                ],
            ),
            Column(
                "block",
                [
                    ("depthwise convolution\nk x k", "mixes places", "places"),
                    ("GELU", "", "act"),
                    ("batch norm", "", "norm"),
                    ("convolution 1 x 1", "mixes channels", "channels"),
                    ("GELU", "", "act"),
                    ("batch norm", "", "norm"),
                ],
                [(0, 2)],
            ),
        ],
    ),
    "convmlp": (
        "ConvMLP: a convolution tokenizer and stage, then three stages of Conv-MLP blocks.",
        [
            Column(
                "ConvMLP-S, 224 px",
                [
                    ("tokenizer: 3 convolutions\nand max pooling", "64 x 56 x 56", "places"),
                    ("convolution stage\n2 bottleneck blocks", "64 x 56 x 56", "places"),
                    ("stage 1: convolution, stride 2\n2 Conv-MLP blocks", "128 x 28 x 28", "channels"),
                    ("stage 2: convolution, stride 2\n4 Conv-MLP blocks", "256 x 14 x 14", "channels"),
                    ("stage 3: convolution, stride 2\n2 Conv-MLP blocks", "512 x 7 x 7", "channels"),
                    ("layer norm, average", "512", "norm"),
                    ("linear", "1000 classes", "channels"),
                ],
            ),
            Column(
                "Conv-MLP block",
                [
                    ("layer norm", "", "norm"),
                    ("channel MLP\nlinear, GELU, linear", "mixes channels", "channels"),
                    ("layer norm", "", "norm"),
                    ("depthwise convolution\n3 x 3", "mixes places, no residual", "places"),
                    ("layer norm", "", "norm"),
                    ("channel MLP\nlinear, GELU, linear", "mixes channels", "channels"),
                ],
                [(0, 1), (4, 5)],
            ),
        ],
    ),
    "gmlp": (
        "gMLP: patches as tokens, equal blocks with a spatial gating unit.",
        [
            Column(
                "gMLP-S/16, 224 px",
                [
                    ("patch embedding\nconvolution 16 x 16, stride 16", "196 x 256", "plain"),
                    ("block, 30 times", "196 x 256", "places"),
                    ("layer norm", "196 x 256", "norm"),
                    ("average over tokens", "256", "plain"),
                    ("linear", "1000 classes", "channels"),
                ],
            ),
            Column(
                "block",
                [
                    ("layer norm", "tokens x d", "norm"),
                    ("linear, GELU", "tokens x 6d", "channels"),
                    ("spatial gating unit", "tokens x 3d", "places"),
                    ("linear", "tokens x d", "channels"),
                ],
                [(0, 3)],
            ),
            Column(
                "spatial gating unit",
                [
                    ("split the channels: u, v", "v: tokens x 3d", "plain"),
                    ("layer norm of v", "", "norm"),
                    ("linear over the tokens\nweights near 0, bias 1", "mixes places", "places"),
                    ("times u", "tokens x 3d", "act"),
                ],
            ),
        ],
    ),
    "cyclemlp": (
        "CycleMLP: a pyramid of four stages; its blocks mix along rows, columns and channels.",
        [
            Column(
                "CycleMLP-B1, 224 px",
                [
                    ("convolution 7 x 7, stride 4", "64 x 56 x 56", "plain"),
                    ("stage 1: 2 blocks", "64 x 56 x 56", "places"),
                    ("stage 2: convolution, stride 2\n2 blocks", "128 x 28 x 28", "places"),
                    ("stage 3: convolution, stride 2\n4 blocks", "320 x 14 x 14", "places"),
                    ("stage 4: convolution, stride 2\n2 blocks", "512 x 7 x 7", "places"),
                    ("layer norm, average", "512", "norm"),
                    ("linear", "1000 classes", "channels"),
                ],
            ),
            Column(
                "block",
                [
                    ("layer norm", "", "norm"),
                    ("cycle mixer", "mixes places and channels", "places"),
                    ("layer norm", "", "norm"),
                    ("channel MLP\nlinear, GELU, linear", "mixes channels", "channels"),
                ],
                [(0, 1), (2, 3)],
            ),
            Column(
                "cycle mixer",
                [
                    ("three branches of the input", "", "plain"),
                    ("cycle FC along rows,\nalong columns; linear", "mixes places and channels", "places"),
                    ("weights of the branches\nby an MLP on their mean", "softmax over the three", "act"),
                    ("weighted sum", "", "plain"),
                    ("linear", "", "channels"),
                ],
            ),
            Column(
                "cycle FC, kernel 3",
                [
                    ("channel 0: the place itself", "", "plain"),
                    ("channel 1: the next place", "", "plain"),
                    ("channel 2: the place before", "", "plain"),
                    ("channel 3: the place itself, ...", "zeros outside", "plain"),
                    ("linear over channels", "a 1 x 1 convolution", "channels"),
                ],
            ),
        ],
    ),
}


def main() -> None:
    """Write every figure beside this file."""
    for name, (caption, columns) in FIGURES.items():
        (Path(__file__).parent / f"{name}.svg").write_text(draw(columns, caption), encoding="utf-8")


if __name__ == "__main__":
    main()
