"""What was last seen of each account's credential: by a look at it, or because the upstream has
signed it in.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import select

from gbproxy.storage.database import Database
from gbproxy.storage.tables import account_checks as checks
from gbproxy.storage.tables import tokens
from gbproxy.storage.upsert import upsert

Status = Literal["valid", "refused", "unknown"]

_READ = select(checks)
_SIGNED_IN = select(tokens.c.account_key, tokens.c.credential, tokens.c.signed_at)


@dataclass(frozen=True, slots=True)
class CheckResult:
    """`credential` is the digest of what was looked at; `detail`, without a secret, says why; `at`:
    Unix seconds.

    `said`: what the upstream said, as `UpstreamWords.safe` has it; None when no reply of its led to
    this.
    """

    credential: str
    status: Status
    detail: str
    at: float
    said: dict[str, Any] | None = None


class CheckStore:
    """`clock`: Unix seconds. Calls raise StorageUnavailable."""

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
        """What a look has just shown, in the place of what an earlier one has."""
        seen = CheckResult(credential, status, detail, self._clock(), said)
        values = {
            "credential": credential,
            "status": status,
            "detail": detail,
            "checked_at": seen.at,
            "said": said,
        }
        self._database.change(self._put, {"account_id": account_id, **values})
        return seen

    def read(self) -> dict[str, CheckResult]:
        """By account id, what the last look has shown."""
        rows = self._database.fetch(_READ)
        return {
            row.account_id: CheckResult(
                row.credential, row.status, row.detail, row.checked_at, row.said
            )
            for row in rows
        }

    def sign_ins(self) -> dict[str, CheckResult]:
        """By seat, when the upstream has last taken its credential."""
        rows = self._database.fetch(_SIGNED_IN)
        return {
            row.account_key: CheckResult(row.credential, "valid", "", row.signed_at) for row in rows
        }
