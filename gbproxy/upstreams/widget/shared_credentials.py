"""Exchanges bearer tokens, and cookies that the upstream has renewed, with the other workers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from gbproxy.domain.account import Account
from gbproxy.errors import StorageUnavailable
from gbproxy.storage.tokens_cookies import CookieRows, TokenRows
from gbproxy.upstreams.widget.auth import WidgetAuth

_TOKEN_LIFE_S = 300.0
_OVERLAP_S = 60.0  # clocks of other machines differ, and rows were being written


class SharedCredentials:
    """Hands what other workers have got since the last call to this one's `WidgetAuth`."""

    def __init__(
        self,
        auth: WidgetAuth,
        tokens: TokenRows,
        cookies: CookieRows,
        accounts: Callable[[], Iterable[Account]],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._auth = auth
        self._tokens = tokens
        self._cookies = cookies
        self._accounts = accounts
        self._clock = clock
        self._looked_at: float | None = None

    def pull_changes(self) -> None:
        """Raises StorageUnavailable."""
        now = self._clock()
        looked_at, self._looked_at = self._looked_at, None
        try:
            tokens = self._tokens.read(
                now - _TOKEN_LIFE_S if looked_at is None else looked_at - _OVERLAP_S
            )
            cookies = self._cookies.read(0.0 if looked_at is None else looked_at - _OVERLAP_S)
        except StorageUnavailable:
            # without news, it keeps what could not be kept before
            self._auth.sync(self._accounts(), {}, {})
            raise
        self._auth.sync(self._accounts(), tokens, cookies)
        self._looked_at = now
