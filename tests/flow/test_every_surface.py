"""One conversation, said in the form of every API and by a program with the gateway inside: it is
the same answer everywhere, and one surface goes on where another has begun.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import cycle
from typing import Any

import pytest

from gbproxy import FunctionTool, load_settings, open_gateway
from gbproxy.domain.principal import Principal, key_digest
from gbproxy.simulator import answer, image_reply, policy_violation
from gbproxy.simulator.widget.files import picture
from tests.support.chats import accounts, topic, used_sessions
from tests.support.messages_with_files import uploaded
from tests.support.responses_surface import Responses
from tests.support.serving import FORGETFUL, KEY, Front, Served, SharedUpstream, serving
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
    WithFile,
)

HTTP = ("openai", "responses", "gemini", "anthropic", "native")
WITH_HISTORY = ("openai", "responses", "gemini", "anthropic", "library")
WITH_STORED = ("openai", "responses", "gemini", "anthropic")
ALL = (*HTTP, "library")
PDF = b"%PDF-1.7 pages"
PNG = picture("a fox")
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
                "responses": Responses(gateway),
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
    turns: list[str | WithFile | Said | Result] = []

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


# Files and pictures


@streamed_or_not
def test_a_file_goes_up_from_every_surface(
    clients: Mapping[str, SurfaceClient], upstream: SharedUpstream, stream: bool
) -> None:
    ask = Ask([WithFile("What is it?", PDF)], stream=stream)

    said = said_by_all(clients, upstream, ask, *answer("A report."))

    assert said.keys() == set(ALL)
    assert_alike(said)
    assert said["library"].text == "A report."
    assert uploaded(upstream) == [PDF] * len(ALL)


def stored(gateway: Served, headers: Mapping[str, str], path: str = "/v1/files") -> str:
    """The id of a file that was uploaded, without any API's letters."""
    form = (
        b'--of-it\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nuser_data\r\n--of-it\r\n'
        b'Content-Disposition: form-data; name="file"; filename="report.pdf"\r\n\r\n%b\r\n--of-it--\r\n'
    )
    kind = {"Content-Type": "multipart/form-data; boundary=of-it"}
    reply = gateway.request("POST", path, form % PDF, gateway.headers | kind | headers)
    made = reply.json().get("file", reply.json())
    return re.split("[-_/]", made.get("id") or made["name"])[-1]


@pytest.mark.parametrize(
    ("headers", "path"),
    [
        ({}, "/v1/files"),
        ({"anthropic-version": "2023-06-01"}, "/v1/files"),
        ({"x-goog-api-client": "tests"}, "/upload/v1beta/files"),
    ],
    ids=["openai", "anthropic", "gemini"],
)
@streamed_or_not
def test_a_file_that_one_api_has_stored_goes_up_from_every_surface_that_names_files(
    clients: Mapping[str, SurfaceClient],
    world: World,
    upstream: SharedUpstream,
    stream: bool,
    headers: Mapping[str, str],
    path: str,
) -> None:
    id_ = stored(world.front.gateway, headers, path)
    naming = {name: each for name, each in clients.items() if each.takes_stored_files}
    ask = Ask([WithFile("What is it?", PDF, id_)], stream=stream)

    said = said_by_all(naming, upstream, ask, *answer("A report."))

    assert said.keys() == set(WITH_STORED)
    assert said == dict.fromkeys(said, said["openai"])
    assert uploaded(upstream) == [PDF] * len(WITH_STORED)


@begun_by
@gone_on_by
def test_a_history_with_a_file_is_gone_on_from_by_any_surface(
    clients: Mapping[str, SurfaceClient],
    upstream: SharedUpstream,
    first: str,
    second: str,
) -> None:
    turns: list[str | WithFile | Said | Result] = [WithFile(f"{topic()}: what is it?", PDF)]

    turns.append(clients[first].ask(Ask(turns)))
    clients[second].ask(Ask([*turns, "And now?"], stream=True))

    [session] = used_sessions(upstream)
    assert session.queries[1:] == ["And now?"]
    assert uploaded(upstream) == [PDF]


@streamed_or_not
def test_a_picture_comes_out_of_every_surface_and_its_conversation_goes_on(
    clients: Mapping[str, SurfaceClient], upstream: SharedUpstream, stream: bool
) -> None:
    script = image_reply("Here: ", content=PNG)

    said = said_by_all(clients, upstream, Ask(["draw a fox"], stream=stream), *script)

    assert said.keys() == set(ALL)
    for name, each in said.items():
        assert each.pictures == (PNG,), name
        assert each.text.startswith("Here: ")
        assert each.finish == "stop"
    for name, other in zip(HTTP, (*HTTP[1:], HTTP[0]), strict=True):
        clients[other].ask(Ask(["bluer"], conversation=said[name].conversation))
    sessions = used_sessions(upstream)
    asked = [["draw a fox", "bluer"]] * len(HTTP) + [["draw a fox"]]
    assert sorted((each.queries for each in sessions), reverse=True) == sorted(asked, reverse=True)
