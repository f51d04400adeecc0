"""Searches that clients ask for, and the sources of the answers, as they come over the wire."""

from __future__ import annotations

from typing import Any

import pytest

from gbproxy.domain.models import ALL_TOOLS
from gbproxy.simulator import FileReply, Final, Simulator, Text, answer
from tests.support.serving import Reply, Served, SharedUpstream

streamed_or_not = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
FRAGMENTS = ("Tee 🍵 ist alt, ", "茶是一种", "饮料。👩\u200d🚀 Ende.")
SEARCH = {"webGroundingSpec"}


def asked_for(upstream: Simulator) -> list[tuple[str | None, set[str]]]:
    """Model and tools of each question."""
    bodies = [call.body["streamAssistRequest"] for call in upstream.calls("widgetStreamAssist")]
    return [
        (body.get("assistGenerationConfig", {}).get("modelId"), set(body["toolsSpec"]))
        for body in bodies
    ]


def annotations(reply: Reply) -> list[dict[str, Any]]:
    """Of a whole answer, or of the one chunk that may have them: the last before the end."""
    if not reply.streamed:
        [choice] = reply.choices
        return [each["url_citation"] for each in choice["message"].get("annotations", [])]
    *before, last, end = reply.choices
    assert end["finish_reason"] == "stop"
    assert not any("annotations" in choice["delta"] for choice in (*before, end))
    return [each["url_citation"] for each in last["delta"].get("annotations", [])]


@pytest.mark.parametrize(
    "fields",
    [
        {"web_search_options": {}},
        {"enable_search": True},
        {"web_search": True},
        {"tools": [{"type": "web_search"}]},
        {"tools": [{"type": "web_search_preview"}]},
    ],
    ids=str,
)
def test_a_search_leaves_the_upstream_its_grounding_alone(
    gateway: Served, upstream: SharedUpstream, fields: dict[str, Any]
) -> None:
    reply = gateway.ask(model="gemini-3.8-flash", **fields)

    assert (reply.succeeded, reply.model) == (True, "gemini-3.8-flash")
    assert reply.headers["x-gbproxy-ignored"] is None
    assert asked_for(upstream) == [("gemini-3.8-flash", SEARCH)]


@pytest.mark.parametrize(
    ("name", "used", "sent"),
    [
        ("gemini-auto-search", "gemini-auto", None),
        ("gemini-3.8-flash-search", "gemini-3.8-flash", "gemini-3.8-flash"),
        ("gpt-4o-search-preview", "gemini-auto", None),
    ],
)
def test_a_suffix_asks_for_a_search(
    gateway: Served, upstream: SharedUpstream, name: str, used: str, sent: str | None
) -> None:
    reply = gateway.ask(model=name)

    assert reply.model == used
    assert asked_for(upstream) == [(sent, SEARCH)]
    mapped = gateway.log_of(reply, "model.mapped")
    assert (mapped["asked"], mapped["used"]) == (name, used)


def test_a_search_stays_one_when_its_model_has_ended(
    gateway: Served, upstream: SharedUpstream
) -> None:
    upstream.set(unknown_model="400")

    reply = gateway.ask(model="gemini-2.5-flash-search")

    assert reply.model == "gemini-3.8-flash"
    assert [tools for _, tools in asked_for(upstream)] == [SEARCH] * 2


def test_a_conversation_goes_on_with_and_without_a_search(
    gateway: Served, upstream: SharedUpstream
) -> None:
    upstream.script(*answer("Hello!"))
    first = [{"role": "user", "content": "Hi, whatever you may be."}]

    begun = gateway.ask(first)
    gateway.ask(
        [
            *first,
            {"role": "assistant", "content": begun.text},
            {"role": "user", "content": "News?"},
        ],
        web_search_options={},
    )

    assert upstream.questions()[-1] == "News?"
    assert [tools for _, tools in asked_for(upstream)] == [set(ALL_TOOLS), SEARCH]


@streamed_or_not
def test_sources_are_named_by_the_characters_of_the_answer(
    gateway: Served, upstream: SharedUpstream, stream: bool
) -> None:
    """The upstream counts bytes, of which a character may take up to four."""
    upstream.set(citations=True)
    upstream.script(*answer(*FRAGMENTS))

    reply = gateway.ask(stream=stream, web_search_options={})

    text = "".join(FRAGMENTS)
    assert reply.text == text
    assert annotations(reply) == [
        {
            "start_index": len(text) // 2,
            "end_index": len(text),
            "title": "Example Domain",
            "url": "https://vertexaisearch.cloud.google.com/grounding-api-redirect/AbCdEf",
        }
    ]


@streamed_or_not
def test_any_answer_names_its_sources_also_behind_a_file(
    gateway: Served, upstream: SharedUpstream, stream: bool
) -> None:
    upstream.set(citations=True)
    upstream.script(Text("Tea."), FileReply(sentence=""), Text("Tea!"), Final())

    reply = gateway.ask(stream=stream)

    [source] = annotations(reply)
    assert reply.text[source["start_index"] : source["end_index"]] == "Tea!"


@streamed_or_not
def test_an_answer_without_sources_has_no_annotations(
    gateway: Served, upstream: SharedUpstream, stream: bool
) -> None:
    reply = gateway.ask(stream=stream, web_search_options={})

    assert annotations(reply) == []
    assert b"annotations" not in reply.body
