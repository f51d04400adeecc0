"""Waiting, on behalf of a request, for what somebody else does: no longer than the request may
take.
"""

from __future__ import annotations

import time
from concurrent.futures import Future
from typing import TypeVar

from gbproxy.errors import AccountStalled, GatewayError, UpstreamTimeout
from gbproxy.observability import request_context

T = TypeVar("T")

_LOOK_AGAIN_S = 1.0


def result_in_time(
    future: Future[T], what: str, patience_s: float, *, left_s: float | None = None
) -> T:
    """What comes of the work that `future` stands for, which goes on when it is not waited for any
    more.

    Raises what the work raises; AccountStalled after `patience_s`, of which `left_s` may be left,
    when another account may serve the request; UpstreamTimeout when the request's time is over.
    """
    context = request_context.current()
    patient_until = time.monotonic() + (patience_s if left_s is None else left_s)
    while True:
        now = time.monotonic()
        if now >= context.until:
            raise _untaken(UpstreamTimeout(f"{what} took longer than the request may"))
        if now < patient_until:
            wait_s = patient_until - now
        elif context.has_elsewhere():
            raise _untaken(AccountStalled(f"{what} took longer than {patience_s:g} s"))
        else:
            wait_s = _LOOK_AGAIN_S
        try:
            return future.result(min(wait_s, context.until - now))
        except TimeoutError:
            if future.done():  # it is the work's own
                raise


def _untaken(error: GatewayError) -> GatewayError:
    error.was_taken = False
    return error
