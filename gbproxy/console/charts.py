"""Small bar charts: where each bar lies in an SVG. Colours are the style sheet's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 240, 60
_GAP = 2


@dataclass(frozen=True, slots=True)
class Rectangle:
    x: float
    y: float
    width: float
    height: float
    kind: str  # its class


@dataclass(frozen=True, slots=True)
class Chart:
    """`peak`: the value of the highest bar."""

    rectangles: Sequence[Rectangle]
    peak: int


def stacked(bars: Sequence[Sequence[int]], kinds: Sequence[str]) -> Chart:
    """Bars of several parts, the first one below."""
    peak = max((sum(parts) for parts in bars), default=0)
    return Chart(
        [
            _rectangle(number, len(bars), sum(parts[:place]), part, peak, kinds[place])
            for number, parts in enumerate(bars)
            for place, part in enumerate(parts)
            if part
        ],
        peak,
    )


def behind(bars: Sequence[tuple[int, int]], kinds: tuple[str, str]) -> Chart:
    """Bars of which the first, smaller one stands before the second."""
    peak = max((max(pair) for pair in bars), default=0)
    return Chart(
        [
            _rectangle(number, len(bars), 0, value, peak, kind)
            for number, pair in enumerate(bars)
            for value, kind in reversed(tuple(zip(pair, kinds, strict=True)))
            if value
        ],
        peak,
    )


def _rectangle(number: int, count: int, below: int, value: int, peak: int, kind: str) -> Rectangle:
    step = WIDTH / count
    height = value / peak * HEIGHT
    y = HEIGHT - below / peak * HEIGHT - height
    return Rectangle(
        round(number * step + _GAP / 2, 1),
        round(y, 1),
        round(step - _GAP, 1),
        round(height, 1),
        kind,
    )
