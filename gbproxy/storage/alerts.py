"""Which alerts are open, as all workers and replicas have told them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import and_, bindparam, delete, or_, select, update

from gbproxy.domain.account import quota_class, quota_model
from gbproxy.domain.clock import SET_BACK_S
from gbproxy.storage.columns import Instant
from gbproxy.storage.database import Database
from gbproxy.storage.tables import alerts
from gbproxy.storage.upserts import upsert


class AlertKey(NamedTuple):
    """The subject of an alert. `account_key` is "" where it is about none. `scope`: the quota scope
    of the account that is used up; without an account, a digest of the accounts or the Redis that
    it is about, the same in all gateways that have these; else "".
    """

    kind: str
    account_key: str = ""
    scope: str = ""

    @property
    def quota(self) -> str | None:
        """The class of the account's quota; None where it is not about a quota."""
        return (quota_class(self.scope) or None) if self.account_key else None

    @property
    def model(self) -> str | None:
        """The model that the account's quota is for; None where it is for all of its kind."""
        return (quota_model(self.scope) or None) if self.account_key else None


@dataclass(frozen=True, slots=True)
class StoredAlert:
    """An alert as it was told last. `seen_at`: when a gateway that can judge it last found it so.
    `untold_since`: when the sending of its last message has begun; None once that has ended.
    `sent_at`: when a webhook has last taken a message of it. `failed_at`: when none has taken the
    last one. Times are Unix seconds.
    """

    key: AlertKey
    is_open: bool
    opened_at: float
    closed_at: float | None
    seen_at: float | None
    untold_since: float | None
    sent_at: float | None
    failed_at: float | None


_READ = select(
    alerts.c.kind,
    alerts.c.account_key,
    alerts.c.scope,
    alerts.c.is_open,
    alerts.c.opened_at,
    alerts.c.closed_at,
    alerts.c.seen_at,
    alerts.c.untold_since,
    alerts.c.sent_at,
    alerts.c.failed_at,
).order_by(alerts.c.opened_at.desc())
_IS_WANTED = and_(
    alerts.c.kind == bindparam("of_kind"),
    alerts.c.account_key == bindparam("of_account"),
    alerts.c.scope == bindparam("of_scope"),
)
_CLOSE = (
    update(alerts)
    .where(_IS_WANTED, alerts.c.is_open)
    .values(
        is_open=False,
        closed_at=bindparam("now", type_=Instant),
        untold_since=bindparam("since", type_=Instant),
    )
)
_ENDED = update(alerts).where(_IS_WANTED, alerts.c.is_open == bindparam("of_state"))
_TOLD = _ENDED.values(untold_since=None, sent_at=bindparam("now", type_=Instant), failed_at=None)
_FAILED = _ENDED.values(untold_since=None, failed_at=bindparam("now", type_=Instant))
_RETELL = (
    update(alerts)
    .where(_IS_WANTED, alerts.c.untold_since <= bindparam("before", type_=Instant))
    .values(untold_since=bindparam("now", type_=Instant))
)
_SEEN = update(alerts).where(_IS_WANTED).values(seen_at=bindparam("now", type_=Instant))
_FORGET = (
    delete(alerts)
    .where(alerts.c.opened_at < bindparam("before", type_=Instant))
    .where(alerts.c.is_open.is_(False))
)


class AlertRows:
    """Each change is told by the caller whose call has made it. Calls raise StorageUnavailable.

    `clock`: Unix seconds.
    """

    def __init__(self, database: Database, clock: Callable[[], float]) -> None:
        self._database = database
        self._clock = clock
        self._open = upsert(
            database,
            alerts,
            "is_open",
            "opened_at",
            "closed_at",
            "seen_at",
            "untold_since",
            when=lambda new: and_(
                alerts.c.is_open.is_(False),
                or_(
                    alerts.c.opened_at <= bindparam("before", type_=Instant),
                    alerts.c.opened_at > bindparam("set_back", type_=Instant),
                ),
            ),
        )

    def read(self) -> list[StoredAlert]:
        """All of them, those that were told last first."""
        return [
            StoredAlert(AlertKey(kind, account_key, scope), *rest)
            for kind, account_key, scope, *rest in self._database.fetch(_READ)
        ]

    def open(self, key: AlertKey, silence_s: float, at: float | None = None) -> bool:
        """Open an alert. True if it is to be told: it was not open, and was not told to have opened
        within `silence_s` before. `at`: Unix seconds; now without it.
        """
        at = self._clock() if at is None else at
        values = {**key._asdict(), "is_open": True, "opened_at": at, "closed_at": None}
        values["seen_at"] = values["untold_since"] = at
        limits = {"before": at - silence_s, "set_back": at + SET_BACK_S}
        return self._database.change(self._open, values | limits) == 1

    def close(self, key: AlertKey, *, quietly: bool = False) -> bool:
        """Close an alert. True if it was open, so that its end is to be told; or not, `quietly`."""
        values = self._values(key)
        values["since"] = None if quietly else values["now"]
        return self._database.change(_CLOSE, values) == 1

    def told(self, key: AlertKey, *, is_open: bool, is_taken: bool) -> None:
        """Note that the message that it is open, or over, is sent no more: `is_taken` by a webhook,
        or by none.
        """
        values = self._values(key) | {"of_state": is_open}
        self._database.change(_TOLD if is_taken else _FAILED, values)

    def retell(self, key: AlertKey, before: float) -> bool:
        """True if its message is to be sent again, as its sending had begun `before` (Unix seconds)
        and has not ended.
        """
        return self._database.change(_RETELL, self._values(key) | {"before": before}) == 1

    def see(self, key: AlertKey) -> None:
        """Note that a gateway still finds it so."""
        self._database.change(_SEEN, self._values(key))

    def forget(self, before: float) -> None:
        """Delete the closed ones that were opened before."""
        self._database.change(_FORGET, {"before": before})

    def _values(self, key: AlertKey) -> dict[str, Any]:
        wanted = {"of_kind": key.kind, "of_account": key.account_key, "of_scope": key.scope}
        return {**wanted, "now": self._clock()}
