"""The loss over a range of learning rates as an SVG picture, without a plotting library."""

from __future__ import annotations

import math
from typing import Iterator, List, Sequence, Tuple

from ppcls.engine.lr_range_test import RangeTest

_WIDTH, _HEIGHT = 720, 380  # pixels
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 20, 40, 48  # margins
_TALLEST = 1.3  # of the losses at the beginning: what explodes above them says no more

Point = Tuple[float, float]


def draw_lr_range(result: RangeTest, title: str) -> str:
    """Return the picture: each update's loss, their smoothed curve, and the suggested rate.

    Args:
        title: in the picture.
    """
    low, high = min(result.smoothed), max(result.smoothed)
    top = min(high, _TALLEST * result.smoothed[0])
    top = top if top > low else low + 1.0
    pad = 0.08 * (top - low)
    scale = _Scale(result.rates[0], result.rates[-1], low - pad, top + pad)
    curve = " ".join(f"{x:.1f},{y:.1f}" for x, y in map(scale.point, result.rates, result.smoothed))
    dots = "".join(
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="1.6"/>' for x, y in map(scale.point, result.rates, result.losses)
    )
    x, y = scale.point(result.suggestion, _nearest(result))
    anchor = "end" if x > _WIDTH / 2 else "start"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" '
        f'height="{_HEIGHT}" font-family="sans-serif" font-size="12" role="img">',
        f"<title>{_escaped(title)}</title>",
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
        f'<text x="{_LEFT}" y="22" font-size="14">{_escaped(title)}</text>',
        *scale.axes(),
        f'<g fill="#9db4cf">{dots}</g>',
        f'<polyline points="{curve}" fill="none" stroke="#1f5fa8" stroke-width="2"/>',
        f'<line x1="{x:.1f}" y1="{_TOP}" x2="{x:.1f}" y2="{_HEIGHT - _BOTTOM}" stroke="#c2410c" '
        f'stroke-dasharray="4 3"/>',
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="#c2410c"/>',
        f'<text x="{x + (-8 if anchor == "end" else 8):.1f}" y="{_TOP + 12}" text-anchor="{anchor}" fill="#c2410c">'
        f"suggested: {result.suggestion:.1e}</text>",
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


class _Scale:
    """Places rates (logarithmic) and losses in the picture.

    Args:
        first, last: the range of rates.
        low, high: the range of losses.
    """

    def __init__(self, first: float, last: float, low: float, high: float) -> None:
        self._first, self._last = math.log10(first), math.log10(last)
        self._low, self._high = low, high

    def point(self, rate: float, loss: float) -> Point:
        """Return where a rate and a loss are; losses above the picture stand at its edge."""
        across = (math.log10(rate) - self._first) / max(1e-9, self._last - self._first)
        up = (min(max(loss, self._low), self._high) - self._low) / (self._high - self._low)
        return _LEFT + across * (_WIDTH - _LEFT - _RIGHT), _HEIGHT - _BOTTOM - up * (_HEIGHT - _TOP - _BOTTOM)

    def axes(self) -> Iterator[str]:
        """Yield the lines and numbers of both axes."""
        for power in range(math.ceil(self._first - 1e-9), math.floor(self._last + 1e-9) + 1):
            x, _ = self.point(10.0**power, self._low)
            yield f'<line x1="{x:.1f}" y1="{_TOP}" x2="{x:.1f}" y2="{_HEIGHT - _BOTTOM}" stroke="#e5e7eb"/>'
            yield f'<text x="{x:.1f}" y="{_HEIGHT - _BOTTOM + 18}" text-anchor="middle">1e{power}</text>'
        for loss in self._ticks():
            _, y = self.point(10.0**self._first, loss)
            yield f'<line x1="{_LEFT}" y1="{y:.1f}" x2="{_WIDTH - _RIGHT}" y2="{y:.1f}" stroke="#e5e7eb"/>'
            yield f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{loss:.3g}</text>'
        yield f'<text x="{_WIDTH / 2}" y="{_HEIGHT - 8}" text-anchor="middle">learning rate</text>'
        yield f'<text transform="translate(16 {_HEIGHT / 2}) rotate(-90)" text-anchor="middle">training loss</text>'

    def _ticks(self) -> List[float]:
        """Return about five round losses in the range."""
        rough = (self._high - self._low) / 5
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
        return [step * index for index in range(math.ceil(self._low / step), math.floor(self._high / step) + 1)]


def _nearest(result: RangeTest) -> float:
    """Return the smoothed loss at the suggested rate."""
    distances: Sequence[float] = [abs(math.log(rate / result.suggestion)) for rate in result.rates]
    return result.smoothed[min(range(len(distances)), key=lambda index: distances[index])]


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
