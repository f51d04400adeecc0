"""Commands as users run them, but in this process: arguments, standard input and environment in,
status and output out.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pytest

from gbproxy.cli import main
from gbproxy.simulator import Simulator

KEPT = ("PATH", "HOME", "LANG", "TMPDIR")


@dataclass(frozen=True)
class Ended:
    """How a command has ended, and what it has written."""

    status: int
    out: str
    err: str


class Command:
    """Runs `gbproxy …` in an environment of its own."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def __call__(
        self,
        *arguments: str,
        stdin: str | bytes = "",
        environment: Mapping[str, str] | None = None,
        **variables: str,
    ) -> Ended:
        for name in set(os.environ) - set(KEPT):
            self._monkeypatch.delenv(name)
        for name, value in {**(environment or {}), **variables}.items():
            self._monkeypatch.setenv(name, value)
        self._monkeypatch.setattr(
            sys,
            "stdin",
            io.TextIOWrapper(io.BytesIO(stdin.encode() if isinstance(stdin, str) else stdin)),
        )
        self._capsys.readouterr()
        try:
            status = main(arguments)
        except SystemExit as ended:  # argparse's
            status = int(ended.code or 0)
        written = self._capsys.readouterr()
        return Ended(status, written.out, written.err)


@pytest.fixture
def gbproxy(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(monkeypatch, capsys)


@pytest.fixture
def upstream() -> Iterator[Simulator]:
    with Simulator(seed=1) as simulator:
        yield simulator
