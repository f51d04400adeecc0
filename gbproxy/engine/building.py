"""From settings to the parts that answer, each given what it needs; nothing runs yet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gbproxy.account_admin.account_input import account_of
from gbproxy.account_admin.registry import AccountRegistry
from gbproxy.accounts.available_models import AvailableModels
from gbproxy.accounts.health import AccountView
from gbproxy.accounts.model_support import ModelSupport
from gbproxy.accounts.pool import Pool
from gbproxy.api_keys.registry import ApiKeys
from gbproxy.api_keys.verifier import KeyVerifier
from gbproxy.background.account_probes import AccountProbes
from gbproxy.background.capability_reads import CapabilityReads
from gbproxy.background.loop import BackgroundLoop
from gbproxy.conversations import Conversations
from gbproxy.domain.account import Account
from gbproxy.domain.models import Catalogue
from gbproxy.engine import calling, sweeping
from gbproxy.engine.storing import Storage
from gbproxy.gateway import Gateway
from gbproxy.observability.meter import SILENT, Meter
from gbproxy.outbound import HttpClient
from gbproxy.rate_limits.choice import counters
from gbproxy.rate_limits.limiter import Limiter, Rules
from gbproxy.sessions.prewarmed import SIZE as PREWARMED_PER_ACCOUNT
from gbproxy.settings import Settings
from gbproxy.storage.database import Database
from gbproxy.storage.leases import WorkerId
from gbproxy.storage.secrets import Cipher
from gbproxy.upstreams.base import Upstream


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """What answers, and what it is made of."""

    settings: Settings
    models: AvailableModels
    support: ModelSupport
    pool: Pool
    roster: AccountRegistry
    keyring: KeyVerifier
    register: ApiKeys
    limiter: Limiter
    conversations: Conversations
    upstream: Upstream
    gateway: Gateway
    sweeper: BackgroundLoop
    looks: AccountProbes
    lookups: CapabilityReads
    outbound: HttpClient
    database: Database
    cipher: Cipher
    meter: Meter
    worker_id: WorkerId

    def close(self, *, for_good: bool | None = None) -> None:
        """End what runs between requests. `for_good`: no other process goes on with this database;
        a temporary one ends.
        """
        is_last = self.database.temporary if for_good is None else for_good
        self.looks.close()
        self.lookups.close()
        self.sweeper.close(for_good=is_last, hands_on=self.database.temporary and not is_last)
        self.outbound.close()
        self.database.close()


def build(
    settings: Settings, *, upstream: Upstream | None = None, stock_size: int = PREWARMED_PER_ACCOUNT
) -> Services:
    """`upstream`: in place of the real one; `stock_size`: how many fresh sessions are made ahead
    for each account in use.

    None are where a session comes to be with its first question: there is nothing to save then.
    """
    stock_size = stock_size if settings.upstream_session == "create" else 0
    catalogue = Catalogue(settings.default_model, settings.models)
    meter = _meter(settings, catalogue, lambda: pool.snapshot(), lambda: storage.database.is_up)
    storage = Storage.of(settings, meter)
    outbound = calling.outbound(settings)
    endpoints = calling.endpoints(settings)
    sign_in = calling.sign_in(outbound, endpoints, storage, meter)
    upstream = upstream or calling.widget(settings, outbound, sign_in, endpoints, meter)
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
    roster = AccountRegistry(
        accounts,
        pool,
        storage.accounts,
        upstream.probe,
        part=lambda account: sweeper.part(account),
        forget=support.forget,
    )
    lookups = CapabilityReads(support, upstream.capabilities)
    keyring = KeyVerifier((key.get_secret_value() for key in settings.api_keys), storage.api_keys)
    sweeper = sweeping.sweeper(
        storage,
        pool,
        upstream,
        sign_in,
        roster,
        keyring,
        support,
        lookups,
        lambda: conversations.settle(),
        stock_size,
    )
    conversations = Conversations(
        storage.sessions,
        session_timeout_s=settings.session_timeout,
        discard=sweeper.discard,
        meter=meter,
    )
    register = ApiKeys(
        storage.api_keys,
        lambda name: models.get(name).id,
        can_limit=settings.can_limit_keys,
        on_change=keyring.refresh,
    )
    limiter = _limiter(settings, meter)
    looks = AccountProbes(pool, roster.probe)
    gateway = Gateway(
        models,
        pool,
        upstream,
        conversations,
        sweeper,
        limiter,
        show_thoughts=settings.thoughts == "show",
        prompt_max_chars=settings.prompt_max_chars,
        max_attempts=settings.max_attempts,
        suspect=looks.look,
        request_timeout_s=settings.request_timeout_s,
    )
    return Services(
        settings=settings,
        models=models,
        support=support,
        pool=pool,
        roster=roster,
        keyring=keyring,
        register=register,
        limiter=limiter,
        conversations=conversations,
        upstream=upstream,
        gateway=gateway,
        sweeper=sweeper,
        looks=looks,
        lookups=lookups,
        outbound=outbound,
        database=storage.database,
        cipher=storage.cipher,
        meter=meter,
        worker_id=storage.worker_id,
    )


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


def _accounts(settings: Settings) -> list[Account]:
    return [account_of(account, account.name) for account in settings.accounts]


def _limiter(settings: Settings, meter: Meter) -> Limiter:
    redis_url = settings.redis_url.get_secret_value() if settings.redis_url else None
    rules = Rules(settings.rate_limit, settings.rate_limit_by, settings.model_interval_s)
    return Limiter(counters(redis_url), rules, meter=meter)
