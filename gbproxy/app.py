"""The composition root: the only module that names concrete classes."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from flask import Flask

from gbproxy import startup
from gbproxy.accounts import Pool
from gbproxy.api import auth, health, lifecycle, openai_chat, openai_missing, openai_models
from gbproxy.api.cors import Cors
from gbproxy.api.drain import Drain
from gbproxy.api.sse import Responder
from gbproxy.domain.account import Account
from gbproxy.domain.models import Catalogue
from gbproxy.gateway import Gateway
from gbproxy.outbound import Outbound, Timeouts
from gbproxy.settings import Settings
from gbproxy.storage.database import Database
from gbproxy.storage.preparation import private_database
from gbproxy.storage.secrets import Cipher
from gbproxy.sweeper import Sweeper
from gbproxy.upstreams.base import Upstream
from gbproxy.upstreams.widget import Widget, WidgetSettings
from gbproxy.upstreams.widget_auth import WidgetAuth

EXTENSION = "gbproxy"


@dataclass(frozen=True, slots=True)
class Parts:
    """What the app is made of, for hooks and tests: `app.extensions["gbproxy"]`."""

    settings: Settings
    pool: Pool
    gateway: Gateway
    sweeper: Sweeper
    outbound: Outbound
    responder: Responder
    drain: Drain
    database: Database
    cipher: Cipher

    def close(self) -> None:
        """End what runs between requests; at the end of a worker."""
        self.sweeper.close()
        self.outbound.close()
        self.database.close()


def create_app(settings: Settings | None = None, *, upstream: Upstream | None = None) -> Flask:
    """The WSGI app. Without `settings` they come from the environment; mistakes in it end the process with status 2."""
    settings = settings or startup.load()
    outbound = _outbound(settings)
    upstream = upstream or _widget(settings, outbound)
    sweeper = Sweeper(upstream)
    pool = Pool(
        _accounts(settings),
        concurrency=settings.account_concurrency,
        wait_s=settings.read_timeout_s,
        order=settings.account_order,
    )
    responder = Responder(limit=settings.worker_connections, heartbeat_s=settings.heartbeat_s)
    drain = Drain()
    catalogue = Catalogue(settings.default_model, settings.models)
    gateway = Gateway(
        catalogue,
        pool,
        upstream,
        sweeper.discard,
        show_thoughts=settings.thoughts == "show",
        prompt_max_chars=settings.prompt_max_chars,
    )

    app = Flask("gbproxy", static_folder=None)
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.json.ensure_ascii = False  # type: ignore[attr-defined]
    app.extensions[EXTENSION] = Parts(
        settings, pool, gateway, sweeper, outbound, responder, drain, _database(settings), _cipher(settings)
    )
    lifecycle.install(
        app,
        max_body_bytes=int(settings.max_body_mb * 1024 * 1024),
        cors=Cors(settings.cors_origins),
        trusted_proxies=settings.trusted_proxies,
        is_full=responder.is_full,
    )
    check_key = auth.required(auth.Keys(key.get_secret_value() for key in settings.api_keys))
    app.register_blueprint(health.blueprint(pool.usable, drain.has_begun))
    app.register_blueprint(openai_chat.blueprint(gateway, responder, check_key))
    app.register_blueprint(openai_models.blueprint(catalogue, check_key))
    app.register_blueprint(openai_missing.blueprint(check_key))
    return app


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


def _database(settings: Settings) -> Database:
    if settings.database_url is None:
        return private_database()
    return Database(settings.database_url.get_secret_value(), temporary=settings.database_is_temporary)


def _cipher(settings: Settings) -> Cipher:
    return Cipher([key.get_secret_value() for key in settings.secret_keys] or [secrets.token_urlsafe(32)])


def _outbound(settings: Settings) -> Outbound:
    return Outbound(
        Timeouts(settings.connect_timeout_s, settings.read_timeout_s, settings.request_timeout_s),
        proxy=settings.proxy.get_secret_value() if settings.proxy else None,
        ca_bundle=settings.ca_bundle,
        pool_size=settings.worker_connections,
    )


def _widget(settings: Settings, outbound: Outbound) -> Widget:
    headers = {
        "User-Agent": settings.user_agent,
        **{name: value.get_secret_value() for name, value in settings.upstream_headers.items()},
    }
    widget_settings = WidgetSettings(
        api_base_url=settings.api_base_url,
        business_url=settings.gemini_business_url,
        headers=headers,
        framing=settings.upstream_stream,
        language_code=settings.language_code,
        time_zone=settings.time_zone,
        server_timeout_s=round(settings.request_timeout_s),
        status_lines=settings.status_lines,
    )
    return Widget(outbound, WidgetAuth(outbound, settings.gemini_business_url, headers), widget_settings)
