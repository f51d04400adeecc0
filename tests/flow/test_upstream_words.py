"""What the upstream says when it refuses: its words reach the operator, its sentences and bodies
reach nobody.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from gbproxy.simulator import (
    Action,
    End,
    Failed,
    Fields,
    Head,
    Text,
    Write,
    connector_errors,
    details_only_error,
    http_error,
    in_stream_error,
    json_reply,
    message_only_error,
    policy_violation,
)
from gbproxy.simulator.scripting.google_errors import error_object
from tests.support.serving import Front, Reply, SharedUpstream, fronting
from tests.support.texts import TEXT

ADMIN_KEY = "an-admin-key-of-these-tests-0123"
MARK = "SENTENCEMARK: you wrote my secret diary, ada@example.com"
BODY = "BODYMARK"
INFO = "type.googleapis.com/google.rpc.ErrorInfo"
VERBS = ("widgetStreamAssist", "widgetCreateSession", "widgetListSessions", "getoxsrf")


@pytest.fixture(scope="module")
def front() -> Iterator[Front]:
    settings = {"LOG_LEVEL": "debug", "ADMIN_KEY": ADMIN_KEY, "MAX_ATTEMPTS": "1"}
    with SharedUpstream() as upstream, fronting(upstream, settings, prewarms=False) as made:
        yield made


def marked(status: int, word: str, reason: str = "SOME_REASON") -> tuple[Action, ...]:
    """A refusal with a mark wherever it may have a sentence."""
    details = [
        {
            "@type": INFO,
            "reason": reason,
            "domain": "discoveryengine.googleapis.com",
            "metadata": {"note": MARK},
        },
        {"violations": [{"subject": MARK, "description": MARK, "quotaId": "AssistsPerDay"}]},
        {"fieldViolations": [{"field": MARK, "description": MARK}]},
        {"locale": "en", "message": MARK, "reason": MARK, "domain": MARK},
    ]
    return json_reply(status, {**error_object(status, word, MARK, details), "more": BODY})


def page(status: int) -> tuple[Action, ...]:
    body = f"<html><title>{BODY}</title>{MARK}</html>"
    return Head(status, {"Content-Type": "text/html"}), Write(body.encode()), End()


FAILURES = [
    marked(400, "FAILED_PRECONDITION"),
    marked(400, "INVALID_ARGUMENT", "PROMPT_TOO_LARGE"),
    marked(401, "UNAUTHENTICATED"),
    marked(403, "PERMISSION_DENIED"),
    marked(404, "NOT_FOUND"),
    marked(409, "ABORTED"),
    marked(429, "RESOURCE_EXHAUSTED"),
    marked(429, "RESOURCE_EXHAUSTED", "LLM_OVERLOADED"),
    marked(403, "PERMISSION_DENIED", "QUOTA_EXCEEDED"),
    marked(500, "INTERNAL"),
    marked(503, "UNAVAILABLE"),
    marked(504, "DEADLINE_EXCEEDED"),
    marked(418, f"{MARK}"),
    message_only_error(500, MARK),
    details_only_error(500, MARK),
    json_reply(502, {"error": MARK}),
    page(403),
    page(200),
    page(502),
    (Head(302, {"Location": f"https://{BODY}.example/{BODY}"}), End()),
]
IN_STREAM = [
    in_stream_error(500, "INTERNAL", MARK, reason="SOME_REASON"),
    in_stream_error(429, "RESOURCE_EXHAUSTED", MARK, texts=("Hello",)),
    in_stream_error(400, "FAILED_PRECONDITION", MARK),
    in_stream_error(400, "INVALID_ARGUMENT", MARK, reason="PROMPT_TOO_LARGE"),
    connector_errors(message=MARK),
    connector_errors("Hello", message=MARK),
    policy_violation(violation=MARK, source="ATTACHMENT"),
    policy_violation(violation=MARK, source=MARK, verdict=MARK),
    (Fields(answer={"customerPolicyEnforcementResult": {"verdict": MARK}}), Failed(), End()),
    (Text(""), Write(f"[{BODY}".encode()), End()),
]


def administer(front: Front, method: str, path: str) -> Reply:
    return front.gateway.request(method, path, headers={"Authorization": f"Bearer {ADMIN_KEY}"})


def account(front: Front) -> dict[str, Any]:
    accounts: list[dict[str, Any]] = administer(front, "GET", "/api/admin/accounts").json()[
        "accounts"
    ]
    return accounts[0]


def test_a_failure_shows_its_words_in_the_log_to_administrators_and_in_the_figures(
    front: Front,
) -> None:
    front.renew()
    front.upstream.script(*marked(403, "PERMISSION_DENIED", "QUOTA_EXCEEDED"))

    reply = front.gateway.ask()

    words = {
        "verb": "streamAssist",
        "http_status": 403,
        "content_type": "application/json",
        "status": "PERMISSION_DENIED",
        "reasons": ["QUOTA_EXCEEDED"],
        "domain": "discoveryengine.googleapis.com",
        "quotas": ["AssistsPerDay"],
    }
    assert reply.error["code"] == "insufficient_quota"
    assert front.gateway.log_of(reply, "attempt.failed")["said"] == words
    assert account(front)["last_error_said"] == words
    figures = administer(front, "GET", "/metrics").body.decode()
    assert (
        'gbproxy_attempts_total{result="insufficient_quota",upstream_status="PERMISSION_DENIED"}'
        in figures
    )


@pytest.mark.slow
def test_no_sentence_and_no_body_of_the_upstream_is_shown_to_anybody(front: Front) -> None:
    """But for the client of a request that was refused as malformed, who learns why."""
    answers: list[bytes] = []
    for verb in VERBS:
        further = IN_STREAM if verb == "widgetStreamAssist" else [marked(400, "INVALID_ARGUMENT")]
        for number, script in enumerate([*FAILURES, *further]):
            front.renew()
            front.upstream.script(*script, path=verb, times=4)
            called = len(front.upstream.calls(verb))
            if verb in ("widgetStreamAssist", "widgetCreateSession"):
                answers.append(front.gateway.ask(stream=number % 2 == 1).body)
            else:
                if verb == "getoxsrf":
                    front.upstream.revoke_tokens()
                answers.append(administer(front, "POST", "/api/admin/accounts/default/check").body)
            assert len(front.upstream.calls(verb)) > called
            answers.append(administer(front, "GET", "/api/admin/accounts").body)
            answers.append(administer(front, "GET", "/api/cookies/status").body)
    answers.append(administer(front, "GET", "/metrics").body)
    log = front.gateway.process.stdout

    assert [answer for answer in answers if b"MARK" in answer or b"example.com" in answer] == []
    assert [line for line in log.splitlines() if "MARK" in line or "example.com" in line] == []
    assert {line["event"] for line in map(json.loads, log.splitlines())} >= {
        "attempt.failed",
        "account.probed",
        "account.refused",
        "account.cooling",
        "connectors.refused",
    }


def test_a_request_that_is_refused_as_malformed_learns_why_and_nobody_else_does(
    front: Front,
) -> None:
    front.renew()
    front.upstream.script(*marked(400, "INVALID_ARGUMENT"), times=2)

    reply = front.gateway.ask()

    assert (reply.status, reply.error["message"]) == (400, MARK)
    failed = front.gateway.log_of(reply, "attempt.failed")
    assert failed["said"]["reasons"] == ["SOME_REASON"]
    assert "MARK" not in json.dumps(failed)
    assert b"MARK" not in administer(front, "GET", "/api/admin/accounts").body


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("PROMPT", "The prompt was blocked"),
        ("ATTACHMENT", "An attachment of the prompt was blocked"),
    ],
)
def test_a_client_learns_what_was_blocked(
    front: Front, source: str, words: str, stream: bool
) -> None:
    front.renew()
    front.upstream.script(*policy_violation(source=source))

    reply = front.gateway.ask(stream=stream)

    assert (reply.status, reply.finish_reason) == (200, "content_filter")
    assert reply.text.startswith(words)


@pytest.mark.parametrize("texts", [(TEXT,), ()], ids=["answered", "empty"])
def test_connectors_that_could_not_sign_in_are_told(front: Front, texts: tuple[str, ...]) -> None:
    front.renew()
    front.upstream.script(*connector_errors(*texts))

    reply = front.gateway.ask()

    line = front.gateway.log_of(reply, "connectors.refused")
    assert (line["account"], line["kinds"]) == ("default", ["locations/-/dataConnector"])
    if texts:
        assert (reply.status, reply.text) == (200, TEXT)
    else:
        assert reply.status == 502
        assert "could not sign in" in reply.error["message"]


@pytest.mark.parametrize("script", [http_error, in_stream_error])
@pytest.mark.parametrize(
    ("status", "word"), [(503, "UNAVAILABLE"), (401, "UNAUTHENTICATED"), (400, "INVALID_ARGUMENT")]
)
def test_a_quota_is_known_by_its_reason_under_any_status(
    front: Front, script: Any, status: int, word: str
) -> None:
    front.renew()
    front.upstream.script(*script(status, word, reason="QUOTA_EXCEEDED"))

    assert front.gateway.ask().error["code"] == "insufficient_quota"
