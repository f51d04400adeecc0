"""What outlives a request: the database, and what is kept in it."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from typing import Self

from gbproxy.account_admin.registry import AccountStore
from gbproxy.accounts.health import AccountHealth
from gbproxy.observability.meter import Meter
from gbproxy.settings import Settings
from gbproxy.storage.account_health import StateRows
from gbproxy.storage.accounts import EnabledOverrides, StoredAccounts
from gbproxy.storage.api_keys import ApiKeyRows
from gbproxy.storage.changes import ChangeCounter
from gbproxy.storage.checks import CheckStore
from gbproxy.storage.database import Database
from gbproxy.storage.leases import LeaderLeases, WorkerId, WorkerRegistry
from gbproxy.storage.model_support import SupportRows
from gbproxy.storage.prepare import private_database
from gbproxy.storage.secrets import Cipher
from gbproxy.storage.sessions import SessionRows
from gbproxy.storage.tokens_cookies import CookieRows, TokenRows


@dataclass(frozen=True, slots=True)
class Storage:
    database: Database
    cipher: Cipher
    accounts: AccountStore
    support: SupportRows
    tokens: TokenRows
    cookies: CookieRows
    sessions: SessionRows
    offices: LeaderLeases
    api_keys: ApiKeyRows
    worker_id: WorkerId

    @classmethod
    def of(cls, settings: Settings, meter: Meter) -> Self:
        database, cipher, worker_id = _database(settings, meter), _cipher(settings), WorkerId()
        accounts = AccountStore(
            StoredAccounts(database, cipher, time.time),
            EnabledOverrides(database),
            ChangeCounter(database),
            CheckStore(database, time.time),
            StateRows(database, time.time, AccountHealth),
            WorkerRegistry(database, time.time, worker_id),
        )
        return cls(
            database,
            cipher,
            accounts,
            SupportRows(database),
            TokenRows(database, cipher),
            CookieRows(database, cipher),
            SessionRows(database, time.time, worker_id),
            LeaderLeases(database, time.time, worker_id),
            ApiKeyRows(database),
            worker_id,
        )


def _database(settings: Settings, meter: Meter) -> Database:
    if settings.database_url is None:
        return private_database(meter)
    return Database(
        settings.database_url.get_secret_value(),
        temporary=settings.database_is_temporary,
        meter=meter,
    )


def _cipher(settings: Settings) -> Cipher:
    return Cipher(
        [key.get_secret_value() for key in settings.secret_keys] or [secrets.token_urlsafe(32)]
    )
