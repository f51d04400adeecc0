"""What works between requests."""

from __future__ import annotations

from collections.abc import Callable

from gbproxy.account_admin.registry import AccountRegistry
from gbproxy.accounts.model_support import ModelSupport
from gbproxy.accounts.pool import Pool
from gbproxy.api_keys.verifier import KeyVerifier
from gbproxy.background.capability_reads import CapabilityReads
from gbproxy.background.executor import BackgroundExecutor
from gbproxy.background.leader import LeaderTasks
from gbproxy.background.loop import BackgroundLoop
from gbproxy.domain.account import Account
from gbproxy.engine.storing import Storage
from gbproxy.errors import CredentialRefused, GatewayError
from gbproxy.sessions.cleanup import SessionCleanup
from gbproxy.sessions.prewarmed import SessionPool
from gbproxy.storage import temporary
from gbproxy.upstreams.base import Upstream
from gbproxy.upstreams.widget.auth import WidgetAuth
from gbproxy.upstreams.widget.shared_credentials import SharedCredentials

_DELETIONS_AT_ONCE = 32


def sweeper(
    storage: Storage,
    pool: Pool,
    upstream: Upstream,
    sign_in: WidgetAuth,
    roster: AccountRegistry,
    keyring: KeyVerifier,
    support: ModelSupport,
    lookups: CapabilityReads,
    settle: Callable[[], None],
    stock_size: int,
) -> BackgroundLoop:
    sessions, states, workers = storage.sessions, storage.accounts.states, storage.accounts.workers
    crew = BackgroundExecutor()
    # many or slow ones must not hold up what requests wait for
    hands = BackgroundExecutor(width=_DELETIONS_AT_ONCE)
    deletions = SessionCleanup(
        sessions,
        upstream.delete_session,
        pool.accounts,
        hands,
        is_refused=lambda account: account in pool.refused(),
    )

    def set_aside(account: Account, error: GatewayError, took_s: float) -> None:
        # other failures teach nothing when no request has met them
        if isinstance(error, CredentialRefused):
            pool.failed(account, "text", error, took_s=took_s)

    stock = SessionPool(
        sessions,
        upstream.open_session,
        crew.put,
        deletions.discard,
        size=stock_size,
        on_failure=set_aside,
    )
    office = LeaderTasks(
        storage.offices,
        workers,
        sessions,
        pool,
        deletions,
        crew,
        refresh_token=upstream.sign_in_ahead,
        probe=roster.probe,
        take_over_left=lambda identities: temporary.take_over_left(
            storage.database, sessions, identities
        ),
        look_up=lookups.tend,
    )
    credentials = SharedCredentials(sign_in, storage.tokens, storage.cookies, pool.accounts)
    return BackgroundLoop(
        sessions,
        workers,
        states,
        pool,
        stock,
        deletions,
        office,
        crew,
        take_over=[
            roster.take_over,
            keyring.take_over,
            lambda: pool.refresh(states.read()),
            pool.share_again,
            credentials.take_over,
            support.take_over,
            settle,
        ],
        warm=upstream.warm,
        patiently=storage.database.patiently,
    )
