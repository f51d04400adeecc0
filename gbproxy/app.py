"""The composition root: the only module that names concrete classes."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

from flask import Flask

from gbproxy import startup
from gbproxy.accounts import Pool, Roster, Rows, Standing
from gbproxy.admin import accounts as admin_accounts
from gbproxy.admin import auth as admin_auth
from gbproxy.admin import cookies as admin_cookies
from gbproxy.admin import imports as admin_imports
from gbproxy.admin import keys as admin_keys
from gbproxy.admin import metrics as metrics_page
from gbproxy.api import auth, health, lifecycle, limits, openai_chat, openai_missing, openai_models
from gbproxy.api.cors import Cors
from gbproxy.api.drain import Drain
from gbproxy.api.sse import Responder
from gbproxy.callers import KeyRegister, Keyring
from gbproxy.conversations import Conversations
from gbproxy.domain.account import Account
from gbproxy.domain.models import Catalogue
from gbproxy.domain.pasted import Site
from gbproxy.errors import CredentialRefused, GatewayError
from gbproxy.gateway import Gateway
from gbproxy.limiting import Limiter, Rules
from gbproxy.observability.meter import SILENT, Meter
from gbproxy.observability.metrics import Metrics
from gbproxy.outbound import Outbound, Timeouts
from gbproxy.settings import Settings
from gbproxy.storage.api_keys import ApiKeyRows
from gbproxy.storage.changes import Changes
from gbproxy.storage.checks import Checks
from gbproxy.storage.credentials import StoredAccounts, Switches
from gbproxy.storage.database import Database
from gbproxy.storage.offices import Offices, WorkerId, Workers
from gbproxy.storage.preparation import private_database
from gbproxy.storage.renewals import CookieRows, TokenRows
from gbproxy.storage.secrets import Cipher
from gbproxy.storage.sessions import SessionRows
from gbproxy.storage.shared import counters
from gbproxy.storage.states import StateRows
from gbproxy.sweeper import STOCK_SIZE, Crew, Deletions, Office, SharedCredentials, Stock, Sweeper
from gbproxy.upstreams.base import Upstream
from gbproxy.upstreams.widget import Widget, WidgetSettings
from gbproxy.upstreams.widget_auth import WidgetAuth

EXTENSION = "gbproxy"


@dataclass(frozen=True, slots=True)
class Parts:
    """What the app is made of, for hooks and tests: `app.extensions["gbproxy"]`."""

    settings: Settings
    pool: Pool
    roster: Roster
    keyring: Keyring
    conversations: Conversations
    upstream: Upstream
    gateway: Gateway
    sweeper: Sweeper
    outbound: Outbound
    responder: Responder
    drain: Drain
    database: Database
    cipher: Cipher
    meter: Meter

    def close(self, *, for_good: bool | None = None) -> None:
        """End what runs between requests. `for_good`: no other process goes on with this database; a temporary one ends."""
        is_last = self.database.temporary if for_good is None else for_good
        self.sweeper.close(for_good=is_last, hands_on=self.database.temporary and not is_last)
        self.outbound.close()
        self.database.close()


def create_app(
    settings: Settings | None = None, *, upstream: Upstream | None = None, stock_size: int = STOCK_SIZE
) -> Flask:
    """The WSGI app. Without `settings` they come from the environment; mistakes in it end the process with status 2.

    `stock_size`: how many fresh sessions are made ahead for each account in use.
    """
    settings = settings or startup.load()
    catalogue = Catalogue(settings.default_model, settings.models)
    metrics_keys = [key.get_secret_value() for key in (settings.metrics_key, settings.admin_key) if key is not None]
    meter: Meter = SILENT
    if metrics_keys:  # else nobody may read them
        models = [model.id for model in catalogue.all()]
        meter = Metrics(models, accounts=lambda: pool.snapshot(), database_is_up=lambda: database.is_up)
    database, cipher = _database(settings, meter), _cipher(settings)
    outbound = _outbound(settings)
    tokens, cookies = TokenRows(database, cipher), CookieRows(database, cipher)
    sign_in = WidgetAuth(
        outbound, settings.gemini_business_url, _headers(settings), tokens=tokens, cookies=cookies, meter=meter
    )
    upstream = upstream or Widget(outbound, sign_in, _widget_settings(settings), meter)
    board = StateRows(database, time.time, Standing)
    pool = Pool(
        _accounts(settings),
        concurrency=settings.account_concurrency,
        wait_s=settings.read_timeout_s,
        order=settings.account_order,
        board=board,
        meter=meter,
    )
    worker_id = WorkerId()
    rows = SessionRows(database, time.time, worker_id)
    workers = Workers(database, time.time, worker_id)
    roster = _roster(
        settings,
        database,
        cipher,
        board,
        workers,
        pool,
        upstream,
        part=lambda account: sweeper.part(account),
    )
    credentials = SharedCredentials(sign_in, tokens, cookies, pool.accounts)
    api_keys = ApiKeyRows(database)
    keyring = Keyring((key.get_secret_value() for key in settings.api_keys), api_keys)
    sweeper = _sweeper(
        pool,
        roster,
        keyring,
        upstream,
        rows,
        board,
        credentials,
        database,
        workers,
        worker_id,
        settle=lambda: conversations.settle(),
        stock_size=stock_size,
    )
    conversations = Conversations(
        rows, session_timeout_s=settings.session_timeout, discard=sweeper.discard, meter=meter
    )
    responder = Responder(limit=settings.worker_connections, heartbeat_s=settings.heartbeat_s, meter=meter)
    drain = Drain()
    limiter = _limiter(settings, meter)
    register = KeyRegister(
        api_keys,
        lambda name: catalogue.get(name).id,
        can_limit=settings.can_limit_keys,
        on_change=keyring.refresh,
    )
    gateway = Gateway(
        catalogue,
        pool,
        upstream,
        conversations,
        sweeper,
        limiter,
        show_thoughts=settings.thoughts == "show",
        prompt_max_chars=settings.prompt_max_chars,
        max_attempts=settings.max_attempts,
    )

    app = Flask("gbproxy", static_folder=None)
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.json.ensure_ascii = False  # type: ignore[attr-defined]
    app.extensions[EXTENSION] = Parts(
        settings,
        pool,
        roster,
        keyring,
        conversations,
        upstream,
        gateway,
        sweeper,
        outbound,
        responder,
        drain,
        database,
        cipher,
        meter,
    )
    lifecycle.install(
        app,
        max_body_bytes=int(settings.max_body_mb * 1024 * 1024),
        cors=Cors(settings.cors_origins),
        trusted_proxies=settings.trusted_proxies,
        is_full=responder.is_full,
        meter=meter,
    )
    app.after_request(limits.tell)
    check_key = auth.required(keyring)
    app.register_blueprint(health.blueprint(pool.usable, drain.has_begun))
    app.register_blueprint(openai_chat.blueprint(gateway, responder, limits.required(check_key, limiter)))
    app.register_blueprint(openai_models.blueprint(catalogue, check_key))
    app.register_blueprint(openai_missing.blueprint(check_key))
    app.register_blueprint(metrics_page.blueprint(meter, metrics_keys))
    _administer(app, settings, roster, register)
    return app


def _administer(app: Flask, settings: Settings, roster: Roster, register: KeyRegister) -> None:
    """With an ADMIN_KEY, the routes that it opens; without one there are none, not even refusals."""
    if settings.admin_key is None:
        return
    check = admin_auth.required(settings.admin_key.get_secret_value())
    admin_auth.guard(app, check)
    app.register_blueprint(admin_accounts.blueprint(roster, check))
    app.register_blueprint(admin_cookies.blueprint(roster, check))
    app.register_blueprint(admin_keys.blueprint(register, check))
    site = Site.of(settings.gemini_business_url, settings.api_base_url)
    app.register_blueprint(admin_imports.blueprint(roster, site, check))


def _accounts(settings: Settings) -> list[Account]:
    return [
        Account(
            id=account.name,
            name=account.name,
            csesidx=account.csesidx,
            config_id=account.config_id,
            secure_c_ses=account.secure_c_ses.get_secret_value(),
            host_c_oses=account.host_c_oses.get_secret_value() if account.host_c_oses else None,
        )
        for account in settings.accounts
    ]


def _limiter(settings: Settings, meter: Meter) -> Limiter:
    redis_url = settings.redis_url.get_secret_value() if settings.redis_url else None
    rules = Rules(settings.rate_limit, settings.rate_limit_by, settings.model_interval_s)
    return Limiter(counters(redis_url), rules, meter=meter)


def _roster(
    settings: Settings,
    database: Database,
    cipher: Cipher,
    board: StateRows[Standing],
    workers: Workers,
    pool: Pool,
    upstream: Upstream,
    part: Callable[[Account], None],
) -> Roster:
    rows = Rows(
        StoredAccounts(database, cipher, time.time),
        Switches(database),
        Changes(database),
        Checks(database, time.time),
        board,
        workers,
    )
    return Roster(_accounts(settings), pool, rows, upstream.probe, part)


def _sweeper(
    pool: Pool,
    roster: Roster,
    keyring: Keyring,
    upstream: Upstream,
    rows: SessionRows,
    board: StateRows[Standing],
    credentials: SharedCredentials,
    database: Database,
    workers: Workers,
    worker_id: Callable[[], str],
    settle: Callable[[], None],
    stock_size: int,
) -> Sweeper:
    crew, hands = (
        Crew(),
        Crew(width=32),
    )  # deletions have their own: many or slow ones must not hold up what requests wait for
    deletions = Deletions(
        rows, upstream.delete_session, pool.accounts, hands, is_refused=lambda account: account in pool.refused()
    )

    def set_aside(account: Account, error: GatewayError, took_s: float) -> None:
        if isinstance(error, CredentialRefused):  # other failures teach nothing when no request has met them
            pool.failed(account, "text", error, took_s=took_s)

    stock = Stock(rows, upstream.open_session, crew.put, deletions.discard, size=stock_size, on_failure=set_aside)
    office = Office(
        Offices(database, time.time, worker_id),
        workers,
        rows,
        pool,
        deletions,
        crew,
        refresh_token=upstream.sign_in_ahead,
        probe=roster.probe,
    )
    return Sweeper(
        rows,
        workers,
        board,
        pool,
        stock,
        deletions,
        office,
        crew,
        take_over=[
            roster.take_over,
            keyring.take_over,
            lambda: pool.refresh(board.read()),
            pool.share_again,
            credentials.take_over,
            settle,
        ],
        warm=upstream.warm,
        patiently=database.patiently,
    )


def _database(settings: Settings, meter: Meter) -> Database:
    if settings.database_url is None:
        return private_database(meter)
    return Database(settings.database_url.get_secret_value(), temporary=settings.database_is_temporary, meter=meter)


def _cipher(settings: Settings) -> Cipher:
    return Cipher([key.get_secret_value() for key in settings.secret_keys] or [secrets.token_urlsafe(32)])


def _outbound(settings: Settings) -> Outbound:
    return Outbound(
        Timeouts(settings.connect_timeout_s, settings.read_timeout_s, settings.request_timeout_s),
        proxy=settings.proxy.get_secret_value() if settings.proxy else None,
        ca_bundle=settings.ca_bundle,
        pool_size=settings.worker_connections,
    )


def _headers(settings: Settings) -> dict[str, str]:
    """What the upstream is told with the API's calls and the sign-in alike."""
    further = {name: value.get_secret_value() for name, value in settings.upstream_headers.items()}
    return {"User-Agent": settings.user_agent, **further}


def _widget_settings(settings: Settings) -> WidgetSettings:
    return WidgetSettings(
        api_base_url=settings.api_base_url,
        business_url=settings.gemini_business_url,
        headers=_headers(settings),
        framing=settings.upstream_stream,
        language_code=settings.language_code,
        time_zone=settings.time_zone,
        server_timeout_s=round(settings.request_timeout_s),
        status_lines=settings.status_lines,
    )
