"""Conversations that are longer than one prompt: their older turns go up as a file."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.chats import topic
from tests.support.messages_with_files import (
    PNG,
    files_of,
    image,
    prompt_of,
    questions,
    says,
    text,
    uploads,
)
from tests.support.serving import Front, SharedUpstream, fronting

pytestmark = pytest.mark.slow

MOST_CHARS = 4000
NAME = "conversation.txt"


@pytest.fixture(scope="module", params=["create", "dash", "own"])
def short_front(request: pytest.FixtureRequest) -> Iterator[Front]:
    """A gateway with short prompts, whose sessions are made in each of the ways that there are."""
    settings = {"PROMPT_MAX_CHARS": str(MOST_CHARS), "UPSTREAM_SESSION": request.param}
    with SharedUpstream() as upstream, fronting(upstream, settings) as made:
        yield made


@pytest.fixture
def front(short_front: Front) -> Front:
    short_front.renew()
    return short_front


def history(turns: int, chars: int = 600) -> list[dict[str, Any]]:
    """Turns of a user and an assistant, each of which is told from all others."""
    filler = "word " * (chars // 5)
    return [
        {"role": ("user", "assistant")[number % 2], "content": f"Turn {number}: {topic()} {filler}"}
        for number in range(turns)
    ]


def test_older_turns_go_up_as_one_file_and_the_newest_stay(front: Front) -> None:
    gateway, upstream = front.gateway, front.upstream
    before = history(12)
    system = {"role": "system", "content": "Answer in verse."}

    reply = gateway.ask([system, *before, says(text("And now?"))])

    assert reply.succeeded
    [question] = questions(upstream)
    [(name, kind, content)] = files_of(upstream, question)
    prompt, older = prompt_of(question), content.decode()
    assert (name, kind) == (NAME, "text/plain")
    assert len(prompt) <= MOST_CHARS
    assert NAME in prompt
    assert "Answer in verse." in prompt
    assert "And now?" in prompt
    places = [(older + prompt).index(each["content"].strip()) for each in before]
    assert places == sorted(places)
    mark = prompt.rstrip().rpartition("\n")[2].split()[0]
    assert (
        older.count(mark) + prompt.count(mark) == len(before) + 4
    )  # system, question, answer, told


def test_the_file_is_not_sent_again_while_the_session_goes_on(front: Front) -> None:
    gateway, upstream = front.gateway, front.upstream
    asked = [*history(12), says(text("And now?"))]
    first = gateway.ask(asked)

    second = gateway.ask(
        [*asked, {"role": "assistant", "content": first.text}, says(text("And then?"))]
    )

    assert second.succeeded
    assert len(uploads(upstream)) == 1
    assert (prompt_of(questions(upstream)[-1]), questions(upstream)[-1]["fileIds"]) == (
        "And then?", []
    )  # fmt: skip


def test_a_second_file_in_a_session_has_a_name_of_its_own(front: Front) -> None:
    said = [*history(12), says(text("And now?"))]
    answer = {"role": "assistant", "content": front.gateway.ask(said).text}
    # what came since is too long again
    since = [says(text(f"{n} " + "more " * (MOST_CHARS // 8))) for n in range(4)]

    assert front.gateway.ask([*said, answer, *since]).succeeded

    first, second = questions(front.upstream)
    assert second["session"] == first["session"]
    [(name, _, old)], [(later_name, kind, content)] = (
        files_of(front.upstream, each) for each in (first, second)
    )
    assert (name, kind) == (NAME, "text/plain")
    assert re.fullmatch(r"conversation-[0-9a-f]{8}\.txt", later_name)
    assert f"attached file {later_name}, " in prompt_of(second)
    assert NAME not in prompt_of(second)
    assert b"0 more" in content
    assert b"0 more" not in old
    assert len(prompt_of(second)) <= MOST_CHARS


def test_files_and_tools_have_their_place_in_a_long_conversation(front: Front) -> None:
    gateway, upstream = front.gateway, front.upstream
    call = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    reply = gateway.ask(
        [
            says(text("A fox:"), image(PNG)),
            {"role": "assistant", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c1", "content": "Red."},
            {"role": "assistant", "content": "It is red."},
            *history(12),
            says(text("Which colour?")),
        ],
        tools=[{"type": "function", "function": {"name": "look"}}],
    )

    assert reply.succeeded
    [question] = questions(upstream)
    (name, _, content), fox = files_of(upstream, question)
    older = content.decode()
    assert (name, fox) == (NAME, ("file.png", "image/png", PNG))
    assert older.index("A fox:\n[attached file file.png]") < older.index("Result of look, call c1")
    assert "look" in prompt_of(question)
    assert len(prompt_of(question)) <= MOST_CHARS


def test_a_newest_message_that_is_too_long_by_itself_is_refused(front: Front) -> None:
    reply = front.gateway.ask([*history(4), says(text("x" * MOST_CHARS))])

    assert (reply.status, reply.error["code"]) == (400, "context_length_exceeded")
    assert reply.error["param"] == "messages"
    assert questions(front.upstream) == []


def test_a_conversation_that_is_too_long_even_as_a_file_is_refused(front: Front) -> None:
    front.upstream.set(max_file_mb=0)

    reply = front.gateway.ask([*history(12), says(text("And now?"))])

    assert (reply.status, reply.error["code"]) == (400, "context_length_exceeded")
    assert questions(front.upstream) == []


def test_prompts_of_any_length_keep_to_the_limit(front: Front) -> None:
    rng = random.Random(7)
    for _ in range(12):
        lengths = [rng.randrange(1, 1500) for _ in range(rng.randrange(1, 9))]
        before = [each for length in lengths for each in history(2, length)]
        reply = front.gateway.ask([*before, says(text("End."))])
        assert reply.succeeded
    assert all(len(prompt_of(question)) <= MOST_CHARS for question in questions(front.upstream))
