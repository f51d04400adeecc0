"""The interface between requests and what records their traces; there is none while that is off."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from gbproxy.observability.request_context import RequestContext


class RequestSpans(Protocol):
    """The spans of one request, or of one of its several answers. Nothing here ever waits."""

    def begin_attempt(self, account_id: str, model_id: str) -> None:
        """A try upstream begins; the one before it is over."""
        ...

    def first_token(self) -> None:
        """The first text, or shown thought, of the answer is there."""
        ...

    def attempt_failed(self, code: str) -> None: ...

    def child(self) -> RequestSpans:
        """For one of several answers, which are made side by side."""
        ...


class Telemetry(Protocol):
    """Records requests. Does nothing before `start`, which belongs behind the fork of workers."""

    def start(self) -> None: ...

    def begin(self, context: RequestContext, traceparent: str) -> None:
        """A request has come, with this header or ""."""
        ...

    def request_done(
        self, context: RequestContext, method: str, route: str, surface: str, status: int
    ) -> None:
        """A request is over."""
        ...

    def close(self) -> None:
        """Send what is left, for a few seconds at most."""
        ...
