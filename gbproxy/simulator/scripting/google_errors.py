"""Google's errors by HTTP status, ready made: each function returns a script.

Source: docs/upstream.md, errors. What each means for an account is the client's business.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gbproxy.simulator.http.actions import HttpScript, html_reply, json_reply

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


class RefusedError(Exception):
    """A request that a service answers with one of Google's errors."""

    def __init__(self, status: int, google_status: str, message: str, reason: str = "") -> None:
        super().__init__(message)
        self._status = status
        self._body = error_object(status, google_status, message, error_details(reason))

    def script(self, *, in_array: bool = False) -> HttpScript:
        """The answer; `in_array` wraps it as the stream's framing may."""
        return json_reply(self._status, [self._body] if in_array else self._body)


def invalid(message: str) -> RefusedError:
    """400 INVALID_ARGUMENT."""
    return RefusedError(400, "INVALID_ARGUMENT", message)


def permission_denied() -> RefusedError:
    """403, for a session of somebody else and for a configId that is not the account's."""
    return RefusedError(403, "PERMISSION_DENIED", "The caller does not have permission")


def unauthenticated() -> HttpScript:
    """401 as Google words it."""
    return http_error(401, "UNAUTHENTICATED", UNAUTHENTICATED)


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


def http_error(
    status: int,
    google_status: str,
    message: str = "Something went wrong.",
    *,
    reason: str = "",
    retry_delay_s: float | None = None,
    headers: Mapping[str, str] | None = None,
) -> HttpScript:
    """A refusal by HTTP status with Google's JSON body."""
    details = error_details(reason, retry_delay_s)
    return json_reply(status, error_object(status, google_status, message, details), headers)


def array_wrapped_error(
    status: int = 429, google_status: str = "RESOURCE_EXHAUSTED", message: str = EXHAUSTED
) -> HttpScript:
    """A refusal by HTTP status whose body is a one-element array."""
    return json_reply(status, [error_object(status, google_status, message)])


def message_only_error(
    status: int = 400, message: str = "Request is missing something."
) -> HttpScript:
    """An error body with `message` at the top level."""
    return json_reply(status, {"message": message})


def details_only_error(status: int = 429, reason: str = "LLM_OVERLOADED") -> HttpScript:
    """An error body with `details` at the top level, carrying an assistToken."""
    return json_reply(status, {"details": [{"reason": reason, "assistToken": "assist-token"}]})


def html_error(status: int = 503) -> HttpScript:
    """A front end's page in place of JSON."""
    return html_reply(status, f"Error {status} (Server Error)!!1")


def overloaded(
    retry_delay_s: float | None = None, *, headers: Mapping[str, str] | None = None
) -> HttpScript:
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
) -> HttpScript:
    """429 without LLM_OVERLOADED; `daily` or `per_minute` names the quota that is spent."""
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


def denied() -> HttpScript:
    """403, worded alike for another's session, another's config and a restricted account."""
    return permission_denied().script()


def session_not_found() -> HttpScript:
    """404 on a stream call: the upstream has forgotten the session."""
    return http_error(404, "NOT_FOUND", "Session 12345678901234567890 not found.")
