"""One reservation of the limits for several answers to one request (`n` > 1)."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from gbproxy.domain.principal import Principal
from gbproxy.errors import RateLimitExceeded


class Ending(Protocol):
    """What a request's limits have reserved for it; the first `end` settles it."""

    def end(self, tokens: int) -> None: ...


class Reserve(Protocol):
    """`Limiter.begin`, or what stands for it."""

    def __call__(
        self, principal: Principal, model_id: str, *, is_streamed: bool, prompt_tokens: int = 0
    ) -> Ending: ...


class SharedReservation:
    """`begin` reserves with its first call; the last answer that ends settles it, or `close`. Their
    prompt is one, so its tokens count once. For many threads at once.
    """

    def __init__(self, reserve: Reserve, answers: int) -> None:
        self._reserve = reserve
        self._lock = threading.Lock()
        self._left = answers
        self._tokens = 0
        self._begun: Ending | RateLimitExceeded | None = None

    def begin(
        self, principal: Principal, model_id: str, *, is_streamed: bool, prompt_tokens: int = 0
    ) -> Ending:
        """The part of one answer. Raises RateLimitExceeded, for all of them."""
        with self._lock:
            if self._begun is None:
                try:
                    self._begun = self._reserve(
                        principal, model_id, is_streamed=is_streamed, prompt_tokens=prompt_tokens
                    )
                except RateLimitExceeded as error:
                    self._begun = error
            if isinstance(self._begun, RateLimitExceeded):
                raise self._begun
        return _Part(partial(self._end, prompt_tokens))

    def _end(self, prompt_tokens: int, tokens: int) -> None:
        with self._lock:
            self._tokens += max(0, tokens - prompt_tokens) if self._tokens else tokens
            self._left -= 1
            is_last = self._left == 0
        if is_last:
            self.close()

    def close(self) -> None:
        if self._begun is not None and not isinstance(self._begun, RateLimitExceeded):
            self._begun.end(self._tokens)


@dataclass(slots=True)
class _Part:
    settle: Callable[[int], None]
    _is_over: bool = field(default=False)

    def end(self, tokens: int) -> None:
        if not self._is_over:
            self._is_over = True
            self.settle(tokens)
