"""What works between requests."""

from __future__ import annotations

from collections.abc import Callable

from gbproxy.account_admin.registry import Roster
from gbproxy.accounts.model_support import Support
from gbproxy.accounts.pool import Pool
from gbproxy.api_keys.verifier import Keyring
from gbproxy.background.capability_reads import Lookups
from gbproxy.background.executor import Crew
from gbproxy.background.leader import Office
from gbproxy.background.loop import Sweeper
from gbproxy.domain.account import Account
from gbproxy.engine.storing import Storage
from gbproxy.errors import CredentialRefused, GatewayError
from gbproxy.sessions.cleanup import Deletions
from gbproxy.sessions.prewarmed import Stock
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
    roster: Roster,
    keyring: Keyring,
    support: Support,
    lookups: Lookups,
    settle: Callable[[], None],
    stock_size: int,
) -> Sweeper:
    sessions, states, workers = storage.sessions, storage.accounts.states, storage.accounts.workers
    crew = Crew()
    # many or slow ones must not hold up what requests wait for
    hands = Crew(width=_DELETIONS_AT_ONCE)
    deletions = Deletions(
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

    stock = Stock(
        sessions,
        upstream.open_session,
        crew.put,
        deletions.discard,
        size=stock_size,
        on_failure=set_aside,
    )
    office = Office(
        storage.offices,
        workers,
        sessions,
        pool,
        deletions,
        crew,
        refresh_token=upstream.sign_in_ahead,
        probe=roster.probe,
        take_over_left=lambda owners: temporary.take_over_left(storage.database, sessions, owners),
        look_up=lookups.tend,
    )
    credentials = SharedCredentials(sign_in, storage.tokens, storage.cookies, pool.accounts)
    return Sweeper(
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
