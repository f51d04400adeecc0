"""Ready-made answers for everything that goes wrong upstream: each function returns a script.

Source: docs/upstream.md, errors. What each means for an account is the client's business.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from gbproxy.simulator.scripting.actions import (
    Action,
    CutBytes,
    Element,
    End,
    ErrorElement,
    Failed,
    Fields,
    FileReply,
    Fin,
    Final,
    Head,
    HoldHeaders,
    Raw,
    Rst,
    Skipped,
    Text,
    Thought,
    Write,
    answer,
    http_head,
)

Script = tuple[Action, ...]

JSON_TYPE = "application/json; charset=UTF-8"
DOMAIN = "discoveryengine.googleapis.com"
EXHAUSTED = "Resource has been exhausted (e.g. check quota)."
UNAUTHENTICATED = (
    "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie "
    "or other valid authentication credential. "
    "See https://developers.google.com/identity/sign-in/web/devconsole-project."
)
INVALID = "Request contains an invalid argument."
PROMPT_TOO_LARGE = "PROMPT_TOO_LARGE"
_ERROR_INFO = "type.googleapis.com/google.rpc.ErrorInfo"
_RETRY_INFO = "type.googleapis.com/google.rpc.RetryInfo"
_QUOTA_FAILURE = "type.googleapis.com/google.rpc.QuotaFailure"
_ELEMENTS = (Element, Fields, Text, Thought, FileReply, Skipped, Failed, ErrorElement, Final)


def error_details(reason: str = "", retry_delay_s: float | None = None) -> list[dict[str, Any]]:
    """The `details` of an error: why, and when to come back."""
    details: list[dict[str, Any]] = []
    if reason:
        details.append({"@type": _ERROR_INFO, "reason": reason, "domain": DOMAIN})
    if retry_delay_s is not None:
        details.append({"@type": _RETRY_INFO, "retryDelay": f"{retry_delay_s:g}s"})
    return details


def error_object(
    code: int, status: str, message: str, details: Sequence[Mapping[str, Any]] = ()
) -> dict[str, Any]:
    """Google's `{"error": …}`."""
    error: dict[str, Any] = {"code": code, "message": message, "status": status}
    if details:
        error["details"] = [dict(detail) for detail in details]
    return {"error": error}


def json_reply(
    status: int, value: object, headers: Mapping[str, str | Sequence[str]] | None = None
) -> Script:
    """An answer that is one JSON value."""
    body = json.dumps(value, ensure_ascii=False, indent=2).encode()
    return (http_head(status, JSON_TYPE, headers), Write(body), End())


def redirect(location: str, headers: Mapping[str, str | Sequence[str]] | None = None) -> Script:
    """302 to another address."""
    return (Head(302, {"Location": location, **(headers or {})}), End())


def html_reply(status: int, title: str) -> Script:
    """An answer that is a page for people."""
    page = f"<!DOCTYPE html><html lang=en><title>{title}</title><p><b>{status}.</b> {title}</html>"
    return (http_head(status, "text/html; charset=UTF-8"), Write(page.encode()), End())


def http_error(
    status: int,
    google_status: str,
    message: str = "Something went wrong.",
    *,
    reason: str = "",
    retry_delay_s: float | None = None,
    headers: Mapping[str, str] | None = None,
) -> Script:
    """A refusal by HTTP status with Google's JSON body."""
    details = error_details(reason, retry_delay_s)
    return json_reply(status, error_object(status, google_status, message, details), headers)


def overloaded(
    retry_delay_s: float | None = None, *, headers: Mapping[str, str] | None = None
) -> Script:
    """429 with reason LLM_OVERLOADED: the model is busy for seconds, no quota is spent."""
    return http_error(
        429,
        "RESOURCE_EXHAUSTED",
        EXHAUSTED,
        reason="LLM_OVERLOADED",
        retry_delay_s=retry_delay_s,
        headers=headers,
    )


def quota(
    *,
    daily: bool = False,
    per_minute: bool = False,
    retry_delay_s: float | None = None,
    headers: Mapping[str, str] | None = None,
) -> Script:
    """429 without LLM_OVERLOADED; `daily` and `per_minute` name the quota that is spent, as
    Google's services do.
    """
    period, unit = ("Day", "d") if daily else ("Minute", "min")
    details = error_details("RATE_LIMIT_EXCEEDED" if daily or per_minute else "", retry_delay_s)
    if daily or per_minute:
        name = f"AssistRequestsPer{period}PerProjectPerUser"
        details[0]["metadata"] = {
            "service": DOMAIN,
            "consumer": "projects/123456789012",
            "quota_metric": f"{DOMAIN}/assist_requests",
            "quota_limit": name,
            "quota_unit": f"1/{unit}/{{project}}/{{user}}",
        }
        described = (
            "Daily limit of assist requests reached." if daily else "Too many assist requests."
        )
        violation = {"subject": "user:123", "description": described, "quotaId": name}
        details.append({"@type": _QUOTA_FAILURE, "violations": [violation]})
    return json_reply(429, error_object(429, "RESOURCE_EXHAUSTED", EXHAUSTED, details), headers)


def denied() -> Script:
    """403, in the same words for each of its meanings: whose session, whose config, a restricted
    account.
    """
    return http_error(403, "PERMISSION_DENIED", "The caller does not have permission")


def session_not_found() -> Script:
    """404 on a stream call: the upstream has forgotten the session."""
    return http_error(404, "NOT_FOUND", "Session 12345678901234567890 not found.")


def failed_alone(*texts: str) -> Script:
    """State FAILED, and no error element after it."""
    return (*map(Text, texts), Failed(), End())


def quota_exceeded(
    status: int = 403, google_status: str = "PERMISSION_DENIED", *, in_stream: bool = False
) -> Script:
    """The quota is spent, which the reason says, and neither the status nor its word."""
    if in_stream:
        return in_stream_error(status, google_status, "Quota exceeded.", reason="QUOTA_EXCEEDED")
    return http_error(status, google_status, "Quota exceeded.", reason="QUOTA_EXCEEDED")


def prompt_too_large(*, in_stream: bool = False) -> Script:
    """400 with reason PROMPT_TOO_LARGE, or the same as the only element of a stream."""
    if in_stream:
        return in_stream_error(400, "INVALID_ARGUMENT", INVALID, reason=PROMPT_TOO_LARGE)
    return http_error(400, "INVALID_ARGUMENT", INVALID, reason=PROMPT_TOO_LARGE)


def in_stream_error(
    code: int = 429,
    status: str = "RESOURCE_EXHAUSTED",
    message: str = EXHAUSTED,
    *,
    texts: Sequence[str] = (),
    reason: str = "",
) -> Script:
    """HTTP 200, perhaps some text, then an error as the last element."""
    details = tuple(error_details(reason))
    return (*map(Text, texts), ErrorElement(code, status, message, details), End())


def failed_precondition(*texts: str) -> Script:
    """The pair of state FAILED and an error FAILED_PRECONDITION."""
    error = ErrorElement(400, "FAILED_PRECONDITION", "Precondition check failed.")
    return (*map(Text, texts), Failed(), error, End())


def policy_violation(
    *,
    violation: str = "Prompt injection and jailbreak detected.",
    source: str = "",
    verdict: str = "BLOCK",
) -> Script:
    """SKIPPED because of the customer's policy (Model Armor); `source` is SYSTEM, PROMPT or
    ATTACHMENT.
    """
    return (
        Skipped("CUSTOMER_POLICY_VIOLATION", violation=violation, source=source, verdict=verdict),
        End(),
    )


def blocked(*texts: str, source: str = "PROMPT", verdict: str = "BLOCK") -> Script:
    """A verdict under SUCCEEDED; one other than BLOCK, known or not, refuses nothing."""
    result = {"verdict": verdict, "violationSource": source}
    return (
        *map(Text, texts),
        Fields(answer={"customerPolicyEnforcementResult": result}),
        Final(),
        End(),
    )


def connector_errors(*texts: str, message: str = "The connector could not sign in.") -> Script:
    """Connectors that could not sign in; then the answer, or without texts nothing more than
    FAILED.
    """
    error = {
        "dataConnector": "projects/123456789012/locations/global/dataConnector",
        "errorMessage": message,
    }
    end = (Final(),) if texts else (Failed(),)
    return (Fields({"connectorAuthErrors": [error]}), *map(Text, texts), *end, End())


def banned_phrase(*phrases: str) -> Script:
    """SKIPPED because of a banned phrase."""
    return (Skipped("CUSTOMER_POLICY_VIOLATION", banned_phrases=phrases), End())


def not_seeking_assistance() -> Script:
    """SKIPPED because the query does not look like a question."""
    return (Skipped("NON_ASSIST_SEEKING_QUERY_IGNORED"), End())


def thoughts_only(*thoughts: str) -> Script:
    """SUCCEEDED with thoughts and no text."""
    return answer(thoughts=thoughts or ("**Assessing the Request**\n\nI am thinking.\n\n\n",))


def array_wrapped_error(
    status: int = 429, google_status: str = "RESOURCE_EXHAUSTED", message: str = EXHAUSTED
) -> Script:
    """A refusal by HTTP status whose body is a one-element array."""
    return json_reply(status, [error_object(status, google_status, message)])


def html_error(status: int = 503) -> Script:
    """A front end's page in place of JSON."""
    return html_reply(status, f"Error {status} (Server Error)!!1")


def u_token_only() -> Script:
    """200 with a uToken and nothing else: the credential needs renewing."""
    return (Element({"uToken": "AUTH-u-token"}), End())


def message_only_error(status: int = 400, message: str = "Request is missing something.") -> Script:
    """An error body with `message` at the top level."""
    return json_reply(status, {"message": message})


def details_only_error(status: int = 429, reason: str = "LLM_OVERLOADED") -> Script:
    """An error body with `details` at the top level, carrying an assistToken."""
    return json_reply(status, {"details": [{"reason": reason, "assistToken": "assist-token"}]})


def empty_array() -> Script:
    """200 with `[]`."""
    return (Write(b"[]"), End())


def empty_body(status: int = 200) -> Script:
    """An answer with no body at all."""
    return (http_head(status, JSON_TYPE), End())


def broken_chunk(*texts: str) -> Script:
    """Some text, then a chunk size that is none; needs `transfer=chunked`."""
    return (*map(Text, texts), Raw(b"zz\r\nnot a chunk\r\n"), Fin())


def half_head() -> Script:
    """A head that ends in the middle of a header."""
    return (Raw(b"HTTP/1.1 200 OK\r\nContent-Ty"), Fin())


def cut_after(count: int, script: Script | None = None, *, rst: bool = False) -> Script:
    """The script up to its `count`-th element, then the end of the connection."""
    kept: list[Action] = []
    elements = 0
    for action in script or answer("One ", "two ", "three ", "four ", "five."):
        elements += isinstance(action, _ELEMENTS)
        if elements > count or isinstance(action, End):
            break
        kept.append(action)
    return (*kept, Rst() if rst else Fin())


def cut_bytes(count: int, script: Script | None = None, *, rst: bool = False) -> Script:
    """The script, ended after so many bytes of its body as sent (so also inside a character)."""
    return (CutBytes(count, rst), *(script or answer("One ", "two ", "three ", "four ", "five.")))


def image_reply(
    *texts: str, mime_type: str = "image/png", content: bytes = b"", inline: bool = False
) -> Script:
    """An answer with a generated picture, as a file of the session or inline."""
    picture = FileReply(mime_type=mime_type, content=content, inline=inline)
    return (*map(Text, texts), picture, Final(), End())


def video_reply(*, delay_s: float = 0.0) -> Script:
    """An answer with a generated clip."""
    wait = (HoldHeaders(delay_s),) if delay_s else ()
    clip = FileReply(mime_type="video/mp4", sentence="Video generated by Veo.")
    return (*wait, clip, Final(), End())
