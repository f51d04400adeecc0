"""What an error carries of the upstream's own words, and which of them may be shown."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gbproxy.errors import (
    ContextLengthExceeded,
    GatewayError,
    QuotaExhausted,
    RequestRefused,
    UpstreamBroken,
    UpstreamUnclear,
)
from gbproxy.outbound import Reply
from gbproxy.upstreams.stream_assist.google_errors import from_error, from_reply
from gbproxy.upstreams.stream_assist.words import Heard

MARK = "MESSAGEMARK you wrote: my secret diary"
DAILY = {
    "@type": "type.googleapis.com/google.rpc.ErrorInfo",
    "reason": "RATE_LIMIT_EXCEEDED",
    "domain": "discoveryengine.googleapis.com",
    "metadata": {
        "consumer": "projects/123456789012",
        "quota_metric": "discoveryengine.googleapis.com/assist_requests",
        "quota_limit": "AssistRequestsPerDayPerProjectPerUser",
    },
}
VIOLATION = {
    "violations": [
        {"subject": f"user:{MARK}", "description": MARK, "quotaId": "AssistRequestsPerUser"}
    ]
}


def error(code: int, status: object, *details: object) -> dict[str, Any]:
    return {"code": code, "status": status, "message": MARK, "details": list(details)}


def heard(reply: Reply, verb: str = "createSession") -> GatewayError:
    with pytest.raises(GatewayError) as caught, Heard(verb, reply, reply.body):
        raise from_reply(reply.status, reply.headers, reply.body)
    return caught.value


def test_all_that_a_reply_said_is_carried_and_its_words_are_safe() -> None:
    body = json.dumps({"error": error(429, "RESOURCE_EXHAUSTED", DAILY, VIOLATION)}).encode()

    said = heard(Reply(429, {"Content-Type": "application/json; charset=UTF-8"}, (), body)).said

    assert said is not None
    assert said.safe() == {
        "verb": "createSession",
        "http_status": 429,
        "content_type": "application/json",
        "status": "RESOURCE_EXHAUSTED",
        "reasons": ["RATE_LIMIT_EXCEEDED"],
        "domain": "discoveryengine.googleapis.com",
        "quotas": [
            "AssistRequestsPerDayPerProjectPerUser",
            "discoveryengine.googleapis.com/assist_requests",
            "AssistRequestsPerUser",
        ],
    }
    assert (said.message, said.body) == (MARK, body)
    assert "MARK" not in repr(said)


def test_a_page_in_place_of_an_error_says_its_status_and_type_alone() -> None:
    page = Reply(
        403, {"Content-Type": "text/html; charset=UTF-8"}, (), f"<html>{MARK}</html>".encode()
    )

    words = heard(page, "getoxsrf").safe_words

    assert words == {"verb": "getoxsrf", "http_status": 403, "content_type": "text/html"}


@pytest.mark.parametrize(
    "detail",
    [
        {"reason": MARK, "domain": MARK, "metadata": {"quotaId": MARK}},
        {
            "reason": "ada",
            "domain": "ada@example.com",
            "metadata": {"quota_limit": "ada@example.com"},
        },
        {"reason": ["NO_TEXT"], "domain": 7, "metadata": [MARK], "violations": {"quotaId": MARK}},
        {"reason": "N" * 200, "violations": [MARK, {"quotaId": {"a": MARK}}]},
    ],
)
def test_what_is_no_word_is_not_taken_for_one(detail: dict[str, Any]) -> None:
    found = from_error(error(400, MARK, detail, MARK))

    assert found.safe_words == {}


def test_few_words_are_kept_and_little_of_the_body() -> None:
    reasons = [{"reason": f"REASON_{letter}"} for letter in "ABCDEFGH"]

    said = from_reply(
        400, {}, json.dumps({"error": error(400, "ABORTED", *reasons)}).encode() + b" " * 9000
    ).said

    assert said is not None
    assert said.reasons == ("REASON_A", "REASON_B", "REASON_C", "REASON_D", "REASON_E")
    assert len(said.body) == 8192


def test_an_error_that_is_made_from_another_says_the_same() -> None:
    first = from_error(error(400, "INVALID_ARGUMENT"))

    with pytest.raises(UpstreamBroken) as caught:
        raise UpstreamBroken("the upstream would not open a session") from first

    assert caught.value.said == first.said


def test_an_error_without_a_reply_says_nothing() -> None:
    assert UpstreamBroken("the connection broke").safe_words is None


def test_an_element_that_cannot_be_used_is_told_with_its_reply() -> None:
    reply = Reply(200, {"Content-Type": "text/html"}, (), b"")

    with pytest.raises(UpstreamUnclear) as caught, Heard("streamAssist", reply):
        raise UpstreamUnclear("the upstream sent an empty answer")

    assert caught.value.safe_words == {
        "verb": "streamAssist",
        "http_status": 200,
        "content_type": "text/html",
    }


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 429, 500, 503])
def test_a_used_up_quota_is_known_by_its_reason_whatever_the_status(status: int) -> None:
    found = from_error(error(status, "UNAVAILABLE", {"reason": "QUOTA_EXCEEDED"}))

    assert isinstance(found, QuotaExhausted)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 429, 500, 503])
def test_too_large_a_prompt_is_known_by_its_reason_whatever_the_status(status: int) -> None:
    found = from_error(error(status, "UNAVAILABLE", {"reason": "PROMPT_TOO_LARGE"}))

    assert isinstance(found, ContextLengthExceeded)
    assert "maximum context length" in found.message
    assert "MARK" not in found.message


def test_the_message_of_a_refusal_is_for_the_client_alone() -> None:
    found = from_error(error(400, "INVALID_ARGUMENT"))

    assert isinstance(found, RequestRefused)
    assert found.message == MARK
    assert "MARK" not in found.own_words
