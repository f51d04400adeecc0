"""The tokens of a request that nothing answers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gbproxy.domain.chat import ChatRequest
from gbproxy.domain.events import Usage
from gbproxy.domain.response_format import JSON_OBJECT
from gbproxy.domain.tools import FunctionTool, Tools
from gbproxy.errors import ModelNotFound
from tests.support.gateways import HELLO_SAID, Harness, Upstream, message_of, says

PLAIN = ChatRequest(tuple(map(message_of, ("Hi", HELLO_SAID, "What is the moon made of?"))))
WITH_TOOLS = replace(PLAIN, tools=Tools((FunctionTool("look", "Looks up."),)))


@pytest.mark.parametrize(
    "chat",
    [
        PLAIN,
        WITH_TOOLS,
        replace(PLAIN, response_format=JSON_OBJECT),
        replace(PLAIN, messages=(says("system", "Be brief."), *PLAIN.messages)),
    ],
    ids=["plain", "tools", "format", "instructions"],
)
def test_the_figure_is_the_one_that_an_answer_would_tell(chat: ChatRequest) -> None:
    harness = Harness(Upstream())

    counted = harness.gateway.count_tokens(chat)
    asked = list(harness.upstream.prompts)
    [usage] = [event for event in harness.gateway.stream(chat) if isinstance(event, Usage)]

    assert counted == usage.input_tokens > 0
    assert asked == []


def test_tools_count() -> None:
    gateway = Harness(Upstream()).gateway

    assert gateway.count_tokens(WITH_TOOLS) > gateway.count_tokens(PLAIN)


def test_what_is_too_long_to_be_asked_is_counted() -> None:
    gateway = Harness(Upstream(), prompt_max_chars=10).gateway

    assert gateway.count_tokens(ChatRequest((message_of("a" * 4_000),))) == 1_000


def test_a_model_that_does_not_exist_is_none_to_count_for() -> None:
    with pytest.raises(ModelNotFound):
        Harness(Upstream()).gateway.count_tokens(replace(PLAIN, model="none-such"))
