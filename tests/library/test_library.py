"""`from gbproxy import open_gateway`: the gateway in a program of its own, with threads and without a
server.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import gbproxy
from gbproxy import (
    AccountSettings,
    ChatRequest,
    Done,
    GatewayError,
    LocalGateway,
    Message,
    Settings,
    Started,
    TextDelta,
    TextPart,
    Usage,
    open_gateway,
)
from gbproxy.simulator import RecordedRequest, Simulator, image_reply, overloaded
from tests.support.chats import STREAM, texts_by_session
from tests.support.serving import ROOT, process

PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)
PROGRAM = Path(__file__).with_name("program.py")
ANSWERED = "".join(f"Question {number}? True stop\n" for number in range(8)) + "False\n"


@pytest.fixture
def upstream() -> Iterator[Simulator]:
    with Simulator() as simulator:
        yield simulator


def settings(upstream: Simulator, **fields: Any) -> Settings:
    account = upstream.account
    return Settings(
        accounts=(
            AccountSettings(
                name="mine",
                secure_c_ses=account.secure_c_ses,
                host_c_oses=account.host_c_oses,
                csesidx=account.csesidx,
                config_id=account.config_id,
            ),
        ),
        gemini_business_url=upstream.environment()["GEMINI_BUSINESS_URL"],
        api_base_url=upstream.environment()["API_BASE_URL"],
        **fields,
    )


@pytest.fixture
def gateway(upstream: Simulator) -> Iterator[LocalGateway]:
    with open_gateway(settings(upstream)) as opened:
        yield opened


def says(role: Any, text: str) -> Message:
    return Message(role, (TextPart(text),))


def asking(*messages: str | Message, **fields: Any) -> ChatRequest:
    said = tuple(says("user", each) if isinstance(each, str) else each for each in messages)
    return ChatRequest(said, **fields)


def test_an_answer_comes_as_events(gateway: LocalGateway) -> None:
    events = list(gateway.stream(asking("What is the moon made of?")))

    assert isinstance(events[0], Started)
    assert any(isinstance(event, TextDelta) for event in events)
    assert [type(event) for event in events[-2:]] == [Usage, Done]


def test_a_history_goes_on_in_its_session(gateway: LocalGateway, upstream: Simulator) -> None:
    first = gateway.answer(asking("One?"))
    second = gateway.answer(asking("One?", says("assistant", first.text), "Two?"))

    assert first.text
    assert second.finish_reason == "stop"
    assert texts_by_session(upstream) == [["One?", "Two?"]]


def test_an_answer_that_is_not_read_to_its_end_is_not_gone_on_from(
    gateway: LocalGateway, upstream: Simulator
) -> None:
    with closing(gateway.stream(asking("One?"))) as events:
        said = next(event.text for event in events if isinstance(event, TextDelta))

    gateway.answer(asking("One?", says("assistant", said), "Two?"))

    assert len(texts_by_session(upstream)) == 2
    assert upstream.wait_for(lambda: upstream.open_streams == 0)


def test_what_is_not_to_be_kept_is_deleted(gateway: LocalGateway, upstream: Simulator) -> None:
    gateway.answer(asking("One?", is_kept=False))

    assert upstream.wait_for(
        lambda: [each.deleted for each in upstream.sessions.values()] == [True]
    )


def test_a_picture_comes_with_its_bytes(gateway: LocalGateway, upstream: Simulator) -> None:
    upstream.script(*image_reply("Here: ", content=PNG))

    answer = gateway.answer(asking("Paint it."))

    assert [(file.mime_type, file.data) for file in answer.files] == [("image/png", PNG)]
    assert "](" not in answer.text
    assert "cannot be passed on" not in answer.text


def test_two_answers_are_read_in_turns_by_one_thread(gateway: LocalGateway) -> None:
    streams = [gateway.stream(asking(question)) for question in ("One?", "Two?")]
    texts = ["", ""]

    for pair in zip(*streams, strict=False):
        for index, event in enumerate(pair):
            texts[index] += event.text if isinstance(event, TextDelta) else ""
    for stream in streams:
        stream.close()

    assert all(texts)


def test_threads_ask_at_once(upstream: Simulator) -> None:
    with (
        open_gateway(settings(upstream, account_concurrency=20)) as gateway,
        ThreadPoolExecutor(20) as threads,
    ):
        answers = list(threads.map(gateway.answer, [asking(f"{n}?") for n in range(20)]))

    assert [answer.finish_reason for answer in answers] == ["stop"] * 20
    assert len(texts_by_session(upstream)) == 20


def test_what_runs_between_requests_runs(upstream: Simulator) -> None:
    """Here: a session that has expired is deleted while the program does nothing."""
    with open_gateway(settings(upstream, session_timeout=0.5)) as gateway:
        gateway.answer(asking("One?"))

        assert upstream.wait_for(lambda: all(each.deleted for each in upstream.sessions.values()))


def test_the_sessions_end_with_a_private_database(upstream: Simulator) -> None:
    with open_gateway(settings(upstream)) as gateway:
        gateway.answer(asking("One?"))

    # One that is deleted late is not waited for.
    assert upstream.wait_for(lambda: [s.deleted for s in upstream.sessions.values()] == [True])


def test_a_lasting_database_keeps_them_for_the_next_run(
    upstream: Simulator, tmp_path: Path
) -> None:
    lasting = settings(
        upstream,
        database_url=f"sqlite:///{tmp_path}/gbproxy.db",
        secret_keys=("a-secret-key-for-tests-1",),
    )
    with open_gateway(lasting) as gateway:
        first = gateway.answer(asking("One?"))
    with open_gateway(lasting) as gateway:
        gateway.answer(asking("One?", says("assistant", first.text), "Two?"))

    assert texts_by_session(upstream) == [["One?", "Two?"]]


def test_an_error_is_raised(gateway: LocalGateway, upstream: Simulator) -> None:
    upstream.script(*overloaded())

    with pytest.raises(GatewayError) as caught:
        gateway.answer(asking("One?"))

    assert (caught.value.status, caught.value.code) == (503, "upstream_overloaded")


def test_its_models_are_those_that_can_be_asked_for(gateway: LocalGateway) -> None:
    assert "gemini-auto" in gateway.models()


def test_a_program_without_gevent_asks_from_many_threads(upstream: Simulator) -> None:
    environment = upstream.environment() | {"PYTHONPATH": str(ROOT)}
    with process([sys.executable, str(PROGRAM)], environment) as program:
        status = program.wait()

        assert (status, program.stdout) == (0, ANSWERED), program.stderr
    asked: list[RecordedRequest] = upstream.calls(STREAM)
    assert len(asked) == 8


def test_every_name_is_there_and_typed() -> None:
    for name in gbproxy.__all__:
        assert getattr(gbproxy, name) is not None
    assert set(gbproxy.__all__) <= set(dir(gbproxy))
    with pytest.raises(AttributeError, match="no_such_name"):
        gbproxy.no_such_name  # noqa: B018
    assert Path(gbproxy.__file__).with_name("py.typed").exists()


def test_importing_it_loads_nothing_else() -> None:
    program = "import sys, gbproxy\nprint(*[n for n in sys.modules if n.startswith('gbproxy')])"

    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert ended.stdout.split() == ["gbproxy"]
