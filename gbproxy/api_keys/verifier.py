"""Verifies API keys on the hot path: those of the environment, and a copy of the stored ones.

Keys are looked up by their digest, in a dictionary. A timing attack gains nothing from that: a key
cannot be chosen by the beginning of its SHA-256.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping

from gbproxy.domain.principal import ApiKey, Principal, key_digest
from gbproxy.errors import StorageUnavailable, Unauthenticated
from gbproxy.storage.api_keys import ApiKeyStore

log = logging.getLogger(__name__)

REFRESH_UNKNOWN_EVERY_S = 0.05  # least time between two reads for unknown keys


class KeyVerifier:
    """`keys`: those of the environment. `clock`: Unix seconds; `monotonic`: monotonic seconds. Safe
    for use by many threads at once.
    """

    def __init__(
        self,
        keys: Iterable[str],
        store: ApiKeyStore,
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._own = {each: Principal(each) for each in map(key_digest, keys)}
        self._store = store
        self._clock = clock
        self._monotonic = monotonic
        self._sleep = sleep
        self._stored: Mapping[bytes, ApiKey] = {}
        self._names: Mapping[str, str] = {}  # of `_stored`, by fingerprint
        self._version: int | None = None  # of `_stored`
        self._refreshed_at = float("-inf")  # `_stored` was complete at this time
        self._lock = threading.Lock()
        self._is_stale = False

    def find(self, key: str) -> Principal:
        """The principal of a key. Raises Unauthenticated; StorageUnavailable for an unknown key
        while the database is away.
        """
        return self.find_by_digest(key_digest(key))

    def find_by_digest(self, digest: bytes) -> Principal:
        """As `find`, for a key of which only the digest is known."""
        own = self._own.get(digest)
        if own is not None:
            return own
        stored = self._stored.get(digest)
        if stored is None:
            self._refresh_unknown()
            stored = self._stored.get(digest)
        if stored is None:
            # Clients look for these words.
            raise Unauthenticated("Incorrect API key provided")
        if stored.has_expired(self._clock()):
            raise Unauthenticated("Incorrect API key provided: it has expired")
        return Principal(stored.digest, stored.id, stored.policy)

    def has_digest(self, digest: bytes) -> bool:
        """True if there is a valid key of this digest. Raises StorageUnavailable as `find` does."""
        try:
            self.find_by_digest(digest)
        except Unauthenticated:
            return False
        return True

    def names(self) -> Mapping[str, str]:
        """The names of the stored keys that this worker knows, by fingerprint."""
        return self._names

    def pull_changes(self) -> None:
        """Read the keys again if a worker has changed any; called twice a second.

        Raises StorageUnavailable: the known keys stay valid then, also those revoked meanwhile.
        """
        if self._lock.acquire(blocking=False):  # else another thread is refreshing just now
            try:
                self._refresh()
            finally:
                self._lock.release()

    def refresh(self) -> None:
        """Read all changes up to now, waiting for the lock. Raises StorageUnavailable."""
        with self._lock:
            self._refresh()

    def _refresh_unknown(self) -> None:
        """Read keys that were created since the last refresh. Concurrent calls share one read."""
        came_at = self._monotonic()
        with self._lock:
            if self._refreshed_at > came_at:
                return  # another call has refreshed while this one waited
            pause_s = self._refreshed_at + REFRESH_UNKNOWN_EVERY_S - self._monotonic()
            if pause_s > 0:
                self._sleep(pause_s)
            self._refresh()

    def _refresh(self) -> None:
        began_at = self._monotonic()
        try:
            version = self._store.version()  # first: a later change is read again
            if version != self._version:
                self._stored = {key.digest: key for key in self._store.all()}
                self._names = {key.fingerprint: key.name for key in self._stored.values()}
                self._version = version
        except StorageUnavailable:
            if not self._is_stale:
                self._is_stale = True
                log.warning("api_keys.behind", extra={"known": len(self._stored)})
            raise
        self._refreshed_at = began_at
        if self._is_stale:
            self._is_stale = False
            log.info("api_keys.current", extra={"known": len(self._stored)})
