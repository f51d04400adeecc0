"""The services of one process, as `bootstrap.build` makes them from the settings."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass

from gbproxy.account_admin.model_reports import ModelReports
from gbproxy.account_admin.registry import AccountRegistry
from gbproxy.account_admin.views import AccountStore
from gbproxy.accounts.available_models import AvailableModels
from gbproxy.accounts.health import AccountHealth
from gbproxy.accounts.model_support import ModelSupport
from gbproxy.accounts.pool import Pool
from gbproxy.api_keys.registry import ApiKeys
from gbproxy.api_keys.verifier import KeyVerifier
from gbproxy.background.account_probes import AccountProbes
from gbproxy.background.capability_reads import CapabilityReads
from gbproxy.background.loop import BackgroundLoop
from gbproxy.conversations import ClientSessions, Conversations
from gbproxy.domain.account import WIDGET
from gbproxy.gateway import Gateway
from gbproxy.media.files import LinkedFiles
from gbproxy.observability.meter import Meter
from gbproxy.outbound import HttpClient
from gbproxy.rate_limits.limiter import Limiter
from gbproxy.settings import Settings
from gbproxy.storage import prepare
from gbproxy.storage.account_health import AccountHealthRows, CheckStore, SupportRows
from gbproxy.storage.accounts import EnabledOverrides, StoredAccounts
from gbproxy.storage.api_keys import ApiKeyStore
from gbproxy.storage.database import Database
from gbproxy.storage.encryption import Cipher
from gbproxy.storage.responses import ResponseRows
from gbproxy.storage.sessions import SessionRows
from gbproxy.storage.tokens_cookies import CookieRows, TokenRows
from gbproxy.storage.workers import ChangeCounter, LeaderLeases, WorkerId, WorkerRegistry
from gbproxy.upstreams.registry import Upstreams
from gbproxy.upstreams.widget.credential import WidgetCredential


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """The objects that answer, administer and run between requests."""

    settings: Settings
    meter: Meter
    storage: Storage
    outbound: HttpClient
    upstreams: Upstreams
    models: AvailableModels
    support: ModelSupport
    pool: Pool
    registry: AccountRegistry
    model_reports: ModelReports
    key_verifier: KeyVerifier
    api_keys: ApiKeys
    limiter: Limiter
    conversations: Conversations
    client_sessions: ClientSessions
    gateway: Gateway
    linked_files: LinkedFiles
    background: BackgroundLoop
    account_probes: AccountProbes
    capability_reads: CapabilityReads

    def close(self, *, for_good: bool | None = None) -> None:
        """End what runs between requests.

        `for_good`: no other process goes on with this database; a temporary one ends.
        """
        database = self.storage.database
        is_last = database.temporary if for_good is None else for_good
        self.account_probes.close()
        self.capability_reads.close()
        self.background.close(for_good=is_last, hand_over=database.temporary and not is_last)
        self.outbound.close()
        database.close()


@dataclass(frozen=True, slots=True)
class Storage:
    """The database, and the tables as their readers see them."""

    database: Database
    accounts: AccountStore
    support: SupportRows
    tokens: TokenRows
    cookies: CookieRows
    sessions: SessionRows
    responses: ResponseRows
    leases: LeaderLeases
    api_keys: ApiKeyStore
    worker_id: WorkerId


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
    accounts = AccountStore(
        StoredAccounts(database, cipher, time.time, {WIDGET: WidgetCredential.from_json}),
        EnabledOverrides(database),
        ChangeCounter(database),
        CheckStore(database, time.time),
        AccountHealthRows(database, time.time, AccountHealth),
        WorkerRegistry(database, time.time, worker_id),
    )
    return Storage(
        database,
        accounts,
        SupportRows(database),
        TokenRows(database, cipher),
        CookieRows(database, cipher),
        SessionRows(database, time.time, worker_id),
        ResponseRows(database, cipher, time.time),
        LeaderLeases(database, time.time, worker_id),
        ApiKeyStore(database),
        worker_id,
    )
