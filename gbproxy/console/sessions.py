"""Sessions of the console: each is a sealed cookie, and one counter in the database ends them."""

from __future__ import annotations

import hmac
import secrets
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

from gbproxy.console.seal import Seal
from gbproxy.domain.principal import fingerprint
from gbproxy.storage.workers import ChangeCounter, Topic

IDLE_S = 12 * 3600
_RENEWED_AFTER_S = 60.0
_TOPIC: Topic = "console"


@dataclass(frozen=True, slots=True)
class Session:
    """`version`: of the counter, when it began; `seen_at`: the last deed of its user, Unix
    seconds.
    """

    csrf_token: str
    version: int
    seen_at: float

    @property
    def fingerprint(self) -> str:
        """What logs call it by."""
        return fingerprint(self.csrf_token)

    def has_token(self, given: str) -> bool:
        """True if a form shows that it came out of this session."""
        return hmac.compare_digest(given.encode(), self.csrf_token.encode())


class ConsoleSessions:
    """`clock`: Unix seconds. Calls raise StorageUnavailable."""

    def __init__(
        self, seal: Seal, changes: ChangeCounter, clock: Callable[[], float] = time.time
    ) -> None:
        self._seal = seal
        self._changes = changes
        self._clock = clock

    def start(self) -> Session:
        return Session(secrets.token_urlsafe(24), self._changes.version(_TOPIC), self._clock())

    def cookie(self, session: Session) -> str:
        return self._seal.close("session", asdict(session))

    def find(self, cookie: str) -> Session | None:
        """The session of a cookie; None if it is forged, was signed out in any worker, or idle for
        too long.
        """
        value = self._seal.open("session", cookie)
        if value is None:
            return None
        try:
            session = Session(**value)
        except TypeError:  # of a version with other fields
            return None
        if session.seen_at + IDLE_S <= self._clock():
            return None
        # Asked each time, not cached: a sign-out counts at once in all workers.
        return session if session.version == self._changes.version(_TOPIC) else None

    def renewed(self, session: Session) -> Session | None:
        """The session as seen now; None while it was seen just before."""
        now = self._clock()
        return replace(session, seen_at=now) if now >= session.seen_at + _RENEWED_AFTER_S else None

    def end_all(self) -> None:
        """Sign out everywhere: no cookie that was given out until now opens anything again."""
        self._changes.advance(_TOPIC)
