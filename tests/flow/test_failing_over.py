"""Several accounts that behave as one: what each failure of one of them costs it, and what the
client gets of it.

Source: docs/upstream.md, errors.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import pytest

from gbproxy.background.account_probes import PAUSE_S
from gbproxy.simulator import (
    Action,
    End,
    Fin,
    Final,
    HoldHeaders,
    Rst,
    Simulator,
    Text,
    answer,
    banned_phrase,
    cut_after,
    denied,
    details_only_error,
    empty_array,
    failed_alone,
    failed_precondition,
    html_error,
    html_reply,
    http_error,
    in_stream_error,
    json_reply,
    not_seeking_assistance,
    overloaded,
    policy_violation,
    prompt_too_large,
    quota,
    quota_exceeded,
    session_not_found,
    thoughts_only,
    u_token_only,
)
from gbproxy.simulator.scripting.google_errors import error_object
from gbproxy.upstreams.widget.tokens import FAILED_RENEWALS_WITHIN_S, MAX_FAILED_RENEWALS
from tests.support.chats import NAMES, STREAM, accounts, asked, csesidx, killed_in_the_end
from tests.support.delays import Delays
from tests.support.gates import Gate
from tests.support.polling import until
from tests.support.serving import (
    FORGETFUL,
    Front,
    LogLine,
    Reply,
    Served,
    SharedUpstream,
    free_port,
    in_process,
    serving,
)

Script = tuple[Action, ...]
Record = Callable[[str, object], None]

DAY_S = 86_400.0
LIST = "widgetListSessions"
WELL = "All is well."
ADMIN = "an-admin-key-for-tests-0123456789"
AS_ADMIN = {"Authorization": f"Bearer {ADMIN}"}
PICTURES = [
    {"id": "pictures", "upstream": None, "tools": ["imageGenerationSpec"], "quota": "images"}
]

streamed_or_not = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """A gateway with three accounts, always asked in their order."""
    forget = str(tmp_path_factory.mktemp("forget") / "socket")
    with SharedUpstream() as upstream:
        settings = {
            "ACCOUNT_ORDER": "first",
            "FORGET_SOCKET": forget,
            "MODELS": json.dumps(PICTURES),
            "ADMIN_KEY": ADMIN,
            "TOOLS_ARE_ON": "1",  # no refusal is put down to a tool
        }
        with serving(accounts(upstream, 3) | settings, command=FORGETFUL) as gateway:
            yield Front(upstream, gateway, forget)


@pytest.fixture
def front(three: Front) -> Front:
    three.renew()
    return three


def fail(
    upstream: SharedUpstream,
    name: str,
    script: Script,
    times: float = math.inf,
    *,
    path: str = STREAM,
) -> None:
    """From now on this account's stream calls are answered so, or those of another verb."""
    upstream.script(*script, path=path, csesidx=csesidx(upstream, name), times=times)


def set_aside(front: Front, *names: str) -> None:
    """Let the gateway learn that these accounts' credentials are refused."""
    for name in names:
        fail(front.upstream, name, denied(), path=LIST)
        checked = front.gateway.request(
            "POST", f"/api/admin/accounts/{name}/check", headers=AS_ADMIN
        )
        assert checked.json()["status"] == "refused"


def next_asked(gateway: Served, upstream: SharedUpstream) -> str:
    """Who is asked first when the upstream is well again."""
    upstream.clear_scripts()
    before = len(asked(upstream))
    assert gateway.ask("And now?").succeeded
    return asked(upstream)[before]


def told_of(gateway: Served, reply: Reply) -> list[LogLine]:
    """What the log says of accounts in the course of one request."""
    request_id = gateway.log_of(reply)["request_id"]
    return [
        line
        for line in gateway.log_lines()
        if line["event"].startswith("account.") and line["request_id"] == request_id
    ]


def probes_of_the_first(gateway: Served, code: str) -> int:
    """How many of the first account have ended so: those of an earlier test may end at any time."""
    return len(
        gateway.events(
            "account.probed", lambda line: (line["account"], line["code"]) == ("first", code)
        )
    )


# One account fails in a way that is not the request's fault


@dataclass(frozen=True)
class Cools:
    """An account is left alone for so many seconds, at least and at most."""

    cause: str
    least_s: float
    most_s: float


OVERLOAD = Cools("overload", 5, 15)
QUOTA = Cools("quota", 59, 60)

COOLING: dict[str, tuple[Script, Cools]] = {
    "429 of a busy model": (overloaded(), OVERLOAD),
    "429 of a busy model, for so long": (overloaded(40), Cools("overload", 39, 40)),
    "429 of a busy model, for so long in a header": (
        overloaded(headers={"Retry-After": "33"}),
        Cools("overload", 32, 33),
    ),
    "429 of a busy model, for longer than any model is": (
        overloaded(7200),
        Cools("overload", 1, 3600),
    ),
    "429 of a busy model, in details only": (details_only_error(), OVERLOAD),
    "429 of a busy model, in the stream": (in_stream_error(reason="LLM_OVERLOADED"), OVERLOAD),
    "503": (http_error(503, "UNAVAILABLE"), OVERLOAD),
    "503, for so long": (
        http_error(503, "UNAVAILABLE", headers={"Retry-After": "21"}),
        Cools("overload", 20, 21),
    ),
    "503 of a front end": (html_error(503), OVERLOAD),
    "429 without a cause": (quota(), QUOTA),
    "429 without a cause, in the stream": (in_stream_error(), QUOTA),
    "429 of a quota of the minute": (quota(per_minute=True), QUOTA),
    "403 of a quota, by its reason": (quota_exceeded(), QUOTA),
    "403 of a quota, by its reason, in the stream": (quota_exceeded(in_stream=True), QUOTA),
    "429, for so long": (quota(retry_delay_s=7.2), Cools("quota", 6, 7.2)),
    "429 of a quota of the day": (quota(daily=True), Cools("quota", 1, DAY_S + 3600)),
}
SUSPECT: dict[str, Script] = {
    "401, also with a fresh token": http_error(401, "UNAUTHENTICATED"),
    "a token that is not one, also a fresh one": u_token_only(),
    "401 in the stream": in_stream_error(401, "UNAUTHENTICATED", "No."),
    "403": denied(),
    "403 in the stream": in_stream_error(403, "PERMISSION_DENIED", "No."),
    "403 of a front end": html_reply(403, "No"),
}
UNHARMED: dict[str, Script] = {
    "500": http_error(500, "INTERNAL"),
    "502 of a front end": html_error(502),
    "504": http_error(504, "DEADLINE_EXCEEDED"),
    "a page with 200": html_reply(200, "Sign in"),
    "a reset": (Rst(),),
    "an end without a word": (Fin(),),
    "an answer cut before its first word": cut_after(0),
    "FAILED alone": failed_alone(),
    "400 FAILED_PRECONDITION": failed_precondition(),
    "404 in fresh sessions": session_not_found(),
    "no answer at all": empty_array(),
    "thoughts only": thoughts_only(),
    "cancelled": (Final(state="CANCELLED"), End()),
}


# Perhaps asked twice: with a fresh token, or in a fresh session, as a prewarmed one may be to
# blame.
ASKED_AGAIN = {*SUSPECT, "404 in fresh sessions"}


def tried(upstream: SharedUpstream) -> list[str]:
    """The accounts that were asked, each once or twice, one after the other."""
    return [name for name, calls in groupby(asked(upstream)) if len([*calls]) <= 2]


def assert_answered_by_the_second(front: Front, reply: Reply, what: str) -> None:
    assert (reply.status, reply.text) == (200, WELL)
    assert reply.succeeded
    assert (tried if what in ASKED_AGAIN else asked)(front.upstream) == ["first", "second"]


@streamed_or_not
@pytest.mark.parametrize("what", COOLING)
def test_an_account_that_cannot_cools_down_and_the_next_one_answers(
    front: Front, what: str, stream: bool
) -> None:
    script, expected = COOLING[what]
    fail(front.upstream, "first", script)
    fail(front.upstream, "second", answer(WELL))

    reply = front.gateway.ask(stream=stream)

    assert_answered_by_the_second(front, reply, what)
    assert reply.headers["x-gbproxy-attempts"] == "2"
    (cooling,) = told_of(front.gateway, reply)
    assert (cooling["event"], cooling["account"], cooling["quota"]) == (
        "account.cooling",
        "first",
        "text",
    )
    assert cooling["cause"] == expected.cause
    assert expected.least_s <= cooling["seconds"] <= expected.most_s
    assert next_asked(front.gateway, front.upstream) == "second"


@pytest.mark.parametrize(
    "what", ["401, also with a fresh token", "a token that is not one, also a fresh one", "403"]
)
def test_an_account_that_a_question_makes_suspect_is_looked_at_at_once_and_set_aside_if_it_is_refused(
    front: Front, what: str
) -> None:
    refuses = Gate()
    fail(front.upstream, "first", (refuses.closed, *SUSPECT[what]))
    fail(front.upstream, "second", answer(WELL))
    before = probes_of_the_first(front.gateway, "upstream_auth_failed")

    with ThreadPoolExecutor(1) as threads:
        asking = threads.submit(front.gateway.ask)
        # From here on a probe of an earlier test's may set it aside, too.
        assert front.upstream.wait_for(lambda: asked(front.upstream) == ["first"])
        fail(front.upstream, "first", http_error(403, "PERMISSION_DENIED"), path=LIST)
        refuses.open()
        reply = asking.result()

    assert_answered_by_the_second(front, reply, what)
    with Delays(front.gateway.worker_pids()) as delays:
        waited_s = until(
            lambda: probes_of_the_first(front.gateway, "upstream_auth_failed") > before
        )
    assert front.gateway.events("account.refused")[-1]["account"] == "first"
    assert waited_s < 5 + delays.total_s
    assert next_asked(front.gateway, front.upstream) == "second"


@streamed_or_not
@pytest.mark.parametrize("what", SUSPECT)
def test_a_question_that_one_account_is_refused_is_answered_by_another_and_costs_none(
    front: Front, what: str, stream: bool
) -> None:
    fail(front.upstream, "first", SUSPECT[what])
    fail(front.upstream, "second", answer(WELL))

    reply = front.gateway.ask(stream=stream)

    assert_answered_by_the_second(front, reply, what)
    assert front.gateway.log_of(reply, "attempt.failed")["code"] == "upstream_auth_failed"
    assert next_asked(front.gateway, front.upstream) == "first"
    assert told_of(front.gateway, reply) == []


@streamed_or_not
@pytest.mark.parametrize("what", SUSPECT)
def test_a_question_that_two_accounts_are_refused_is_put_down_to_the_request(
    front: Front, what: str, stream: bool
) -> None:
    front.upstream.script(*SUSPECT[what], times=math.inf)

    replies = [front.gateway.ask(stream=stream) for _ in range(2)]

    assert {(reply.status, reply.error["code"]) for reply in replies} == {(502, "upstream_error")}
    assert "put down to the request" in replies[0].error["message"]
    assert {*asked(front.upstream)} == {"first", "second"}
    assert [line for reply in replies for line in told_of(front.gateway, reply)] == []
    assert next_asked(front.gateway, front.upstream) == "first"


def test_with_one_account_the_next_question_is_answered_at_once_and_nothing_flashes() -> None:
    with Simulator() as upstream, in_process(accounts(upstream, 1), ADMIN_KEY=ADMIN) as gateway:
        for script in SUSPECT.values():
            upstream.clear_scripts()
            upstream.script(*script, path=STREAM, times=math.inf)
            poisoned = [gateway.ask() for _ in range(2)]
            upstream.clear_scripts()
            harmless = gateway.ask()
            listed = gateway.request("GET", "/api/admin/accounts", headers=AS_ADMIN)

            assert {(reply.status, reply.error["code"]) for reply in poisoned} == {
                (502, "upstream_auth_failed")
            }
            assert harmless.succeeded
            assert harmless.headers["x-gbproxy-attempts"] == "1"
            assert [account["state"] for account in listed.json()["accounts"]] == ["ready"]


@pytest.mark.slow
@pytest.mark.parametrize("what", ["401, also with a fresh token", "403"])
def test_two_hundred_poisoned_questions_start_no_storm_of_probes_or_sign_ins(
    front: Front, what: str
) -> None:
    front.upstream.script(*SUSPECT[what], path=STREAM, times=math.inf)
    started = time.monotonic()

    def ask_many(stream: bool) -> set[int]:
        with front.gateway.call() as call:
            return {call.ask(stream=stream).reply().status for _ in range(25)}

    with ThreadPoolExecutor(8) as threads:
        statuses = set().union(*threads.map(ask_many, [False, True] * 4))
    seconds = time.monotonic() - started

    assert statuses == {502}
    most = 2 * (seconds / PAUSE_S + 3)  # two accounts, and what the test before has put down
    until(lambda: front.upstream.calls(LIST))
    assert len(front.upstream.calls(LIST)) <= most
    # 8 at once
    assert len(front.upstream.calls("getoxsrf")) <= 2 * (
        MAX_FAILED_RENEWALS * (seconds / FAILED_RENEWALS_WITHIN_S + 1) + 8
    )
    assert next_asked(front.gateway, front.upstream) == "first"


def test_a_probe_that_cannot_be_made_decides_nothing(front: Front) -> None:
    fail(front.upstream, "first", denied())
    front.upstream.script(*http_error(500, "INTERNAL"), path=LIST, times=math.inf)
    before = probes_of_the_first(front.gateway, "upstream_error")

    reply = front.gateway.ask()

    until(lambda: probes_of_the_first(front.gateway, "upstream_error") > before)
    assert reply.succeeded
    assert next_asked(front.gateway, front.upstream) == "first"


@streamed_or_not
@pytest.mark.parametrize("what", UNHARMED)
def test_an_account_that_fails_without_a_fault_of_its_own_is_asked_again_next_time(
    front: Front, what: str, stream: bool
) -> None:
    fail(front.upstream, "first", UNHARMED[what])
    fail(front.upstream, "second", answer(WELL))

    reply = front.gateway.ask(stream=stream)

    assert_answered_by_the_second(front, reply, what)
    assert told_of(front.gateway, reply) == []
    assert next_asked(front.gateway, front.upstream) == "first"


@streamed_or_not
@pytest.mark.parametrize(
    "script", [session_not_found(), http_error(401, "UNAUTHENTICATED")], ids=["404", "401"]
)
def test_what_a_fresh_start_cures_costs_no_account(
    front: Front, script: Script, stream: bool
) -> None:
    fail(front.upstream, "first", script, times=1)
    fail(front.upstream, "first", answer(WELL))

    reply = front.gateway.ask(stream=stream)

    assert reply.text == WELL
    assert asked(front.upstream) == ["first", "first"]
    assert told_of(front.gateway, reply) == []


# The way to the answer: in an app of its own, whose first request finds nothing made ready


@dataclass(frozen=True)
class OnTheWay:
    path: str
    script: Script
    is_refused: bool


ON_THE_WAY = {
    "403 at the sign-in": OnTheWay("getoxsrf", html_reply(403, "No"), True),
    "401 at the sign-in": OnTheWay("getoxsrf", html_reply(401, "No"), True),
    "502 at the sign-in": OnTheWay("getoxsrf", html_error(502), False),
    "a reset at the sign-in": OnTheWay("getoxsrf", (Rst(),), False),
    "403 for the session": OnTheWay("widgetCreateSession", denied(), True),
    "401 for the session": OnTheWay(
        "widgetCreateSession", http_error(401, "UNAUTHENTICATED"), True
    ),
    "400 for the session": OnTheWay(
        "widgetCreateSession", http_error(400, "INVALID_ARGUMENT"), False
    ),
    "500 for the session": OnTheWay("widgetCreateSession", http_error(500, "INTERNAL"), False),
}


@pytest.mark.parametrize("what", ON_THE_WAY)
def test_an_account_that_fails_on_the_way_to_the_answer_is_got_over(what: str) -> None:
    case = ON_THE_WAY[what]
    with (
        Simulator() as upstream,
        in_process(accounts(upstream, 2), ACCOUNT_ORDER="first") as gateway,
    ):
        upstream.script(
            *case.script, path=case.path, csesidx=upstream.account.csesidx, times=math.inf
        )

        replies = [gateway.ask(f"Question {number}") for number in range(2)]

        called = {call.csesidx for call in upstream.calls(case.path)}
        assert upstream.account.csesidx in called
        assert asked(upstream) == ["second", "second"]
    assert [reply.status for reply in replies] == [200, 200]
    attempts = [reply.headers["x-gbproxy-attempts"] for reply in replies]
    assert attempts == (["2", "1"] if case.is_refused else ["2", "2"])


# The request's own fault

OWN_FAULTS: dict[str, tuple[Script, int, str | None]] = {
    "malformed": (
        http_error(400, "INVALID_ARGUMENT", "Invalid value."),
        400,
        "invalid_request_error",
    ),
    "malformed, in the stream": (
        in_stream_error(400, "INVALID_ARGUMENT", "No."),
        400,
        "invalid_request_error",
    ),
    "a file that is not taken": (
        http_error(400, "INVALID_ARGUMENT", "Unsupported file type: x/y"),
        400,
        "invalid_request_error",
    ),
    "too long": (
        http_error(
            400,
            "INVALID_ARGUMENT",
            "The input token count exceeds the maximum number of tokens allowed.",
        ),
        400,
        "context_length_exceeded",
    ),
    "too long, by its reason": (prompt_too_large(), 400, "context_length_exceeded"),
    "too long, by its reason, in the stream": (
        prompt_too_large(in_stream=True),
        400,
        "context_length_exceeded",
    ),
    "too long, in other words": (
        http_error(400, "INVALID_ARGUMENT", "The query exceeded the maximum length"),
        400,
        "context_length_exceeded",
    ),
    "too long, in other words in the stream": (
        in_stream_error(400, "INVALID_ARGUMENT", "Request payload size exceeds the limit."),
        400,
        "context_length_exceeded",
    ),
    "against the policy": (policy_violation(), 200, None),
    "a banned phrase": (banned_phrase("moon"), 200, None),
    "no question": (not_seeking_assistance(), 200, None),
}


@streamed_or_not
@pytest.mark.parametrize("what", OWN_FAULTS)
def test_the_requests_own_fault_is_told_at_once_and_costs_no_account(
    front: Front, what: str, stream: bool
) -> None:
    script, status, code = OWN_FAULTS[what]
    front.upstream.script(*script, times=math.inf)

    reply = front.gateway.ask(stream=stream)

    assert reply.status == status
    assert reply.finish_reason == "content_filter" if code is None else reply.error["code"] == code
    assert asked(front.upstream) == ["first"]
    assert told_of(front.gateway, reply) == []
    assert next_asked(front.gateway, front.upstream) == "first"


UNCLEAR = {
    "FAILED alone": failed_alone(),
    "FAILED_PRECONDITION": failed_precondition(),
    "no answer at all": empty_array(),
    "thoughts only": thoughts_only(),
    "404 in fresh sessions": session_not_found(),
    "a status that nobody knows": http_error(418, "TEAPOT"),
}


@streamed_or_not
@pytest.mark.parametrize("what", UNCLEAR)
def test_what_two_accounts_fail_alike_without_saying_why_is_put_down_to_the_request(
    front: Front, what: str, stream: bool
) -> None:
    front.upstream.script(*UNCLEAR[what], times=math.inf)

    reply = front.gateway.ask(stream=stream)

    assert (reply.status, reply.error["code"]) == (502, "upstream_error")
    assert reply.headers["x-should-retry"] == "false"
    assert tried(front.upstream) == ["first", "second"]
    assert told_of(front.gateway, reply) == []
    assert next_asked(front.gateway, front.upstream) == "first"


def test_two_accounts_need_not_fail_in_the_same_unclear_way(front: Front) -> None:
    fail(front.upstream, "first", failed_alone())
    fail(front.upstream, "second", thoughts_only())

    reply = front.gateway.ask()

    assert (reply.status, reply.error["code"]) == (502, "upstream_error")
    assert asked(front.upstream) == ["first", "second"]


# Once something was said

AFTER_CONTENT = {
    "busy": (
        in_stream_error(texts=("Half ",), reason="LLM_OVERLOADED"),
        "upstream_overloaded",
        "second",
    ),
    "out of quota": (in_stream_error(texts=("Half ",)), "insufficient_quota", "second"),
    "failed": (failed_alone("Half "), "upstream_error", "first"),
    "cut": ((Text("Half "), Fin()), "upstream_error", "first"),
    "reset": ((Text("Half "), Rst()), "upstream_error", "first"),
    "gone": (
        in_stream_error(404, "NOT_FOUND", "No session.", texts=("Half ",)),
        "upstream_error",
        "first",
    ),
}


@streamed_or_not
@pytest.mark.parametrize("what", AFTER_CONTENT)
def test_no_other_account_is_asked_once_something_was_said(
    front: Front, what: str, stream: bool
) -> None:
    script, code, then = AFTER_CONTENT[what]
    fail(front.upstream, "first", script)

    reply = front.gateway.ask(stream=stream)

    assert not reply.succeeded
    assert reply.error["code"] == code
    assert reply.status == 200 if stream else reply.status >= 400
    assert asked(front.upstream) == ["first"]
    assert next_asked(front.gateway, front.upstream) == then


# When nobody can


@dataclass(frozen=True)
class Told:
    status: int
    code: str
    retry_after_s: tuple[float, float] | None = None
    should_retry: str | None = None


REFUSED: Script = ()  # the account's credential is known to be refused
DRY: dict[str, tuple[tuple[Script, Script, Script], Told]] = {
    "all busy": (
        (overloaded(40), overloaded(30), overloaded(50)),
        Told(503, "upstream_overloaded", (29, 30)),
    ),
    "all busy, without saying for how long": (
        (overloaded(), overloaded(), overloaded()),
        Told(503, "upstream_overloaded", (4, 15)),
    ),
    "all out of quota": (
        (quota(daily=True), quota(), quota(retry_delay_s=90)),
        Told(429, "insufficient_quota", (59, 60), "false"),
    ),
    "all refused": ((REFUSED, REFUSED, REFUSED), Told(502, "upstream_auth_failed", None, "false")),
    "one busy": ((REFUSED, quota(), overloaded(90)), Told(503, "upstream_overloaded", (59, 60))),
    "one out of quota": (
        (REFUSED, quota(retry_delay_s=20), REFUSED),
        Told(429, "insufficient_quota", (19, 20), "false"),
    ),
    "all broken": (
        (html_error(500), (Rst(),), http_error(500, "INTERNAL")),
        Told(502, "upstream_error", None, "false"),
    ),
    "two out of quota, and one that does well the second time": (
        (quota(), quota(), (Rst(),)),
        Told(200, ""),
    ),
}
ONCE_MORE = {"all broken", "two out of quota, and one that does well the second time"}


@streamed_or_not
@pytest.mark.parametrize("what", DRY)
def test_when_nobody_can_the_client_hears_what_is_true_of_all(
    front: Front, what: str, stream: bool
) -> None:
    scripts, told = DRY[what]
    began_at = time.monotonic()
    fail_all(front, scripts, times=1 if told.status == 200 else math.inf)

    reply = front.gateway.ask(stream=stream)

    assert reply.status == told.status
    assert tried(front.upstream) == [
        name for name, script in zip(NAMES, scripts, strict=True) if script
    ]
    if what in ONCE_MORE:
        assert asked(front.upstream)[3:] == ["third"]
    if told.status != 200:
        assert reply.error["code"] == told.code
        assert reply.headers["x-should-retry"] == told.should_retry
        assert_hint(reply, told.retry_after_s, took_s=time.monotonic() - began_at)


def fail_all(front: Front, scripts: tuple[Script, Script, Script], times: float = math.inf) -> None:
    for name, script in zip(NAMES, scripts, strict=True):
        if script:
            fail(front.upstream, name, script, times)
        else:
            set_aside(front, name)


def assert_hint(reply: Reply, expected_s: tuple[float, float] | None, took_s: float) -> None:
    """`took_s`: at most so long an account cools already."""
    hint = reply.headers["Retry-After"]
    if expected_s is None:
        assert hint is None
    else:
        assert expected_s[0] - took_s <= int(hint) <= math.ceil(expected_s[1])


@pytest.mark.parametrize(
    "what", ["all busy", "all out of quota", "all refused", "one busy", "one out of quota"]
)
def test_while_nobody_can_the_upstream_is_left_alone_and_clients_hear_the_same(
    front: Front, what: str
) -> None:
    scripts, told = DRY[what]
    began_at = time.monotonic()
    fail_all(front, scripts)
    front.gateway.ask()
    before = asked(front.upstream)

    replies = [front.gateway.ask(stream=stream) for stream in (False, True) for _ in range(3)]

    assert asked(front.upstream) == before
    assert {(reply.status, reply.error["code"]) for reply in replies} == {(told.status, told.code)}
    took_s = time.monotonic() - began_at
    for reply in replies:
        assert_hint(reply, told.retry_after_s, took_s)


def test_the_one_that_is_left_is_waited_for_when_others_are_out(front: Front) -> None:
    fail(front.upstream, "first", quota())
    set_aside(front, "second")
    fail(front.upstream, "third", answer(WELL, first_byte_s=0.3))

    with ThreadPoolExecutor(12) as threads:
        replies = list(
            threads.map(lambda number: front.gateway.ask(f"Question {number}"), range(12))
        )

    assert [reply.text for reply in replies] == [WELL] * 12
    assert asked(front.upstream).count("third") == 12


@pytest.mark.parametrize(
    ("most", "script", "expected"),
    [
        (1, overloaded(), ["first"]),
        (1, http_error(500, "INTERNAL"), ["first", "first"]),
        (2, quota(), ["first", "second"]),
        (2, http_error(500, "INTERNAL"), ["first", "second", "second"]),
        (3, quota(), ["first", "second", "third"]),
    ],
)
def test_no_more_accounts_are_tried_than_allowed(
    most: int, script: Script, expected: list[str]
) -> None:
    with Simulator() as upstream:
        environment = accounts(upstream, 3)
        with in_process(environment, ACCOUNT_ORDER="first", MAX_ATTEMPTS=str(most)) as gateway:
            upstream.script(*script, times=math.inf)

            reply = gateway.ask()

        assert asked(upstream) == expected
    assert not reply.succeeded


def test_a_quota_of_one_kind_of_request_is_no_quota_of_another(front: Front) -> None:
    fail(front.upstream, "first", quota(), times=1)

    picture = front.gateway.ask("Draw the moon", model="pictures")
    text, another = front.gateway.ask("Hello"), front.gateway.ask("Draw the sun", model="pictures")

    assert all(reply.succeeded for reply in (picture, text, another))
    assert asked(front.upstream) == ["first", "second", "first", "second"]


NO_PICTURES: dict[str, Script] = {
    "in the message": http_error(
        429, "RESOURCE_EXHAUSTED", "Quota exceeded for image generation requests."
    ),
    "of the day": http_error(429, "RESOURCE_EXHAUSTED", "Daily limit of generated images reached."),
    "in details": json_reply(
        429,
        error_object(
            429,
            "RESOURCE_EXHAUSTED",
            "No.",
            [{"@type": "QuotaFailure", "violations": [{"quotaId": "ImagesPerDay"}]}],
        ),
    ),
    "in the stream": in_stream_error(message="Image quota per day used up."),
}


@streamed_or_not
@pytest.mark.parametrize("what", NO_PICTURES)
def test_a_used_up_quota_of_pictures_parks_no_text(front: Front, what: str, stream: bool) -> None:
    fail(front.upstream, "first", NO_PICTURES[what], times=1)

    drawn = front.gateway.ask("Draw the moon", stream=stream)
    text, picture = front.gateway.ask("Hello"), front.gateway.ask("Draw the sun", model="pictures")

    assert all(reply.succeeded for reply in (drawn, text, picture))
    assert asked(front.upstream) == ["first", "second", "first", "second"]
    (cooling,) = told_of(front.gateway, drawn)
    assert (cooling["event"], cooling["account"], cooling["quota"]) == (
        "account.cooling",
        "first",
        "images",
    )
    with_pictures = ["imageGenerationSpec" in tools for tools in tools_sent(front.upstream)]
    assert with_pictures == [True, True, False, True]


def test_where_no_account_has_pictures_left_text_is_answered_without_their_tool(
    front: Front,
) -> None:
    front.upstream.script(*NO_PICTURES["of the day"], times=3)

    drawn = front.gateway.ask("Draw the moon")
    text, picture = front.gateway.ask("Hello"), front.gateway.ask("Draw the sun", model="pictures")

    assert drawn.succeeded
    assert text.succeeded
    assert (picture.status, picture.error["code"]) == (429, "insufficient_quota")
    assert asked(front.upstream) == [*NAMES, "third", "first"]
    assert ["imageGenerationSpec" in tools for tools in tools_sent(front.upstream)] == [
        True
    ] * 3 + [False] * 2


def tools_sent(upstream: SharedUpstream) -> list[list[str]]:
    return [list(call.body["streamAssistRequest"]["toolsSpec"]) for call in upstream.calls(STREAM)]


# Many of them


@pytest.mark.slow
def test_a_thousand_poisoned_requests_cost_no_account_anything(
    front: Front, record_property: Record
) -> None:
    front.upstream.script(*http_error(400, "INVALID_ARGUMENT", "Poison."), times=1000)

    def ask_many(stream: bool) -> list[Reply]:
        with front.gateway.call() as call:
            return [call.ask(stream=stream).reply() for _ in range(125)]

    with ThreadPoolExecutor(8) as threads:
        replies = [reply for some in threads.map(ask_many, [False, True] * 4) for reply in some]
    good = [front.gateway.ask("Hello") for _ in range(3)]

    assert {(reply.status, reply.error["code"]) for reply in replies} == {
        (400, "invalid_request_error")
    }
    assert all(reply.succeeded for reply in good)
    assert {reply.headers["x-gbproxy-attempts"] for reply in good} == {"1"}
    # What a busy machine adds is not the same each time.
    elapsed_ms = min(front.gateway.log_of(reply)["elapsed_ms"] for reply in good)
    record_property("measured", f"after a thousand poisoned requests: answered in {elapsed_ms} ms")
    assert elapsed_ms < 500
    assert asked(front.upstream)[-1] == "first"
    assert len(replies) == 1000
    assert not [
        line
        for line in front.gateway.log_lines()
        if line["event"].startswith("account.") and line["request_id"] == "call"
    ]


@pytest.mark.parametrize("what", UNCLEAR)
def test_a_question_that_no_account_can_answer_puts_none_out_of_use(
    front: Front, what: str
) -> None:
    front.upstream.script(*UNCLEAR[what], times=math.inf)

    with ThreadPoolExecutor(8) as threads:
        replies = list(
            threads.map(lambda number: front.gateway.ask(stream=number % 2 == 0), range(40))
        )

    assert {reply.status for reply in replies} == {502}
    assert next_asked(front.gateway, front.upstream) == "first"


# A whole upstream that is away


def test_after_an_outage_of_the_network_the_next_request_is_answered(
    tmp_path: Path, record_property: Record
) -> None:
    own = {"DATABASE_URL": f"sqlite:///{tmp_path}/own.db", "SECRET_KEY": "a-secret-key-for-tests-1"}
    # None of those that the system gives to others while it is free: they would answer.
    port = free_port()
    upstream = SharedUpstream(port=port)
    environment = accounts(upstream, 2) | own
    with killed_in_the_end(environment) as gateway:
        assert gateway.ask().succeeded
        upstream.close()

        with ThreadPoolExecutor(8) as threads:
            replies = list(
                threads.map(lambda number: gateway.ask(stream=number % 2 == 0), range(40))
            )

        with SharedUpstream(port=port) as again, Delays(gateway.worker_pids()) as delays:
            accounts(again, 2)
            waited_s = until(lambda: gateway.ask().succeeded)
        blamed = [
            line
            for line in gateway.log_lines()
            if line["event"] in ("account.cooling", "account.refused")
        ]

    assert {(reply.status, reply.error["code"]) for reply in replies} == {(502, "upstream_error")}
    record_property(
        "measured", f"upstream refused connections: answered again after {waited_s:.2f} s"
    )
    assert waited_s < 3 + delays.total_s
    assert blamed == []


def test_an_outage_that_names_its_end_is_over_when_it_says(
    front: Front, record_property: Record
) -> None:
    front.upstream.script(
        *http_error(503, "UNAVAILABLE", headers={"Retry-After": "2"}), times=math.inf
    )
    began_at = time.monotonic()

    with ThreadPoolExecutor(8) as threads:
        replies = list(
            threads.map(lambda number: front.gateway.ask(stream=number % 2 == 0), range(40))
        )
    lasted_s = time.monotonic() - began_at
    asked_of = len(asked(front.upstream))
    front.upstream.clear_scripts()
    over_at, last_refused_at = time.monotonic(), -math.inf

    def is_answered() -> bool:
        nonlocal last_refused_at
        asked_at = time.monotonic()
        is_well = front.gateway.ask().succeeded
        last_refused_at = last_refused_at if is_well else asked_at
        return is_well

    waited_s = until(is_answered, every_s=0.1)

    assert {(reply.status, reply.error["code"]) for reply in replies} == {
        (503, "upstream_overloaded")
    }
    assert {reply.headers["Retry-After"] for reply in replies} <= {"1", "2"}
    assert {reply.headers["x-should-retry"] for reply in replies} == {None}
    # Those that came at once; the others found nobody to ask, or came when the time was up.
    assert asked_of <= 3 * 8 * (1 + int(lasted_s))
    record_property(
        "measured",
        f"upstream was unavailable for 2 s by its word: answered again after {waited_s:.2f} s",
    )
    # What was asked later was answered within these 3.5 s, or late as a busy machine asked late.
    assert last_refused_at - over_at < 3.4


def test_an_outage_that_does_not_name_its_end_is_over_within_seconds(front: Front) -> None:
    front.upstream.script(*html_error(503), times=math.inf)

    reply = front.gateway.ask()

    assert 1 <= int(reply.headers["Retry-After"]) <= 15
    cooled = told_of(front.gateway, reply)
    assert [line["account"] for line in cooled] == [*NAMES]
    assert all(
        line["cause"] == "overload" and line["strikes"] == 0 and line["seconds"] <= 15
        for line in cooled
    )


def test_a_timeout_of_one_account_is_got_over() -> None:
    with Simulator() as upstream:
        environment = accounts(upstream, 2)
        with in_process(environment, ACCOUNT_ORDER="first", READ_TIMEOUT_S="3") as gateway:
            upstream.script(HoldHeaders(), path=STREAM, csesidx=upstream.account.csesidx)

            replies = [gateway.ask(stream=True), gateway.ask()]

        assert asked(upstream) == ["first", "second", "first"]
    assert all(reply.succeeded for reply in replies)
