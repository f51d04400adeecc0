"""The official `@google/genai` client for Node against the real thing."""

from __future__ import annotations

from typing import Any

import pytest

from gbproxy.simulator import Fin, Text, answer
from tests.support import node_client
from tests.support.chats import used_sessions
from tests.support.node_client import needs_node
from tests.support.serving import Served, SharedUpstream
from tests.support.texts import FRAGMENTS, QUESTION, TEXT

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


@needs_node
@pytest.mark.parametrize("version", ["v1beta", "v1"])
def test_what_the_client_for_node_understands(
    gateway: Served, upstream: SharedUpstream, version: str
) -> None:
    upstream.script(*answer(*FRAGMENTS, thoughts=("Hm.",)))
    upstream.script(*answer(*FRAGMENTS))
    upstream.script(*answer("Ro", "ck."))
    upstream.script(*answer("Grey."))
    upstream.script(Text("Half "), Fin())

    found = run(gateway, version)

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


def run(gateway: Served, version: str) -> dict[str, Any]:
    return node_client.run(
        "google_genai.mjs",
        *SCENARIOS,
        BASE_URL=gateway.url,
        API_KEY=gateway.key,
        API_VERSION=version,
        MODEL=USED,
        QUESTION=QUESTION,
    )
