"""The WSGI app: the services, and over them what clients and administrators see."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from flask import Flask

from gbproxy.account_admin.importing import Hosts
from gbproxy.admin import accounts as admin_accounts
from gbproxy.admin import auth as admin_auth
from gbproxy.admin import cookies as admin_cookies
from gbproxy.admin import imports as admin_imports
from gbproxy.admin import keys as admin_keys
from gbproxy.api import health
from gbproxy.api import metrics as metrics_page
from gbproxy.api.openai import chat as openai_chat
from gbproxy.api.openai import models as openai_models
from gbproxy.api.openai import unsupported as openai_unsupported
from gbproxy.bootstrap import Services, build
from gbproxy.domain.account import Account
from gbproxy.domain.models import Model
from gbproxy.server import startup
from gbproxy.sessions.prewarmed import PREWARMED_PER_ACCOUNT
from gbproxy.settings import Settings
from gbproxy.upstreams.base import Upstream
from gbproxy.web import auth, limits, middleware
from gbproxy.web.cors import Cors
from gbproxy.web.drain import Drain
from gbproxy.web.streaming import StreamResponder

EXTENSION = "gbproxy"


@dataclass(frozen=True, slots=True)
class AppState:
    """What the app is made of, for hooks and tests: `app.extensions["gbproxy"]`."""

    services: Services
    responder: StreamResponder
    drain: Drain

    def close(self, *, for_good: bool | None = None) -> None:
        """As `Services.close`."""
        self.services.close(for_good=for_good)


def create_app(
    settings: Settings | None = None,
    *,
    upstreams: Mapping[str, Upstream] | None = None,
    accounts: Collection[Account] = (),
    models: Collection[Model] = (),
    prewarmed: int = PREWARMED_PER_ACCOUNT,
) -> Flask:
    """The WSGI app. Without `settings` they come from the environment; mistakes in it end the
    process with status 2.

    The rest is as for `gbproxy.bootstrap.build`.
    """
    return over(
        build(
            settings or startup.load(),
            upstreams=upstreams,
            accounts=accounts,
            models=models,
            prewarmed=prewarmed,
        )
    )


def over(services: Services) -> Flask:
    """The WSGI app over services that are there."""
    settings, meter = services.settings, services.meter
    responder = StreamResponder(
        limit=settings.worker_connections, heartbeat_s=settings.heartbeat_s, meter=meter
    )
    drain = Drain()
    app = Flask("gbproxy", static_folder=None)
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.json.ensure_ascii = False  # type: ignore[attr-defined]
    app.extensions[EXTENSION] = AppState(services, responder, drain)
    middleware.install(
        app,
        max_body_bytes=int(settings.max_body_mb * 1024 * 1024),
        cors=Cors(settings.cors_origins),
        trusted_proxies=settings.trusted_proxies,
        refusal=responder.refusal,
        meter=meter,
    )
    app.after_request(limits.tell)
    check_key = auth.required(services.key_verifier)
    check_limits = limits.required(check_key, services.limiter)
    app.register_blueprint(health.blueprint(services.pool.usable, drain.has_begun))
    app.register_blueprint(openai_chat.blueprint(services.gateway, responder, check_limits))
    app.register_blueprint(openai_models.blueprint(services.models, check_key))
    app.register_blueprint(openai_unsupported.blueprint(check_key))
    app.register_blueprint(
        metrics_page.blueprint(meter, settings.metrics_keys, services.key_verifier.find)
    )
    _administer(app, services)
    return app


def _administer(app: Flask, services: Services) -> None:
    """With an ADMIN_KEY, the routes that it opens; without one there are none, not even
    refusals.
    """
    settings = services.settings
    if settings.admin_key is None:
        return
    check = admin_auth.required([settings.admin_key.get_secret_value()], services.key_verifier.find)
    admin_auth.guard(app, check)
    app.register_blueprint(admin_accounts.blueprint(services.registry, check))
    app.register_blueprint(admin_cookies.blueprint(services.registry, check))
    app.register_blueprint(admin_keys.blueprint(services.api_keys, check))
    site = Hosts.of(settings.gemini_business_url, settings.api_base_url)
    app.register_blueprint(admin_imports.blueprint(services.registry, site, check))
