"""The picture of a run."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from bench.chart import chart
from bench.measure import Row
from tests.bench.rows import row

SVG = "{http://www.w3.org/2000/svg}"
ROWS = [
    row("short", "bare", cpu_us_per_request=500.0),
    row("short", "bare", calls=3, cpu_us_per_request=1000.0),
    row("short", cpu_us_per_request=2000.0),
    row("one", ttft_ms={"p50": 1.5, "p99": 3.0}),
]


def drawn(rows: list[Row]) -> ElementTree.Element:
    return ElementTree.fromstring(chart(rows, "2026-01-02, a <machine>"))


def bars(picture: ElementTree.Element, kind: str) -> list[float]:
    found = picture.findall(f"{SVG}rect[@class='{kind}']")
    return [float(bar.attrib["width"]) for bar in found]


def texts(picture: ElementTree.Element) -> list[str]:
    return [text.text or "" for text in picture.iter(f"{SVG}text")]


def test_bars_are_as_long_as_what_they_stand_for() -> None:
    picture = drawn(ROWS[:3])

    (own,), (one,), (three,) = (bars(picture, kind) for kind in ("own", "one", "three"))

    assert round(own / one, 2) == 4
    assert round(own / three, 2) == 2


def test_each_measure_that_was_taken_has_a_panel_and_figures() -> None:
    said = texts(drawn(ROWS))

    panels = [text for text in said if re.search(r"\((µs|ms|MB)\)$", text)]
    assert panels == [
        "short answer, per request (µs)", "TTFT, 1 stream, p50 (ms)", "TTFT, 1 stream, p99 (ms)",
    ]  # fmt: skip
    assert {"2,000", "500 / 1,000", "1.50", "3.00", "gbproxy : bare 4.00 ×"} <= set(said)


def test_who_was_not_measured_has_no_bar_but_a_dash() -> None:
    picture = drawn(ROWS[:3])

    assert texts(picture).count("–") == 3
    assert len(bars(picture, "one")) == 1


def test_everything_stands_within_the_picture_and_its_words_are_escaped() -> None:
    picture = drawn(ROWS)
    width, height = float(picture.attrib["width"]), float(picture.attrib["height"])

    for each in (*picture.iter(f"{SVG}rect"), *picture.iter(f"{SVG}text")):
        place = float(each.attrib.get("x", 0)) + float(each.attrib.get("width", 0))
        assert 0 <= place <= width
        assert 0 <= float(each.attrib.get("y", 0)) <= height
    assert any("a <machine>" in text for text in texts(picture))


def test_the_same_rows_give_the_same_text_with_colours_for_light_and_dark() -> None:
    text = chart(ROWS, "2026-01-02")

    assert text == chart(ROWS, "2026-01-02")
    assert "prefers-color-scheme: dark" in text


def test_no_rows_give_a_picture_without_panels() -> None:
    assert bars(drawn([]), "own") == []
