"""README.zh-CN.md says what README.md says: all that can be compared without knowing Chinese is the
same in both.

What the README's own tests hold against the code holds for the translation too, as its names and
figures are the same.
"""

from __future__ import annotations

import re
from collections import Counter

import pytest

from gbproxy.app import create_app
from gbproxy.domain.models import built_in_names
from gbproxy.settings import RESERVED, documented, load
from tests.docs import code_facts
from tests.docs.markdown import Page, Section, code

ENGLISH = Page.read("README.md")
CHINESE = Page.read("README.zh-CN.md")
PAGES = pytest.mark.parametrize("page", [ENGLISH, CHINESE], ids=lambda page: page.path.name)
PAIRS = list(zip(ENGLISH.sections(), CHINESE.sections(), strict=False))
EACH_SECTION = pytest.mark.parametrize(
    ("english", "chinese"), PAIRS, ids=[english.heading for english, _ in PAIRS]
)

# Words that stand where otherwise names and figures do: in the first column of a table, or as a
# default.
WORDS = {
    "others": "其他",
    "unset": "未设置",
    "made at start": "启动时生成",
    "built-in catalogue": "内置目录",
    "a private temporary SQLite file": "私有的临时 SQLite 文件",
    "random per start": "每次启动随机生成",
    "the system's": "系统自带",
    "the edition's": "版本自带",
    "the request is at fault": "请求有错",
    "it is overloaded": "过载",
    "the quota is used up": "配额用完",
    "the quota of the day is used up": "当天的配额用完",
    "nothing for five seconds, while it is signed in to or a session is opened, and another account may serve": (
        "登录或打开会话时五秒没有结果，而别的账号可以接手"
    ),
    "the credentials are refused": "凭证被拒绝",
    "nothing, or a 5xx": "什么都没说，或 5xx",
    "it failed, without a reason": "失败，没有理由",
    "the page's address": "页面的地址",
    "a request of the page, such as `getoxsrf?csesidx=…`": (
        "页面的一个请求，例如 `getoxsrf?csesidx=…`"
    ),
    "a request `widget…`": "一个 `widget…` 请求",
    "its headers": "它的请求头",
    "many requests": "许多请求",
    "cookies": "cookie",
    "accounts": "账号",
}


def test_the_headings_are_the_same_in_rank_and_number() -> None:
    assert [section.rank for section in CHINESE.sections()] == [
        section.rank for section in ENGLISH.sections()
    ]


def test_no_heading_is_left_untranslated_but_names() -> None:
    same = [english.heading for english, chinese in PAIRS if english.heading == chinese.heading]

    assert same == ["gbproxy"]


def test_each_page_leads_to_the_other_at_its_top() -> None:
    assert ENGLISH.text.splitlines()[2] == f"English · [简体中文]({CHINESE.path.name})"
    assert CHINESE.text.splitlines()[2] == f"[English]({ENGLISH.path.name}) · 简体中文"


def test_the_blocks_of_code_are_the_same_to_the_letter_and_in_the_same_sections() -> None:
    assert _blocks_by_section(CHINESE) == _blocks_by_section(ENGLISH)


@EACH_SECTION
def test_the_tables_have_the_same_rows_names_and_defaults(
    english: Section, chinese: Section
) -> None:
    ours, theirs = _rows(english), _rows(chinese)

    assert [len(row) for row in theirs] == [len(row) for row in ours]
    assert [row[0] for row in theirs] == [WORDS.get(row[0], row[0]) for row in ours]
    if english.heading == "Settings":
        assert [row[1] for row in theirs] == [WORDS.get(row[1], row[1]) for row in ours]
    for our_row, their_row in zip(ours, theirs, strict=True):
        assert [_names(cell) for cell in their_row] == [_names(cell) for cell in our_row]


@EACH_SECTION
def test_the_lists_tables_and_quotes_follow_in_the_same_order(
    english: Section, chinese: Section
) -> None:
    assert _shape(chinese) == _shape(english)


@EACH_SECTION
def test_a_section_names_the_same_things(english: Section, chinese: Section) -> None:
    assert _names(chinese.prose) == _names(english.prose)


@EACH_SECTION
def test_a_section_has_the_same_links(english: Section, chinese: Section) -> None:
    assert _links(CHINESE, chinese) == _links(ENGLISH, english)


@EACH_SECTION
def test_what_is_quoted_stays_as_it_is(english: Section, chinese: Section) -> None:
    assert _quoted(chinese) == _quoted(english)
    for sentence in re.findall(
        r'"(\w+(?:[ ,]+\w+){3,})"', " ".join(re.sub(r"`[^`]*`", "", english.prose).split())
    ):
        assert f"“{sentence}”" in chinese.prose


def test_log_levels_are_the_same() -> None:
    levels = [
        [re.findall("|".join(code_facts.LEVELS), row[1]) for row in page.section(heading).rows()]
        for page, heading in ((ENGLISH, "Logs"), (CHINESE, "日志"))
    ]

    assert levels[0] == levels[1]
    assert all(levels[0])


@PAGES
def test_every_setting_endpoint_error_and_event_is_named(page: Page) -> None:
    app = create_app(
        load(
            {"API_KEYS": "sk-9f2c41d07ab84e5e11", "ADMIN_KEY": "ak-5b3c9e71d2f84a60"},
            built_in_names(),
        )
    )
    served = {re.sub(r"<(?:\w+:)?\w+>", "{}", rule.rule) for rule in app.url_map.iter_rules()}
    settings = {
        name for setting in documented() for name in (setting.name, *setting.aliases)
    } | RESERVED
    errors = {name for _, name in code_facts.errors()}
    named = _names(page.prose)

    assert settings - named == set()
    paths = {re.sub(r"\{\w+\}", "{}", name) for name in named if name.startswith("/")}
    assert served - paths - {path.removeprefix("/v1") for path in paths} == set()
    assert errors - named == set()
    assert code_facts.log_events().keys() - named == set()


@PAGES
def test_bold_words_are_shown_bold(page: Page) -> None:
    """Between a sign and a letter `**` neither opens nor closes: so it is in CommonMark, which
    knows no Chinese.
    """
    text = re.sub(r"`[^`\n]*`", "`", page.prose)
    bold = re.finditer(r"(\w)?\*\*([^*\n]+)\*\*(\w)?", text)

    wrong = [
        m[0] for m in bold if (m[1] and not m[2][0].isalnum()) or (m[3] and not m[2][-1].isalnum())
    ]

    assert wrong == []


def test_chinese_stands_with_chinese_punctuation_and_apart_from_latin_letters() -> None:
    text = re.sub(r"`[^`\n]*`", "", re.sub(r"\]\([^)]*\)", "]", CHINESE.prose))

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
    return Page(ENGLISH.path, section.prose).rows()


def _shape(section: Section) -> list[str]:
    """How the lines that are no plain prose begin, in their order: list items, tables, quotes, bold
    titles.
    """
    marks = re.findall(r"^(?:- |\d\. |> |\|-.*\|$|\*\*(?=.*\*\*$))", section.prose, re.MULTILINE)
    return [re.sub("-+", "-", mark) for mark in marks]


def _names(text: str) -> set[str]:
    """What stands between backticks, which is never translated."""
    return set(code(text))


def _quoted(section: Section) -> list[str]:
    return re.findall(r"^> .*$", section.prose, re.MULTILINE)


def _links(page: Page, section: Section) -> Counter[str]:
    """Links with a heading's number in place of its name, and without the language that a page is
    in.
    """
    anchors = page.anchors()
    found = []
    for link in Page(page.path, section.prose).links():
        path, _, anchor = link.partition("#")
        other = path in (ENGLISH.path.name, CHINESE.path.name)
        found.append(
            "the other language" if other else f"{path}#{anchors.index(anchor)}" if anchor else path
        )
    return Counter(found)
