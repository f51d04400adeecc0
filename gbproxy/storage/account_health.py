"""Findings about the accounts, shared by all workers: their health for each quota class,
their last uses, what checks of their credentials have shown, and which models and tools they have.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

from sqlalchemy import ColumnElement, and_, bindparam, delete, or_, select

from gbproxy.domain.clock import SET_BACK_S
from gbproxy.storage.columns import Instant
from gbproxy.storage.database import Database
from gbproxy.storage.tables import account_checks as checks
from gbproxy.storage.tables import account_states as states
from gbproxy.storage.tables import account_support as support
from gbproxy.storage.tables import account_uses as uses
from gbproxy.storage.tables import tokens
from gbproxy.storage.upserts import at, not_older, upsert
from gbproxy.storage.workers import REREAD_S, ChangeCounter

Health = TypeVar("Health")
Status = Literal["valid", "refused", "unknown"]


@dataclass(frozen=True, slots=True)
class AccountUse:
    last_used_at: float | None
    last_error: str | None
    last_error_at: float | None
    last_error_said: dict[str, Any] | None = None
    last_error_kind: str | None = None


@dataclass(frozen=True, slots=True)
class CheckResult:
    """`credential`: digest of what was checked; `detail`, without a secret: the reason; `at`: Unix
    seconds.

    `said`: what the upstream said, as `UpstreamWords.safe` has it; None without a reply of it.
    """

    credential: str
    status: Status
    detail: str
    at: float
    said: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """A fact learnt about one subject of an account; `text` has a meaning to its writer alone.
    `noted_at`: Unix seconds.
    """

    account_key: str
    subject: str
    text: str
    noted_at: float


_READ = select(states)
_USES = select(
    uses.c.account_id,
    uses.c.last_used_at,
    uses.c.last_error,
    uses.c.last_error_at,
    uses.c.last_error_said,
    uses.c.last_error_kind,
)
_CHECKS = select(checks)
_SIGN_INS = select(tokens.c.account_key, tokens.c.credential, tokens.c.signed_at)
_FINDINGS = select(support).where(support.c.noted_at >= bindparam("since"))
_FORGET = delete(support).where(
    or_(
        support.c.noted_at < bindparam("taken_before"),
        and_(support.c.finding != "taken", support.c.noted_at < bindparam("others_before")),
    )
)


class AccountHealthRows(Generic[Health]):
    """The health of all accounts. `clock`: Unix seconds. Calls raise StorageUnavailable.

    `make` makes a `Health` of the columns of account_states, each by name; those are its fields
    too. Times are Unix seconds; `quota` "" stands for the account as a whole.
    """

    def __init__(
        self, database: Database, clock: Callable[[], float], make: Callable[..., Health]
    ) -> None:
        self._database = database
        self._clock = clock
        self._make = make
        self._changes = ChangeCounter(database)
        self._latest: list[Health] = []
        self._latest_version: tuple[int, int] | None = None
        self._latest_at = 0.0
        # A worker that knows less than is stored already does not overwrite it.
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
            "last_error_kind",
            when=lambda new: _is_newer(new, "last_error_at"),
        )

    def publish(self, change: Health) -> None:
        """Store it for all workers, unless something newer is stored."""
        values = {column.name: getattr(change, column.name) for column in states.columns}
        values |= at(states.c.changed_at, values["changed_at"])
        self._changes.change("health", self._put, values)

    def try_probe(self, account_key: str, quota: str, until: float) -> bool:
        """True for one request, of all workers', which may try an account whose cooldown has ended.

        Until `until` no other may, unless its health is published anew. What was never published
        may be tried too.
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
            "set_back": self._clock() + SET_BACK_S,
            "too_late": until + SET_BACK_S,
        }
        return self._changes.change("health", self._try, values) == 1

    def latest(self) -> list[Health]:
        """As `read`, but out of memory while no worker has stored anything: for one thread, often.
        Saves 60 µs of a round that finds nothing.
        """
        versions = self._changes.versions()  # first: a later change is read again
        # With an account its health is removed.
        version = versions.get("accounts", 0), versions.get("health", 0)
        now = self._clock()
        if version != self._latest_version or abs(now - self._latest_at) >= REREAD_S:
            self._latest = self.read()
            self._latest_version, self._latest_at = version, now
        return self._latest

    def read(self) -> list[Health]:
        """Of all accounts and quota classes."""
        return [self._make(**row._mapping) for row in self._database.fetch(_READ)]

    def used(self, account_ids: Collection[str], at: float) -> None:
        """Store when these accounts were used last; several uses may be stored together."""
        if account_ids:
            rows = [
                {"account_id": account_id, "last_used_at": at} for account_id in sorted(account_ids)
            ]
            self._database.transact(lambda connection: connection.execute(self._used, rows))

    def failed(
        self,
        account_id: str,
        error: str | None,
        at: float,
        said: dict[str, Any] | None = None,
        kind: str | None = None,
    ) -> None:
        """Store what an account has met last: a sentence without a secret, for administrators; None
        when it has recovered since.

        `said`: what the upstream said, as `UpstreamWords.safe` has it; `kind`: GatewayError.kind.
        """
        values = {
            "account_id": account_id,
            "last_error": error,
            "last_error_at": at,
            "last_error_said": said,
            "last_error_kind": kind,
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


class CheckStore:
    """The last check of each credential. `clock`: Unix seconds. Calls raise StorageUnavailable."""

    def __init__(self, database: Database, clock: Callable[[], float]) -> None:
        self._database = database
        self._clock = clock
        self._put = upsert(database, checks, "credential", "status", "detail", "checked_at", "said")

    def note(
        self,
        account_id: str,
        credential: str,
        status: Status,
        detail: str = "",
        said: dict[str, Any] | None = None,
    ) -> CheckResult:
        """Store what a check has just shown, in place of an earlier one."""
        result = CheckResult(credential, status, detail, self._clock(), said)
        values = {
            "credential": credential,
            "status": status,
            "detail": detail,
            "checked_at": result.at,
            "said": said,
        }
        self._database.change(self._put, {"account_id": account_id, **values})
        return result

    def read(self) -> dict[str, CheckResult]:
        """By account id."""
        rows = self._database.fetch(_CHECKS)
        return {
            row.account_id: CheckResult(
                row.credential, row.status, row.detail, row.checked_at, row.said
            )
            for row in rows
        }

    def sign_ins(self) -> dict[str, CheckResult]:
        """By account key, when the upstream has last accepted its credential."""
        rows = self._database.fetch(_SIGN_INS)
        return {
            row.account_key: CheckResult(row.credential, "valid", "", row.signed_at) for row in rows
        }


class SupportRows:
    """Calls raise StorageUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._put = upsert(
            database,
            support,
            "finding",
            "noted_at",
            when=lambda new: not_older(new, support.c.noted_at),
        )

    def keep(self, findings: Iterable[Finding]) -> None:
        """Store them for all workers, unless something newer is stored."""
        rows = [
            {"account_key": each.account_key, "subject": each.subject, "finding": each.text}
            | at(support.c.noted_at, each.noted_at)
            for each in sorted(findings, key=lambda new: (new.account_key, new.subject))
        ]
        if rows:
            self._database.transact(lambda connection: connection.execute(self._put, rows))

    def read(self, since: float) -> list[Finding]:
        """Read the findings noted at `since` (Unix seconds) or later."""
        rows = self._database.fetch(_FINDINGS, {"since": since})
        return [Finding(row.account_key, row.subject, row.finding, row.noted_at) for row in rows]

    def forget(self, *, taken_before: float, others_before: float) -> None:
        """Delete what was noted before these times: that something was taken, and all else."""
        self._database.change(
            _FORGET, {"taken_before": taken_before, "others_before": others_before}
        )
