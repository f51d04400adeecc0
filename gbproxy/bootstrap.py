"""From settings to services, each given what it needs: here their concrete classes are chosen.

`build` starts nothing; `open_services` is for programs without a server.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import closing, contextmanager
from functools import partial
from typing import TypeVar

from gbproxy.account_admin.account_input import account_of
from gbproxy.account_admin.credential_checks import CredentialChecks
from gbproxy.account_admin.model_reports import ModelReports
from gbproxy.account_admin.registry import AccountRegistry
from gbproxy.accounts.available_models import AvailableModels, configured_models
from gbproxy.accounts.model_support import ModelSupport
from gbproxy.accounts.pool import Pool
from gbproxy.api_keys.registry import ApiKeys
from gbproxy.api_keys.verifier import KeyVerifier
from gbproxy.background.account_probes import AccountProbes
from gbproxy.background.capability_reads import CapabilityReads
from gbproxy.background.executor import BackgroundExecutor
from gbproxy.background.leader import LeaderTasks
from gbproxy.background.loop import BackgroundLoop
from gbproxy.conversations import ClientSessions, Conversations
from gbproxy.domain.account import WIDGET, Account
from gbproxy.domain.chat import ChatRequest
from gbproxy.domain.models import Catalogue, Model
from gbproxy.emulation.request_emulation import RequestEmulation
from gbproxy.gateway import Gateway
from gbproxy.gateway.answer_files import MediaOut
from gbproxy.gateway.files import FileTransfer
from gbproxy.gateway.side_by_side import Spawn, in_thread
from gbproxy.media.files import LinkedFiles
from gbproxy.media.links import MediaLinks
from gbproxy.observability.meter import SILENT, Meter
from gbproxy.outbound import HttpClient, Timeouts
from gbproxy.outbound.attachments import fetched
from gbproxy.outbound.fetch import FileFetcher
from gbproxy.rate_limits import open_store
from gbproxy.rate_limits.limiter import Limiter, Rules
from gbproxy.services import Services, Storage, open_storage
from gbproxy.sessions.cleanup import SessionCleanup
from gbproxy.sessions.prewarmed import PREWARMED_PER_ACCOUNT, SessionPool
from gbproxy.settings import Settings
from gbproxy.settings.network import outlives_the_process
from gbproxy.storage import prepare, temporary
from gbproxy.upstreams.base import Upstream
from gbproxy.upstreams.registry import Upstreams
from gbproxy.upstreams.widget.auth import WidgetAuth
from gbproxy.upstreams.widget.bodies import WidgetSettings
from gbproxy.upstreams.widget.endpoints import EndpointMap
from gbproxy.upstreams.widget.tokens import SharedCredentials
from gbproxy.upstreams.widget.widget import Widget

_DELETIONS_AT_ONCE = 32
_MOST_LINKED_FILES = 3  # of one request, if they are as large as MAX_FILE_MB

Client = TypeVar("Client", bound=HttpClient)


def build(
    settings: Settings,
    *,
    upstreams: Mapping[str, Upstream] | None = None,
    accounts: Collection[Account] = (),
    models: Collection[Model] = (),
    prewarmed: int = PREWARMED_PER_ACCOUNT,
    spawn: Spawn = in_thread,
    fetcher: FileFetcher | None = None,
    emulation: Callable[[ChatRequest], RequestEmulation] = RequestEmulation,
) -> Services:
    """Make the services and start nothing.

    `upstreams`, by name: beside the widget, or in its place; `accounts` and `models`: beside those
    of the settings; `prewarmed`: sessions kept ready for each account in use; `spawn`: runs what a
    request does side by side; `fetcher`: of the files that clients link to; `emulation`: makes that
    of each request, and may keep it to look at.
    """
    if settings.upstream_session != "create":
        prewarmed = 0  # the first question makes the session: there is no call to save
    catalogue = Catalogue(settings.default_model, configured_models(settings.models, models))
    meter = _meter(settings, catalogue)
    storage = open_storage(settings, meter)
    outbound, endpoints = make_client(settings, HttpClient), EndpointMap.from_settings(settings)
    sign_in = WidgetAuth(
        outbound, endpoints, tokens=storage.tokens, cookies=storage.cookies, meter=meter
    )
    widget = Widget(outbound, sign_in, endpoints, WidgetSettings.from_settings(settings), meter)
    answering = Upstreams({WIDGET: widget, **(upstreams or {})})
    accounts = [*(account_of(each, each.name) for each in settings.accounts), *accounts]
    pool = _pool(settings, accounts, storage, meter)
    executor = BackgroundExecutor()
    cleanup = _session_cleanup(storage, answering, pool)
    session_pool = SessionPool(
        storage.sessions,
        answering.open_session,
        executor.submit,
        cleanup.delete_unrecorded,
        size=prewarmed,
        on_failure=pool.prewarm_failed,
        has_sessions=answering.has_sessions,
    )
    support = ModelSupport(storage.support)
    available = AvailableModels(catalogue, support, pool.enabled, answering.names)
    credential_checks = CredentialChecks(pool, storage.accounts, answering.probe)
    registry = AccountRegistry(
        accounts,
        pool,
        storage.accounts,
        credential_checks,
        on_removed=cleanup.delete_for_account,
        forget=support.forget,
    )
    capability_reads = CapabilityReads(support, answering.account_capabilities)
    key_verifier = KeyVerifier(
        (key.get_secret_value() for key in settings.api_keys), storage.api_keys
    )
    conversations = Conversations(
        storage.sessions,
        session_timeout_s=settings.session_timeout,
        delete_unrecorded=cleanup.delete_unrecorded,
        meter=meter,
    )
    credentials = SharedCredentials(sign_in, storage.tokens, storage.cookies, pool.accounts)
    leader = LeaderTasks(
        storage.leases,
        storage.accounts.workers,
        storage.sessions,
        pool,
        cleanup,
        executor,
        refresh_token=answering.sign_in_ahead,
        probe=credential_checks.probe,
        reclaim_abandoned=partial(temporary.reclaim_abandoned, storage.sessions),
        read_capabilities=capability_reads.read_due,
        trim_responses=storage.responses.trim,
    )
    background = BackgroundLoop(
        storage.sessions,
        storage.accounts.workers,
        storage.accounts.health,
        pool,
        session_pool,
        cleanup,
        leader,
        executor,
        sync=[
            registry.pull_changes,
            key_verifier.pull_changes,
            lambda: pool.refresh(storage.accounts.health.read()),
            pool.flush,
            credentials.pull_changes,
            support.sync,
            conversations.flush,
        ],
        keep_warm=answering.prewarm,
        long_timeout=storage.database.long_timeout,
    )
    api_keys = ApiKeys(
        storage.api_keys,
        lambda name: available.get(name).id,
        can_limit=settings.can_limit_keys,
        on_change=key_verifier.refresh,
    )
    limiter = _limiter(settings, meter)
    account_probes = AccountProbes(pool, credential_checks.probe)
    links = MediaLinks(
        settings.encryption_keys or [secrets.token_urlsafe(32)],
        settings.media_ttl_s,
        settings.public_url,
    )
    gateway = Gateway(
        available,
        pool,
        answering,
        conversations,
        session_pool,
        limiter,
        _file_transfer(settings, fetcher, spawn),
        media=MediaOut(links, int(settings.max_file_mb * 1024 * 1024), spawn),
        show_thoughts=settings.thoughts == "show",
        max_attempts=settings.max_attempts,
        suspect=account_probes.request,
        record_activity=background.record_activity,
        request_timeout_s=settings.request_timeout_s,
        emulation=emulation,
    )
    return Services(
        settings=settings,
        meter=meter,
        storage=storage,
        outbound=outbound,
        upstreams=answering,
        models=available,
        support=support,
        pool=pool,
        registry=registry,
        model_reports=ModelReports(
            catalogue,
            available,
            support,
            pool.accounts,
            sync=(registry.pull_changes, support.sync),
        ),
        key_verifier=key_verifier,
        api_keys=api_keys,
        limiter=limiter,
        conversations=conversations,
        client_sessions=ClientSessions(
            storage.sessions, session_timeout_s=settings.session_timeout
        ),
        gateway=gateway,
        linked_files=LinkedFiles(
            links, storage.sessions, pool.accounts, answering, key_verifier.has_digest
        ),
        background=background,
        account_probes=account_probes,
        capability_reads=capability_reads,
    )


def make_client(settings: Settings, kind: type[Client]) -> Client:
    """The HTTP client for the upstreams, with the settings' timeouts, proxy and certificates."""
    return kind(
        timeouts=Timeouts(
            settings.connect_timeout_s, settings.read_timeout_s, settings.request_timeout_s
        ),
        proxy=_proxy(settings),
        ca_bundle=settings.ca_bundle,
        pool_size=settings.worker_connections,
    )


@contextmanager
def open_services(
    settings: Settings,
    *,
    prewarmed: int = 0,
    emulation: Callable[[ChatRequest], RequestEmulation] = RequestEmulation,
) -> Iterator[Services]:
    """The services in this process, without a server, on the settings' database or a private one.

    Not patched by gevent: what runs between requests are threads, once `background.start` is
    called. Raises `storage.prepare.CannotBeUsed`.
    """
    url = settings.database_address
    if outlives_the_process(url):
        prepare.prepare(url, settings.encryption_keys)
    else:
        settings = settings.model_copy(update={"database_url": None})
    with closing(build(settings, prewarmed=prewarmed, emulation=emulation)) as services:
        yield services


def _meter(settings: Settings, catalogue: Catalogue) -> Meter:
    if not settings.metrics_keys:  # /metrics is off
        return SILENT
    from gbproxy.observability.metrics import Metrics

    return Metrics(model.id for model in catalogue.all())


def _pool(
    settings: Settings, accounts: Collection[Account], storage: Storage, meter: Meter
) -> Pool:
    pool = Pool(
        accounts,
        concurrency=settings.account_concurrency,
        wait_s=settings.read_timeout_s,
        order=settings.account_order,
        store=storage.accounts.health,
        meter=meter,
    )
    meter.observe(pool.snapshot, lambda: storage.database.is_up)
    return pool


def _session_cleanup(storage: Storage, upstreams: Upstreams, pool: Pool) -> SessionCleanup:
    return SessionCleanup(
        storage.sessions,
        upstreams.delete_session,
        pool.accounts,
        # Threads of their own: many or slow deletions must not hold up what requests wait for.
        BackgroundExecutor(width=_DELETIONS_AT_ONCE),
        is_refused=lambda account: account in pool.rejected(),
    )


def _file_transfer(settings: Settings, fetcher: FileFetcher | None, spawn: Spawn) -> FileTransfer:
    fetcher = fetcher or FileFetcher(proxy=_proxy(settings), ca_bundle=settings.ca_bundle)
    most_bytes = int(settings.max_file_mb * 1024 * 1024)
    fetch = partial(fetched, fetcher=fetcher, max_bytes=most_bytes)
    return FileTransfer(fetch, _MOST_LINKED_FILES * most_bytes, spawn)


def _proxy(settings: Settings) -> str | None:
    return settings.proxy.get_secret_value() if settings.proxy else None


def _limiter(settings: Settings, meter: Meter) -> Limiter:
    redis_url = settings.redis_url.get_secret_value() if settings.redis_url else None
    rules = Rules(settings.rate_limit, settings.rate_limit_by, settings.model_interval_s)
    return Limiter(open_store(redis_url), rules, meter=meter)
