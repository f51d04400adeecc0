"""The console's page of programs: every program with this gateway's address, in both languages."""

from __future__ import annotations

import re
from html import unescape

import pytest

from gbproxy.connect.programs import PROGRAMS
from tests.admin.conftest import ADMIN_KEY
from tests.console.conftest import Browser, Opened, words

NAMES = [program.name for program in PROGRAMS]


def shown(page: str, id_: str) -> str:
    found = re.search(rf'id="{id_}"[^>]*>(.*?)</(?:pre|code)>', page, re.DOTALL)
    assert found is not None
    return unescape(found[1])


def test_the_menu_leads_to_a_list_of_all_programs(browser: Browser) -> None:
    page = browser.get("/admin/connect").text

    assert 'href="/admin/connect" aria-current="page"' in page
    assert re.findall(r'<option value="([a-z0-9-]+)"[^>]*>', page)[: len(NAMES)] == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_program_is_shown_with_something_to_copy(browser: Browser, name: str) -> None:
    page = browser.get(f"/admin/connect?program={name}").text

    assert shown(page, "address") == "http://localhost"
    assert "{" not in re.sub(r"<pre.*?</pre>|<meta[^>]*>", "", page, flags=re.DOTALL)
    assert page.count("http://localhost") >= 2
    copied = re.findall(r'data-copy="([^"]+)"', page)
    assert len(copied) == page.count(" hidden aria-label=") + page.count(" hidden>")
    assert len(copied) == len(set(copied)) > 1
    assert set(copied) <= set(re.findall(r' id="([^"]+)"', page))


def test_the_address_is_the_one_at_which_the_browser_is(visitor: Browser) -> None:
    at = "http://gateway.example:8443"
    visitor.client.post("/admin/sign-in", data={"admin_key": ADMIN_KEY}, base_url=at)

    page = visitor.client.get("/admin/connect?program=codex", base_url=at).text

    assert f'base_url = "{at}/v1"' in shown(page, "file-1-1")


def test_the_address_is_the_public_one_where_the_settings_name_it(opened: Opened) -> None:
    browser = opened(PUBLIC_URL="https://ai.example.com")
    browser.sign_in()

    page = browser.get("/admin/connect?program=codex").text

    assert 'base_url = "https://ai.example.com/v1"' in shown(page, "file-1-1")


def test_the_chosen_model_is_filled_in(browser: Browser) -> None:
    page = browser.get("/admin/connect?program=claude-code&model=gemini-3.8-flash").text

    assert '"ANTHROPIC_MODEL": "gemini-3.8-flash"' in shown(page, "file-1-1")
    assert '<option value="gemini-3.8-flash" selected>' in page
    assert shown(page, "command-1") == (
        "gbproxy connect claude-code --url http://localhost --model gemini-3.8-flash --write"
    )


def test_a_model_that_there_is_not_is_not_filled_in(browser: Browser) -> None:
    page = browser.get("/admin/connect?program=codex&model=x%22%0Aa=1").text

    assert 'model = "gemini-auto"' in shown(page, "file-1-1")


def test_it_speaks_chinese(browser: Browser) -> None:
    page = words(browser.get("/admin/connect?program=cherry-studio", Accept_Language="zh-CN"))

    assert "设置 → 模型服务 → 添加" in page
    assert "API 地址" in page


def test_an_unknown_program_is_not_found(browser: Browser) -> None:
    assert browser.get("/admin/connect?program=nothing").status_code == 404


def test_it_is_for_those_who_are_signed_in(visitor: Browser) -> None:
    assert visitor.get("/admin/connect").status_code == 303
