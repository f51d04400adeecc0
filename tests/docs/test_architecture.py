"""docs/architecture.md and CONTRIBUTING.md name packages and modules that there are, and every package stands there."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.docs.markdown import ROOT, Page, code

ARCHITECTURE = Page.read("docs/architecture.md")
PACKAGE = ROOT / "gbproxy"


def _places(page: Page, *, bare: bool = False) -> Iterator[str]:
    """The files and directories that a page names; `bare` names are below gbproxy/."""
    for name in code(page.prose):
        if "<" in name:
            continue
        if name.startswith(("gbproxy/", "gunicorn.conf", "conf/", "docs/", "tests/")):
            yield name
        elif bare and re.fullmatch(r"[a-z_]+(?:/[a-z_.]*)+|[a-z_]+\.py", name):
            yield f"gbproxy/{name}"


def _layers() -> list[str]:
    return [name for row in ARCHITECTURE.section("Layers").rows() for name in code(row[0])]


@pytest.mark.parametrize("place", sorted({*_layers(), *_places(ARCHITECTURE.section("Layers"))}))
def test_a_package_of_the_layers_exists(place: str) -> None:
    assert (ROOT / place).exists()


def test_every_package_stands_in_the_layers() -> None:
    there = {f"gbproxy/{path.parent.name}/" for path in PACKAGE.glob("*/__init__.py")}
    there |= {
        f"gbproxy/{path.name}" for path in PACKAGE.glob("*.py") if not path.name.startswith("__")
    }

    assert there - set(_layers()) == set()


def test_a_package_that_a_row_says_it_holds_is_there() -> None:
    wrong = []
    for name, what in ARCHITECTURE.section("Layers").rows():
        home = ROOT / code(name)[0]
        inner = re.findall(r"`([a-z_]+/|[a-z_]+\.py)`", what) if home.is_dir() else []
        wrong += [
            f"{name} {each}"
            for each in inner
            if not (home / each).exists() and not (PACKAGE / each).exists()
        ]

    assert wrong == []


def test_the_answers_to_where_do_i_find_lead_somewhere() -> None:
    told = set(_places(ARCHITECTURE.section("Where do I find …"), bare=True))

    assert len(told) >= 10
    assert [place for place in sorted(told) if not (ROOT / place).exists()] == []


def test_contributing_names_places_that_there_are() -> None:
    told = set(_places(Page.read("CONTRIBUTING.md"))) - {"tests/captures/enterprise-eu.json"}

    assert [place for place in sorted(told) if not (ROOT / place).exists()] == []


def test_the_steps_of_a_request_name_packages_that_there_are() -> None:
    steps = ARCHITECTURE.section("One request in steps")
    words = {word for word in code(steps.text) if re.fullmatch(r"[a-z_]+(?:/[a-z_]+)?", word)} - {
        "with",
        "finally",
    }

    assert len(words) >= 10
    assert [word for word in sorted(words) if not (PACKAGE / word).is_dir()] == []
