"""The time limits of a call, of its parts and as a whole."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace

import urllib3

from gbproxy.errors import UpstreamTimeout

_LEAST_S = 0.001  # 0 means other things to sockets


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds: to connect; of silence between bytes; for a whole answer; for the answer of a small
    call, which no model makes.
    """

    connect_s: float = 10
    read_s: float = 120
    request_s: float = 1800
    call_s: float = 30

    def of_call(self) -> Timeouts:
        return replace(
            self, read_s=min(self.read_s, self.call_s), request_s=min(self.request_s, self.call_s)
        )


DEFAULT_TIMEOUTS = Timeouts()

_end: ContextVar[float] = ContextVar("gbproxy_calls_end", default=math.inf)


@contextmanager
def calls_end_at(moment: float) -> Iterator[None]:
    """End every call that is made inside at `moment`, on the monotonic clock."""
    token = _end.set(min(_end.get(), moment))
    try:
        yield
    finally:
        _end.reset(token)


class Deadline(urllib3.Timeout):
    """One call's timeouts, and its deadline on the monotonic clock; requests takes urllib3's kind
    of timeout as it is.
    """

    def __init__(self, timeouts: Timeouts, latest: float) -> None:
        """`latest`: the end of the client's whole request, on the monotonic clock."""
        super().__init__()
        self.timeouts = timeouts
        self.has_connection = False  # True: the upstream may have taken the request
        self.until = min(time.monotonic() + timeouts.request_s, latest, _end.get())

    @property
    def connect_timeout(self) -> float:
        """Seconds to connect, and for each step of sending."""
        return self._at_most(self.timeouts.connect_s)

    @property
    def read_timeout(self) -> float:
        """Seconds for the whole head, from the moment when the request is sent."""
        return self._at_most(self.timeouts.read_s)

    def is_over(self) -> bool:
        return time.monotonic() >= self.until

    def overrun(self) -> UpstreamTimeout:
        """The error for a wait that has reached its deadline."""
        if self.is_over():
            return UpstreamTimeout(f"the answer took longer than {self.timeouts.request_s:g} s")
        return UpstreamTimeout(f"the upstream was silent for {self.timeouts.read_s:g} s")

    def _at_most(self, seconds: float) -> float:
        return max(_LEAST_S, min(seconds, self.until - time.monotonic()))
