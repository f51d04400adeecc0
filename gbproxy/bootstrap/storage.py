"""The database, and its tables as their readers see them."""

from __future__ import annotations

import secrets
import time

from gbproxy.account_admin.views import AccountStore
from gbproxy.accounts.health import AccountHealth
from gbproxy.domain.account import WIDGET
from gbproxy.observability.meter import Meter
from gbproxy.services import Storage
from gbproxy.settings import Settings
from gbproxy.storage import prepare
from gbproxy.storage.account_health import AccountHealthRows, CheckStore, SupportRows
from gbproxy.storage.accounts import EnabledOverrides, StoredAccounts
from gbproxy.storage.alerts import AlertRows
from gbproxy.storage.api_keys import ApiKeyStore
from gbproxy.storage.audit import UntoldChanges
from gbproxy.storage.credential_times import CredentialTimes
from gbproxy.storage.database import Database
from gbproxy.storage.encryption import Cipher
from gbproxy.storage.files import FileRows
from gbproxy.storage.request_log import RequestLogRows
from gbproxy.storage.responses import ResponseRows
from gbproxy.storage.sessions import SessionRows
from gbproxy.storage.tokens_cookies import CookieRows, TokenRows
from gbproxy.storage.use import UseRows
from gbproxy.storage.workers import ChangeCounter, LeaderLeases, WorkerId, WorkerRegistry
from gbproxy.upstreams.widget.credential import WidgetCredential


def open_storage(settings: Settings, meter: Meter) -> Storage:
    """The database of the settings, or a private one; it is not connected to yet."""
    if settings.database_url is None:
        database = prepare.private_database(meter)
    else:
        database = Database(
            settings.database_address, temporary=settings.database_is_temporary, meter=meter
        )
    worker_id = WorkerId()
    cipher = Cipher(settings.encryption_keys or [secrets.token_urlsafe(32)])
    cookies = CookieRows(database, cipher)
    accounts = AccountStore(
        StoredAccounts(database, cipher, time.time, {WIDGET: WidgetCredential.from_json}),
        EnabledOverrides(database),
        ChangeCounter(database),
        CheckStore(database, time.time),
        AccountHealthRows(database, time.time, AccountHealth),
        WorkerRegistry(database, time.time, worker_id),
        CredentialTimes(database, time.time),
    )
    return Storage(
        database,
        accounts,
        SupportRows(database),
        TokenRows(database, cipher),
        cookies,
        SessionRows(database, time.time, worker_id),
        ResponseRows(database, cipher, time.time),
        FileRows(database, cipher, time.time),
        RequestLogRows(database, time.time),
        LeaderLeases(database, time.time, worker_id),
        ApiKeyStore(database),
        AlertRows(database, time.time),
        UntoldChanges(database, time.time),
        worker_id,
        UseRows(database),
    )
