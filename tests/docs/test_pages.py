"""The project's pages: their links lead somewhere, and they speak of nothing that only its makers
have.
"""

from __future__ import annotations

import re

import pytest

from tests.docs.markdown import ROOT, Page, pages

PAGES = [str(page.path.relative_to(ROOT)) for page in pages()]
OF_GITHUB = [path for path in sorted((ROOT / ".github").rglob("*")) if path.is_file()]
CONF = [path for path in sorted((ROOT / "conf").rglob("*")) if path.is_file()]
TEXTS = [*PAGES, *(str(path.relative_to(ROOT)) for path in (*CONF, *OF_GITHUB))]

# Directories of somebody's machine (not a container's), hosts of package registries. Brackets keep
# the words themselves out of this file.
FORBIDDEN = (
    r"(?<![\w.:])(?<!tmpfs )(?<!tmpfs: )(?<!mountPath: )/(?:wor[k]|roo[t]|mn[t]|User[s]|home/(?!cid/)|tm[p])\b",
    r"\.\./share[d]",
    r"\b(?:pyp[i]|pythonhoste[d]|npmj[s]|yarnpk[g]|docke[r]hub)\.(?:org|com|io)",
    r"\b(?:deb\.debia[n]|archive\.ubunt[u]|proxy\.golan[g])\.",
)


@pytest.mark.parametrize("name", PAGES)
def test_every_link_inside_the_project_leads_somewhere(name: str) -> None:
    page = Page.read(name)
    broken = []
    for link in page.links():
        path, _, anchor = link.partition("#")
        if re.match(r"\w+:", path):
            continue
        target = (page.path.parent / path) if path else page.path
        if not target.exists() or (
            anchor and anchor not in Page.read(str(target.relative_to(ROOT))).anchors()
        ):
            broken.append(link)

    assert broken == []


@pytest.mark.parametrize("name", TEXTS)
def test_no_place_is_named_that_only_the_makers_have(name: str) -> None:
    text = (ROOT / name).read_text("utf-8")

    assert [found[0] for pattern in FORBIDDEN for found in re.finditer(pattern, text)] == []


def test_the_changelog_keeps_its_form() -> None:
    headings = re.findall(r"^##+ (.*)$", Page.read("CHANGELOG.md").text, re.MULTILINE)

    assert headings[0] == "[Unreleased]"
    assert {h for h in headings if not h.startswith("[")} <= {
        "Added", "Changed", "Deprecated", "Removed", "Fixed", "Security",
    }  # fmt: skip


def test_the_pages_that_code_and_examples_point_at_are_there() -> None:
    sources = [*(ROOT / "gbproxy").rglob("*.py"), *CONF, *OF_GITHUB, ROOT / "Makefile"]
    pointed_at = {
        name
        for path in sources
        for name in re.findall(r"\b(?:docs|bench)/[\w.-]+\.md\b", path.read_text("utf-8"))
    }

    assert len(pointed_at) > 3
    assert [name for name in sorted(pointed_at) if not (ROOT / name).exists()] == []
