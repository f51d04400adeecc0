"""Google's error bodies -> our errors.

Source: docs/upstream.md, errors. The same shapes come with an HTTP status and inside a stream that
began with 200.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from gbproxy.errors import (
    ConfigRefused,
    ContextLengthExceeded,
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
    UpstreamProtocolError,
    UpstreamUnclear,
)
from gbproxy.upstreams.decoding.objects import as_line, as_list, as_mapping, as_text, decode_body
from gbproxy.upstreams.stream_assist import wording

_MAX_MESSAGE_CHARS = 500

_OVERLOADED = "LLM_OVERLOADED"
_TOO_LARGE = "PROMPT_TOO_LARGE"
# how a reason ends, also where the status is another
_QUOTA = ("QUOTA_EXCEEDED", "RATE_LIMIT_EXCEEDED")

# A 403 does not say which of its meanings it has; the call that it answers does (docs/upstream.md,
# errors).
_DENIED: Mapping[type[UpstreamError], str] = {
    SessionDenied: (
        "the upstream denies this account access to its session, or refuses this question. If it"
        " denies others too: open the page with this account, which may be"
        " restricted, and check that CSESIDX and the cookies come from the same sign-in"
    ),
    ConfigRefused: (
        "the upstream denies this account access: CONFIG_ID may be another account's, compare it"
        " with the address bar of its page; or the account is restricted"
    ),
}


def from_reply(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    denied: type[UpstreamError] = SessionDenied,
) -> GatewayError:
    """The error of an answer whose HTTP status is not 200; the body may be JSON, wrapped in an
    array, or a web page.

    `denied`: what a 403 means to this call.
    """
    retry_after = _retry_after(headers.get("Retry-After"))
    if 300 <= status < 400:
        return UpstreamError("the upstream redirected the request elsewhere, where it is not sent")
    return from_error(
        _error_object(body), status=status, retry_after=retry_after, denied=denied, body=body
    )


def from_error(
    error: Mapping[str, Any],
    *,
    status: int | None = None,
    retry_after: float | None = None,
    denied: type[UpstreamError] = SessionDenied,
    body: bytes = b"",
) -> GatewayError:
    """The error of Google's `{"code", "message", "status", "details"}`, any of which may be
    missing; with what it says.

    `body`: the reply that it came in, for the doctor.
    """
    found = _classified(error, status, retry_after, denied)
    found.said = wording.of_error(error, body)
    found.named = wording.named_parts(_texts(error))
    return found


def _classified(
    error: Mapping[str, Any],
    status: int | None,
    retry_after: float | None,
    denied: type[UpstreamError],
) -> GatewayError:
    code = _code(error, status)
    word = _word(error.get("status"))
    message = as_line(error.get("message"), _MAX_MESSAGE_CHARS)
    details = [detail for detail in as_list(error.get("details")) if isinstance(detail, dict)]
    reasons = {as_text(detail.get("reason")) for detail in details}
    retry_after = retry_after or _retry_info(details)

    if _TOO_LARGE in reasons:
        return _too_long()
    is_quota = any(reason.endswith(_QUOTA) for reason in reasons)  # whatever the status is
    is_unavailable = code == 503 or word == "UNAVAILABLE"
    if _OVERLOADED in reasons or _OVERLOADED in message or (is_unavailable and not is_quota):
        return UpstreamOverloaded("the upstream is overloaded", retry_after=retry_after)
    if is_quota or code == 429 or word == "RESOURCE_EXHAUSTED":
        if wording.is_message_too_large(message):
            return _too_long()
        return _quota(
            [message, *(text for detail in details for text in _quota_texts(detail))], retry_after
        )
    if code == 401 or word == "UNAUTHENTICATED" or "SESSION_COOKIE_INVALID" in {*reasons, message}:
        return TokenRefused("the upstream refused the token")
    if code == 403 or word == "PERMISSION_DENIED":
        return denied(_DENIED[denied])
    if code == 404 or word == "NOT_FOUND":
        if "model" in message.lower():
            return RequestRefused(message, param="model")
        return SessionGone("the upstream session does not exist (any more)")
    if code == 504 or word == "DEADLINE_EXCEEDED":
        return UpstreamGaveUp("the upstream ran out of time")
    is_about_request = code in (400, 413) or word in ("INVALID_ARGUMENT", "OUT_OF_RANGE")
    if code == 413 or (is_about_request and wording.is_too_long(message)):
        return _too_long()
    if word == "FAILED_PRECONDITION":
        return UpstreamUnclear("the upstream could not answer (FAILED_PRECONDITION)")
    if is_about_request:
        return RequestRefused(message or "the upstream refused the request as malformed")
    kind = UpstreamBroken if code is not None and code >= 500 else UpstreamUnclear
    return kind(f"the upstream failed ({word or code or 'without saying why'})")


def in_stream(element: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The error object in an element of the stream: that of `{"error": …}`, or an element with
    `message` or `details` and no answer. None for any other element.
    """
    error = element.get("error")
    if error:
        return error if isinstance(error, dict) else {"message": as_text(error)}
    if (
        "streamAssistResponse" not in element
        and "answer" not in element
        and ("message" in element or "details" in element)
    ):
        return element
    return None


def _error_object(body: bytes) -> Mapping[str, Any]:
    try:
        value = decode_body(body)
    except UpstreamProtocolError:
        return {}
    if isinstance(value, list):
        value = value[0] if value else {}
    return (in_stream(value) or {}) if isinstance(value, dict) else {}


def _too_long() -> ContextLengthExceeded:
    # in the words that clients look for
    return ContextLengthExceeded(
        "The prompt is too long: it exceeds this model's maximum context length", param="messages"
    )


def _texts(error: Mapping[str, Any]) -> list[str]:
    """Texts that may name the refused part: the message, and those of each detail and field."""
    texts = [as_line(error.get("message"), _MAX_MESSAGE_CHARS)]
    for detail in as_list(error.get("details")):
        known = as_mapping(detail)
        for part in (known, *map(as_mapping, as_list(known.get("fieldViolations")))):
            texts += (
                as_line(part.get(name), _MAX_MESSAGE_CHARS)
                for name in ("field", "message", "description")
            )
    return texts


def _quota(texts: list[str], retry_after: float | None) -> QuotaExhausted:
    """The error of a used-up quota, of which so much is known as these texts name."""
    is_daily, media = wording.names_daily_quota(texts), wording.named_media(texts)
    which = ("quota of the day" if is_daily else "quota") + (
        f" of {' and '.join(media)}" if media else ""
    )
    return QuotaExhausted(
        f"the account's {which} is used up", retry_after=retry_after, is_daily=is_daily, media=media
    )


def _code(error: Mapping[str, Any], status: int | None) -> int | None:
    """The error's own code, else the HTTP status (200 says nothing)."""
    code = error.get("code")
    if isinstance(code, int) and not isinstance(code, bool) and 0 < code < 1000:
        return code
    if isinstance(code, str) and code.isascii() and code.isdigit() and len(code) < 5:
        return int(code)
    return status


def _word(status: object) -> str:
    return status if isinstance(status, str) and re.fullmatch("[A-Z_]{1,40}", status) else ""


def _quota_texts(detail: Mapping[str, Any]) -> list[str]:
    """Texts of a detail that may name a quota: violations of a QuotaFailure, reason and metadata of
    an ErrorInfo, a message.
    """
    found = [*as_list(detail.get("violations")), detail.get("metadata")]
    named = (" ".join(map(as_text, each.values())) for each in found if isinstance(each, dict))
    return [
        *(as_text(detail.get(name)) for name in ("reason", "message", "description")),
        *named,
    ]


def _retry_info(details: list[dict[str, Any]]) -> float | None:
    for detail in details:
        delay = re.fullmatch(r"(\d{1,7}(?:\.\d{1,9})?)s", as_text(detail.get("retryDelay")))
        if delay:
            return float(delay[1]) or None
    return None


def _retry_after(value: str | None) -> float | None:
    """Seconds of a Retry-After header: a number or a date."""
    if not value:
        return None
    if re.fullmatch(r"\d{1,7}", value.strip()):
        return float(value) or None
    try:
        date = parsedate_to_datetime(value)
    except (ValueError, TypeError, OverflowError):
        return None
    seconds = (date.replace(tzinfo=date.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
    return seconds if seconds > 0 else None
