"""Several answers as the choices of one completion, chunk by chunk and whole."""

from __future__ import annotations

import json
from typing import Any

from gbproxy.api.openai.choices import ChoicesEncoder
from gbproxy.api.openai.request import parse
from gbproxy.domain.choices import collect_choices, merge
from gbproxy.domain.events import FLUSH, ChatEvent, Done, Started, TextDelta, Usage
from gbproxy.errors import UpstreamBroken

ARRIVALS: list[tuple[int, ChatEvent]] = [
    (1, Started("m")),
    (0, Started("m")),
    (0, TextDelta("A")),
    (1, TextDelta("B")),
    (1, FLUSH),
    (1, Usage(4, 1)),
    (1, Done()),
    (0, TextDelta("a")),
    (0, Usage(4, 2)),
    (0, Done("length")),
]


def encoder(**fields: Any) -> ChoicesEncoder:
    return ChoicesEncoder(
        parse({"messages": [{"role": "user", "content": "Hi"}], "n": 2, **fields})
    )


def frames(encode: ChoicesEncoder) -> list[str]:
    body = b"".join(encode.feed(event) for event in merge(ARRIVALS, 2)).decode()
    return [frame.removeprefix("data: ") for frame in body.split("\n\n") if frame]


def test_each_chunk_names_its_choice_and_all_begin_in_order_under_one_id() -> None:
    *chunks, end = frames(encoder())
    found = [json.loads(chunk) for chunk in chunks]

    assert end == "[DONE]"
    assert len({(chunk["id"], chunk["created"]) for chunk in found}) == 1
    assert [
        (c["index"], c["delta"].get("role"), c["delta"].get("content"), c["finish_reason"])
        for chunk in found
        for c in chunk["choices"]
    ] == [
        (0, "assistant", "", None),
        (1, "assistant", "", None),
        (0, None, "A", None),
        (1, None, "B", None),
        (1, None, None, "stop"),
        (0, None, "a", None),
        (0, None, None, "length"),
    ]


def test_one_usage_is_told_at_the_end_when_it_is_asked_for() -> None:
    *chunks, usage, _ = frames(encoder(stream_options={"include_usage": True}))

    assert json.loads(usage)["choices"] == []
    assert json.loads(usage)["usage"]["total_tokens"] == 7
    assert {json.loads(chunk)["usage"] for chunk in chunks} == {None}


def test_a_whole_completion_has_all_choices() -> None:
    body = json.loads(encoder().whole(collect_choices(merge(ARRIVALS, 2))))

    assert [(c["index"], c["message"]["content"], c["finish_reason"]) for c in body["choices"]] == [
        (0, "Aa", "length"),
        (1, "B", "stop"),
    ]
    assert body["model"] == "m"
    assert body["usage"]["completion_tokens"] == 3


def test_an_error_is_told_as_of_one_answer() -> None:
    assert b'"code": "upstream_error"' in encoder().error(UpstreamBroken("gone"))
