"""What the upstream does wrong, and what the client is told: never a short success, always what may
be done about it.
"""

from __future__ import annotations

import datetime
import logging
import math
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

import openai
import pytest

from gbproxy.simulator import (
    Action,
    End,
    Fin,
    Final,
    Head,
    HoldHeaders,
    Rst,
    Simulator,
    Stall,
    Text,
    Write,
    answer,
    array_wrapped_error,
    banned_phrase,
    broken_chunk,
    cut_after,
    cut_bytes,
    details_only_error,
    empty_array,
    empty_body,
    failed_precondition,
    half_head,
    html_error,
    html_reply,
    http_error,
    in_stream_error,
    message_only_error,
    not_seeking_assistance,
    overloaded,
    policy_violation,
    quota,
    thoughts_only,
    u_token_only,
)
from tests.support.background import logged
from tests.support.chats import used_sessions
from tests.support.polling import until
from tests.support.serving import DONE, LogLine, Reply, Served, SharedUpstream, in_process
from tests.support.texts import CJK, EMOJI

pytestmark = pytest.mark.slow

streamed_or_not = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
either_framing = pytest.mark.parametrize("framing", ["json", "sse"])


@dataclass(frozen=True)
class Told:
    """What a client gets to know of a failure."""

    status: int
    code: str
    retry_after: Callable[[], range] | None = None  # the seconds that may be named
    should_retry: str | None = None


def between(least: int, most: int) -> Callable[[], range]:
    return lambda: range(least, most + 1)


def exactly(seconds: int) -> Callable[[], range]:
    return between(seconds, seconds)


def until_midnight() -> range:
    """In Los Angeles, where quotas of the day begin anew; give or take what the request took."""
    now = datetime.datetime.now(ZoneInfo("America/Los_Angeles"))
    midnight = datetime.datetime.combine(
        now.date() + datetime.timedelta(days=1), datetime.time.min, now.tzinfo
    )
    left = math.ceil(midnight.timestamp() - now.timestamp())
    return range(left - 1, left + 30)


ERROR = Told(502, "upstream_error", should_retry="false")
AUTH = Told(502, "upstream_auth_failed", should_retry="false")
TIMEOUT = Told(504, "upstream_timeout", should_retry="false")
OVERLOADED = Told(503, "upstream_overloaded", retry_after=between(5, 15))
QUOTA = Told(429, "insufficient_quota", retry_after=exactly(60), should_retry="false")
DAILY = Told(429, "insufficient_quota", retry_after=until_midnight, should_retry="false")
REFUSED = Told(400, "invalid_request_error")
TOO_LONG = Told(400, "context_length_exceeded")

BEFORE_CONTENT: dict[str, tuple[tuple[Action, ...], Told]] = {
    "overloaded": (overloaded(), OVERLOADED),
    "overloaded, for so long": (overloaded(3), Told(503, "upstream_overloaded", exactly(3))),
    "overloaded by its front end": (http_error(503, "UNAVAILABLE"), OVERLOADED),
    "overloaded, says a page": (html_error(503), OVERLOADED),
    "overloaded, in details only": (details_only_error(), OVERLOADED),
    "overloaded, in the stream": (in_stream_error(reason="LLM_OVERLOADED"), OVERLOADED),
    "overloaded, in a header": (
        http_error(503, "UNAVAILABLE", headers={"Retry-After": "17"}),
        Told(503, "upstream_overloaded", exactly(17)),
    ),
    "quota": (quota(), QUOTA),
    "quota of the day": (quota(daily=True), DAILY),
    "quota, for so long": (
        quota(retry_delay_s=7.2),
        Told(429, "insufficient_quota", exactly(8), "false"),
    ),
    "quota, in an array": (array_wrapped_error(), QUOTA),
    "quota, in the stream": (in_stream_error(), QUOTA),
    "too long": (
        http_error(
            400,
            "INVALID_ARGUMENT",
            "The input token count exceeds the maximum number of tokens allowed.",
        ),
        TOO_LONG,
    ),
    "failed precondition": (failed_precondition(), ERROR),
    "empty body, unavailable": (empty_body(503), OVERLOADED),
    "redirect": ((Head(302, {"Location": "https://example.com/"}), End()), ERROR),
    "cancelled": ((Final(state="CANCELLED"), End()), ERROR),
}
# Tried once more on the same account, as long as nothing was said.
PASSING: dict[str, tuple[tuple[Action, ...], Told]] = {
    "internal error": (http_error(500, "INTERNAL"), ERROR),
    "internal error, says a page": (html_error(500), ERROR),
    "out of time": (http_error(504, "DEADLINE_EXCEEDED"), TIMEOUT),
    "out of time, says a page": (html_error(504), TIMEOUT),
    "a page with 200": (html_reply(200, "Sign in"), ERROR),
    "empty body": (empty_body(), ERROR),
    "half a head": (half_head(), ERROR),
    "broken chunk": (broken_chunk(), ERROR),
    "not JSON": ((Head(200, {"Content-Type": "application/json"}), Write(b"[{oops"), End()), ERROR),
    "a string": ((Head(200, {"Content-Type": "application/json"}), Write(b'"hi"'), End()), ERROR),
    "hangs up": ((Fin(),), ERROR),
    "resets": ((Rst(),), ERROR),
    "cut before the first element": (cut_after(0), ERROR),
    "thoughts only": (thoughts_only(), ERROR),
    "nothing": (empty_array(), ERROR),
}
REPEATED: dict[str, tuple[tuple[Action, ...], Told]] = {
    "token refused": (http_error(401, "UNAUTHENTICATED"), AUTH),
    "token refused, as a token": (u_token_only(), AUTH),
    "session gone": (http_error(404, "NOT_FOUND", "Session 1 not found."), ERROR),
    "malformed": (http_error(400, "INVALID_ARGUMENT", "Invalid value at 'query'."), REFUSED),
    "malformed, in the stream": (
        in_stream_error(400, "INVALID_ARGUMENT", "Invalid value at 'query'."),
        REFUSED,
    ),
    "malformed, as a bare message": (
        message_only_error(message="Invalid value at 'query'."),
        REFUSED,
    ),
}
AFTER_CONTENT: dict[str, tuple[tuple[Action, ...], Told]] = {
    "overloaded": (in_stream_error(texts=("Half ", "an "), reason="LLM_OVERLOADED"), OVERLOADED),
    "quota": (in_stream_error(texts=("Half ", "an ")), QUOTA),
    "malformed": (in_stream_error(400, "INVALID_ARGUMENT", "No.", texts=("Half ", "an ")), REFUSED),
    "failed precondition": (failed_precondition("Half ", "an "), ERROR),
    "token refused": (in_stream_error(401, "UNAUTHENTICATED", texts=("Half ", "an ")), AUTH),
    "session gone": (
        in_stream_error(404, "NOT_FOUND", "No session.", texts=("Half ", "an ")),
        ERROR,
    ),
    "broken chunk": (broken_chunk("Half ", "an "), ERROR),
    "cut": ((Text("Half "), Text("an "), Fin()), ERROR),
    "reset": ((Text("Half "), Text("an "), Rst()), ERROR),
    "ends without its end": ((Text("Half "), Text("an "), End()), ERROR),
    "cancelled": ((Text("Half "), Text("an "), Final(state="CANCELLED"), End()), ERROR),
}


def assert_told(reply: Reply, told: Told) -> None:
    assert reply.status == told.status, reply.body
    assert reply.error["code"] == told.code
    retry_after = reply.headers["Retry-After"]
    if told.retry_after is None:
        assert retry_after is None
    else:
        assert int(retry_after) in told.retry_after()
    assert reply.headers["x-should-retry"] == told.should_retry
    assert reply.headers["x-request-id"]
    assert reply.error["message"]


def attempts_failed(gateway: Served, reply: Reply) -> list[LogLine]:
    """What was logged of the failed attempts of one request, once it is over."""
    done = gateway.log_of(reply)
    return gateway.events("attempt.failed", lambda line: line["request_id"] == done["request_id"])


def cases(table: dict[str, tuple[tuple[Action, ...], Told]]) -> list[object]:
    return [pytest.param(script, told, id=name) for name, (script, told) in table.items()]


@either_framing
@streamed_or_not
@pytest.mark.parametrize(("script", "told"), cases(BEFORE_CONTENT))
def test_a_failure_before_any_content_has_its_own_status(
    gateway: Served, upstream: SharedUpstream, script: tuple[Action, ...], told: Told, stream: bool
) -> None:
    upstream.script(*script)

    reply = gateway.ask(stream=stream)

    assert_told(reply, told)
    assert reply.headers["x-gbproxy-attempts"] == "1"
    failure = gateway.log_of(reply, "attempt.failed")
    assert failure["level"] == "warning"
    assert failure["code"] == told.code


@either_framing
@streamed_or_not
@pytest.mark.parametrize(("script", "told"), cases(PASSING))
def test_a_passing_failure_that_comes_again_has_its_own_status(
    gateway: Served, upstream: SharedUpstream, script: tuple[Action, ...], told: Told, stream: bool
) -> None:
    upstream.script(*script, times=math.inf)

    reply = gateway.ask(stream=stream)

    assert_told(reply, told)
    assert reply.headers["x-gbproxy-attempts"] == "2"
    assert len(upstream.calls("widgetStreamAssist")) == 2
    failures = attempts_failed(gateway, reply)
    assert [(failure["level"], failure["code"]) for failure in failures] == [
        ("warning", told.code)
    ] * 2


@pytest.mark.parametrize(
    ("framing", "stream"), [("json", False), ("sse", True)], ids=["whole array", "streamed events"]
)
@pytest.mark.parametrize(("script", "told"), cases(PASSING))
def test_a_passing_failure_is_not_seen_when_the_second_try_succeeds(
    gateway: Served, upstream: SharedUpstream, script: tuple[Action, ...], told: Told, stream: bool
) -> None:
    upstream.script(*script)
    upstream.script(*answer("All ", "is ", "well.", thoughts=("Hm.",)))

    reply = gateway.ask(stream=stream)

    assert reply.text == "All is well."
    assert reply.succeeded
    assert reply.headers["x-gbproxy-attempts"] == "2"
    assert gateway.log_of(reply)["attempts"] == 2
    (failure,) = attempts_failed(gateway, reply)
    assert failure["code"] == told.code
    failed, answered = used_sessions(upstream)
    assert upstream.wait_for(lambda: failed.deleted)
    assert not answered.deleted


@streamed_or_not
def test_a_denial_in_a_session_of_the_request_s_own_is_told(
    caplog: pytest.LogCaptureFixture, stream: bool
) -> None:
    with (
        caplog.at_level(logging.INFO, "gbproxy"),
        Simulator() as upstream,
        in_process(upstream.environment(), prewarmed=0) as gateway,
    ):
        assert gateway.ask().succeeded
        # Until then it would be asked once more without the tools that may be off.
        until(lambda: logged(caplog, "configuration.read"))
        upstream.script(*http_error(403, "PERMISSION_DENIED"), times=3)

        reply = gateway.ask(stream=stream)

    assert_told(reply, AUTH)
    assert reply.headers["x-gbproxy-attempts"] == "1"


SIGN_IN, OPENING = "getoxsrf", "widgetCreateSession"


@streamed_or_not
@pytest.mark.parametrize(
    ("path", "script"),
    [
        pytest.param(OPENING, http_error(400, "INVALID_ARGUMENT"), id="400 for the session"),
        pytest.param(OPENING, http_error(500, "INTERNAL"), id="500 for the session"),
        pytest.param(OPENING, http_error(504, "DEADLINE_EXCEEDED"), id="504 for the session"),
        pytest.param(OPENING, (Rst(),), id="reset for the session"),
        pytest.param(SIGN_IN, (Rst(),), id="reset for the sign-in"),
        pytest.param(SIGN_IN, html_error(502), id="502 for the sign-in"),
    ],
)
def test_a_passing_failure_on_the_way_to_the_answer_is_tried_once_more(
    script: tuple[Action, ...], path: str, stream: bool
) -> None:
    with Simulator() as upstream, in_process(upstream.environment(), prewarmed=0) as gateway:
        upstream.script(*script, path=path)
        upstream.script(*answer("All is well."))

        reply = gateway.ask(stream=stream)

        calls = len(upstream.calls(path))
    assert reply.text == "All is well."
    assert reply.headers["x-gbproxy-attempts"] == "2"
    assert calls == 2


def test_what_was_said_before_a_failure_is_never_said_again(
    gateway: Served, upstream: SharedUpstream
) -> None:
    upstream.script(Text("Half "), Rst())
    upstream.script(*answer("Another."))

    reply = gateway.ask(stream=True)

    assert reply.text == "Half "
    assert reply.error["code"] == "upstream_error"
    assert reply.headers["x-gbproxy-attempts"] == "1"
    assert len(upstream.calls("widgetStreamAssist")) == 1


@streamed_or_not
@pytest.mark.parametrize(("script", "told"), cases(REPEATED))
def test_a_failure_that_a_fresh_start_does_not_cure_is_told(
    gateway: Served, upstream: SharedUpstream, script: tuple[Action, ...], told: Told, stream: bool
) -> None:
    upstream.script(*script, times=2)

    reply = gateway.ask(stream=stream)

    assert_told(reply, told)
    assert len(upstream.calls("widgetStreamAssist")) == 2


@streamed_or_not
@pytest.mark.parametrize(("script", "told"), cases(REPEATED))
def test_a_failure_that_a_fresh_start_cures_is_not_seen(
    gateway: Served, upstream: SharedUpstream, script: tuple[Action, ...], told: Told, stream: bool
) -> None:
    upstream.script(*script)
    upstream.script(*answer("All ", "is ", "well."))

    reply = gateway.ask(stream=stream)

    assert reply.text == "All is well."
    assert reply.succeeded


@either_framing
@pytest.mark.parametrize(("script", "told"), cases(AFTER_CONTENT))
def test_a_failure_after_content_is_the_last_event(
    gateway: Served, upstream: SharedUpstream, script: tuple[Action, ...], told: Told
) -> None:
    upstream.script(*script)

    reply = gateway.ask(stream=True)

    assert reply.status == 200
    assert reply.text == "Half an "
    assert reply.error["code"] == told.code
    assert reply.finish_reason is None
    assert DONE not in reply.frames


@pytest.mark.parametrize(("script", "told"), cases(AFTER_CONTENT))
def test_a_failure_after_content_has_its_own_status_where_nothing_was_sent(
    gateway: Served, upstream: SharedUpstream, script: tuple[Action, ...], told: Told
) -> None:
    upstream.script(*script)

    reply = gateway.ask()

    assert_told(reply, told)


@pytest.mark.parametrize(("script", "told"), cases(AFTER_CONTENT))
def test_the_sdk_raises_after_content(
    client: openai.OpenAI, upstream: SharedUpstream, script: tuple[Action, ...], told: Told
) -> None:
    upstream.script(*script)
    messages: list[Any] = [{"role": "user", "content": "Hi"}]
    said: list[str] = []

    with (
        client.chat.completions.create(
            model="gemini-auto", messages=messages, stream=True
        ) as stream,
        pytest.raises(openai.APIError) as raised,
    ):
        said.extend(chunk.choices[0].delta.content or "" for chunk in stream)

    assert "".join(said) == "Half an "
    assert raised.value.code == told.code


SCRIPT = answer("One ", f"{CJK} ", "three ", f"{EMOJI} ", "five.", thoughts=("Hm.",))
WHOLE = f"One {CJK} three {EMOJI} five."
ELEMENTS = 7  # a thought, five fragments, the end


@either_framing
@streamed_or_not
@pytest.mark.parametrize("transfer", ["chunked", "close", "content_length"])
@pytest.mark.parametrize("rst", [False, True], ids=["fin", "rst"])
def test_an_answer_cut_between_elements_is_no_success(
    gateway: Served, upstream: SharedUpstream, transfer: str, rst: bool, stream: bool
) -> None:
    upstream.set(transfer=transfer, suggestions=False)
    outcomes = []

    for count in range(ELEMENTS):
        upstream.clear_scripts()
        upstream.script(*cut_after(count, SCRIPT, rst=rst), times=2)
        outcomes.append(gateway.ask(stream=stream))

    assert not any(reply.succeeded for reply in outcomes)
    assert {reply.error["code"] for reply in outcomes} == {"upstream_error"}


@either_framing
@streamed_or_not
@pytest.mark.parametrize("transfer", ["chunked", "close", "content_length"])
def test_an_answer_cut_behind_its_last_element_is_whole(
    gateway: Served, upstream: SharedUpstream, transfer: str, stream: bool
) -> None:
    upstream.set(transfer=transfer, suggestions=False)
    upstream.script(*cut_after(ELEMENTS, SCRIPT))

    reply = gateway.ask(stream=stream)

    assert reply.text == WHOLE
    assert reply.succeeded


@either_framing
@pytest.mark.parametrize("gzip", [False, True], ids=["plain", "gzip"])
def test_an_answer_cut_anywhere_is_no_success(
    gateway: Served, upstream: SharedUpstream, gzip: bool
) -> None:
    upstream.set(
        suggestions=False,
        layout="compact",
        gzip=gzip,
        final="without_diagnostics",
        transfer="close",
    )
    outcomes = []

    for count in range(1, 2000, 37):
        upstream.clear_scripts()
        upstream.script(*cut_bytes(count, SCRIPT), times=2)
        outcomes.append(gateway.ask(stream=True))

    whole = [reply for reply in outcomes if reply.succeeded]
    assert all(reply.text == WHOLE for reply in whole)
    cut = [reply for reply in outcomes if not reply.succeeded]
    assert cut
    assert all(reply.error["code"] == "upstream_error" for reply in cut)


@streamed_or_not
def test_an_answer_without_states_is_whole_when_the_array_is_closed(
    gateway: Served, upstream: SharedUpstream, stream: bool
) -> None:
    upstream.set(state="absent")
    upstream.script(Text("No "), Text("states."), Final(state=""), End())
    upstream.script(Text("No "), Text("states."), Final(state=""), Fin())

    closed, cut = gateway.ask(stream=stream), gateway.ask(stream=stream)

    assert closed.text == "No states."
    assert closed.succeeded
    assert not cut.succeeded
    assert cut.error["code"] == "upstream_error"


@either_framing
@streamed_or_not
@pytest.mark.parametrize(
    "script",
    [
        pytest.param(policy_violation(), id="policy"),
        pytest.param(banned_phrase("foo"), id="banned phrase"),
        pytest.param(not_seeking_assistance(), id="no question"),
    ],
)
def test_a_blocked_answer_says_so(
    gateway: Served, upstream: SharedUpstream, script: tuple[Action, ...], stream: bool
) -> None:
    upstream.script(*script)

    reply = gateway.ask(stream=stream)

    assert reply.status == 200
    assert reply.finish_reason == "content_filter"
    assert reply.text == reply.refusal
    assert reply.text.endswith(".")
    assert "foo" not in reply.text
    assert reply.succeeded


@streamed_or_not
def test_an_answer_blocked_half_way_keeps_what_was_said(
    gateway: Served, upstream: SharedUpstream, stream: bool
) -> None:
    upstream.script(Text("So far. "), *policy_violation())

    reply = gateway.ask(stream=stream)

    assert reply.finish_reason == "content_filter"
    assert reply.text == f"So far. {reply.refusal}"


@streamed_or_not
@pytest.mark.parametrize(
    ("setting", "script", "says"),
    [
        pytest.param("READ_TIMEOUT_S", (HoldHeaders(),), "silent", id="silent before the head"),
        pytest.param(
            "READ_TIMEOUT_S",
            (Head(200, {"Content-Type": "application/json"}), Stall()),
            "silent",
            id="then",
        ),
        pytest.param(
            "REQUEST_TIMEOUT_S", answer(*[""] * 4000, pause_s=0.02), "longer", id="too long"
        ),
    ],
)
def test_an_upstream_that_is_too_slow_is_a_timeout(
    setting: str, script: tuple[Action, ...], says: str, stream: bool
) -> None:
    # Long enough for the way to the answer, on a busy machine too.
    with Simulator() as upstream, in_process(upstream.environment(), **{setting: "3"}) as gateway:
        upstream.script(*script)

        reply = gateway.ask(stream=stream)

        assert upstream.wait_for(lambda: upstream.open_streams == 0)
        tried = len(upstream.calls("widgetStreamAssist"))
    assert_told(reply, TIMEOUT)
    assert says in reply.error["message"]
    assert (tried, reply.headers["x-gbproxy-attempts"]) == (1, "1")


def test_an_upstream_that_falls_silent_after_content_is_a_timeout_in_the_stream() -> None:
    with (
        Simulator() as upstream,
        in_process(upstream.environment(), READ_TIMEOUT_S="4") as gateway,
    ):
        upstream.script(Text("Half "), Stall())

        reply = gateway.ask(stream=True)

    assert reply.text == "Half "
    assert reply.error["code"] == "upstream_timeout"
    assert DONE not in reply.frames


def test_an_upstream_that_takes_no_connection_is_a_timeout() -> None:
    with Simulator() as upstream, _full_listener() as address:
        environment = upstream.environment() | {"API_BASE_URL": f"{address}/v1alpha"}

        with in_process(environment, CONNECT_TIMEOUT_S="0.3") as gateway:
            reply = gateway.ask()

    assert_told(reply, TIMEOUT)
    assert "no connection" in reply.error["message"]
    assert reply.headers["x-gbproxy-attempts"] == "2"


def test_an_upstream_that_is_not_there_is_an_upstream_error() -> None:
    with Simulator() as upstream:
        environment = upstream.environment()

    with in_process(environment) as gateway:
        reply = gateway.ask()

    assert_told(reply, ERROR)
    assert "127.0.0.1" not in reply.error["message"]


@pytest.mark.parametrize("unknown_config", [401, 403])
def test_a_config_of_another_account_is_a_refused_credential(unknown_config: int) -> None:
    with (
        Simulator() as upstream,
        in_process(
            upstream.environment(), CONFIG_ID="a0000000-0000-4000-8000-000000000001"
        ) as gateway,
    ):
        upstream.set(unknown_config=unknown_config)

        reply = gateway.ask()

    assert_told(reply, AUTH)
    assert "CONFIG_ID" in reply.error["message"]


@pytest.mark.parametrize("bad_cookie", ["login", "401", "403"])
def test_a_dead_cookie_is_a_refused_credential(bad_cookie: str) -> None:
    with (
        Simulator() as upstream,
        in_process(upstream.environment(), SECURE_C_SES="CSE.Adead") as gateway,
    ):
        upstream.set(bad_cookie=bad_cookie)

        reply = gateway.ask()

    assert_told(reply, AUTH)
    assert "SECURE_C_SES" in reply.error["message"]
    assert "CSE.Adead" not in reply.error["message"]


@contextmanager
def _full_listener() -> Iterator[str]:
    """The address of a socket whose queue is full, so that no connection is made to it."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(3):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield "http://127.0.0.1:{1}".format(*listener.getsockname())
