"""Which models and tools each account has turned out to have, shared by all workers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import and_, bindparam, delete, or_, select

from gbproxy.storage.database import Database
from gbproxy.storage.tables import account_support as support
from gbproxy.storage.upsert import at, not_older, upsert


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found out about one subject of an account; only the writer knows what the text
    means. `noted_at`: Unix seconds.
    """

    account_key: str
    subject: str
    text: str
    noted_at: float


_READ = select(support).where(support.c.noted_at >= bindparam("since"))
_FORGET = delete(support).where(
    or_(
        support.c.noted_at < bindparam("taken_before"),
        and_(support.c.finding != "taken", support.c.noted_at < bindparam("others_before")),
    )
)


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
            for each in findings
        ]
        if rows:
            self._database.transact(lambda connection: connection.execute(self._put, rows))

    def read(self, since: float) -> list[Finding]:
        """What was noted at `since` (Unix seconds) or later."""
        rows = self._database.fetch(_READ, {"since": since})
        return [Finding(row.account_key, row.subject, row.finding, row.noted_at) for row in rows]

    def forget(self, *, taken_before: float, others_before: float) -> None:
        """Delete what was noted before these times: that something was taken, and all else."""
        self._database.change(
            _FORGET, {"taken_before": taken_before, "others_before": others_before}
        )
