"""Every capture in tests/captures is played, and the gateway makes of it what its .json says. See
CONTRIBUTING.md.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gbproxy.account_admin.account_input import account_of
from gbproxy.cli.clients import open_local
from gbproxy.cli.steps import Steps, open_recorded
from gbproxy.domain.catalogue import BUILT_IN, built_in_names
from gbproxy.settings import load
from gbproxy.simulator import Replay, Simulator
from gbproxy.upstreams.widget.credential import with_values

CAPTURES = sorted((Path(__file__).parent.parent / "captures").glob("*.jsonl"))


def met(file: Path) -> dict[str, Any]:
    """What the gateway makes of a capture: how each step has ended, and the answer (of which a
    capture may have only the shape).
    """
    first, *_ = lines = file.read_text("utf-8").splitlines()
    told = json.loads(first)
    with Simulator(replay=Replay(lines, speed=0)) as player:
        settings = load({**player.environment(), "READ_TIMEOUT_S": "5"}, built_in_names())
        with open_local(settings) as services, open_recorded(services) as upstream:
            account = with_values(
                account_of(settings.accounts[0], "a"),
                edition=told["edition"],
                location=told["location"],
            )
            steps = Steps(upstream, account, BUILT_IN[0], "Say ok.")
            ended = {
                step.name: type(step.error).__name__ if step.error else "ok" for step in steps.run()
            }
    return {"steps": ended, "answer": steps.answer}


@pytest.mark.parametrize("file", CAPTURES, ids=lambda file: file.stem)
def test_a_capture_gives_what_is_said_beside_it(file: Path) -> None:
    expected = file.with_suffix(".json")

    outcome = met(file)

    assert expected.exists(), (
        f"nothing says yet what is right; now it is: {json.dumps(outcome, ensure_ascii=False)}"
    )
    assert outcome == json.loads(expected.read_text("utf-8"))


def test_there_are_captures() -> None:
    assert CAPTURES
