"""Rate limits over HTTP: a request is counted as it comes in, and every response says what is left.

Source: https://platform.openai.com/docs/guides/rate-limits, headers
"""

from __future__ import annotations

import math
from collections.abc import Callable

from flask import Response, g

from gbproxy.rate_limits.limiter import Limiter
from gbproxy.rate_limits.store import LimitStatus
from gbproxy.web import auth
from gbproxy.web.operations import secures


def limit_check(check_key: Callable[[], None], limiter: Limiter) -> Callable[[], None]:
    """A `before_request` function for what goes to a model: needs a key, and counts. Raises
    RateLimitExceeded.
    """

    @secures("client")
    def check() -> None:
        check_key()
        status = limiter.count(auth.principal())
        g.limits_left = _headers(status)
        refusal = status.refusal()
        if refusal is not None:
            raise refusal

    return check


def add_headers(response: Response) -> Response:
    """An `after_request` function: the limits, on every response to a request that was counted."""
    left = g.get("limits_left")
    if left:
        response.headers.update(left)
    return response


def _headers(status: LimitStatus) -> dict[str, str]:
    """`x-ratelimit-*` as OpenAI sends them."""
    found: dict[str, str] = {}
    requests, tokens = status.requests, status.tokens
    if requests is not None:
        found |= _triple("requests", requests.rate.amount, requests.remaining, requests.reset_s)
    if tokens is not None:
        found |= _triple("tokens", tokens.limit, tokens.remaining, tokens.reset_s)
    return found


def _triple(what: str, limit: int, remaining: int, reset_s: float) -> dict[str, str]:
    return {
        f"x-ratelimit-limit-{what}": str(limit),
        f"x-ratelimit-remaining-{what}": str(remaining),
        f"x-ratelimit-reset-{what}": duration(reset_s),
    }


def duration(seconds: float) -> str:
    """A duration as OpenAI writes it: `0s`, `20ms`, `1s`, `6m0s`, `1h30m0s`."""
    milliseconds = math.ceil(seconds * 1000)
    if 0 < milliseconds < 1000:
        return f"{milliseconds}ms"
    minutes, rest = divmod(math.ceil(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes}m{rest}s"
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
