"""From settings to services, each given what it needs: here their concrete classes are chosen,
in a module for each part of the gateway.

`build` starts nothing; `open_services` is for programs without a server.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import closing, contextmanager

from gbproxy.account_admin.account_input import account_of
from gbproxy.bootstrap.accounts import AccountParts, make_accounts, make_pool
from gbproxy.bootstrap.background import BackgroundParts, make_background
from gbproxy.bootstrap.files import FileParts, make_files
from gbproxy.bootstrap.foundation import Foundation, make_foundation
from gbproxy.bootstrap.gateway import make_gateway
from gbproxy.bootstrap.keys import KeyParts, make_keys
from gbproxy.bootstrap.sessions import SessionParts, make_sessions
from gbproxy.bootstrap.upstreams import UpstreamParts, make_upstreams
from gbproxy.domain.account import Account
from gbproxy.domain.chat import ChatRequest
from gbproxy.domain.models import Model
from gbproxy.emulation.request_emulation import RequestEmulation
from gbproxy.gateway import Gateway
from gbproxy.gateway.side_by_side import Spawn, in_thread
from gbproxy.outbound.fetch import FileFetcher
from gbproxy.services import Services
from gbproxy.sessions.prewarmed import PREWARMED_PER_ACCOUNT
from gbproxy.settings import Settings
from gbproxy.settings.network import outlives_the_process
from gbproxy.storage import prepare as preparation
from gbproxy.upstreams.base import Upstream


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
    accounts = [*(account_of(each, each.name) for each in settings.accounts), *accounts]
    base = make_foundation(settings, models)
    answering = make_upstreams(base, upstreams or {})
    pool = make_pool(base, accounts)
    sessions = make_sessions(base, answering.by_name, pool, prewarmed)
    pooled = make_accounts(base, accounts, pool, answering.by_name, sessions.cleanup)
    keys = make_keys(base, pooled.models)
    files = make_files(base, pool, answering.by_name, keys.verifier, spawn, fetcher)
    background = make_background(base, answering, sessions, pooled, keys)
    gateway = make_gateway(
        base, answering.by_name, sessions, pooled, keys, files, background, emulation
    )
    return _services(base, answering, sessions, pooled, keys, files, background, gateway)


def _services(
    base: Foundation,
    upstreams: UpstreamParts,
    sessions: SessionParts,
    accounts: AccountParts,
    keys: KeyParts,
    files: FileParts,
    background: BackgroundParts,
    gateway: Gateway,
) -> Services:
    return Services(
        settings=base.settings,
        meter=base.meter,
        storage=base.storage,
        outbound=upstreams.outbound,
        upstreams=upstreams.by_name,
        models=accounts.models,
        support=accounts.support,
        pool=accounts.pool,
        registry=accounts.registry,
        credential_checks=accounts.checks,
        model_reports=accounts.model_reports,
        key_verifier=keys.verifier,
        api_keys=keys.registry,
        limiter=keys.limiter,
        conversations=sessions.conversations,
        client_sessions=sessions.of_clients,
        gateway=gateway,
        uploads=files.uploads,
        linked_files=files.linked,
        background=background.loop,
        request_log=background.request_log,
        account_probes=accounts.probes,
        capability_reads=accounts.capability_reads,
        daily_use=accounts.daily_use,
        scheduled_checks=accounts.scheduled_checks,
        alerts=background.alerts,
    )


def _prepare(settings: Settings) -> None:
    preparation.prepare(settings.database_address, settings.encryption_keys)


@contextmanager
def open_services(
    settings: Settings,
    *,
    prewarmed: int = 0,
    prepare: Callable[[Settings], object] = _prepare,
    emulation: Callable[[ChatRequest], RequestEmulation] = RequestEmulation,
) -> Iterator[Services]:
    """The services in this process, without a server, on the settings' database or a private one.

    Not patched by gevent: what runs between requests are threads, once `background.start` is
    called. `prepare`: makes or migrates the tables of the settings' database. Raises what that
    raises: `storage.prepare.CannotBeUsed`, unless another is given.
    """
    if outlives_the_process(settings.database_address):
        prepare(settings)
    else:
        settings = settings.model_copy(update={"database_url": None})
    with closing(build(settings, prewarmed=prewarmed, emulation=emulation)) as services:
        yield services
