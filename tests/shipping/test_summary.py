"""What a run of the tests says at its end of those that it left out."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.docs.markdown import ROOT

HINT = "the slow tests were left out: `make test-slow` runs them"


@pytest.mark.parametrize(
    ("asked", "is_told"),
    [(["-m", "not slow"], True), ([], False)],
    ids=["make test", "all of them"],
)
def test_a_run_without_the_slow_tests_says_so(asked: list[str], is_told: bool) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-p", "no:cacheprovider", *asked,
         "tests/shipping/test_summary.py"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip

    lines = run.stdout.splitlines()
    assert (HINT in lines) is is_told
    assert lines[-1].startswith("===")
