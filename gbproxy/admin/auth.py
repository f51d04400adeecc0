"""Who may administer: the ADMIN_KEY, as `Authorization: Bearer` and nowhere else; guesses are slowed per address."""

from __future__ import annotations

import hmac
import logging
import time
from collections import OrderedDict, deque
from collections.abc import Callable

from flask import Flask, request

from gbproxy.errors import RateLimitExceeded, Unauthenticated
from gbproxy.web.address import network
from gbproxy.web.keys import bearer_key, digest

log = logging.getLogger(__name__)

PREFIX = "/api"

_GUESSES = 5  # wrong keys from one address within
_WINDOW_S = 60.0
_ADDRESSES = 10_000  # that are remembered, in each worker


def required(key: str, clock: Callable[[], float] = time.monotonic) -> Callable[[], None]:
    """A `before_request` function for what only administrators may do. Raises Unauthenticated or RateLimitExceeded."""
    wanted = digest(key)
    guesses = Guesses(clock)

    def check() -> None:
        address = request.remote_addr or ""
        guesses.check(address)
        given = bearer_key()
        if given is None:
            raise Unauthenticated("the admin key is required: Authorization: Bearer ADMIN_KEY")
        if not hmac.compare_digest(digest(given), wanted):
            guesses.note(address)
            log.warning("admin.refused", extra={"address": address})
            raise Unauthenticated("this is not the admin key")

    return check


def guard(app: Flask, check: Callable[[], None]) -> None:
    """Let nobody without the key learn what there is below `/api`: what has no route there is refused like the rest.

    Each blueprint of this room has `check` as its own `before_request`; this is for requests that reach none of them.
    """

    @app.before_request
    def hide() -> None:
        if request.url_rule is None and f"{request.path}/".startswith(f"{PREFIX}/"):
            check()


class Guesses:
    """Wrong keys of late, by the address that they came from. `clock`: seconds, only ever growing."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._seen: OrderedDict[str, deque[float]] = OrderedDict()

    def check(self, address: str) -> None:
        """Raises RateLimitExceeded, whatever the key, while too many wrong ones have come from there."""
        seen = self._seen.get(network(address))
        now = self._clock()
        if seen is not None and len(seen) == _GUESSES and now - seen[0] < _WINDOW_S:
            raise RateLimitExceeded(
                "too many wrong admin keys from this address", retry_after=seen[0] + _WINDOW_S - now
            )

    def note(self, address: str) -> None:
        """A wrong key has come from there."""
        source = network(address)
        self._seen.setdefault(source, deque(maxlen=_GUESSES)).append(self._clock())
        self._seen.move_to_end(source)
        while len(self._seen) > _ADDRESSES:
            self._seen.popitem(last=False)
