"""Parameters that this gateway does not know: named, in every format, and no error."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from gbproxy.api import unknown_parameters
from gbproxy.api.anthropic import request as anthropic
from gbproxy.api.format import ParsedChat
from gbproxy.api.gemini import request as gemini
from gbproxy.api.native import request as native
from gbproxy.api.openai import images_request as images
from gbproxy.api.openai import request as openai
from gbproxy.domain.principal import ANONYMOUS
from gbproxy.web.form import Form, FormFile
from tests.support import responses
from tests.support.serving import InProcess

HI = {"role": "user", "content": "Hi"}
CONTENTS = {"contents": [{"parts": [{"text": "Hi"}]}]}
PICTURE = FormFile("image", "a.png", "image/png", b"\x89PNG\r\n\x1a\n" + b"0" * 24)
URL = "https://example.com/a.png"


def of_form(fields: dict[str, Any]) -> ParsedChat:
    texts = {name: str(value) for name, value in fields.items() if value is not None}
    return images.parse_edit_form(Form({"prompt": "A hat", **texts}, [PICTURE]))


FORMATS: dict[str, Callable[[dict[str, Any]], ParsedChat]] = {
    "OpenAI's chat": lambda more: openai.parse({"messages": [HI], **more}),
    "responses": lambda more: responses.parsed({"input": "Hi", **more}),
    "images": lambda more: images.parse_generation({"prompt": "A hat", **more}),
    "edits": lambda more: images.parse_edit(
        {"prompt": "A hat", "images": [{"image_url": URL}], **more}
    ),
    "a form": of_form,
    "Anthropic's messages": lambda more: anthropic.parse({"messages": [HI], **more}),
    "Gemini's content": lambda more: gemini.parse({**CONTENTS, **more}),
    "Gemini's count": lambda more: gemini.parse_count({**CONTENTS, **more}),
    "Gemini's count of a request": lambda more: gemini.parse_count(
        {"generateContentRequest": CONTENTS, **more}
    ),
    "sessions": lambda more: native.parse({"message": "Hi", **more}, ANONYMOUS, 0),
}
every_format = pytest.mark.parametrize("parse", FORMATS.values(), ids=FORMATS.keys())


@every_format
def test_what_is_unknown_is_named_without_its_value(
    parse: Callable[[dict[str, Any]], ParsedChat],
) -> None:
    found = parse({"future-1.x_Y": {"secret": ["value"]}, "another": "value", "unset": None})

    assert found.ignored == ("future-1.x_Y", "another")


@every_format
def test_what_is_no_plain_name_is_not_told(parse: Callable[[dict[str, Any]], ParsedChat]) -> None:
    odd = ("", "a b", "a,b", "a\r\nset-cookie: b", "ä", "a" * 65, "a\n")

    assert parse(dict.fromkeys((*odd, "a" * 64), 1)).ignored == ("a" * 64,)


@every_format
def test_what_is_known_is_not_named_so(parse: Callable[[dict[str, Any]], ParsedChat]) -> None:
    assert parse({}).ignored == ()


def test_in_a_configuration_of_gemini_it_is_named_with_its_place() -> None:
    bounds = {"max_output_tokens": 5, "candidateCount": 1, "futureBound": 1, "thinkingConfig": {}}

    for name in ("generationConfig", "generation_config"):
        found = gemini.parse({**CONTENTS, name: bounds, "system_instruction": None, "odd": 1})
        assert found.ignored == ("odd", "generationConfig.futureBound")


def test_at_most_twenty_are_named_in_their_order() -> None:
    names = [f"p{i}" for i in range(100_000)]
    random.Random(7).shuffle(names)

    assert unknown_parameters.named(dict.fromkeys(names, 1), frozenset()) == names[:20]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_the_header_names_them_behind_the_known_ones(app: InProcess, stream: bool) -> None:
    more = {"chat_template_kwargs": {}, "temperature": 1, "key": "x"}
    reply = app.post({"messages": [HI], "stream": stream, **more})

    assert reply.status == 200
    assert reply.headers["x-gbproxy-ignored"] == "temperature, chat_template_kwargs, key"


def test_what_is_said_of_a_new_session_is_named(app: InProcess) -> None:
    said, empty, none = (
        app.request("POST", "/gemini/sessions", body, app.headers)
        for body in ('{"model": "gemini-auto", "ttl": null}', "{}", None)
    )

    assert (said.status, said.headers["x-gbproxy-ignored"]) == (201, "model")
    for reply in (empty, none):
        assert (reply.status, reply.headers["x-gbproxy-ignored"]) == (201, None)


# Up to where OpenAI is to cache a prompt

BREAKPOINT = {"prompt_cache_breakpoint": {"mode": "explicit"}}


@pytest.mark.parametrize("role", ["user", "system", "assistant", "tool"])
def test_a_breakpoint_of_the_cache_is_named_once(role: str) -> None:
    part = {"type": "text", "text": "Hi", **BREAKPOINT}
    turn = {"role": role, "content": [part, part], "tool_call_id": "1"}

    assert openai.parse({"messages": [HI, turn, HI]}).ignored == (
        "messages.content.prompt_cache_breakpoint",
    )


@pytest.mark.parametrize(
    "item",
    [
        {"role": "user", "content": [{"type": "input_text", "text": "Hi", **BREAKPOINT}]},
        {"role": "user", "content": [{"type": "input_image", "image_url": URL, **BREAKPOINT}]},
        {"role": "assistant", "content": [{"type": "output_text", "text": "Hi", **BREAKPOINT}]},
        {
            "type": "function_call_output",
            "call_id": "1",
            "output": [{"type": "input_text", "text": "Hi", **BREAKPOINT}],
        },
    ],
    ids=["text", "picture", "answer", "result"],
)
def test_a_breakpoint_of_the_cache_in_an_item_is_named(item: dict[str, Any]) -> None:
    found = responses.parsed({"input": [HI, item, HI]})

    assert found.ignored == ("input.content.prompt_cache_breakpoint",)


@pytest.mark.parametrize(
    ("parse", "kind"),
    [
        (lambda turn: openai.parse({"messages": [turn]}), "text"),
        (lambda turn: responses.parsed({"input": [turn]}), "input_text"),
    ],
    ids=["chat", "responses"],
)
def test_without_a_breakpoint_nothing_is_named(
    parse: Callable[[dict[str, Any]], ParsedChat], kind: str
) -> None:
    part = {"type": kind, "text": "Hi", "prompt_cache_breakpoint": None}

    assert parse({"role": "user", "content": [part]}).ignored == ()
