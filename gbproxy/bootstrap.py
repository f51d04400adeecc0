"""From settings to services, each given what it needs: the one place that names concrete classes.

`build` starts nothing; `open_gateway` is for programs without a server.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TypeVar

from gbproxy.account_admin.account_input import account_of
from gbproxy.account_admin.registry import AccountRegistry, AccountStore
from gbproxy.accounts.available_models import AvailableModels
from gbproxy.accounts.health import AccountHealth, AccountView
from gbproxy.accounts.model_support import ModelSupport
from gbproxy.accounts.pool import Pool
from gbproxy.api_keys.registry import ApiKeys
from gbproxy.api_keys.verifier import KeyVerifier
from gbproxy.background.account_probes import AccountProbes
from gbproxy.background.capability_reads import CapabilityReads
from gbproxy.background.executor import BackgroundExecutor
from gbproxy.background.leader import LeaderTasks
from gbproxy.background.loop import BackgroundLoop
from gbproxy.conversations import Conversations
from gbproxy.domain.account import Account
from gbproxy.domain.models import Catalogue
from gbproxy.errors import CredentialRefused, GatewayError
from gbproxy.gateway import Gateway
from gbproxy.observability.meter import SILENT, Meter
from gbproxy.outbound import HttpClient, Timeouts
from gbproxy.outbound.recording import RecordingHttpClient
from gbproxy.rate_limits.choice import counters
from gbproxy.rate_limits.limiter import Limiter, Rules
from gbproxy.sessions.cleanup import SessionCleanup
from gbproxy.sessions.prewarmed import SIZE as PREWARMED_PER_ACCOUNT
from gbproxy.sessions.prewarmed import SessionPool
from gbproxy.settings import Settings
from gbproxy.settings.network import outlives_the_process
from gbproxy.storage import prepare, temporary
from gbproxy.storage.account_health import StateRows
from gbproxy.storage.accounts import EnabledOverrides, StoredAccounts
from gbproxy.storage.api_keys import ApiKeyRows
from gbproxy.storage.changes import ChangeCounter
from gbproxy.storage.checks import CheckStore
from gbproxy.storage.database import Database
from gbproxy.storage.leases import LeaderLeases, WorkerId, WorkerRegistry
from gbproxy.storage.model_support import SupportRows
from gbproxy.storage.secrets import Cipher
from gbproxy.storage.sessions import SessionRows
from gbproxy.storage.tokens_cookies import CookieRows, TokenRows
from gbproxy.upstreams.base import Upstream
from gbproxy.upstreams.widget.auth import NoTokens, WidgetAuth
from gbproxy.upstreams.widget.credential import UPSTREAM, WidgetCredential
from gbproxy.upstreams.widget.endpoints import EndpointMap
from gbproxy.upstreams.widget.shared_credentials import SharedCredentials
from gbproxy.upstreams.widget.widget import Widget, WidgetSettings

_DELETIONS_AT_ONCE = 32

Client = TypeVar("Client", bound=HttpClient)


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """What answers, administers and runs between requests."""

    settings: Settings
    meter: Meter
    storage: Storage
    outbound: HttpClient
    upstream: Upstream
    models: AvailableModels
    support: ModelSupport
    pool: Pool
    registry: AccountRegistry
    key_verifier: KeyVerifier
    api_keys: ApiKeys
    limiter: Limiter
    conversations: Conversations
    gateway: Gateway
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
        self.background.close(for_good=is_last, hands_on=database.temporary and not is_last)
        self.outbound.close()
        database.close()


@dataclass(frozen=True, slots=True)
class Storage:
    """What outlives a request: the database, and what is kept in it."""

    database: Database
    cipher: Cipher
    accounts: AccountStore
    support: SupportRows
    tokens: TokenRows
    cookies: CookieRows
    sessions: SessionRows
    leases: LeaderLeases
    api_keys: ApiKeyRows
    worker_id: WorkerId


def build(
    settings: Settings,
    *,
    upstream: Upstream | None = None,
    prewarmed: int = PREWARMED_PER_ACCOUNT,
) -> Services:
    """`upstream`: in place of the real one; `prewarmed`: sessions kept ready for each account in
    use.
    """
    if settings.upstream_session != "create":
        prewarmed = 0  # a session comes to be with its first question: there is nothing to save
    catalogue = Catalogue(settings.default_model, settings.models)
    meter = _meter(settings, catalogue, lambda: pool.snapshot(), lambda: storage.database.is_up)
    storage = _storage(settings, meter)
    outbound, endpoints = _outbound(settings, HttpClient), _endpoints(settings)
    sign_in = WidgetAuth(
        outbound, endpoints, tokens=storage.tokens, cookies=storage.cookies, meter=meter
    )
    upstream = upstream or _widget(settings, outbound, sign_in, endpoints, meter)
    accounts = _accounts(settings)
    pool = Pool(
        accounts,
        concurrency=settings.account_concurrency,
        wait_s=settings.read_timeout_s,
        order=settings.account_order,
        board=storage.accounts.states,
        meter=meter,
    )
    support = ModelSupport(storage.support)
    models = AvailableModels(catalogue, support, pool.enabled)
    registry = AccountRegistry(
        accounts,
        pool,
        storage.accounts,
        upstream.probe,
        part=lambda account: background.part(account),
        forget=support.forget,
    )
    capability_reads = CapabilityReads(support, upstream.capabilities)
    key_verifier = KeyVerifier(
        (key.get_secret_value() for key in settings.api_keys), storage.api_keys
    )
    background = _background(
        storage,
        pool,
        upstream,
        sign_in,
        registry,
        key_verifier,
        support,
        capability_reads,
        lambda: conversations.settle(),
        prewarmed,
    )
    conversations = Conversations(
        storage.sessions,
        session_timeout_s=settings.session_timeout,
        discard=background.discard,
        meter=meter,
    )
    api_keys = ApiKeys(
        storage.api_keys,
        lambda name: models.get(name).id,
        can_limit=settings.can_limit_keys,
        on_change=key_verifier.refresh,
    )
    limiter = _limiter(settings, meter)
    account_probes = AccountProbes(pool, registry.probe)
    gateway = Gateway(
        models,
        pool,
        upstream,
        conversations,
        background,
        limiter,
        show_thoughts=settings.thoughts == "show",
        prompt_max_chars=settings.prompt_max_chars,
        max_attempts=settings.max_attempts,
        suspect=account_probes.look,
        request_timeout_s=settings.request_timeout_s,
    )
    return Services(
        settings=settings,
        meter=meter,
        storage=storage,
        outbound=outbound,
        upstream=upstream,
        models=models,
        support=support,
        pool=pool,
        registry=registry,
        key_verifier=key_verifier,
        api_keys=api_keys,
        limiter=limiter,
        conversations=conversations,
        gateway=gateway,
        background=background,
        account_probes=account_probes,
        capability_reads=capability_reads,
    )


@contextmanager
def open_gateway(settings: Settings, *, prewarmed: int = 0) -> Iterator[Services]:
    """The services in this process, without a server, on the settings' database or a private one.

    Not patched by gevent: what runs between requests are threads, once `background.start` is
    called. Raises `storage.prepare.CannotBeUsed`.
    """
    url = settings.database_url.get_secret_value() if settings.database_url else ""
    if outlives_the_process(url):
        prepare.prepare(url, [key.get_secret_value() for key in settings.secret_keys])
    else:
        settings = settings.model_copy(update={"database_url": None})
    with closing(build(settings, prewarmed=prewarmed)) as services:
        yield services


@dataclass(frozen=True, slots=True)
class RecordedUpstream:
    """The upstream over a connection that keeps what it carries.

    It signs in anew, whatever tokens are stored; cookies that are renewed on the way are kept for
    all.
    """

    auth: WidgetAuth
    widget: Widget
    outbound: RecordingHttpClient


@contextmanager
def recorded(services: Services, settings: Settings | None = None) -> Iterator[RecordedUpstream]:
    """`settings`: in place of the services', to try something else."""
    settings = settings or services.settings
    outbound = _outbound(settings, RecordingHttpClient)
    try:
        endpoints = _endpoints(settings)
        auth = WidgetAuth(outbound, endpoints, tokens=NoTokens(), cookies=services.storage.cookies)
        widget = _widget(settings, outbound, auth, endpoints, SILENT)
        yield RecordedUpstream(auth, widget, outbound)
    finally:
        outbound.close()


def _meter(
    settings: Settings,
    catalogue: Catalogue,
    accounts: Callable[[], Sequence[AccountView]],
    database_is_up: Callable[[], bool],
) -> Meter:
    if not settings.metrics_keys:  # nobody may read them
        return SILENT
    from gbproxy.observability.metrics import Metrics

    return Metrics(
        [model.id for model in catalogue.all()], accounts=accounts, database_is_up=database_is_up
    )


def _storage(settings: Settings, meter: Meter) -> Storage:
    database, worker_id = _database(settings, meter), WorkerId()
    cipher = Cipher(
        [key.get_secret_value() for key in settings.secret_keys] or [secrets.token_urlsafe(32)]
    )
    accounts = AccountStore(
        StoredAccounts(database, cipher, time.time, {UPSTREAM: WidgetCredential.from_json}),
        EnabledOverrides(database),
        ChangeCounter(database),
        CheckStore(database, time.time),
        StateRows(database, time.time, AccountHealth),
        WorkerRegistry(database, time.time, worker_id),
    )
    return Storage(
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
        return prepare.private_database(meter)
    return Database(
        settings.database_url.get_secret_value(),
        temporary=settings.database_is_temporary,
        meter=meter,
    )


def _accounts(settings: Settings) -> list[Account]:
    return [account_of(account, account.name) for account in settings.accounts]


def _limiter(settings: Settings, meter: Meter) -> Limiter:
    redis_url = settings.redis_url.get_secret_value() if settings.redis_url else None
    rules = Rules(settings.rate_limit, settings.rate_limit_by, settings.model_interval_s)
    return Limiter(counters(redis_url), rules, meter=meter)


def _outbound(settings: Settings, kind: type[Client]) -> Client:
    return kind(
        timeouts=Timeouts(
            settings.connect_timeout_s, settings.read_timeout_s, settings.request_timeout_s
        ),
        proxy=settings.proxy.get_secret_value() if settings.proxy else None,
        ca_bundle=settings.ca_bundle,
        pool_size=settings.worker_connections,
    )


def _endpoints(settings: Settings) -> EndpointMap:
    further = {name: value.get_secret_value() for name, value in settings.upstream_headers.items()}
    return EndpointMap(
        page_url=settings.gemini_business_url,
        api_base_url=settings.api_base_url,
        headers={"User-Agent": settings.user_agent, **further},
        server_timeout_s=round(settings.request_timeout_s),
    )


def _widget(
    settings: Settings,
    outbound: HttpClient,
    auth: WidgetAuth,
    endpoints: EndpointMap,
    meter: Meter,
) -> Widget:
    widget_settings = WidgetSettings(
        framing=settings.upstream_stream,
        session=settings.upstream_session,
        body=settings.upstream_body,
        language_code=settings.language_code,
        time_zone=settings.time_zone,
        status_lines=settings.status_lines,
        max_answer_bytes=int(settings.max_answer_mb * 1024 * 1024),
    )
    return Widget(outbound, auth, endpoints, widget_settings, meter)


def _background(
    storage: Storage,
    pool: Pool,
    upstream: Upstream,
    sign_in: WidgetAuth,
    registry: AccountRegistry,
    key_verifier: KeyVerifier,
    support: ModelSupport,
    capability_reads: CapabilityReads,
    settle: Callable[[], None],
    prewarmed: int,
) -> BackgroundLoop:
    sessions, states, workers = storage.sessions, storage.accounts.states, storage.accounts.workers
    executor = BackgroundExecutor()
    # Many or slow deletions must not hold up what requests wait for.
    deletion_executor = BackgroundExecutor(width=_DELETIONS_AT_ONCE)
    cleanup = SessionCleanup(
        sessions,
        upstream.delete_session,
        pool.accounts,
        deletion_executor,
        is_refused=lambda account: account in pool.refused(),
    )

    def set_aside(account: Account, error: GatewayError, took_s: float) -> None:
        # Only a rejected credential says something about the account; a failed prewarm otherwise
        # costs it nothing.
        if isinstance(error, CredentialRefused):
            pool.failed(account, "text", error, took_s=took_s)

    session_pool = SessionPool(
        sessions,
        upstream.open_session,
        executor.put,
        cleanup.discard,
        size=prewarmed,
        on_failure=set_aside,
    )
    leader = LeaderTasks(
        storage.leases,
        workers,
        sessions,
        pool,
        cleanup,
        executor,
        refresh_token=upstream.sign_in_ahead,
        probe=registry.probe,
        take_over_left=lambda identities: temporary.take_over_left(sessions, identities),
        look_up=capability_reads.tend,
    )
    credentials = SharedCredentials(sign_in, storage.tokens, storage.cookies, pool.accounts)
    return BackgroundLoop(
        sessions,
        workers,
        states,
        pool,
        session_pool,
        cleanup,
        leader,
        executor,
        take_over=[
            registry.sync,
            key_verifier.take_over,
            lambda: pool.refresh(states.read()),
            pool.share_again,
            credentials.sync,
            support.take_over,
            settle,
        ],
        warm=upstream.warm,
        patiently=storage.database.patiently,
    )
