"""What the load generator and the mock are told, and who meets what in which order."""

from __future__ import annotations

import base64
import json

import pytest

from bench.loads import ALL, CONTINUED, HELD, LARGE_IMAGE, PACED, SHORT, Load
from bench.plan import stages
from bench.subjects import START, Variant


@pytest.mark.parametrize("load", ALL, ids=lambda load: load.name)
def test_a_request_steers_the_mock_and_ends_with_its_messages(load: Load) -> None:
    body = load.body()

    assert json.loads(body)["messages"][0]["role"] == "user"
    call = " call=1" if load.is_call else ""
    assert f"[[chunks={load.chunks} pause_ms={load.pause_ms} bytes=1024{call}]]" in body
    assert body.endswith("]}")  # load.c adds the further turns before it
    assert "\n" not in body  # and reads one body from each line


@pytest.mark.parametrize("load", ALL, ids=lambda load: load.name)
def test_every_subject_of_a_load_can_be_started(load: Load) -> None:
    assert set(load.subjects) <= set(START)


def test_a_load_may_say_anything_else_in_its_request() -> None:
    tool = {"type": "function", "function": {"name": "look"}}
    asked = [{"role": "user", "content": "Look. %words%"}]
    load = Load("tools", "…", slots=1, chunks=2, request={"tools": [tool], "messages": asked})

    body = json.loads(load.body())

    assert body["tools"] == [tool]
    assert body["messages"][0]["content"] == "Look. [[chunks=2 pause_ms=0 bytes=1024]]"


def test_an_image_has_its_size_and_is_the_same_each_time() -> None:
    (message,) = json.loads(LARGE_IMAGE.body())["messages"]
    question, image = message["content"]

    head, _, content = image["image_url"]["url"].partition(",")

    assert question["text"].endswith("]]")
    assert head == "data:image/png;base64"
    assert len(base64.b64decode(content)) == LARGE_IMAGE.image_kb * 1000
    assert LARGE_IMAGE.body() == LARGE_IMAGE.body()


def test_conversations_are_begun_before_anything_is_counted() -> None:
    assert CONTINUED.warm_up().requests == CONTINUED.conversations
    assert CONTINUED.requests == CONTINUED.conversations * CONTINUED.turns


def test_subjects_take_turns_within_each_round_of_a_load() -> None:
    (stage, *_) = stages(("bare", "gbproxy"), ("short",))
    one, three, own = (
        Variant("bare", "array"),
        Variant("bare", "array", calls=3),
        Variant("gbproxy", "array"),
    )

    assert [(number, variant) for number, _, variant in stage.steps()] == [
        *((0, variant) for variant in (one, three, own)),
        *((1, variant) for variant in (own, three, one)),
        *((2, variant) for variant in (one, three, own)),
    ]


def test_memory_is_measured_before_anything_has_grown_it() -> None:
    steps = list(stages((), ())[0].steps())

    held = [place for place, (_, load, _) in enumerate(steps) if load is HELD]

    assert held == list(range(len(held)))


def test_a_load_is_met_by_gbproxy_and_by_those_that_it_names() -> None:
    steps = list(stages((), ())[0].steps())

    for load in (SHORT, CONTINUED, PACED):
        met = {variant.subject for _, own, variant in steps if own is load}
        assert met == {"gbproxy", *load.subjects}
    assert not {v.calls for _, own, v in steps if own is CONTINUED} - {1}
    assert {v.calls for _, own, v in steps if own is SHORT} == {1, 3}
