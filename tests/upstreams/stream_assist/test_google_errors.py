"""Google's error bodies: which of our errors each one is, and how long to wait."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gbproxy.errors import (
    ConfigRefused,
    ContextLengthExceeded,
    CredentialRefused,
    GatewayError,
    QuotaExhausted,
    RequestRefused,
    SessionDenied,
    SessionGone,
    TokenRefused,
    UpstreamBroken,
    UpstreamError,
    UpstreamGaveUp,
    UpstreamOverloaded,
    UpstreamUnclear,
)
from gbproxy.upstreams.stream_assist.google_errors import from_error, from_reply, in_stream

PAGE = b"<!DOCTYPE html><html lang=en><title>Error 503 (Server Error)!!1</title></html>"


def google(
    code: int, status: str, message: str = "Something went wrong.", *details: dict[str, Any]
) -> dict[str, Any]:
    error = {
        "code": code,
        "message": message,
        "status": status,
        **({"details": list(details)} if details else {}),
    }
    return {"error": error}


def reason(word: str) -> dict[str, str]:
    return {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": word}


def delay(value: object) -> dict[str, object]:
    return {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": value}


def replied(status: int, body: object, headers: dict[str, str] | None = None) -> GatewayError:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return from_reply(status, headers or {}, data)


EXHAUSTED = google(429, "RESOURCE_EXHAUSTED")
OVERLOADED = google(429, "RESOURCE_EXHAUSTED", "Busy.", reason("LLM_OVERLOADED"))
BAD = google(400, "INVALID_ARGUMENT", "Request contains an invalid argument.")
MEANINGS: list[tuple[str, int, object, type[GatewayError], int, str]] = [
    ("overload by its reason", 429, OVERLOADED, UpstreamOverloaded, 503, "upstream_overloaded"),
    (
        "overload by its message",
        429,
        google(429, "RESOURCE_EXHAUSTED", "LLM_OVERLOADED: try later"),
        UpstreamOverloaded,
        503,
        "upstream_overloaded",
    ),
    (
        "unavailable",
        503,
        google(503, "UNAVAILABLE"),
        UpstreamOverloaded,
        503,
        "upstream_overloaded",
    ),
    ("a front end's page with 503", 503, PAGE, UpstreamOverloaded, 503, "upstream_overloaded"),
    ("quota", 429, EXHAUSTED, QuotaExhausted, 429, "insufficient_quota"),
    (
        "quota by another reason",
        429,
        google(429, "RESOURCE_EXHAUSTED", "No.", reason("RATE_LIMIT_EXCEEDED")),
        QuotaExhausted,
        429,
        "insufficient_quota",
    ),
    ("429 without a body", 429, b"", QuotaExhausted, 429, "insufficient_quota"),
    (
        "quota by its word alone",
        400,
        {"error": {"status": "RESOURCE_EXHAUSTED"}},
        QuotaExhausted,
        429,
        "insufficient_quota",
    ),
    (
        "a quota by its reason alone",
        403,
        google(403, "PERMISSION_DENIED", "No.", reason("QUOTA_EXCEEDED")),
        QuotaExhausted,
        429,
        "insufficient_quota",
    ),
    (
        "a call that is too large, which gRPC calls a used-up resource",
        429,
        google(429, "RESOURCE_EXHAUSTED", "Received message larger than max (5000000 vs. 4194304)"),
        ContextLengthExceeded,
        400,
        "context_length_exceeded",
    ),
    (
        "too long by its reason alone",
        400,
        google(
            400,
            "INVALID_ARGUMENT",
            "Request contains an invalid argument.",
            reason("PROMPT_TOO_LARGE"),
        ),
        ContextLengthExceeded,
        400,
        "context_length_exceeded",
    ),
    (
        "too long as a failed precondition",
        400,
        google(400, "FAILED_PRECONDITION", "The query exceeded the maximum length"),
        ContextLengthExceeded,
        400,
        "context_length_exceeded",
    ),
    (
        "too many files",
        400,
        google(400, "INVALID_ARGUMENT", "The number of files exceeds the maximum"),
        RequestRefused,
        400,
        "invalid_request_error",
    ),
    ("401", 401, google(401, "UNAUTHENTICATED"), TokenRefused, 502, "upstream_auth_failed"),
    ("401 with a page", 401, PAGE, TokenRefused, 502, "upstream_auth_failed"),
    (
        "a cookie that is not valid",
        400,
        google(400, "INVALID_ARGUMENT", "No.", reason("SESSION_COOKIE_INVALID")),
        TokenRefused,
        502,
        "upstream_auth_failed",
    ),
    ("403", 403, google(403, "PERMISSION_DENIED"), SessionDenied, 502, "upstream_auth_failed"),
    ("403 with a page", 403, PAGE, SessionDenied, 502, "upstream_auth_failed"),
    (
        "404",
        404,
        google(404, "NOT_FOUND", "Session not found."),
        SessionGone,
        502,
        "upstream_error",
    ),
    ("404 without a body", 404, b"", SessionGone, 502, "upstream_error"),
    (
        "a model that is gone",
        404,
        google(404, "NOT_FOUND", "Model x was not found."),
        RequestRefused,
        400,
        "invalid_request_error",
    ),
    (
        "a maximum of something else",
        400,
        google(
            400,
            "INVALID_ARGUMENT",
            "Invalid request: field mask maximum. The token count must exceed zero.",
        ),
        RequestRefused,
        400,
        "invalid_request_error",
    ),
    ("a malformed request", 400, BAD, RequestRefused, 400, "invalid_request_error"),
    (
        "a code that is no code",
        500,
        {"error": {"code": "9" * 5000}},
        UpstreamBroken,
        502,
        "upstream_error",
    ),
    ("400 without a body", 400, b"", RequestRefused, 400, "invalid_request_error"),
    (
        "400 with a message alone",
        400,
        {"message": "Missing."},
        RequestRefused,
        400,
        "invalid_request_error",
    ),
    (
        "details alone",
        429,
        {"details": [{"reason": "LLM_OVERLOADED", "assistToken": "t"}]},
        UpstreamOverloaded,
        503,
        "upstream_overloaded",
    ),
    (
        "a failed precondition",
        400,
        google(400, "FAILED_PRECONDITION"),
        UpstreamUnclear,
        502,
        "upstream_error",
    ),
    (
        "too long",
        400,
        google(
            400,
            "INVALID_ARGUMENT",
            "The input token count (1200000) exceeds the maximum of 1048576.",
        ),
        ContextLengthExceeded,
        400,
        "context_length_exceeded",
    ),
    (
        "a prompt too long",
        400,
        google(400, "INVALID_ARGUMENT", "Prompt is too long"),
        ContextLengthExceeded,
        400,
        "context_length_exceeded",
    ),
    ("413", 413, PAGE, ContextLengthExceeded, 400, "context_length_exceeded"),
    ("504", 504, PAGE, UpstreamGaveUp, 504, "upstream_timeout"),
    ("a deadline", 500, google(504, "DEADLINE_EXCEEDED"), UpstreamGaveUp, 504, "upstream_timeout"),
    ("500", 500, google(500, "INTERNAL"), UpstreamBroken, 502, "upstream_error"),
    ("500 with a page", 500, PAGE, UpstreamBroken, 502, "upstream_error"),
    ("418", 418, b"", UpstreamUnclear, 502, "upstream_error"),
    ("nonsense", 500, b"\xff\xfe\x00{", UpstreamBroken, 502, "upstream_error"),
    ("deep nesting", 500, b"[" * 100_000, UpstreamBroken, 502, "upstream_error"),
    ("a list of nothing", 500, b"[]", UpstreamBroken, 502, "upstream_error"),
    ("a number", 500, b"42", UpstreamBroken, 502, "upstream_error"),
    ("an error that is a text", 500, {"error": "broken"}, UpstreamBroken, 502, "upstream_error"),
    (
        "the body's code before the status",
        200,
        google(429, "RESOURCE_EXHAUSTED"),
        QuotaExhausted,
        429,
        "insufficient_quota",
    ),
    (
        "a code that is a text",
        500,
        {"error": {"code": "401"}},
        TokenRefused,
        502,
        "upstream_auth_failed",
    ),
    ("a redirect", 302, b"", UpstreamError, 502, "upstream_error"),
    ("a redirect with an error's body", 307, EXHAUSTED, UpstreamError, 502, "upstream_error"),
]


@pytest.mark.parametrize(
    ("status", "body", "error", "our_status", "code"),
    [row[1:] for row in MEANINGS],
    ids=[row[0] for row in MEANINGS],
)
def test_what_an_answer_means(
    status: int, body: object, error: type[GatewayError], our_status: int, code: str
) -> None:
    found = replied(status, body)

    assert type(found) is error
    assert (found.status, found.code) == (our_status, code)


@pytest.mark.parametrize(
    "row", [row for row in MEANINGS if isinstance(row[2], dict)], ids=lambda row: row[0]
)
def test_an_error_means_the_same_wrapped_in_an_array(
    row: tuple[str, int, object, type[GatewayError], int, str],
) -> None:
    _, status, body, error, _, _ = row

    assert type(replied(status, [body])) is error


@pytest.mark.parametrize(
    ("word", "error"),
    [
        ("UNAVAILABLE", UpstreamOverloaded),
        ("RESOURCE_EXHAUSTED", QuotaExhausted),
        ("UNAUTHENTICATED", TokenRefused),
        ("PERMISSION_DENIED", SessionDenied),
        ("NOT_FOUND", SessionGone),
        ("DEADLINE_EXCEEDED", UpstreamGaveUp),
        ("FAILED_PRECONDITION", UpstreamUnclear),
        ("INVALID_ARGUMENT", RequestRefused),
        ("OUT_OF_RANGE", RequestRefused),
        ("INTERNAL", UpstreamUnclear),
        ("", UpstreamUnclear),
    ],
)
def test_in_a_stream_the_word_alone_says_enough(word: str, error: type[GatewayError]) -> None:
    assert type(from_error({"status": word})) is error


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (429, QuotaExhausted),
        (503, UpstreamOverloaded),
        (401, TokenRefused),
        (403, SessionDenied),
        (404, SessionGone),
    ],
)
def test_in_a_stream_the_code_alone_says_enough(code: int, error: type[GatewayError]) -> None:
    assert type(from_error({"code": code})) is error


# What the client is told


def test_the_request_s_own_fault_is_told_in_the_upstream_s_words() -> None:
    assert replied(400, BAD).message == "Request contains an invalid argument."


def test_a_long_message_is_cut() -> None:
    assert len(replied(400, google(400, "INVALID_ARGUMENT", "x" * 5000)).message) == 500


def test_a_refused_model_and_a_long_prompt_name_their_fields() -> None:
    model = replied(404, google(404, "NOT_FOUND", "The model is not available."))
    prompt = replied(400, google(400, "INVALID_ARGUMENT", "The prompt is too long."))

    assert (model.param, prompt.param) == ("model", "messages")


@pytest.mark.parametrize("status", [429, 401, 403, 404, 500, 503])
def test_what_is_not_the_request_s_fault_is_told_in_our_words(status: int) -> None:
    secret = google(status, "", "The cookie CSE.Ad123 of ada@example.com")

    message = replied(status, secret).message

    assert "CSE." not in message
    assert "ada@" not in message


@pytest.mark.parametrize(
    ("denied", "advice"),
    [
        (SessionDenied, ("CSESIDX", "same sign-in", "restricted")),
        (ConfigRefused, ("CONFIG_ID", "address bar")),
    ],
)
def test_each_meaning_of_a_denial_has_its_own_advice(
    denied: type[CredentialRefused], advice: tuple[str, ...]
) -> None:
    body = json.dumps(google(403, "PERMISSION_DENIED")).encode()

    found = from_reply(403, {}, body, denied=denied)

    assert type(found) is denied
    assert all(word in found.message for word in advice)


# When to come back


def retry_after(
    *details: dict[str, object], headers: dict[str, str] | None = None, status: int = 429
) -> float | None:
    word = "RESOURCE_EXHAUSTED" if status == 429 else "UNAVAILABLE"
    return replied(status, google(status, word, "No.", *details), headers).retry_after


def test_without_a_hint_quota_waits_longer_than_overload() -> None:
    quota, overload = retry_after(), retry_after(status=503)

    assert (quota, overload) == (60.0, 10.0)


@pytest.mark.parametrize("status", [429, 503])
def test_the_header_s_seconds_count(status: int) -> None:
    assert retry_after(headers={"Retry-After": " 17 "}, status=status) == 17.0


def test_the_header_s_date_counts() -> None:
    at = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)

    found = retry_after(headers={"Retry-After": at})

    assert found is not None
    assert 3590 < found <= 3600


@pytest.mark.parametrize(
    "value",
    [
        "0",
        "-5",
        "soon",
        "",
        "1e3",
        "99999999999999999999",
        "Mon, 01 Jan 2001 00:00:00 GMT",
        "Mon, 99 Foo",
        "Mon, 1 Jan 2024 00:00:00 +99999999999999999999",
        "²",
    ],
)
def test_a_header_that_says_nothing_leaves_the_usual_pause(value: str) -> None:
    assert retry_after(headers={"Retry-After": value}) == 60.0


@pytest.mark.parametrize(
    ("value", "expected"), [("30s", 30.0), ("1.500000000s", 1.5), ("3600s", 3600.0)]
)
def test_google_s_own_retry_delay_counts(value: str, expected: float) -> None:
    assert retry_after(reason("RATE_LIMIT_EXCEEDED"), delay(value)) == expected


@pytest.mark.parametrize("value", ["0s", "30", "s", "-3s", "1h", 30, None, {}, "9" * 400 + "s"])
def test_a_retry_delay_that_says_nothing_leaves_the_usual_pause(value: object) -> None:
    assert retry_after(delay(value)) == 60.0


def exhausted(*details: dict[str, object], message: str = "No.") -> QuotaExhausted:
    found = replied(429, google(429, "RESOURCE_EXHAUSTED", message, *details))
    assert isinstance(found, QuotaExhausted)
    return found


def violation(**fields: str) -> dict[str, object]:
    return {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [fields]}


def info(**metadata: str) -> dict[str, object]:
    return {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": "RATE_LIMIT_EXCEEDED",
        "metadata": metadata,
    }


@pytest.mark.parametrize(
    "details",
    [
        [violation(description="Daily limit of assist requests reached.")],
        [violation(quotaMetric="x/requests", quotaId="AssistRequestsPerDayPerProjectPerUser")],
        [violation(quotaId="AssistRequestsPerMinute"), violation(quotaId="AssistRequestsPerDay")],
        [info(quota_limit="ASSISTS_PER_DAY", quota_unit="1/d/{project}")],
        [info(quota_unit="1/d/{project}/{user}")],
        [reason("dailyLimitExceeded")],
        [violation(quotaId="DailyVideos"), delay("30s")],
    ],
    ids=str,
)
def test_a_quota_of_the_day_is_recognised_by_its_name(details: list[dict[str, object]]) -> None:
    found = exhausted(*details)

    assert found.is_daily
    assert "of the day" in found.message


def test_a_quota_of_the_day_is_recognised_in_the_message() -> None:
    assert exhausted(
        message="Quota exceeded for quota metric 'Assists' and limit 'Assists per day'"
    ).is_daily


@pytest.mark.parametrize(
    ("details", "message"),
    [
        ([], "Resource has been exhausted (e.g. check quota)."),
        ([violation(quotaId="AssistRequestsPerMinutePerUser")], "No."),
        ([info(quota_limit="PER_MINUTE", quota_unit="1/min/{project}")], "No."),
        ([reason("RATE_LIMIT_EXCEEDED")], "No."),
        ([], "Limits are 10 per minute and 100 per day."),
        ([violation(description="Try again another day.")], "Come back on Monday."),
        (
            [{"violations": "daily"}, {"metadata": ["per day"]}, {"violations": [None, "per day"]}],
            "No.",
        ),
    ],
)
def test_what_names_no_quota_of_the_day_is_none(
    details: list[dict[str, object]], message: str
) -> None:
    assert not exhausted(*details, message=message).is_daily


@pytest.mark.parametrize("status", [429, 503])
def test_a_time_that_was_named_is_told_from_our_own(status: int) -> None:
    word = "RESOURCE_EXHAUSTED" if status == 429 else "UNAVAILABLE"

    named = replied(status, google(status, word, "No.", delay("7s")))
    usual = replied(status, google(status, word, "No."))

    assert isinstance(named, QuotaExhausted | UpstreamOverloaded)
    assert isinstance(usual, QuotaExhausted | UpstreamOverloaded)
    assert (named.named_s, named.retry_after) == (7.0, 7.0)
    assert (usual.named_s, usual.retry_after) == (None, usual.usual_s)


def test_the_header_counts_before_the_body() -> None:
    assert retry_after(delay("30s"), headers={"Retry-After": "5"}) == 5.0


def test_other_errors_say_nothing_about_coming_back() -> None:
    assert replied(500, google(500, "INTERNAL")).retry_after is None


# Elements of a stream


@pytest.mark.parametrize(
    ("element", "expected"),
    [
        ({"error": {"code": 429}}, {"code": 429}),
        ([{"error": "broken"}][0], {"message": "broken"}),
        ({"message": "No."}, {"message": "No."}),
        ({"details": [{"reason": "x"}]}, {"details": [{"reason": "x"}]}),
        ({"error": {}, "streamAssistResponse": {}}, None),
        ({"error": None}, None),
        ({"streamAssistResponse": {}, "message": "x"}, None),
        ({"answer": {}, "details": []}, None),
        ({"uToken": "u"}, None),
        ({}, None),
    ],
)
def test_which_elements_are_errors(element: dict[str, Any], expected: object) -> None:
    assert in_stream(element) == expected


junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)
fields = st.sampled_from(["code", "status", "message", "details", "error", "reason", "retryDelay"])


@given(
    st.integers(100, 599),
    st.dictionaries(fields, junk | st.lists(st.dictionaries(fields, junk))),
    st.booleans(),
)
def test_junk_in_any_field_is_an_error_of_ours(
    status: int, error: dict[str, Any], bare: bool
) -> None:
    found = replied(status, error if bare else {"error": error})

    assert isinstance(found, GatewayError)
    assert len(found.message) <= 500


@given(
    st.integers(100, 599),
    st.binary(max_size=60),
    st.dictionaries(st.just("Retry-After"), st.text(max_size=40)),
)
def test_any_body_is_an_error_of_ours(status: int, body: bytes, headers: dict[str, str]) -> None:
    found = replied(status, body, headers)

    assert isinstance(found, GatewayError)
    assert found.retry_after is None or found.retry_after > 0


IMAGES, VIDEOS = ("images",), ("videos",)
NAMED = [
    ("in the message", "Daily limit of image generations reached.", [], IMAGES, True),
    ("in the message, without a day", "Quota exceeded for image generation.", [], IMAGES, False),
    ("by its reason", "No.", [{"reason": "VIDEO_QUOTA_EXCEEDED"}], VIDEOS, False),
    (
        "by its metadata",
        "No.",
        [{"metadata": {"quota_limit": "ImagesPerDayPerUser"}}],
        IMAGES,
        True,
    ),
    ("by a violation", "No.", [{"violations": [{"quotaId": "VideosPerDay"}]}], VIDEOS, True),
    (
        "by a violation's description",
        "No.",
        [{"violations": [{"description": "No pictures left"}]}],
        IMAGES,
        False,
    ),
    (
        "in a message for the user",
        "No.",
        [{"locale": "en", "message": "No videos left for today"}],
        VIDEOS,
        False,
    ),
    ("not at all", "Daily limit reached.", [{"metadata": {"service": "assist"}}], (), True),
]


@pytest.mark.parametrize(
    ("message", "details", "media", "is_daily"), [r[1:] for r in NAMED], ids=[r[0] for r in NAMED]
)
@pytest.mark.parametrize("where", ["http", "stream"])
def test_a_quota_of_pictures_or_videos_is_named_as_such(
    where: str,
    message: str,
    details: list[dict[str, object]],
    media: tuple[str, ...],
    is_daily: bool,
) -> None:
    error = {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": message, "details": details}
    found = replied(429, {"error": error}) if where == "http" else from_error(error)

    assert isinstance(found, QuotaExhausted)
    assert (found.media, found.is_daily) == (media, is_daily)
    assert all(kind in found.message for kind in media)


@pytest.mark.parametrize(
    "error",
    [
        {"code": 400, "message": "imageGenerationSpec is not enabled."},
        {"code": 403, "message": "Denied: image generation."},
        {
            "code": 400,
            "details": [{"fieldViolations": [{"field": "tools_spec.image_generation_spec"}]}],
        },
        {
            "code": 400,
            "details": [{"fieldViolations": [None, {"description": "image generation is off"}]}],
        },
    ],
    ids=str,
)
def test_a_refusal_tells_which_part_of_the_question_it_is_about(error: dict[str, Any]) -> None:
    assert from_error(error).named == {"imageGenerationSpec"}
