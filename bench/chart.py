"""The run as a picture: bars in SVG, for light and dark pages. The same rows give the same text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from xml.sax.saxutils import escape

from bench.figures import BARE, NGINX, OWN, Who
from bench.measure import Row
from bench.summary import MEASURES, Measure, of_bare, value
from bench.texts import number

# Each subject's bar and, behind it, the longer one that it has with three calls.
_BARS: tuple[tuple[str, Who, Who | None], ...] = (
    ("nginx, parses nothing", NGINX, None),
    ("FastAPI + aiohttp", Who("fastapi+aiohttp"), Who("fastapi+aiohttp", 3)),
    ("bare Flask + requests", BARE, Who("bare", 3)),
    ("gbproxy", OWN, None),
    ("FastAPI + httpx", Who("fastapi+httpx"), Who("fastapi+httpx", 3)),
)
_WIDTH, _MARGIN, _COLUMNS = 960, 24, 2
_TOP = 76  # of the first panel
_LABEL, _VALUES = 138, 96  # left and right of the bars
_ROW, _BAR = 21, 13
_PANEL_HEIGHT = 44 + _ROW * len(_BARS)
_PANEL_WIDTH = (_WIDTH - _MARGIN * (_COLUMNS + 1)) / _COLUMNS

_STYLE = """\
  text { font: 12px system-ui, sans-serif; fill: #1f2328; }
  .title { font-size: 17px; font-weight: 600; }
  .panel { font-size: 13px; font-weight: 600; }
  .note { fill: #59636e; }
  .right { text-anchor: end; }
  .page { fill: #ffffff; }
  .one { fill: #8c959f; }
  .three { fill: #d1d9e0; }
  .own { fill: #0969da; }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc; }
    .note { fill: #9198a1; }
    .page { fill: #0d1117; }
    .one { fill: #7d8590; }
    .three { fill: #3d444d; }
    .own { fill: #4493f8; }
  }
"""


def chart(rows: Sequence[Row], taken: str) -> str:
    """A panel for each measure that was taken."""
    taken_bars = [(measure, _bars(rows, measure)) for measure in MEASURES]
    panels = [(m, bars) for m, bars in taken_bars if any(one is not None for _, one, _ in bars)]
    lines = -(-len(panels) // _COLUMNS)
    height = _TOP + lines * _PANEL_HEIGHT
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}"'
        f' width="{_WIDTH}" height="{height}" role="img" aria-labelledby="title">',
        f"<style>\n{_STYLE}</style>",
        f'<rect class="page" width="{_WIDTH}" height="{height}" rx="6"/>',
        _text(_MARGIN, 32, "What gbproxy costs, and what its users wait", "title", 'id="title"'),
        _text(
            _MARGIN,
            54,
            f"{taken}. Shorter is better; the pale part of a bar: with three calls upstream.",
            "note",
        ),
    ]
    for place, (measure, bars) in enumerate(panels):
        line, column = divmod(place, _COLUMNS)
        left = _MARGIN + column * (_PANEL_WIDTH + _MARGIN)
        parts += _panel(left, _TOP + line * _PANEL_HEIGHT, measure, bars)
        if times := of_bare(rows, measure):
            right, top = left + _PANEL_WIDTH, _TOP + line * _PANEL_HEIGHT + 18
            parts.append(_text(right, top, f"gbproxy : bare {times:.2f} ×", "note right"))
    return "\n".join([*parts, "</svg>"]) + "\n"


_Bar = tuple[str, float | None, float | None]


def _bars(rows: Sequence[Row], measure: Measure) -> list[_Bar]:
    return [
        (label, value(rows, measure, one), value(rows, measure, three) if three else None)
        for label, one, three in _BARS
    ]


def _panel(left: float, top: float, measure: Measure, bars: Sequence[_Bar]) -> Iterator[str]:
    yield _text(left, top + 18, f"{measure.title} ({measure.unit})", "panel")
    longest = max(each for _, *both in bars for each in both if each is not None)
    scale = (_PANEL_WIDTH - _LABEL - _VALUES) / longest
    for place, (label, one, three) in enumerate(bars):
        y = top + 30 + place * _ROW
        is_own = label == OWN.subject
        yield _text(left, y + 11, label, "" if is_own else "note")
        if one is None:
            yield _text(left + _LABEL, y + 11, "–", "note")
            continue
        if three is not None:
            yield _rectangle(left + _LABEL, y, three * scale, "three")
        yield _rectangle(left + _LABEL, y, one * scale, "own" if is_own else "one")
        end = left + _LABEL + max(one, three or 0) * scale + 6
        yield _text(end, y + 11, number(one) + ("" if three is None else f" / {number(three)}"), "")


def _rectangle(x: float, y: float, width: float, kind: str) -> str:
    size = f'width="{max(1.0, width):.1f}" height="{_BAR}"'
    return f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" {size} rx="2"/>'


def _text(x: float, y: float, text: str, kind: str, more: str = "") -> str:
    attributes = "".join(f" {each}" for each in (f'class="{kind}"' if kind else "", more) if each)
    return f'<text x="{x:.1f}" y="{y:.1f}"{attributes}>{escape(text)}</text>'
