"""Concurrency slots as renewable leases: a killed worker's slots expire."""

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
    """This worker's slots among those of all workers. Safe for use by many threads at once."""

    def __init__(self, store: LimitStore) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._held: set[tuple[str, str]] = set()
        self._is_renewing = False

    def acquire(self, name: str, limit: int) -> Callable[[], None] | None:
        """Take a slot and return what releases it; None when all `limit` slots are taken.

        While the store is away every call gets a slot, which counts as soon as the store is back.
        """
        slot = (name, secrets.token_hex(8))
        try:
            if not self._acquire(slot, limit):
                return None
            with self._lock:
                self._held.add(slot)
            self._keep_renewing()
        except BaseException:  # the client has left meanwhile
            self._release(slot)
            raise
        return lambda: self._release(slot)

    def renew(self) -> None:
        """Renew the leases of all slots that are held."""
        with self._lock:
            held = list(self._held)
        if held:
            try:
                self._store.renew(held, LEASE_S)
            except StorageUnavailable:
                return
            with self._lock:
                released = [slot for slot in held if slot not in self._held]
            for slot in released:  # while it was renewed, which took it again
                self._release_in_store(slot)

    def _acquire(self, slot: tuple[str, str], limit: int) -> bool:
        try:
            return self._store.acquire(*slot, limit, LEASE_S)
        except StorageUnavailable:
            return True

    def _release(self, slot: tuple[str, str]) -> None:
        with self._lock:
            self._held.discard(slot)
        self._release_in_store(slot)

    def _release_in_store(self, slot: tuple[str, str]) -> None:
        try:
            self._store.release(*slot)
        except StorageUnavailable:
            return  # its lease expires

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
