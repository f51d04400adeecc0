"""docs/faults.md has every fault that is to be survived, and each test that it names exists."""

from __future__ import annotations

import re

import pytest

from tests.docs.markdown import ROOT, Page, code

ROWS = Page.read("docs/faults.md").rows()
FAULTS = (
    "refused", "reset", "TLS failure", "headers never", "first byte late", "stall", "trickle", "cut at every element border",
    "truncated JSON", "HTML with 200", "empty 200", "wrong content type", "broken gzip", "DNS failure", "proxy down",
    "SOCKS and HTTP proxy working", "worker killed", "database away and back", "Redis away and back", "disk full", "clock jumping forward",
    "clock jumping back",
)  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_has_a_row(fault: str) -> None:
    assert [row[0] for row in ROWS if fault in row[0]]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_each_row_says_what_comes_of_it_and_names_tests_that_exist(row: list[str]) -> None:
    _, gets, lost, shown_by = row
    tests = [name.split("::") for name in code(shown_by)]

    assert gets
    assert lost
    assert tests
    for file, test in tests:
        (path,) = (ROOT / "tests").rglob(file)
        written = path.read_text("utf-8")
        assert re.search(rf"^def {test}\(", written, re.MULTILINE)


def test_every_test_of_faults_is_named() -> None:
    named = {name for row in ROWS for name in code(row[3])}
    written = {
        f"{path.name}::{test}"
        for path in (ROOT / "tests/flow").glob("test_faults_*.py")
        for test in re.findall(r"^def (test_\w+)\(", path.read_text("utf-8"), re.MULTILINE)
    }

    assert written - named == {
        "test_faults_upstream.py::test_what_is_an_account_s_own_would_be_learnt"
    }
