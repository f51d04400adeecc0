"""What the workers have learnt of the accounts, shared by all: states per quota class, and their
last uses.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from sqlalchemy import ColumnElement, and_, bindparam, or_, select

from gbproxy.storage.database import Database
from gbproxy.storage.tables import Instant
from gbproxy.storage.tables import account_states as states
from gbproxy.storage.tables import account_uses as uses
from gbproxy.storage.upsert import at, not_older, upsert


class State(Protocol):
    """One account's state for one quota class; `account_id` is its seat; `quota` "" stands for the
    account as a whole. Times are Unix seconds.
    """

    @property
    def account_key(self) -> str: ...
    @property
    def quota(self) -> str: ...
    @property
    def state(self) -> str: ...
    @property
    def cooling_until(self) -> float | None: ...
    @property
    def consecutive_failures(self) -> int: ...
    @property
    def probe_until(self) -> float | None: ...
    @property
    def cause(self) -> str: ...
    @property
    def credential(self) -> str: ...
    @property
    def changed_at(self) -> float: ...


S = TypeVar("S", bound=State)


@dataclass(frozen=True, slots=True)
class AccountUse:
    last_used_at: float | None
    last_error: str | None
    last_error_at: float | None
    last_error_said: dict[str, Any] | None = None


# what was noted later than that from now was noted before the clock was set back
_SET_BACK_S = 60.0
_READ = select(states)
_USES = select(
    uses.c.account_id,
    uses.c.last_used_at,
    uses.c.last_error,
    uses.c.last_error_at,
    uses.c.last_error_said,
)


class StateRows(Generic[S]):
    """`clock`: Unix seconds; `make`: makes a state out of its fields, each by name."""

    def __init__(
        self, database: Database, clock: Callable[[], float], make: Callable[..., S]
    ) -> None:
        self._database = database
        self._clock = clock
        self._make = make
        # Who knows less than what stands there already does not overwrite it.
        self._put = upsert(
            database,
            states,
            *(column.name for column in states.columns if not column.primary_key),
            when=lambda new: not_older(new, states.c.changed_at),
        )
        self._try = upsert(database, states, "probe_until", when=_may_be_tried)
        self._used = upsert(
            database, uses, "last_used_at", when=lambda new: _is_newer(new, "last_used_at")
        )
        self._failed = upsert(
            database,
            uses,
            "last_error",
            "last_error_at",
            "last_error_said",
            when=lambda new: _is_newer(new, "last_error_at"),
        )

    def publish(self, change: S) -> None:
        """Tell all workers, unless something newer is known already."""
        values = {column.name: getattr(change, column.name) for column in states.columns}
        self._database.change(self._put, values | at(states.c.changed_at, change.changed_at))

    def try_trial(self, account_key: str, quota: str, until: float) -> bool:
        """Whether this is the one request, of all workers', that may try an account whose cooling
        has ended.

        Until `until` no other may, unless the state is published anew. What was never published may
        be tried too.
        """
        values = {
            "account_key": account_key,
            "quota": quota,
            "state": "ready",
            "consecutive_failures": 0,
            "probe_until": until,
            "cause": "",
            "credential": "",
            "changed_at": 0.0,  # whatever is published is newer
            "now": self._clock(),
            "set_back": self._clock() + _SET_BACK_S,
            "too_late": until + _SET_BACK_S,
        }
        return self._database.change(self._try, values) == 1

    def read(self) -> list[S]:
        """All states."""
        return [self._make(**row._mapping) for row in self._database.fetch(_READ)]

    def used(self, account_ids: Collection[str], at: float) -> None:
        """These accounts were used; several uses may be told together."""
        if account_ids:
            rows = [
                {"account_id": account_id, "last_used_at": at} for account_id in sorted(account_ids)
            ]
            self._database.transact(lambda connection: connection.execute(self._used, rows))

    def failed(
        self, account_id: str, error: str | None, at: float, said: dict[str, Any] | None = None
    ) -> None:
        """`error` is shown to administrators: a sentence without a secret; None: it has recovered
        since.

        `said`: what the upstream said, as `UpstreamWords.safe` has it.
        """
        values = {
            "account_id": account_id,
            "last_error": error,
            "last_error_at": at,
            "last_error_said": said,
        }
        self._database.change(self._failed, values)

    def uses(self) -> dict[str, AccountUse]:
        """By account id."""
        return {account_id: AccountUse(*rest) for account_id, *rest in self._database.fetch(_USES)}


def _is_newer(new: Any, column: str) -> ColumnElement[bool]:
    return or_(uses.c[column].is_(None), new[column] > uses.c[column])


def _may_be_tried(new: Any) -> ColumnElement[bool]:
    del new
    now, cooling, trial = (
        bindparam("now", type_=Instant),
        states.c.cooling_until,
        states.c.probe_until,
    )
    return and_(
        or_(
            cooling.is_(None),
            cooling <= now,
            states.c.changed_at > bindparam("set_back", type_=Instant),
        ),
        or_(trial.is_(None), trial <= now, trial > bindparam("too_late", type_=Instant)),
    )
