"""Which keys are good: those of the environment, and the stored ones as this worker knows them.

Keys are looked up by their digest, in a dictionary. How long that takes tells nothing of use:
whoever guesses cannot steer the digest of what is shown.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from gbproxy.domain.principal import ApiKey, Principal, digest
from gbproxy.errors import StorageUnavailable, Unauthenticated

log = logging.getLogger(__name__)

# for keys that nobody knows: the database is asked no more often, however many are shown
LOOK_EVERY_S = 0.05


class Rows(Protocol):
    """The stored keys. Calls raise StorageUnavailable."""

    def version(self) -> int:
        """Another number than before, once something has changed."""
        ...

    def all(self) -> Sequence[ApiKey]: ...


class KeyVerifier:
    """Safe for use by many threads at once. `clock`: Unix seconds; `monotonic`: seconds, only ever
    growing.
    """

    def __init__(
        self,
        keys: Iterable[str],
        rows: Rows,
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._own = {each: Principal(each) for each in map(digest, keys)}
        self._rows = rows
        self._clock = clock
        self._monotonic = monotonic
        self._sleep = sleep
        self._stored: Mapping[bytes, ApiKey] = {}
        self._version: int | None = None  # of what is in `_stored`
        self._looked_at = float("-inf")  # when that was last known to be all there is
        self._lock = threading.Lock()
        self._is_behind = False

    def find(self, key: str) -> Principal:
        """Whose key this is. Raises Unauthenticated; StorageUnavailable when nobody can say whether
        there is such a key.
        """
        presented = digest(key)
        own = self._own.get(presented)
        if own is not None:
            return own
        stored = self._stored.get(presented)
        if stored is None:
            self._look()
            stored = self._stored.get(presented)
        if stored is None:
            # in the words that clients look for
            raise Unauthenticated("Incorrect API key provided")
        if stored.has_expired(self._clock()):
            raise Unauthenticated("Incorrect API key provided: it has expired")
        return Principal(stored.digest, stored.id, stored.allowance)

    def pull_changes(self) -> None:
        """Take over what was created or revoked, by whichever worker; called twice a second by
        each.

        Raises StorageUnavailable: then the keys that are known stay good, and what was revoked
        meanwhile too.
        """
        if self._lock.acquire(blocking=False):  # else somebody is looking just now
            try:
                self._refresh()
            finally:
                self._lock.release()

    def refresh(self) -> None:
        """Know what has changed until now. Raises StorageUnavailable."""
        with self._lock:
            self._refresh()

    def _look(self) -> None:
        """See whether there are keys that this worker does not know yet: at once, together with all
        who ask meanwhile.
        """
        came_at = self._monotonic()
        with self._lock:
            if self._looked_at > came_at:
                return  # somebody has, while we waited
            pause_s = self._looked_at + LOOK_EVERY_S - self._monotonic()
            if pause_s > 0:
                self._sleep(pause_s)
            self._refresh()

    def _refresh(self) -> None:
        began_at = self._monotonic()
        try:
            version = self._rows.version()  # first: what changes meanwhile is read again
            if version != self._version:
                self._stored = {key.digest: key for key in self._rows.all()}
                self._version = version
        except StorageUnavailable:
            if not self._is_behind:
                self._is_behind = True
                log.warning("api_keys.behind", extra={"known": len(self._stored)})
            raise
        self._looked_at = began_at
        if self._is_behind:
            self._is_behind = False
            log.info("api_keys.current", extra={"known": len(self._stored)})
