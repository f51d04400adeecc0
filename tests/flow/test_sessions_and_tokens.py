"""What a request leaves behind upstream, and what it costs: sessions, keys, tokens."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from gbproxy.simulator import (
    Action,
    Fin,
    Simulator,
    Text,
    answer,
    http_error,
    overloaded,
    thoughts_only,
)
from tests.support.chats import STREAM, Chat, deletions_of, session_of, used_sessions
from tests.support.gates import Gate
from tests.support.serving import Served, SharedUpstream, in_process

streamed_or_not = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


@streamed_or_not
def test_a_session_is_kept_after_a_whole_answer(
    gateway: Served, upstream: SharedUpstream, stream: bool
) -> None:
    chat = Chat(gateway)

    chat.say("First", stream=stream)
    chat.say("Second", stream=stream)

    (session,) = used_sessions(upstream)
    assert session.queries == ["First", "Second"]
    assert upstream.alive_sessions() == [session.short_name]


@streamed_or_not
@pytest.mark.parametrize(
    "script",
    [
        pytest.param(overloaded(), id="failure"),
        pytest.param(thoughts_only(), id="no answer"),
        pytest.param((Text("Half"), Fin()), id="half"),
    ],
)
def test_a_session_is_deleted_after_what_was_no_whole_answer(
    gateway: Served, upstream: SharedUpstream, script: tuple[Action, ...], stream: bool
) -> None:
    upstream.script(*script)

    gateway.ask(stream=stream)

    session, *_ = used_sessions(upstream)
    assert upstream.wait_for(lambda: session.deleted)
    assert deletions_of(upstream).count(session.short_name) == 1


@streamed_or_not
def test_without_conversations_a_session_is_made_for_a_request_and_deleted_after_it(
    stream: bool,
) -> None:
    with (
        SharedUpstream() as upstream,
        in_process(upstream.environment(), SESSION_TIMEOUT="0") as gateway,
    ):
        chat = Chat(gateway)
        replies = [
            chat.ask([*chat.messages, {"role": "user", "content": text}], stream=stream)
            for text in "ab"
        ]
        sessions = used_sessions(upstream)

        assert upstream.wait_for(lambda: all(session.deleted for session in sessions))
        created = upstream.calls("widgetCreateSession")
        deleted = deletions_of(upstream)

    assert all(reply.succeeded for reply in replies)
    assert [session.queries for session in sessions] == [["a"], ["b"]]
    assert all(deleted.count(session.short_name) == 1 for session in sessions)
    wanted = {"session": {"name": "", "displayName": ""}}
    assert [call.body["createSessionRequest"] for call in created] == [wanted] * len(created)


@streamed_or_not
def test_the_answer_does_not_wait_for_the_deletion(
    gateway: Served, upstream: SharedUpstream, stream: bool
) -> None:
    chat = Chat(gateway)
    chat.say("Sign in, should it be time")
    (session,) = used_sessions(upstream)
    delay_s = 2.5  # longer than a busy machine holds up one answer
    upstream.set(control_delay_s=delay_s)
    upstream.script(Text("Half "), Fin())

    started = time.monotonic()
    reply = chat.say("Go on", stream=stream)
    elapsed_s = time.monotonic() - started

    assert not reply.succeeded
    assert session.queries == ["Sign in, should it be time", "Go on"]
    assert elapsed_s < delay_s
    assert upstream.wait_for(lambda: session.deleted)


def test_no_session_is_used_by_two_conversations(gateway: Served, upstream: SharedUpstream) -> None:
    for _ in range(3):
        gateway.ask()

    assert len({session_of(call) for call in upstream.calls(STREAM)}) == 3


def test_a_lost_session_gets_one_fresh_one(gateway: Served, upstream: SharedUpstream) -> None:
    upstream.script(*http_error(404, "NOT_FOUND", "Session not found."))

    reply = gateway.ask()

    assert reply.succeeded
    lost, fresh = [session_of(call) for call in upstream.calls(STREAM)]
    assert lost != fresh
    assert gateway.log_of(reply)["attempts"] == 2


@streamed_or_not
def test_a_revoked_token_is_replaced_once(
    gateway: Served, upstream: SharedUpstream, stream: bool
) -> None:
    gateway.ask()
    upstream.reset()
    upstream.revoke_tokens()

    first, second = gateway.ask(stream=stream), gateway.ask(stream=stream)

    assert first.succeeded
    assert second.succeeded
    assert len(upstream.calls("getoxsrf")) == 1


def test_a_token_serves_many_requests(gateway: Served, upstream: SharedUpstream) -> None:
    upstream.revoke_tokens()  # a fresh one is not so soon renewed, as the old one may be just now
    gateway.ask()
    upstream.reset()

    for _ in range(5):
        gateway.ask()

    assert upstream.calls("getoxsrf") == []


def test_one_sign_in_serves_all_who_wait_for_it(gateway: Served, upstream: SharedUpstream) -> None:
    gateway.ask()
    upstream.reset()
    upstream.revoke_tokens()
    upstream.set(control_delay_s=0.2)

    with ThreadPoolExecutor(20) as pool:
        replies = list(
            pool.map(
                lambda number: gateway.ask(f"Question {number}", stream=number % 2 == 0), range(20)
            )
        )

    assert all(reply.succeeded for reply in replies)
    assert len(upstream.calls("getoxsrf")) == 1
    assert sorted(upstream.questions()) == sorted(f"Question {number}" for number in range(20))


def test_a_first_sign_in_serves_all_who_wait_for_it_and_fails_for_all() -> None:
    with (
        Simulator() as upstream,
        in_process(upstream.environment(), ACCOUNT_CONCURRENCY="10") as gateway,
    ):
        upstream.set(getoxsrf="401", control_delay_s=2.5)  # by then all wait, on a busy machine too

        with ThreadPoolExecutor(10) as pool:
            replies = list(pool.map(gateway.ask, ["Hello"] * 10))

        assert [reply.status for reply in replies] == [502] * 10
        assert len(upstream.calls("getoxsrf")) == 1


@pytest.mark.parametrize("page", ["redirect", "page"])
def test_stale_cookies_are_renewed_once(page: str) -> None:
    with Simulator() as upstream, in_process(upstream.environment()) as gateway:
        stale = upstream.account.secure_c_ses
        upstream.set(getoxsrf="refreshcookies", refreshcookies_answer=page)

        first = gateway.ask()
        upstream.revoke_tokens()
        second = gateway.ask()

        renewals = upstream.calls("refreshcookies")
        cookies = [request.headers["cookie"] for request in upstream.calls("getoxsrf")]
        renewed = upstream.account.secure_c_ses
    assert first.succeeded
    assert second.succeeded
    assert len(renewals) == 1
    assert [f"__Secure-C_SES={stale};" in cookie for cookie in cookies] == [True, False, False]
    assert [f"__Secure-C_SES={renewed};" in cookie for cookie in cookies] == [False, True, True]
    assert not any("NID=" in cookie for cookie in cookies)


def test_cookies_are_not_taken_to_another_host() -> None:
    with (
        Simulator() as upstream,
        Simulator() as elsewhere,
        in_process(upstream.environment()) as gateway,
    ):
        upstream.set(
            getoxsrf="refreshcookies_elsewhere",
            elsewhere_url=f"{elsewhere.url}/auth/refreshcookies?continue=x",
        )

        reply = gateway.ask()

        assert reply.status == 502
        assert reply.error["code"] == "upstream_auth_failed"
        assert elsewhere.requests == []


@pytest.mark.parametrize("skew_s", [3600.0, -3600.0, 30.0])
def test_tokens_are_signed_for_the_upstreams_clock(skew_s: float) -> None:
    with Simulator() as upstream, in_process(upstream.environment()) as gateway:
        upstream.set(clock_skew_s=skew_s)

        reply = gateway.ask()

        assert reply.succeeded
        assert len(upstream.calls("getoxsrf")) == 1


def test_answers_are_spread_over_accounts_and_sessions_stay_with_their_own() -> None:
    with Simulator() as upstream:
        other = upstream.add_account()
        accounts = [
            {
                "name": name,
                "secure_c_ses": a.secure_c_ses,
                "csesidx": int(a.csesidx),
                "team_id": a.config_id,
                "x": 1,
            }
            for name, a in (("first", upstream.account), ("second", other))
        ]
        addresses = {
            name: value for name, value in upstream.environment().items() if name.endswith("_URL")
        }
        gate = Gate()
        upstream.script(gate.closed, *answer("Here."), times=2)

        with (
            in_process(addresses, ACCOUNTS=json.dumps(accounts)) as gateway,
            ThreadPoolExecutor(2) as pool,
        ):
            asked = [pool.submit(gateway.ask, "Hello") for _ in range(2)]
            assert upstream.wait_for(lambda: len(upstream.calls(STREAM)) == 2)
            gate.open()
            replies = [each.result() for each in asked]

        served = {request.csesidx for request in upstream.calls("widgetStreamAssist")}
    assert [reply.text for reply in replies] == ["Here.", "Here."]
    assert served == {upstream.account.csesidx, other.csesidx}
