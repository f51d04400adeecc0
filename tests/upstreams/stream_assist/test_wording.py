"""What Google says in free text only, and what only sounds alike; and which of an error's own words may be
shown.
"""

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
from gbproxy.upstreams.stream_assist import wording
from gbproxy.upstreams.stream_assist.google_errors import from_error, from_reply
from gbproxy.upstreams.stream_assist.wording import ErrorContext

TOO_LONG = [
    "The query exceeded the maximum length",
    "The query exceeded the maximum length.",
    "longer than the model's context length",
    "The input is longer than the model's context length",
    "Your prompt exceeded the token limit",
    "payload size exceeds the limit",
    "Request payload size exceeds the limit: 20971520 bytes.",
    "The input token count (1048577) exceeds the maximum number of tokens allowed (1048576).",
    "The input token count exceeds the maximum number of tokens allowed.",
    (
        "Unable to submit request because the input token count is 1800000 but model only supports"
        " up to 1048576. Reduce the input token count and try again. You can also use the"
        " CountTokens API to calculate prompt token count."
    ),
    "The prompt is too long",
    "prompt is too long: 210000 tokens > 200000 maximum",
    "Input is too long for requested model.",
    (
        "This model's maximum context length is 32768 tokens. However, your messages resulted in"
        " 40000 tokens."
    ),
    "Please reduce the length of the messages or completion.",
    "The number of tokens in the request is over the limit of 32000",
    "Number of input tokens exceeds the limit",
    "Too many tokens in the request",
    "Total tokens exceed the model limit",
    "Token limit exceeded",
    "The context window was exceeded",
    "Context size exceeded",
    "Prompt too large",
    "Query text is too long",
    "The text of the query exceeds the limit of 100000 characters",
    "Query length exceeds 8192 characters",
    "Field query is too long",
    "User input exceeds the maximum allowed size",
    "Input text is longer than 500000 bytes",
    "The request is too large",
    "Request size exceeds the maximum",
    "Message too long",
    "The conversation has become too long, start a new one",
    "Conversation history exceeds the maximum length",
    "Invalid argument: content exceeds maximum length of 2000000 characters",
    "Your question must be at most 4096 characters long",
    "The query must not exceed 4096 characters",
    "The query must be shorter than 4096 characters",
    "Please shorten your question",
    "Exceeded max context",
    "Input has 50000 tokens but the maximum is 40000",
    "Token limit reached",
    "Input length 5000 exceeds maximum length 4000",
    "The total size of the request is too big",
    "The message exceeds the allowed number of characters",
    "Request Entity Too Large",
    "EXCEEDED: THE PROMPT EXCEEDS THE MAXIMUM LENGTH",
    "Something is wrong. The prompt is too long! Try another.",
    "Prompt size over limit",
    "The question has 20000 characters, but 10000 is the maximum",
]

OTHER = [
    "",
    "Invalid value.",
    "Request contains an invalid argument.",
    "The file name is too long",
    "Filename too long",
    "The maximum number of files exceeds 10",
    "The number of files in the request exceeds the limit of 10",
    "The display name exceeds 128 characters",
    "Session display name exceeds the maximum length",
    "Invalid value at 'session.displayName': exceeds the maximum length",
    "invalid token",
    "The token is invalid or has expired",
    "Invalid page token: too long",
    "page_token exceeds the maximum length",
    "The filter in the request is too long",
    "max_output_tokens exceeds the maximum of 65535",
    "The value of maxOutputTokens is larger than the limit",
    "The number of output tokens exceeds the maximum",
    "Unsupported file type: text/x-long",
    "The attached file is too large, the limit is 100 MB",
    "The size of the image in the request exceeds the limit of 7 MB",
    "The document title exceeds the maximum length",
    "Too many tools in the request: exceeds the limit of 128",
    "The function description in the request is too long",
    "Request exceeds the maximum number of data stores",
    "The request took too long",
    "The request exceeded its deadline",
    "Too many requests",
    "The request exceeds the rate of 5 requests per minute",
    "Quota exceeded for input tokens per minute",
    "The URL in the message is too long",
    "The language code in the request is too long",
    "Invalid session id in the request: longer than 64 characters",
    "temperature in the request exceeds the maximum of 2",
    "The prompt was blocked.",
    "The token count must exceed zero.",
    "The query must be longer than 1 character",
    "The security token in the request is too long",
    "Token age exceeds the maximum",
    "The thinking budget exceeds the maximum number of tokens",
    "The prompt must not be empty.",
    "Too many candidates in the request",
    "The image in the query is larger than 4096 pixels",
    "Model gemini-9 does not support this context",
    "The query is required.",
    "The schema of the request exceeds the maximum depth",
    "user email exceeds 320 characters",
    "The length of user_pseudo_id is too long: maximum 128 characters",
    "request_uri exceeds the maximum length",
    "Time limit exceeded for request",
]


@pytest.mark.parametrize("message", TOO_LONG)
def test_a_prompt_that_is_too_long_is_said_in_many_ways(message: str) -> None:
    assert wording.is_too_long(message)


@pytest.mark.parametrize("message", OTHER)
def test_what_is_about_something_else_is_no_prompt_that_is_too_long(message: str) -> None:
    assert not wording.is_too_long(message)


@pytest.mark.parametrize(
    ("message", "large"),
    [
        ("Received message larger than max (5000000 vs. 4194304)", True),
        ("Sent message larger than max (5000000 vs. 4194304)", True),
        ("Request payload is too large", True),
        ("Resource has been exhausted (e.g. check quota).", False),
        ("Too many tokens, please wait before trying again.", False),
    ],
)
def test_one_call_that_was_too_large_is_no_quota(message: str, large: bool) -> None:
    assert wording.is_message_too_large(message) is large


@pytest.mark.parametrize(
    ("text", "media"),
    [
        ("Quota exceeded for image generation", ("images",)),
        ("Image quota per day used up", ("images",)),
        ("GenerateImagesPerDayPerProject", ("images",)),
        ("discoveryengine.googleapis.com/imagen_requests", ("images",)),
        ("You have no pictures left today", ("images",)),
        ("Nano Banana 2 requests per day", ("images",)),
        ("nano-banana-pro", ("images",)),
        ("VideosPerDay", ("videos",)),
        ("video_generation_requests_per_day", ("videos",)),
        ("VeoRequestsPerDay", ("videos",)),
        ("GenerateVeoPerDay", ("videos",)),
        ("veo-3.1 requests", ("videos",)),
        ("The limit of images and videos is used up", ("images", "videos")),
        ("Resource has been exhausted (e.g. check quota).", ()),
        ("AssistRequestsPerDayPerProjectPerUser", ()),
        ("Imagine: no quota", ()),
        ("surveyor", ()),
    ],
)
def test_a_quota_of_pictures_or_videos_is_known_by_its_name(
    text: str, media: tuple[str, ...]
) -> None:
    assert wording.named_media([text]) == media


# What a refusal is about


@pytest.mark.parametrize(
    ("message", "named"),
    [
        (
            (
                "Invalid value at 'stream_assist_request.tools_spec': imageGenerationSpec is not"
                " enabled."
            ),
            {"imageGenerationSpec"},
        ),
        ("Image generation is disabled for this engine.", {"imageGenerationSpec"}),
        ("video_generation_spec: permission denied", {"videoGenerationSpec"}),
        ("Web grounding is turned off by your administrator", {"webGroundingSpec"}),
        ("google_search_grounding is not allowed", {"webGroundingSpec"}),
        ("tool_registry is unknown", {"toolRegistry"}),
        ("Model gemini-2.5-pro was not found.", {"model"}),
        ("Invalid value at 'assist_generation_config.model_id': 'gemini-9'.", {"model"}),
        ("Unknown model", {"model"}),
        ("The model is no longer available", {"model"}),
        ("Request contains an invalid argument.", set()),
        ("This model cannot read audio.", set()),
        ("", set()),
    ],
)
def test_what_a_refusal_names(message: str, named: set[str]) -> None:
    assert wording.named_parts([message]) == named


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
    with pytest.raises(GatewayError) as caught, ErrorContext(verb, reply, reply.body):
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

    with pytest.raises(UpstreamUnclear) as caught, ErrorContext("streamAssist", reply):
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
