"""What the workers have learnt of the accounts, shared by all: states per quota class, and their last uses."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import ColumnElement, bindparam, delete, or_, select, update

from gbproxy.storage.database import Database
from gbproxy.storage.tables import account_states as states
from gbproxy.storage.tables import account_uses as uses
from gbproxy.storage.upsert import upsert


@dataclass(frozen=True, slots=True)
class StateRow:
    """One account's state for one quota class; `quota` "" stands for the account as a whole. Times are Unix seconds."""

    account_id: str
    quota: str
    state: str
    changed_at: float
    cooling_until: float | None = None
    strikes: int = 0
    cause: str = ""
    trial_until: float | None = None


@dataclass(frozen=True, slots=True)
class Use:
    last_used_at: float | None
    last_error: str | None
    last_error_at: float | None


_STATE = [states.c[name] for name in StateRow.__dataclass_fields__]
_READ = select(*_STATE)
_TRIAL = (
    update(states)
    .where(
        states.c.account_id == bindparam("account"),
        states.c.quota == bindparam("class"),
        states.c.cooling_until <= bindparam("now"),
        or_(states.c.trial_until.is_(None), states.c.trial_until <= bindparam("now")),
    )
    .values(trial_until=bindparam("until"))
)
_CLEAR = delete(states).where(states.c.account_id == bindparam("account"))
_USES = select(uses.c.account_id, uses.c.last_used_at, uses.c.last_error, uses.c.last_error_at)
_FORGET_USE = delete(uses).where(uses.c.account_id == bindparam("account"))


class StateRows:
    """`clock`: Unix seconds."""

    def __init__(self, database: Database, clock: Callable[[], float]) -> None:
        self._database = database
        self._clock = clock
        # Who knows less than what stands there already does not overwrite it.
        self._put = upsert(
            database,
            states,
            *(name for name in StateRow.__dataclass_fields__ if name not in ("account_id", "quota")),
            when=lambda new: new.changed_at >= states.c.changed_at,
        )
        self._used = upsert(database, uses, "last_used_at", when=lambda new: _is_newer(new, "last_used_at"))
        self._failed = upsert(
            database, uses, "last_error", "last_error_at", when=lambda new: _is_newer(new, "last_error_at")
        )

    def publish(self, change: StateRow) -> bool:
        """Tell all workers; False when something newer is known already."""
        return self._database.change(self._put, asdict(change)) == 1

    def try_trial(self, account_id: str, quota: str, until: float) -> bool:
        """Whether this is the one request, of all workers', that may try an account whose cooling has ended.

        Until `until` no other may, unless the state is published anew.
        """
        values = {"account": account_id, "class": quota, "now": self._clock(), "until": until}
        return self._database.change(_TRIAL, values) == 1

    def read(self) -> list[StateRow]:
        """All states."""
        return [StateRow(*row) for row in self._database.fetch(_READ)]

    def clear(self, account_id: str) -> None:
        """Forget all of an account: it was changed or removed."""
        self._database.change(_CLEAR, {"account": account_id})

    def used(self, account_ids: Collection[str], at: float) -> None:
        """These accounts were used; several uses may be told together."""
        if account_ids:
            rows = [{"account_id": account_id, "last_used_at": at} for account_id in sorted(account_ids)]
            self._database.transact(lambda connection: connection.execute(self._used, rows))

    def failed(self, account_id: str, error: str, at: float) -> None:
        """`error` is shown to administrators: a code or a sentence without a secret."""
        self._database.change(self._failed, {"account_id": account_id, "last_error": error, "last_error_at": at})

    def uses(self) -> dict[str, Use]:
        """By account id."""
        return {account_id: Use(*rest) for account_id, *rest in self._database.fetch(_USES)}

    def forget_use(self, account_id: str) -> None:
        self._database.change(_FORGET_USE, {"account": account_id})


def _is_newer(new: Any, column: str) -> ColumnElement[bool]:
    return or_(uses.c[column].is_(None), new[column] > uses.c[column])
