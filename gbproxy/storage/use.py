"""How many answers each account and each key has had, by the hour."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from operator import attrgetter

from sqlalchemy import bindparam, delete, func, select

from gbproxy.domain.account import QuotaClass
from gbproxy.storage.database import Database
from gbproxy.storage.tables import hourly_use as use
from gbproxy.storage.upserts import insert

HOUR_S = 3600


@dataclass(frozen=True, slots=True)
class Use:
    """`hour`: Unix seconds of its beginning; `key`: the API key's fingerprint; `tokens`: of prompts
    and answers, estimated.
    """

    hour: float
    account_id: str
    key: str
    quota: QuotaClass
    answers: int
    tokens: int


_PRIMARY_KEY = attrgetter(*(column.name for column in use.primary_key.columns))
_SUMS = (func.sum(use.c.answers), func.sum(use.c.tokens))
_SINCE = use.c.hour >= bindparam("since", type_=use.c.hour.type)
_OF_ACCOUNTS = (
    select(use.c.account_id, use.c.quota, *_SUMS)
    .where(_SINCE)
    .group_by(use.c.account_id, use.c.quota)
)
_OF_KEYS = select(use.c.key, *_SUMS).where(_SINCE).group_by(use.c.key)
_TRIM = delete(use).where(use.c.hour < bindparam("before", type_=use.c.hour.type))


class UseRows:
    """Calls raise StorageUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database
        adding = insert(database, use)
        self._add = adding.on_conflict_do_update(
            index_elements=list(use.primary_key.columns),
            set_={
                "answers": use.c.answers + adding.excluded.answers,
                "tokens": use.c.tokens + adding.excluded.tokens,
            },
        )

    def add(self, uses: Iterable[Use]) -> None:
        """Add these to what is stored, all or none."""
        rows = [
            {
                "hour": each.hour,
                "account_id": each.account_id,
                "key": each.key,
                "quota": each.quota,
                "answers": each.answers,
                "tokens": each.tokens,
            }
            for each in sorted(uses, key=_PRIMARY_KEY)
        ]
        if rows:
            self._database.transact(lambda connection: connection.execute(self._add, rows))

    def of_accounts(self, since: float) -> dict[tuple[str, str], int]:
        """Answers by account id and quota class, of the hours that began at `since` or later."""
        rows = self._database.fetch(_OF_ACCOUNTS, {"since": since})
        return {(account_id, quota): int(answers) for account_id, quota, answers, _ in rows}

    def of_keys(self, since: float) -> dict[str, tuple[int, int]]:
        """Answers and tokens by the key's fingerprint, of the hours that began at `since` or
        later.
        """
        rows = self._database.fetch(_OF_KEYS, {"since": since})
        return {key: (int(answers), int(tokens)) for key, answers, tokens in rows}

    def trim(self, before: float) -> None:
        """Delete the hours that began earlier."""
        self._database.change(_TRIM, {"before": before})
