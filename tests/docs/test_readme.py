"""README.md is short and leads everywhere; the make targets that pages name are those that there are."""

from __future__ import annotations

import re

import pytest

from tests.docs.markdown import ROOT, Page, pages

README = Page.read("README.md")
MAKEFILE = (ROOT / "Makefile").read_text("utf-8")


@pytest.mark.parametrize("name", ["README.md", "README.zh-CN.md"])
def test_it_can_be_read_in_five_minutes(name: str) -> None:
    assert 150 <= len(Page.read(name).text.splitlines()) <= 200


def test_it_leads_to_every_page() -> None:
    there = {str(page.path.relative_to(ROOT)) for page in pages()} - {"README.md"}
    translated = {name for name in there if name.endswith(".zh-CN.md")} - {"README.zh-CN.md"}

    assert there - translated <= set(README.links())


def test_its_caveat_stands_before_anything_to_try() -> None:
    caveat = README.text.partition("\n## ")[0]

    assert all(
        words in caveat for words in ("undocumented API", "account that is yours", "Google's terms")
    )


@pytest.mark.parametrize("name", ["README.md", "README.zh-CN.md"])
def test_it_names_the_commands_and_where_the_log_events_are_listed(name: str) -> None:
    page = Page.read(name)
    named = set(re.findall(r"(?:`|\$ )make ([a-z-]+)", page.text))

    assert {"help", "demo", "run", "test", "check", "bench"} <= named
    assert {"docker-build", "docker-run"} <= named
    assert "](docs/operations.md#logs)" in page.text


def test_every_make_target_that_is_named_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))
    named = {name for page in pages() for name in re.findall(r"(?:`|\$ )make ([a-z-]+)", page.text)}

    assert named <= targets


def test_every_make_target_that_has_a_description_stands_in_contributing() -> None:
    described = set(re.findall(r"^([a-z-]+):.*## ", MAKEFILE, re.MULTILINE))
    rows = Page.read("CONTRIBUTING.md").section("Make targets").rows()

    assert {name for row in rows for name in re.findall(r"`make ([a-z-]+)`", row[0])} == described
