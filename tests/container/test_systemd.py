"""conf/systemd/gbproxy.service: systemd takes it, it is as locked up as it says, and its times are
the gateway's.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from gbproxy.cli import main
from gbproxy.settings import Settings
from tests.support.serving import ROOT, SharedUpstream, serving

UNIT = ROOT / "conf/systemd/gbproxy.service"
TEXT = UNIT.read_text("utf-8")
OPTIONS = dict(re.findall(r"^(\w+)=(.*)$", TEXT, re.MULTILINE))
ANALYZE = shutil.which("systemd-analyze")
TO_SPARE_S = 15  # as `make docker-run` gives
MOST_EXPOSURE = 1.5  # of 10, as `systemd-analyze security` counts

needs_systemd = pytest.mark.skipif(
    ANALYZE is None and os.environ.get("CI") != "true",
    reason="systemd-analyze is not here (Debian's package systemd)",
)


def analyze(*arguments: str) -> str:
    assert ANALYZE is not None, "CI runs with systemd-analyze"
    ran = subprocess.run([ANALYZE, *arguments], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout + ran.stderr


@needs_systemd
def test_systemd_finds_no_mistake(tmp_path: Path) -> None:
    """With a program that is here in place of the one that will be."""
    unit = tmp_path / UNIT.name
    unit.write_text(TEXT.replace("/opt/gbproxy/bin/gbproxy", sys.executable), "utf-8")

    assert analyze("verify", str(unit)) == ""


@needs_systemd
def test_it_is_hardly_exposed() -> None:
    said = analyze("security", "--offline=yes", "--no-pager", str(UNIT))

    exposure = re.search(r"Overall exposure level for gbproxy\.service: ([\d.]+)", said)
    assert exposure is not None
    assert float(exposure[1]) <= MOST_EXPOSURE


def test_the_command_is_one_that_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    _, command, *options = OPTIONS["ExecStart"].split()

    with pytest.raises(SystemExit, match="0"):
        main([command, "--help"])

    assert options == ["--env-file", "%d/env"]
    assert "--env-file" in capsys.readouterr().out
    assert OPTIONS["LoadCredential"].startswith("env:")


def test_it_waits_for_answers_as_long_as_the_gateway_does() -> None:
    times = (
        Settings.model_fields[name].default for name in ("graceful_timeout_s", "drain_delay_s")
    )

    assert float(OPTIONS["TimeoutStopSec"]) == sum(times) + TO_SPARE_S
    assert OPTIONS["KillMode"] == "mixed"


def test_it_stays_down_for_what_is_set_wrongly_alone() -> None:
    assert OPTIONS["Restart"] == "on-failure"
    assert OPTIONS["RestartPreventExitStatus"] == "2"  # not 75, a database that is away


def test_it_tells_systemd_when_it_serves(upstream: SharedUpstream, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(30)

        with serving(upstream.environment(), NOTIFY_SOCKET=str(tmp_path / "notify")):
            told = listening.recv(4096).decode()

    assert OPTIONS["Type"] == "notify"
    assert "READY=1" in told.splitlines()
