"""`make docs` makes one site of all pages: mkdocs.yml leads to each, and links fit there as they fit on GitHub."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from ruamel.yaml import YAML

from docs import site_pages
from tests.docs.markdown import ROOT, Page, pages

CONFIG: dict[str, Any] = YAML(typ="safe").load((ROOT / "mkdocs.yml").read_text("utf-8"))


def _entries(nav: Any) -> Iterator[str]:
    match nav:
        case str():
            yield nav
        case list():
            for entry in nav:
                yield from _entries(entry)
        case dict():
            for entry in nav.values():
                yield from _entries(entry)


def _in_site(page: Page) -> str:
    return str(page.path.relative_to(ROOT)).removeprefix("docs/")


def test_the_navigation_has_every_page_once() -> None:
    assert sorted(_entries(CONFIG["nav"])) == sorted(map(_in_site, pages()))


def test_a_link_that_leads_nowhere_fails_the_build() -> None:
    assert CONFIG["strict"] is True
    assert CONFIG["validation"]["links"]["anchors"] == "warn"
    assert {level for group in CONFIG["validation"].values() for level in group.values()} == {
        "warn"
    }


@pytest.mark.parametrize("page", pages(), ids=_in_site)
def test_the_links_of_a_page_lead_through_the_site(page: Page) -> None:
    pictures = {f"img/{path.name}" for path in (ROOT / "docs/img").iterdir()}
    there = {*map(_in_site, pages()), *site_pages.FILES, *pictures}
    name = _in_site(page)
    folder = name.rpartition("/")[0]
    fitted = Page(page.path, site_pages.fitted(page.text, name))

    targets = [link.partition("#")[0] for link in fitted.links() if not re.match(r"\w+:|#", link)]
    assert [target for target in targets if f"{folder}/{target}".lstrip("/") not in there] == []


@pytest.mark.parametrize("page", pages(), ids=_in_site)
def test_the_anchors_of_a_page_are_those_of_github(page: Page) -> None:
    linked = [section.heading for section in page.sections()]
    first_of_each = dict(zip(reversed(linked), reversed(page.anchors()), strict=True))

    assert {heading: site_pages.anchor(heading, "-") for heading in linked} == first_of_each


def test_its_packages_are_locked_with_hashes_and_without_an_index() -> None:
    lock = (ROOT / "requirements-docs.txt").read_text("utf-8")

    assert re.search(r"^mkdocs-material==", lock, re.MULTILINE)
    assert len(re.findall(r"^[a-z0-9-]+==.*\\$", lock, re.MULTILINE)) == len(
        re.findall(r"^[a-z0-9-]+==", lock, re.MULTILINE)
    )
    assert "://" not in lock
    assert (
        "requirements-docs"
        in (ROOT / "Makefile").read_text("utf-8").partition("\nlock:")[2].partition("\n\n")[0]
    )


def test_what_is_built_is_not_committed() -> None:
    ignored = (ROOT / ".gitignore").read_text("utf-8").splitlines()

    assert f"/{CONFIG['site_dir']}/" in ignored
    assert ".venv-docs/" in ignored
