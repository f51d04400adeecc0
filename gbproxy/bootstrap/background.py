"""What runs between requests: each worker's loop, the leader's tasks, the alerts; and the request
log, which is written then.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from gbproxy.accounts.pool import Pool
from gbproxy.alerts.alerts import Alerts
from gbproxy.alerts.configured import make_alerts
from gbproxy.api_keys.verifier import KeyVerifier
from gbproxy.background.leader import LeaderTasks
from gbproxy.background.loop import BackgroundLoop
from gbproxy.bootstrap.accounts import AccountParts
from gbproxy.bootstrap.foundation import Foundation
from gbproxy.bootstrap.keys import KeyParts
from gbproxy.bootstrap.sessions import SessionParts
from gbproxy.bootstrap.upstreams import UpstreamParts
from gbproxy.observability import audit
from gbproxy.rate_limits.store import LimitStore
from gbproxy.request_log.recorder import NoRequestLog, RequestLog
from gbproxy.storage import temporary
from gbproxy.upstreams.widget.tokens import SharedCredentials


@dataclass(frozen=True, slots=True)
class BackgroundParts:
    loop: BackgroundLoop
    alerts: Alerts
    request_log: RequestLog


def make_background(
    base: Foundation,
    upstreams: UpstreamParts,
    sessions: SessionParts,
    accounts: AccountParts,
    keys: KeyParts,
) -> BackgroundParts:
    """The loop of this worker, which leads once it has the lease of the leader's tasks."""
    storage, pool = base.storage, accounts.pool
    request_log = _request_log(base, keys.verifier, pool)
    alerts = _alerts(base, accounts, keys.limit_store)
    credentials = SharedCredentials(
        upstreams.sign_in, storage.tokens, storage.cookies, pool.accounts
    )
    loop = BackgroundLoop(
        storage.sessions,
        storage.accounts.workers,
        storage.accounts.health,
        pool,
        sessions.prewarmed,
        sessions.cleanup,
        _leader_tasks(base, upstreams, sessions, accounts, request_log, alerts),
        sessions.executor,
        sync=[
            accounts.registry.pull_changes,
            keys.verifier.pull_changes,
            lambda: pool.refresh(storage.accounts.health.latest()),
            pool.flush,
            credentials.pull_changes,
            accounts.support.sync,
            sessions.conversations.flush,
            request_log.flush_if_due,
            accounts.daily_use.sync,
            *alerts.worker_duties,
        ],
        keep_warm=upstreams.by_name.prewarm,
        long_timeout=storage.database.long_timeout,
    )
    return BackgroundParts(loop, alerts, request_log)


def _request_log(base: Foundation, keys: KeyVerifier, pool: Pool) -> RequestLog:
    rows, days = base.storage.request_log, base.settings.request_log_days
    if not days:
        return NoRequestLog(rows)
    return RequestLog(
        rows,
        days,
        key_names=keys.names,
        account_names=lambda: {account.id: account.name for account in pool.accounts()},
    )


def _alerts(base: Foundation, accounts: AccountParts, limits: LimitStore) -> Alerts:
    stored = base.storage
    return make_alerts(
        base.settings,
        stored.database,
        stored.alerts,
        stored.accounts.times,
        accounts.pool,
        limits,
        base.meter,
        accounts=accounts.given,
    )


def _leader_tasks(
    base: Foundation,
    upstreams: UpstreamParts,
    sessions: SessionParts,
    accounts: AccountParts,
    request_log: RequestLog,
    alerts: Alerts,
) -> LeaderTasks:
    storage = base.storage
    return LeaderTasks(
        storage.leases,
        storage.accounts.workers,
        storage.sessions,
        accounts.pool,
        sessions.cleanup,
        sessions.executor,
        refresh_token=upstreams.by_name.sign_in_ahead,
        probe=accounts.checks.probe,
        claim_probe=storage.accounts.times.claim_probe,
        reclaim_abandoned=partial(temporary.reclaim_abandoned, storage.sessions),
        read_capabilities=accounts.capability_reads.read_due,
        trims=(
            storage.responses.trim,
            storage.files.trim,
            request_log.trim,
            accounts.daily_use.trim,
            partial(storage.untold_changes.tell, audit.tell_later),
        ),
        duties={**accounts.scheduled_checks.leader_duties, **alerts.leader_duties},
    )
