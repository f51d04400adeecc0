"""The routes of the console, all behind the ADMIN_KEY."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from flask import Blueprint, Flask, Response, current_app, request
from jinja2 import StrictUndefined
from werkzeug.exceptions import HTTPException

from gbproxy.account_admin.daily_use import DailyUse
from gbproxy.account_admin.importing import Hosts
from gbproxy.account_admin.registry import AccountRegistry
from gbproxy.accounts.available_models import AvailableModels
from gbproxy.alerts.alerts import Alerts
from gbproxy.api_keys.registry import ApiKeys
from gbproxy.console import (
    accounts,
    add_accounts,
    connect,
    edit_account,
    home,
    keys,
    overview,
    playground,
    request_log,
    texts,
)
from gbproxy.console import alerts as alert_pages
from gbproxy.console.access import Access
from gbproxy.console.assets import Assets
from gbproxy.console.pages import PREFIX, Pages, wants_fragment
from gbproxy.console.seal import Seal
from gbproxy.console.sessions import ConsoleSessions
from gbproxy.errors import GatewayError, MethodNotAllowed, NotFound
from gbproxy.request_log.overview import Overview
from gbproxy.request_log.search import RequestSearch
from gbproxy.web import audit
from gbproxy.web.errors import internal_error
from gbproxy.web.secret_guard import SecretGuard

log = logging.getLogger(__name__)

_OTHER_METHODS = ["POST", "PUT", "PATCH", "DELETE"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Administered:
    """What the pages show and change. `cookie_max_age_s`: 0: cookies do not grow old."""

    registry: AccountRegistry
    api_keys: ApiKeys
    hosts: Hosts
    use: DailyUse
    models: AvailableModels
    default_model: str
    public_url: str | None
    cookie_max_age_s: float
    request_search: RequestSearch
    overview: Overview
    alerts: Alerts


def install(
    app: Flask, guard: SecretGuard, seal: Seal, sessions: ConsoleSessions, over: Administered
) -> None:
    """Give the app the console."""
    texts.install(app)
    app.jinja_env.undefined = StrictUndefined
    assets = Assets()
    pages = Pages(seal, assets)
    bp = Blueprint("console", __name__, url_prefix=PREFIX, template_folder="templates")
    pages.install(bp)
    Access(guard, sessions, pages).install(bp)
    audit.install(bp)
    assets.add_route(bp)
    home.add_routes(bp, pages, over.registry, over.use, over.cookie_max_age_s)
    accounts.add_routes(bp, pages, over.registry, over.use)
    edit_account.add_routes(bp, pages, over.registry)
    client_lines = add_accounts.ClientLines(over.default_model, over.public_url)
    add_accounts.add_routes(bp, pages, seal, over.registry, over.hosts, client_lines)
    keys.add_routes(bp, pages, over.api_keys, over.use)
    overview.add_routes(bp, pages, over.overview)
    request_log.add_routes(bp, pages, over.request_search)
    alert_pages.add_routes(bp, pages, over.alerts)
    connect.add_routes(bp, pages, over.models, over.default_model, over.public_url)
    playground.add_routes(bp, pages, over.default_model, over.public_url)
    _add_the_rest(bp)
    _add_errors(bp, pages)
    app.register_blueprint(bp)


def _add_the_rest(bp: Blueprint) -> None:
    """What is no page, and what a page does not take: told as a page too, not as the APIs do."""

    @bp.route("", methods=_OTHER_METHODS, defaults={"path": ""})
    @bp.route("/<path:path>", methods=["GET", *_OTHER_METHODS])
    def nothing(path: str) -> Response:
        del path
        addresses = current_app.create_url_adapter(request)
        if addresses is not None and any(
            addresses.match(method=method)[0] != request.endpoint for method in ("GET", "POST")
        ):
            raise MethodNotAllowed(texts.N_("this page is not asked in this way"))
        raise NotFound(texts.N_("there is no such page"))


def _add_errors(bp: Blueprint, pages: Pages) -> None:
    """Errors as pages; for htmx as a line at the top."""

    def show(error: GatewayError) -> Response:
        if not wants_fragment():
            return pages.page("error.html", error.status, error=error)
        return pages.trouble("_error.html", error.status, error=error)

    def crashed(error: Exception) -> Response:
        log.error("request.crashed", exc_info=error)
        return show(internal_error())

    bp.register_error_handler(GatewayError, show)
    bp.register_error_handler(
        HTTPException, lambda error: show(NotFound(texts.N_("there is no such page")))
    )
    bp.register_error_handler(Exception, crashed)
