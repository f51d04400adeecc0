"""Google's official clients beside the newest for Python, against the real thing: the one for Node,
and the one for Python in the major before, which asks at v1beta.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from gbproxy.simulator import Fin, Text, answer
from tests.support import node_client
from tests.support.chats import used_sessions
from tests.support.node_client import needs_node
from tests.support.serving import ROOT, Served, SharedUpstream
from tests.support.texts import FRAGMENTS, QUESTION, TEXT

CLIENTS = ROOT / ".venv-clients"  # made by `make ci-deps`
DRIVER = Path(__file__).with_name("google_driver.py")
USED = "gemini-3.8-flash"
SCENARIOS = (
    "whole",  # up to "call" the upstream's answers are scripted
    "streamed",
    "chat",
    "brokenStream",
    "call",
    "structured",
    "tokens",
    "models",
    "unknownModel",
    "wrongField",
)


def run_node(gateway: Served, version: str) -> dict[str, Any]:
    return node_client.run(
        "google_genai.mjs", *SCENARIOS, **environment_of(gateway), API_VERSION=version
    )


def run_python(gateway: Served) -> dict[str, Any]:
    if not (CLIENTS / "ready").exists():
        assert os.environ.get("CI") != "true", "make ci-deps installs an older client"
        pytest.skip("an older client for Python is not here: make ci-deps installs it")
    done = subprocess.run(
        [str(CLIENTS / "bin" / "python"), str(DRIVER), "version", *SCENARIOS],
        env={"PATH": os.environ["PATH"], "PYTHONUTF8": "1", **environment_of(gateway)},
        capture_output=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr.decode()
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["version"].startswith("2.")
    return found


def environment_of(gateway: Served) -> dict[str, str]:
    return {
        "BASE_URL": gateway.url,
        "API_KEY": gateway.key,
        "MODEL": USED,
        "QUESTION": QUESTION,
    }


@pytest.mark.parametrize(
    "run",
    [
        pytest.param(partial(run_node, version="v1beta"), marks=needs_node, id="node, v1beta"),
        pytest.param(partial(run_node, version="v1"), marks=needs_node, id="node, v1"),
        pytest.param(run_python, id="python 2"),
    ],
)
def test_what_each_client_understands(
    gateway: Served, upstream: SharedUpstream, run: Callable[[Served], dict[str, Any]]
) -> None:
    upstream.script(*answer(*FRAGMENTS, thoughts=("Hm.",)))
    upstream.script(*answer(*FRAGMENTS))
    upstream.script(*answer("Ro", "ck."))
    upstream.script(*answer("Grey."))
    upstream.script(Text("Half "), Fin())

    found = run(gateway)

    whole, usage = found["whole"], found["whole"]["usage"]
    assert (whole["text"], whole["thoughts"], whole["finishReason"]) == (TEXT, ["Hm."], "STOP")
    assert (
        usage["promptTokenCount"] + usage["candidatesTokenCount"] + usage["thoughtsTokenCount"]
        == usage["totalTokenCount"]
    )
    assert found["streamed"] == TEXT
    assert found["chat"] == {"said": "Rock.", "text": "Grey."}
    assert [session.queries for session in used_sessions(upstream)][2] == [
        QUESTION,
        "Which colour?",
    ]
    assert found["brokenStream"]["text"] == "Half "
    assert found["brokenStream"]["failure"]["isApiError"]
    assert found["call"] == {
        "name": "get_weather",
        "args": {"city": "Oslo"},
        "text": "It says: 4 C",
    }
    assert found["structured"] == {"capital": "Oslo"}
    assert found["tokens"] > 0
    assert {"models/gemini-auto", f"models/{USED}"} <= set(found["models"]["names"])
    assert found["models"]["one"]["name"] == f"models/{USED}"
    assert (found["unknownModel"]["isApiError"], found["unknownModel"]["status"]) == (True, 404)
    assert (found["wrongField"]["isApiError"], found["wrongField"]["status"]) == (True, 400)
    assert "generationConfig.candidateCount" in found["wrongField"]["message"]
