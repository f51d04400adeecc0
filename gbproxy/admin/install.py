"""The routes of the admin API, all behind one key, which is the ADMIN_KEY."""

from __future__ import annotations

from flask import Flask, request
from werkzeug.exceptions import MethodNotAllowed

from gbproxy.account_admin.importing import Hosts
from gbproxy.account_admin.model_reports import ModelReports
from gbproxy.account_admin.registry import AccountRegistry
from gbproxy.admin import accounts, keys, models, requests
from gbproxy.admin import alerts as alert_routes
from gbproxy.alerts.alerts import Alerts
from gbproxy.api_keys.registry import ApiKeys
from gbproxy.request_log.search import RequestSearch
from gbproxy.web import audit
from gbproxy.web.secret_guard import SecretGuard

PREFIX = "/api"


def install(
    app: Flask,
    guard: SecretGuard,
    registry: AccountRegistry,
    api_keys: ApiKeys,
    model_reports: ModelReports,
    hosts: Hosts,
    request_search: RequestSearch,
    alerts: Alerts,
) -> None:
    """Give the app the routes that the key of `guard` opens."""
    for blueprint in (
        accounts.blueprint(registry),
        accounts.cookies_blueprint(registry),
        accounts.imports_blueprint(registry, hosts),
        keys.blueprint(api_keys),
        models.blueprint(model_reports),
        requests.blueprint(request_search),
        alert_routes.blueprint(alerts),
    ):
        blueprint.before_request(guard.check)
        audit.install(blueprint)
        app.register_blueprint(blueprint)
    _guard_other_methods(app, guard)


def _guard_other_methods(app: Flask, guard: SecretGuard) -> None:
    """Ask for the key where a route below `/api` is there, but not by this method.

    A path that is not there is a 404 for everybody: chat programs look for other servers' routes
    (`/api/tags`, `/api/v1/models`); they are to find none, and whatever key they show is no guess.
    """

    @app.before_request
    def check() -> None:
        is_there = isinstance(request.routing_exception, MethodNotAllowed)
        if is_there and f"{request.path}/".startswith(f"{PREFIX}/"):
            guard.check()
