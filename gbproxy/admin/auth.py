"""Who may administer: the ADMIN_KEY, as `Authorization: Bearer`; guesses are slowed per address."""

from __future__ import annotations

import hmac
import logging
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable

from flask import Flask, request
from werkzeug.exceptions import MethodNotAllowed

from gbproxy.errors import GatewayError, RateLimitExceeded, Unauthenticated
from gbproxy.web.address import network
from gbproxy.web.keys import administrative_key, digest

log = logging.getLogger(__name__)

PREFIX = "/api"

_GUESSES = 5  # wrong keys from one address within
_WINDOW_S = 60.0
_ADDRESSES = 10_000  # that are remembered, in each worker


def required(
    keys: Iterable[str],
    find_client: Callable[[str], object],
    clock: Callable[[], float] = time.monotonic,
    *,
    names: str = "ADMIN_KEY",
) -> Callable[[], None]:
    """A `before_request` function for what only these keys open. Raises Unauthenticated or
    RateLimitExceeded.

    The right key opens whatever others have shown from the same address: they may share it with an
    administrator. `find_client` raises a GatewayError for what is no client's key; one that is was
    sent to the wrong place, and is no guess.
    """
    wanted = [digest(key) for key in keys]
    guesses = Guesses(clock)

    def check() -> None:
        given = administrative_key()
        if given is None:
            raise Unauthenticated(f"a key is required: Authorization: Bearer {names}")
        presented = digest(given)
        if any([hmac.compare_digest(presented, key) for key in wanted]):  # noqa: C419  all of them, always
            return
        if not _is_known(given, find_client):
            address = request.remote_addr or ""
            guesses.check(address)
            guesses.note(address)
            log.warning("admin.refused", extra={"address": address})
        raise Unauthenticated(f"this is not the key that opens this: {names}")

    return check


def guard(app: Flask, check: Callable[[], None]) -> None:
    """Ask for the key where a route below `/api` is there, but not by this method; what is not
    there is told to everybody.

    Chat programs look for other servers' routes there (`/api/tags`, `/api/v1/models`): they are to
    find none, and whatever key they show is no guess. Each blueprint of this room has `check` as
    its own `before_request`.
    """

    @app.before_request
    def hide() -> None:
        is_there = isinstance(request.routing_exception, MethodNotAllowed)
        if is_there and f"{request.path}/".startswith(f"{PREFIX}/"):
            check()


def _is_known(key: str, find_client: Callable[[str], object]) -> bool:
    try:
        find_client(key)
    except GatewayError:  # also while nobody can say: then it counts
        return False
    return True


class Guesses:
    """Wrong keys of late, by the address that they came from. `clock`: seconds, only ever
    growing.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._seen: OrderedDict[str, deque[float]] = OrderedDict()

    def check(self, address: str) -> None:
        """For a wrong key: raises RateLimitExceeded while too many have come from there, and counts
        no further ones.
        """
        seen = self._seen.get(network(address))
        now = self._clock()
        if seen is not None and len(seen) == _GUESSES and now - seen[0] < _WINDOW_S:
            raise RateLimitExceeded(
                "too many wrong keys from this address", retry_after=seen[0] + _WINDOW_S - now
            )

    def note(self, address: str) -> None:
        """A wrong key has come from there."""
        source = network(address)
        self._seen.setdefault(source, deque(maxlen=_GUESSES)).append(self._clock())
        self._seen.move_to_end(source)
        while len(self._seen) > _ADDRESSES:
            self._seen.popitem(last=False)
