"""Guards the routes that need one of the operator's secrets (ADMIN_KEY, METRICS_KEY); wrong keys
are slowed down per address.
"""

from __future__ import annotations

import hmac
import logging
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable

from flask import request

from gbproxy.domain.principal import fingerprint, key_digest
from gbproxy.errors import GatewayError, RateLimitExceeded, Unauthenticated
from gbproxy.web import audit
from gbproxy.web.auth import administrative_key, client_network
from gbproxy.web.operations import secures

log = logging.getLogger(__name__)

_GUESSES = 5  # wrong keys from one address within
_WINDOW_S = 60.0
_ADDRESSES = 10_000  # that are remembered, in each worker


class SecretGuard:
    """Checks the key of a request, `Authorization: Bearer`, against these secrets.

    `find_client` raises a GatewayError for what is no client's key. `names` are the settings that
    the secrets come from. `clock`: seconds, only ever growing. `from_console`: asked of a request
    without a key; True lets it pass.
    """

    def __init__(
        self,
        secrets: Iterable[str],
        names: str,
        find_client: Callable[[str], object],
        clock: Callable[[], float] = time.monotonic,
        *,
        from_console: Callable[[], bool] = lambda: False,
    ) -> None:
        self._wanted = [key_digest(secret) for secret in secrets]
        self._names = names
        self._find_client = find_client
        self._from_console = from_console
        self._wrong_keys = WrongKeys(clock)

    @secures("operator")
    def check(self) -> None:
        """A `before_request` function. Raises Unauthenticated or RateLimitExceeded."""
        given = administrative_key()
        if given is None:
            if self._from_console():
                return
            raise Unauthenticated(f"a key is required: Authorization: Bearer {self._names}")
        self.verify(given)
        audit.begin_api(fingerprint(given))

    def verify(self, given: str) -> None:
        """Check a key, wherever the request has it. Raises as `check` does."""
        presented = key_digest(given)
        # The right key opens whatever others have shown from the same address: they may share it
        # with an administrator.
        if any([hmac.compare_digest(presented, key) for key in self._wanted]):  # noqa: C419  all of them, always
            return
        # A client's key was sent to the wrong place, and is no guess.
        if not self._is_clients(given):
            address = request.remote_addr or ""
            self._wrong_keys.check(address)
            self._wrong_keys.record(address)
            log.warning("admin.refused", extra={"address": address})
        raise Unauthenticated(f"this is not the key that opens this: {self._names}")

    def _is_clients(self, key: str) -> bool:
        try:
            self._find_client(key)
        except GatewayError:  # also while the database is away: then it counts as a guess
            return False
        return True


class WrongKeys:
    """Wrong keys of the last minute, by the address that they came from. `clock`: seconds, only
    ever growing.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._seen: OrderedDict[str, deque[float]] = OrderedDict()

    def check(self, address: str) -> None:
        """Raises RateLimitExceeded while too many have come from this address; further ones are not
        counted.
        """
        seen = self._seen.get(client_network(address))
        now = self._clock()
        if seen is not None and len(seen) == _GUESSES and now - seen[0] < _WINDOW_S:
            raise RateLimitExceeded(
                "too many wrong keys from this address", retry_after=seen[0] + _WINDOW_S - now
            )

    def record(self, address: str) -> None:
        """Count a wrong key from this address."""
        source = client_network(address)
        self._seen.setdefault(source, deque(maxlen=_GUESSES)).append(self._clock())
        self._seen.move_to_end(source)
        while len(self._seen) > _ADDRESSES:
            self._seen.popitem(last=False)
