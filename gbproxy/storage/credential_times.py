"""When each account's sign-in was given, renewed by the upstream, and probed, whatever for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import bindparam, or_, select, update

from gbproxy.domain.account import Account
from gbproxy.domain.clock import SET_BACK_S
from gbproxy.storage.columns import Instant
from gbproxy.storage.database import Database
from gbproxy.storage.tables import cookies
from gbproxy.storage.tables import credential_times as times
from gbproxy.storage.upserts import upsert


@dataclass(frozen=True, slots=True)
class CredentialTime:
    """`credential`: digest of the sign-in that was given. Times are Unix seconds."""

    credential: str
    given_at: float
    probed_at: float | None
    renewed_at: float | None

    @property
    def fresh_at(self) -> float:
        """When its cookies were given or renewed last."""
        return max(self.given_at, self.renewed_at or 0.0)

    def is_of(self, account: Account) -> bool:
        """True for times of the sign-in that the account has now."""
        # the latter: noted by an older version, and not rewritten yet
        return self.credential in (account.sign_in_fingerprint(), account.fingerprint())


_READ = select(
    times.c.account_key,
    times.c.credential,
    times.c.given_at,
    times.c.probed_at,
    cookies.c.renewed_at,
).outerjoin(cookies, cookies.c.account_key == times.c.account_key)
_CLAIM = (
    update(times)
    .where(times.c.account_key == bindparam("wanted"))
    .where(
        or_(
            times.c.probed_at.is_(None),
            times.c.probed_at <= bindparam("before", type_=Instant),
            times.c.probed_at > bindparam("set_back", type_=Instant),  # the clock was set back
        )
    )
    .values(probed_at=bindparam("now", type_=Instant))
)
# Older versions have noted the digest of all values.
_KEEP_AGE = (
    update(times)
    .where(times.c.account_key == bindparam("wanted"))
    .where(times.c.credential == bindparam("formerly"))
    .values(credential=bindparam("sign_in"))
)


class CredentialTimes:
    """Calls raise StorageUnavailable. `clock`: Unix seconds."""

    def __init__(self, database: Database, clock: Callable[[], float]) -> None:
        self._database = database
        self._clock = clock
        self._put = upsert(
            database,
            times,
            "credential",
            "given_at",
            "probed_at",
            when=lambda new: new.credential != times.c.credential,
        )

    def read(self) -> dict[str, CredentialTime]:
        """By account key."""
        return {key: CredentialTime(*rest) for key, *rest in self._database.fetch(_READ)}

    def note(self, account: Account) -> None:
        """Its sign-in is in use: it was given now, unless it was noted before."""
        key, sign_in = account.account_key, account.sign_in_fingerprint()
        former = {"wanted": key, "formerly": account.fingerprint(), "sign_in": sign_in}
        self._database.change(_KEEP_AGE, former)
        values = {"credential": sign_in, "given_at": self._clock(), "probed_at": None}
        self._database.change(self._put, {"account_key": key, **values})

    def claim_probe(self, account_key: str, every_s: float) -> bool:
        """True for one caller, of all workers and replicas, in any period of this length."""
        now = self._clock()
        values = {"before": now - every_s, "set_back": now + SET_BACK_S, "now": now}
        return self._database.change(_CLAIM, {"wanted": account_key, **values}) == 1

    def note_probe(self, account_key: str) -> None:
        """It is probed now, due or not: claims count from here."""
        self.claim_probe(account_key, 0.0)
