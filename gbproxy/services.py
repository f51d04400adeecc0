"""The services of one process, as `bootstrap.build` makes them from the settings."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from gbproxy.account_admin.credential_checks import CredentialChecks
from gbproxy.account_admin.daily_use import DailyUse
from gbproxy.account_admin.model_reports import ModelReports
from gbproxy.account_admin.registry import AccountRegistry
from gbproxy.account_admin.views import AccountStore
from gbproxy.accounts.available_models import AvailableModels
from gbproxy.accounts.model_support import ModelSupport
from gbproxy.accounts.pool import Pool
from gbproxy.alerts.alerts import Alerts
from gbproxy.api_keys.registry import ApiKeys
from gbproxy.api_keys.verifier import KeyVerifier
from gbproxy.background.account_probes import AccountProbes
from gbproxy.background.capability_reads import CapabilityReads
from gbproxy.background.loop import BackgroundLoop
from gbproxy.background.scheduled_checks import ScheduledChecks
from gbproxy.conversations import ClientSessions, Conversations
from gbproxy.errors import StorageUnavailable
from gbproxy.gateway import Gateway
from gbproxy.media.files import LinkedFiles
from gbproxy.media.uploads import Uploads
from gbproxy.observability.meter import Meter
from gbproxy.outbound import HttpClient
from gbproxy.rate_limits.limiter import Limiter
from gbproxy.request_log.recorder import RequestLog
from gbproxy.settings import Settings
from gbproxy.storage.account_health import SupportRows
from gbproxy.storage.alerts import AlertRows
from gbproxy.storage.api_keys import ApiKeyStore
from gbproxy.storage.audit import UntoldChanges
from gbproxy.storage.database import Database
from gbproxy.storage.files import FileRows
from gbproxy.storage.request_log import RequestLogRows
from gbproxy.storage.responses import ResponseRows
from gbproxy.storage.sessions import SessionRows
from gbproxy.storage.tokens_cookies import CookieRows, TokenRows
from gbproxy.storage.use import UseRows
from gbproxy.storage.workers import LeaderLeases, WorkerId
from gbproxy.upstreams.registry import Upstreams


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
    credential_checks: CredentialChecks
    model_reports: ModelReports
    key_verifier: KeyVerifier
    api_keys: ApiKeys
    limiter: Limiter
    conversations: Conversations
    client_sessions: ClientSessions
    gateway: Gateway
    linked_files: LinkedFiles
    uploads: Uploads
    background: BackgroundLoop
    request_log: RequestLog
    account_probes: AccountProbes
    capability_reads: CapabilityReads
    daily_use: DailyUse
    scheduled_checks: ScheduledChecks
    alerts: Alerts

    def close(self, *, for_good: bool | None = None) -> None:
        """End what runs between requests.

        `for_good`: no other process goes on with this database; a temporary one ends.
        """
        database = self.storage.database
        is_last = database.temporary if for_good is None else for_good
        self.account_probes.close()
        self.capability_reads.close()
        self.scheduled_checks.close()
        self.alerts.close()
        self.background.close(for_good=is_last, hand_over=database.temporary and not is_last)
        self.request_log.close()
        self.outbound.close()
        with suppress(StorageUnavailable):
            self.daily_use.flush()
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
    files: FileRows
    request_log: RequestLogRows
    leases: LeaderLeases
    api_keys: ApiKeyStore
    alerts: AlertRows
    untold_changes: UntoldChanges
    worker_id: WorkerId
    use: UseRows
