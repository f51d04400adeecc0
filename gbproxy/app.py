"""The WSGI app: the services, and over them the APIs of clients and administrators."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from flask import Flask

from gbproxy.account_admin.importing import Hosts
from gbproxy.accounts.model_cards import ModelCards
from gbproxy.admin import install as admin
from gbproxy.api import (
    anthropic,
    description,
    files,
    gemini,
    health,
    media,
    metrics,
    models,
    native,
    openai,
)
from gbproxy.api.format import Format, Surface
from gbproxy.bootstrap import build
from gbproxy.console import install as console
from gbproxy.console.api_access import ApiAccess
from gbproxy.console.seal import Seal
from gbproxy.console.sessions import ConsoleSessions
from gbproxy.domain.account import Account
from gbproxy.domain.media import IN_TEXT, MediaDelivery
from gbproxy.domain.models import Model
from gbproxy.observability.telemetry import Telemetry
from gbproxy.outbound.fetch import FileFetcher
from gbproxy.request_log.overview import Overview
from gbproxy.request_log.search import RequestSearch
from gbproxy.server import startup
from gbproxy.services import Services
from gbproxy.sessions.prewarmed import PREWARMED_PER_ACCOUNT
from gbproxy.settings import Settings
from gbproxy.upstreams.base import Upstream
from gbproxy.web import auth, limits, middleware, openapi
from gbproxy.web.cors import Cors
from gbproxy.web.errors import ErrorFormats
from gbproxy.web.secret_guard import SecretGuard
from gbproxy.web.side_by_side import spawn
from gbproxy.web.streaming import StreamResponder

EXTENSION = "gbproxy"

# A client format is a package below api/ and a line here. What belongs to none of them, such as
# the admin API, tells errors as the first does.
FORMATS = (openai.FORMAT, anthropic.FORMAT, gemini.FORMAT, native.FORMAT)
_IMAGES_IN_CHAT = {
    "markdown": IN_TEXT,
    "base64": MediaDelivery(images_in_text=False, image_bytes=True),
    "both": MediaDelivery(image_bytes=True),
}


@dataclass(frozen=True, slots=True)
class AppState:
    """The parts of the app, for hooks and tests: `app.extensions["gbproxy"]`."""

    services: Services
    responder: StreamResponder
    drain: health.Drain
    error_formats: ErrorFormats
    telemetry: Telemetry | None

    def close(self, *, for_good: bool | None = None) -> None:
        """As `Services.close`."""
        if self.telemetry is not None:
            self.telemetry.close()
        self.services.close(for_good=for_good)


def create_app(
    settings: Settings | None = None,
    *,
    upstreams: Mapping[str, Upstream] | None = None,
    accounts: Collection[Account] = (),
    models: Collection[Model] = (),
    prewarmed: int = PREWARMED_PER_ACCOUNT,
    formats: Sequence[Format] = FORMATS,
    fetcher: FileFetcher | None = None,
) -> Flask:
    """The WSGI app. Without `settings` they come from the environment; mistakes in it end the
    process with status 2, a database that is away with 75.

    The rest is as for `gbproxy.bootstrap.build`.
    """
    services = build(
        settings or startup.load(),
        upstreams=upstreams,
        accounts=accounts,
        models=models,
        prewarmed=prewarmed,
        spawn=spawn,
        fetcher=fetcher,
    )
    return app_over(services, formats, _telemetry(services))


def app_over(
    services: Services,
    formats: Sequence[Format] = FORMATS,
    telemetry: Telemetry | None = None,
) -> Flask:
    """The WSGI app over services that are already built."""
    settings, meter = services.settings, services.meter
    responder = StreamResponder(
        limit=settings.worker_connections, heartbeat_s=settings.heartbeat_s, meter=meter
    )
    drain = health.Drain()
    error_formats = ErrorFormats([each.errors for each in formats])
    app = Flask("gbproxy", static_folder=None)
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.json.ensure_ascii = False  # type: ignore[attr-defined]
    app.extensions[EXTENSION] = AppState(services, responder, drain, error_formats, telemetry)
    middleware.install(
        app,
        max_body_bytes=int(settings.max_body_mb * 1024 * 1024),
        cors=Cors(settings.cors_origins),
        error_formats=error_formats,
        trusted_proxies=settings.trusted_proxies,
        refusal=responder.refusal,
        meter=meter,
        record=services.request_log.record,
        telemetry=telemetry,
    )
    app.after_request(limits.add_headers)
    opened = _console(services)
    check_key = auth.key_check(services.key_verifier, opened.access.admits if opened else _nobody)
    surface = Surface(
        gateway=services.gateway,
        models=services.models,
        model_cards=ModelCards(services.upstreams.capabilities),
        client_sessions=services.client_sessions,
        responder=responder,
        response_rows=services.storage.responses,
        uploads=services.uploads,
        images_in_chat=_IMAGES_IN_CHAT[settings.images_in_chat],
        max_file_bytes=int(settings.max_file_mb * 1024 * 1024),
        check_key=check_key,
        check_limits=limits.limit_check(check_key, services.limiter),
        public_url=settings.public_url,
    )
    for each in formats:
        for blueprint in each.blueprints(surface):
            app.register_blueprint(blueprint)
    app.register_blueprint(models.blueprint(surface, formats, error_formats))
    app.register_blueprint(files.blueprint(surface, formats, error_formats))
    app.register_blueprint(media.blueprint(services.linked_files, responder))
    app.register_blueprint(
        health.blueprint(services.pool.available_count, drain, lambda: openapi.endpoints(app))
    )
    _show_metrics(app, services)
    if opened is not None:
        _administer(app, services, opened)
    app.register_blueprint(description.blueprint(lambda: openapi.document(app, error_formats)))
    return app


def _telemetry(services: Services) -> Telemetry | None:
    endpoint = services.settings.otel_exporter_otlp_endpoint
    if endpoint is None:
        return None
    from gbproxy.observability.otel.recorder import Recorder

    return Recorder(endpoint, (model.id for model in services.models.all()))


def _show_metrics(app: Flask, services: Services) -> None:
    keys, find_client = services.settings.metrics_keys, services.key_verifier.find
    guard = SecretGuard(keys, metrics.KEY_NAMES, find_client) if keys else None
    app.register_blueprint(metrics.blueprint(services.meter, guard))


@dataclass(frozen=True, slots=True)
class _Console:
    """What the console's pages are sealed with, and what they may ask the APIs for."""

    key: str
    seal: Seal
    sessions: ConsoleSessions
    access: ApiAccess


def _console(services: Services) -> _Console | None:
    """None without an ADMIN_KEY: the paths of administration are a 404 then."""
    given = services.settings.admin_key
    if given is None:
        return None
    key = given.get_secret_value()
    seal = Seal(_console_secrets(services), key)
    sessions = ConsoleSessions(seal, services.storage.accounts.changes)
    return _Console(key, seal, sessions, ApiAccess(sessions))


def _nobody() -> bool:
    return False


def _administer(app: Flask, services: Services, opened: _Console) -> None:
    """Add the admin API and the console."""
    settings, find_client = services.settings, services.key_verifier.find
    guard = SecretGuard(
        [opened.key], "ADMIN_KEY", find_client, from_console=opened.access.admits_operator
    )
    hosts = Hosts.of(settings.gemini_business_url, settings.api_base_url)
    search = _request_search(services)
    admin.install(
        app,
        guard,
        services.registry,
        services.api_keys,
        services.model_reports,
        hosts,
        search,
        services.alerts,
    )
    over = console.Administered(
        registry=services.registry,
        api_keys=services.api_keys,
        hosts=hosts,
        use=services.daily_use,
        models=services.models,
        default_model=services.settings.default_model,
        public_url=services.settings.public_url,
        cookie_max_age_s=settings.cookie_max_age_h * 3600,
        request_search=search,
        overview=Overview(services.request_log.rows, services.request_log.days),
        alerts=services.alerts,
    )
    console.install(app, guard, opened.seal, opened.sessions, over)


def _request_search(services: Services) -> RequestSearch:
    return RequestSearch(
        services.request_log.rows,
        services.request_log.days,
        keys=lambda: ((key.fingerprint, key.name) for key in services.api_keys.list()),
        accounts=lambda: ((each.id, each.name) for each in services.registry.list()),
    )


def _console_secrets(services: Services) -> list[str]:
    """A temporary database forgets which sessions were signed out: they end with it."""
    keys = services.settings.encryption_keys
    is_kept = keys and not services.storage.database.temporary
    return keys if is_kept else [secrets.token_urlsafe(32)]
