"""One conversation, said in the form of every API and by a program with the gateway inside: it is
the same answer everywhere, and one surface goes on where another has begun.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import cycle
from typing import Any

import pytest

from gbproxy import FunctionTool, load_settings, open_gateway
from gbproxy.domain.principal import Principal, key_digest
from gbproxy.simulator import answer, policy_violation
from tests.support.chats import accounts, topic, used_sessions
from tests.support.serving import FORGETFUL, KEY, Front, SharedUpstream, serving
from tests.support.surfaces import (
    Anthropic,
    Ask,
    Call,
    Gemini,
    Library,
    Native,
    OpenAI,
    Result,
    Said,
    SurfaceClient,
)

HTTP = ("openai", "gemini", "anthropic", "native")
WITH_HISTORY = ("openai", "gemini", "anthropic", "library")
ALL = (*HTTP, "library")
QUESTION = "What is the weather in Oslo?"
WEATHER = FunctionTool(
    "get_weather",
    "The weather of a city",
    {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
)

streamed_or_not = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
begun_by = pytest.mark.parametrize("first", WITH_HISTORY)
gone_on_by = pytest.mark.parametrize("second", WITH_HISTORY)


@dataclass(frozen=True)
class World:
    front: Front
    clients: Mapping[str, SurfaceClient]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A gateway under gunicorn, and beside it a program with one of its own on the same database,
    both for one caller.
    """
    folder = tmp_path_factory.mktemp("world")
    lasting = {
        "HOST": "127.0.0.1",
        "DATABASE_URL": f"sqlite:///{folder}/gbproxy.db",
        "SECRET_KEY": "a-secret-key-for-tests-1",
        "API_KEYS": KEY,
        "ACCOUNT_CONCURRENCY": "100",
    }
    with SharedUpstream() as upstream:
        settings = accounts(upstream, 1) | lasting
        forget = {"FORGET_SOCKET": f"{folder}/forget"}
        with (
            serving(settings | forget, command=FORGETFUL) as gateway,
            open_gateway(load_settings(settings)) as inside,
        ):
            clients: dict[str, SurfaceClient] = {
                "openai": OpenAI(gateway),
                "gemini": Gemini(gateway),
                "anthropic": Anthropic(gateway),
                "native": Native(gateway),
                "library": Library(inside, Principal(key_digest(KEY))),
            }
            yield World(Front(upstream, gateway, f"{folder}/forget"), clients)


@pytest.fixture
def clients(world: World) -> Mapping[str, SurfaceClient]:
    world.front.renew()
    return world.clients


@pytest.fixture
def upstream(clients: Mapping[str, SurfaceClient], world: World) -> SharedUpstream:
    return world.front.upstream


def said_by_all(
    clients: Mapping[str, SurfaceClient], upstream: SharedUpstream, ask: Ask, *script: Any
) -> dict[str, Said]:
    """What each surface that has a place for all of it was answered."""
    found = {}
    for name, client in clients.items():
        if not client.takes_history and (ask.system or ask.tool):
            continue
        if ask.max_tokens and not client.limits_tokens:
            continue
        if script:
            upstream.script(*script)
        found[name] = client.ask(ask)
    return found


@streamed_or_not
def test_an_answer_with_thoughts_is_the_same_everywhere(
    clients: Mapping[str, SurfaceClient], upstream: SharedUpstream, stream: bool
) -> None:
    script = answer("All is ", "well, ", "日本 🌝.", thoughts=("Hm. ", "So."))

    said = said_by_all(clients, upstream, Ask(["Is it?"], stream=stream), *script)

    assert said.keys() == set(ALL)
    assert_alike(said)
    one = said["library"]
    assert (one.text, one.thoughts) == ("All is well, 日本 🌝.", "Hm. So.")
    assert (one.calls, one.finish) == ((), "stop")
    assert min(one.tokens) > 0


def assert_alike(said: Mapping[str, Said]) -> None:
    assert said == dict.fromkeys(said, said["library"])


@streamed_or_not
def test_a_call_and_what_follows_are_the_same_everywhere(
    clients: Mapping[str, SurfaceClient], upstream: SharedUpstream, stream: bool
) -> None:
    ask = Ask([QUESTION], system="Be brief.", tool=WEATHER, stream=stream)
    said = said_by_all(clients, upstream, ask)

    after = {
        name: clients[name].ask(
            replace(ask, turns=[QUESTION, called, Result(called.calls[0], "4 C")])
        )
        for name, called in said.items()
    }

    assert said.keys() == set(WITH_HISTORY)
    assert_alike(said)
    assert said["library"].calls == (Call("get_weather", {"city": "Oslo"}),)
    assert said["library"].finish == "tool_calls"
    assert_alike(after)
    assert (after["library"].text, after["library"].finish) == ("It says: 4 C", "stop")
    assert all(called.calls[0].id for called in said.values())


@streamed_or_not
def test_an_answer_that_is_ended_by_its_limit_is_the_same_everywhere(
    clients: Mapping[str, SurfaceClient], upstream: SharedUpstream, stream: bool
) -> None:
    ask = Ask(["Tell me a story."], system="Be long.", max_tokens=5, stream=stream)

    said = said_by_all(clients, upstream, ask, *answer("Once upon a time ", "there was " * 9))

    assert said.keys() == set(WITH_HISTORY)
    assert_alike(said)
    assert said["library"].finish == "length"
    assert said["library"].text == "Once upon a time the"


@streamed_or_not
def test_an_answer_that_is_blocked_is_the_same_everywhere(
    clients: Mapping[str, SurfaceClient], upstream: SharedUpstream, stream: bool
) -> None:
    ask = Ask(["Is it?"], stream=stream)

    said = said_by_all(clients, upstream, ask, *policy_violation())

    assert said.keys() == set(ALL)
    assert_alike(said)
    assert said["library"].finish == "content_filter"
    assert said["library"].text


@begun_by
@gone_on_by
def test_a_history_is_gone_on_from_by_any_surface(
    clients: Mapping[str, SurfaceClient], upstream: SharedUpstream, first: str, second: str
) -> None:
    """Each sends all that was said, and the upstream is sent what is new: in one session."""
    asked = [f"{topic()}: first?", "Second?", "Third?", "Fourth?"]
    streams = cycle([False, False, True, True])
    turns: list[str | Said | Result] = []

    for question, name in zip(asked, (first, second, first, second), strict=True):
        upstream.script(*answer("Answer to ", question, thoughts=("Hm.",)))
        turns.append(question)
        said = clients[name].ask(Ask(turns, system="Be brief.", stream=next(streams)))
        assert said.text == f"Answer to {question}"
        turns.append(said)

    [session] = used_sessions(upstream)
    assert session.queries[1:] == asked[1:]


@begun_by
@gone_on_by
def test_a_call_made_on_one_surface_is_answered_on_any(
    clients: Mapping[str, SurfaceClient], upstream: SharedUpstream, first: str, second: str
) -> None:
    ask = Ask([QUESTION], system=topic(), tool=WEATHER)

    called = clients[first].ask(ask)
    turns = [QUESTION, called, Result(called.calls[0], "4 C")]
    answered = clients[second].ask(replace(ask, turns=turns))

    assert answered.text == "It says: 4 C"
    [session] = used_sessions(upstream)
    assert len(session.queries) == 2


@pytest.mark.parametrize("first", HTTP)
@pytest.mark.parametrize("second", ALL)
@streamed_or_not
def test_a_conversation_is_gone_on_by_its_id_on_any_surface(
    clients: Mapping[str, SurfaceClient],
    upstream: SharedUpstream,
    first: str,
    second: str,
    stream: bool,
) -> None:
    """By those that tell an id: each sends its new message alone."""
    asked = [f"{topic()}: first?", "Second?", "Third?"]

    begun = clients[first].ask(Ask(asked[:1], stream=stream))
    for question, name in zip(asked[1:], (second, first), strict=True):
        clients[name].ask(Ask([question], stream=stream, conversation=begun.conversation))

    assert begun.conversation
    [session] = used_sessions(upstream)
    assert session.queries == asked
