"""No text of the console is left without a translation, and none stands outside the catalogues."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from jinja2 import Environment

from docs import console_texts
from tests.admin.conftest import ANNA
from tests.console.conftest import Browser, words
from tests.support.serving import ROOT

TEMPLATES = sorted((ROOT / "gbproxy/console/templates").glob("**/*.html"))
# Names, and what is written alike in all languages.
SAME_EVERYWHERE = {"gbproxy", "csesidx", "gemini-auto", "curl", "Python"}
_SAID_TO_USERS = re.compile(r'(?:aria-label|title|placeholder|alt)="([^"]*)"')


CATALOGUES = sorted(console_texts.TRANSLATIONS.glob("*/LC_MESSAGES/messages.po"))


def test_there_is_a_catalogue_for_each_language_but_english() -> None:
    assert [path.parts[-3] for path in CATALOGUES] == ["zh"]


@pytest.mark.parametrize("path", CATALOGUES, ids=lambda path: path.parts[-3])
def test_every_text_is_translated(path: Path) -> None:
    catalogue = console_texts.read(path)
    wanted = {message.id for message in console_texts.texts() if message.id}
    known = {message.id: message for message in catalogue if message.id}

    assert len(wanted) > 50
    assert wanted - known.keys() == set(), "run `make console-texts`, and translate what is new"
    assert known.keys() - wanted == set(), "no longer said: run `make console-texts`"
    for message in known.values():
        assert not message.fuzzy
        said = message.string if isinstance(message.string, tuple) else (message.string,)
        assert all(said), message.id
        assert not list(message.check(catalogue)), message.id


@pytest.mark.parametrize("path", CATALOGUES, ids=lambda path: path.parts[-3])
def test_a_catalogues_head_is_filled_in(path: Path) -> None:
    head = path.read_text().lstrip().split("\n\n")[0]

    assert "PO-Revision-Date: 20" in head
    for placeholder in ("EMAIL@ADDRESS", "FULL NAME", "LL@li.org", "YEAR-MO-DA"):
        assert placeholder not in head


@pytest.mark.parametrize("path", CATALOGUES, ids=lambda path: path.parts[-3])
def test_the_compiled_catalogue_is_the_written_one(path: Path) -> None:
    assert path.with_suffix(".mo").read_bytes() == console_texts.compiled(console_texts.read(path))


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_no_template_says_anything_outside_the_catalogues(path: Path) -> None:
    tokens = Environment().lex(path.read_text())
    # What is made by code is one mark, so that a tag around it stays whole.
    markup = "".join(value if kind == "data" else "\0" for _, kind, value in tokens)
    markup = re.sub(r"<(code|pre)\b.*?</\1>", "", markup, flags=re.S)
    said = " ".join([*_SAID_TO_USERS.findall(markup), re.sub(r"<[^>]*>", " ", markup)])
    left = set(re.findall(r"[^\W\d_][\w-]*", said.replace("\0", " ")))

    assert left - SAME_EVERYWHERE == set()


def test_each_page_is_there_in_both_languages(browser: Browser) -> None:
    browser.services.registry.add(ANNA)

    for page, english, chinese in (
        ("/admin", "Nothing needs you.", "没有需要您处理的事项"),
        ("/admin/accounts", "Accounts", "账号"),
        ("/admin/accounts/new", "Paste it here.", "粘贴到这里"),
        ("/admin/keys", "New key", "新密钥"),
        ("/admin/connect", "Connect a program", "连接程序"),
        ("/admin/playground", "Show thoughts", "显示思考过程"),
        ("/admin/alerts", "No webhook is set", "尚未设置 webhook"),
    ):
        assert english in words(browser.get(page, Accept_Language="en"))
        assert chinese in words(browser.get(page, Accept_Language="zh-TW"))
