"""Upstream sessions: prewarmed, continued, deleted."""

from __future__ import annotations

from dataclasses import dataclass

from gbproxy.accounts.pool import Pool
from gbproxy.background.executor import BackgroundExecutor
from gbproxy.bootstrap.foundation import Foundation
from gbproxy.conversations import ClientSessions, Conversations
from gbproxy.services import Storage
from gbproxy.sessions.cleanup import SessionCleanup
from gbproxy.sessions.prewarmed import SessionPool
from gbproxy.upstreams.registry import Upstreams

_DELETIONS_AT_ONCE = 32


@dataclass(frozen=True, slots=True)
class SessionParts:
    executor: BackgroundExecutor
    cleanup: SessionCleanup
    prewarmed: SessionPool
    conversations: Conversations
    of_clients: ClientSessions


def make_sessions(
    base: Foundation, upstreams: Upstreams, pool: Pool, prewarmed: int
) -> SessionParts:
    """`prewarmed`: sessions kept ready for each account in use."""
    settings, rows = base.settings, base.storage.sessions
    if settings.upstream_session != "create":
        prewarmed = 0  # the first question makes the session: there is no call to save
    executor, cleanup = BackgroundExecutor(), _cleanup(base.storage, upstreams, pool)
    return SessionParts(
        executor,
        cleanup,
        SessionPool(
            rows,
            upstreams.open_session,
            executor.submit,
            cleanup.delete_unrecorded,
            size=prewarmed,
            on_failure=pool.call_failed,
            has_sessions=upstreams.has_sessions,
        ),
        Conversations(
            rows,
            session_timeout_s=settings.session_timeout,
            delete_unrecorded=cleanup.delete_unrecorded,
            meter=base.meter,
        ),
        ClientSessions(rows, session_timeout_s=settings.session_timeout),
    )


def _cleanup(storage: Storage, upstreams: Upstreams, pool: Pool) -> SessionCleanup:
    return SessionCleanup(
        storage.sessions,
        upstreams.delete_session,
        pool.accounts,
        # Threads of their own: many or slow deletions must not hold up what requests wait for.
        BackgroundExecutor(width=_DELETIONS_AT_ONCE),
        is_refused=lambda account: account in pool.rejected(),
    )
