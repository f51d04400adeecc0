"""Each Chinese page says what its English twin says: all that can be compared without knowing Chinese is the same in both.

What other tests hold against the code holds for the translation too, as its names and figures are the same.
"""

from __future__ import annotations

import re
from collections import Counter

import pytest

from tests.docs.markdown import ROOT, Page, Section, code

TWINS = [
    (Page.read(f"{name}.md"), Page.read(f"{name}.zh-CN.md"))
    for name in ("README", "docs/getting-started", "docs/clients")
]
each_twin = pytest.mark.parametrize(("english", "chinese"), TWINS, ids=lambda page: page.path.name)
each_chinese_page = pytest.mark.parametrize(
    "page", [chinese for _, chinese in TWINS], ids=lambda page: page.path.name
)
each_section = pytest.mark.parametrize(
    ("pages", "english", "chinese"),
    [
        pytest.param(twins, english, chinese, id=f"{twins[0].path.name}: {english.heading}")
        for twins in TWINS
        for english, chinese in zip(twins[0].sections(), twins[1].sections(), strict=False)
    ],
)

# Words that stand in the first column of a table, where otherwise names and figures do.
WORDS = {
    "others": "其他",
}


def test_every_chinese_page_has_its_twin_here() -> None:
    assert {chinese.path for _, chinese in TWINS} == {
        *ROOT.glob("*.zh-CN.md"),
        *ROOT.glob("docs/*.zh-CN.md"),
    }


@each_twin
def test_the_headings_are_the_same_in_rank_and_number(english: Page, chinese: Page) -> None:
    assert [section.rank for section in chinese.sections()] == [
        section.rank for section in english.sections()
    ]


@each_twin
def test_no_heading_is_left_untranslated_but_names(english: Page, chinese: Page) -> None:
    pairs = zip(english.sections(), chinese.sections(), strict=True)

    assert {one.heading for one, other in pairs if one.heading == other.heading} <= {"gbproxy"}


@each_twin
def test_each_page_leads_to_the_other_at_its_top(english: Page, chinese: Page) -> None:
    assert english.text.splitlines()[2] == f"English · [简体中文]({chinese.path.name})"
    assert chinese.text.splitlines()[2] == f"[English]({english.path.name}) · 简体中文"


@each_twin
def test_the_blocks_of_code_are_the_same_to_the_letter_and_in_the_same_sections(
    english: Page, chinese: Page
) -> None:
    assert _blocks_by_section(chinese) == _blocks_by_section(english)


@each_section
def test_the_tables_have_the_same_rows_names_and_defaults(
    pages: tuple[Page, Page], english: Section, chinese: Section
) -> None:
    ours, theirs = _rows(english), _rows(chinese)

    assert [len(row) for row in theirs] == [len(row) for row in ours]
    assert [row[0] for row in theirs] == [WORDS.get(row[0], row[0]) for row in ours]
    for our_row, their_row in zip(ours, theirs, strict=True):
        assert [_names(cell) for cell in their_row] == [_names(cell) for cell in our_row]


@each_section
def test_the_lists_tables_and_quotes_follow_in_the_same_order(
    pages: tuple[Page, Page], english: Section, chinese: Section
) -> None:
    assert _shape(chinese) == _shape(english)


@each_section
def test_a_section_names_the_same_things(
    pages: tuple[Page, Page], english: Section, chinese: Section
) -> None:
    assert _names(chinese.prose) == _names(english.prose)


@each_section
def test_a_section_has_the_same_links(
    pages: tuple[Page, Page], english: Section, chinese: Section
) -> None:
    assert _links(pages[1], chinese) == _links(pages[0], english)


@each_section
def test_what_is_quoted_stays_as_it_is(
    pages: tuple[Page, Page], english: Section, chinese: Section
) -> None:
    assert _quoted(chinese) == _quoted(english)
    for sentence in re.findall(
        r'"(\w+(?:[ ,]+\w+){3,})"', " ".join(re.sub(r"`[^`]*`", "", english.prose).split())
    ):
        assert f"“{sentence}”" in chinese.prose


@each_chinese_page
def test_bold_words_are_shown_bold(page: Page) -> None:
    """Between a sign and a letter `**` neither opens nor closes: so it is in CommonMark, which knows no Chinese."""
    text = re.sub(r"`[^`\n]*`", "`", page.prose)
    bold = re.finditer(r"(\w)?\*\*([^*\n]+)\*\*(\w)?", text)

    wrong = [
        m[0] for m in bold if (m[1] and not m[2][0].isalnum()) or (m[3] and not m[2][-1].isalnum())
    ]

    assert wrong == []


@each_chinese_page
def test_chinese_stands_with_chinese_punctuation_and_apart_from_latin_letters(page: Page) -> None:
    text = re.sub(r"`[^`\n]*`", "", re.sub(r"\]\([^)]*\)", "]", page.prose))

    assert re.findall(r".{0,9}[\u4e00-\u9fff][,;:!?(](?!\S*//).{0,9}", text) == []
    assert (
        re.findall(r".{0,9}(?:[\u4e00-\u9fff][A-Za-z0-9]|[A-Za-z0-9][\u4e00-\u9fff]).{0,9}", text)
        == []
    )


# What the tests above read with


def _blocks_by_section(page: Page) -> list[list[tuple[str, str]]]:
    """The blocks under each heading; a heading without any counts too."""
    lines = page.text.splitlines()
    fenced = {
        n
        for block in page.blocks()
        for n in range(block.line, block.line + block.text.count("\n") + 2)
    }
    starts = [n for n, line in enumerate(lines, 1) if re.match(r"#+ ", line) and n not in fenced]
    ends = [*starts[1:], len(lines) + 1]
    blocks = page.blocks()
    return [
        [(block.language, block.text) for block in blocks if start < block.line < end]
        for start, end in zip(starts, ends, strict=True)
    ]


def _rows(section: Section) -> list[list[str]]:
    return Page(ROOT, section.prose).rows()


def _shape(section: Section) -> list[str]:
    """How the lines that are no plain prose begin, in their order: list items, tables, quotes, bold titles."""
    marks = re.findall(r"^(?:- |\d\. |> |\|-.*\|$|\*\*(?=.*\*\*$))", section.prose, re.MULTILINE)
    return [re.sub("-+", "-", mark) for mark in marks]


def _names(text: str) -> set[str]:
    """What stands between backticks, which is never translated."""
    return set(code(text))


def _quoted(section: Section) -> list[str]:
    return re.findall(r"^> .*$", section.prose, re.MULTILINE)


def _links(page: Page, section: Section) -> Counter[str]:
    """Links with a heading's number in place of its name where the page is translated, and without languages."""
    found = []
    for link in Page(page.path, section.prose).links():
        path, _, anchor = link.partition("#")
        target = (
            Page.read(str((page.path.parent / path).resolve().relative_to(ROOT)))
            if path.endswith(".md")
            else page
        )
        bare = path.replace(".zh-CN", "")
        found.append(f"{bare}#{target.anchors().index(anchor)}" if anchor else bare)
    return Counter(found)
