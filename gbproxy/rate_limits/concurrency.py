"""Places for answers that run: each is ours for a while, and renewed as long as it is held; so
those of the dead get free.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable

from gbproxy.errors import StorageUnavailable
from gbproxy.rate_limits.store import LimitStore

LEASE_S = 10.0
RENEW_S = 3.0


class ConcurrencyLimiter:
    """Those of this worker, among those of all. Safe for use by many threads at once."""

    def __init__(self, counters: LimitStore) -> None:
        self._counters = counters
        self._lock = threading.Lock()
        self._held: set[tuple[str, str]] = set()
        self._is_renewing = False

    def take(self, name: str, limit: int) -> Callable[[], None] | None:
        """What gives the place back; None when all so many are taken.

        While nobody can count, there is always one: it is counted as soon as somebody can.
        """
        slot = (name, secrets.token_hex(8))
        try:
            if not self._enter(slot, limit):
                return None
            with self._lock:
                self._held.add(slot)
            self._keep_renewing()
        except BaseException:  # the client has left meanwhile
            self._leave(slot)
            raise
        return lambda: self._leave(slot)

    def renew(self) -> None:
        """Hold on to all that are held."""
        with self._lock:
            held = list(self._held)
        if held:
            try:
                self._counters.renew(held, LEASE_S)
            except StorageUnavailable:
                return
            with self._lock:
                left = [slot for slot in held if slot not in self._held]
            for slot in left:  # given back while it was renewed
                self._give_back(slot)

    def _enter(self, slot: tuple[str, str], limit: int) -> bool:
        try:
            return self._counters.enter(*slot, limit, LEASE_S)
        except StorageUnavailable:
            return True

    def _leave(self, slot: tuple[str, str]) -> None:
        with self._lock:
            self._held.discard(slot)
        self._give_back(slot)

    def _give_back(self, slot: tuple[str, str]) -> None:
        try:
            self._counters.leave(*slot)
        except StorageUnavailable:
            return  # it gets free by itself

    def _keep_renewing(self) -> None:
        with self._lock:
            if self._is_renewing:
                return
            self._is_renewing = True
        threading.Thread(target=self._renew_while_held, name="slots", daemon=True).start()

    def _renew_while_held(self) -> None:
        while True:
            time.sleep(RENEW_S)
            with self._lock:
                if not self._held:
                    self._is_renewing = False
                    return
            self.renew()
