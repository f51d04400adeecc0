"""The simulator as a process of its own."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from gbproxy.simulator import SWITCH_VALUES
from gbproxy.simulator.command import main
from gbproxy.simulator.services import GROUPS

ROOT = Path(__file__).parents[2]


@contextmanager
def running(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """A simulator that is ready, and its first line; terminated, so that it tidies up."""
    command = [sys.executable, "-m", "gbproxy.simulator", *arguments]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            assert process.stdout is not None
            yield process, json.loads(process.stdout.readline())
        finally:
            process.terminate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_tells_its_address_serves_and_ends_cleanly(number: signal.Signals) -> None:
    with running(
        "--set", "layout=compact", "--account", "csesidx=42,secure_c_ses=CSE.x,config_id=c"
    ) as started:
        process, ready = started
        assert ready["environment"]["CSESIDX"] == ready["account"]["csesidx"] == "42"
        url = f"{ready['environment']['GEMINI_BUSINESS_URL']}/auth/getoxsrf?csesidx=42"
        response = requests.get(url, headers={"Cookie": "__Secure-C_SES=CSE.x"}, timeout=5)
        assert response.status_code == 200
        assert requests.get(f"{ready['url']}/_simulator/state", timeout=5).json()["tokens"] == 1

        process.send_signal(number)

        assert process.wait(30) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""


def test_it_serves_tls_and_scripts_from_a_file(tmp_path: Path) -> None:
    script = tmp_path / "answers.json"
    script.write_text(
        json.dumps(
            [
                {
                    "path": "getoxsrf",
                    "script": [{"action": "http_error", "status": 418, "google_status": "TEA"}],
                }
            ]
        )
    )
    with running("--tls", "--script", str(script), "--seed", "1") as (_, ready):
        response = requests.get(f"{ready['url']}/auth/getoxsrf", verify=ready["ca_file"], timeout=5)

        assert response.status_code == 418
        assert ready["environment"]["CA_BUNDLE"] == ready["ca_file"]


def test_every_switch_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list-switches"]) == 0

    listed = capsys.readouterr().out
    assert all(f"{name} = " in listed for name in SWITCH_VALUES)
    assert listed.count("\n# ") + listed.startswith("# ") == len(GROUPS)
    assert "whether one key may sign several tokens (unknown)" in listed


def test_an_account_may_be_of_another_edition() -> None:
    with running("--account", "csesidx=42,edition=enterprise,location=eu,server_token=CAMSabc") as (
        _,
        ready,
    ):
        account = ready["account"]
        page = f"{ready['url']}/eu/home/cid/{account['config_id']}?csesidx=42"

        assert (account["edition"], account["location"], account["server_token"]) == (
            "enterprise",
            "eu",
            "CAMSabc",
        )
        assert "Gemini Enterprise" in requests.get(page, timeout=5).text


@pytest.mark.parametrize(
    "arguments",
    [
        ["--set", "layout"],
        ["--set", "layout=tabular"],
        ["--set", "gzip=perhaps"],
        ["--set", "control_delay_s=soon"],
        ["--account", "csesidx=1,password=x"],
        ["--account", "csesidx=1,edition=starter"],
        ["--set", "tools_off=canvas"],
        ["--script", "/nowhere/at/all.json"],
    ],
)
def test_a_mistake_is_told_and_ends_with_status_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2

    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("gbproxy simulate: ")


def test_it_imports_nothing_else_of_the_project_and_no_library() -> None:
    code = (
        "import sys, gbproxy.simulator.command as _;print([m for m in sys.modules if"
        " m.startswith('gbproxy') and not m.startswith('gbproxy.simulator')],[m for m in ('gevent',"
        " 'requests', 'flask', 'cryptography') if m in sys.modules])"
    )
    command = [sys.executable, "-c", code]

    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, env=os.environ, check=True
    )

    assert done.stdout == "['gbproxy'] []\n"
