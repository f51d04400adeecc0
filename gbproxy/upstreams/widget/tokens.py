"""The use of bearer tokens: which of them one call tries, a limit for questions that no fresh token
helps, and their exchange with the other workers.

Source: docs/upstream.md, suspicion.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from gbproxy.domain.account import Account
from gbproxy.errors import AccountSuspected, StorageUnavailable, TokenRefused
from gbproxy.storage.tokens_cookies import CookieRows, TokenRows
from gbproxy.storage.workers import REREAD_S
from gbproxy.upstreams.widget.auth import Token, WidgetAuth
from gbproxy.upstreams.widget.auth.jwt import TOKEN_LIFE_S

MAX_FAILED_RENEWALS = 5
FAILED_RENEWALS_WITHIN_S = 15.0
ADVICE = (
    "CONFIG_ID may belong to another account, or the account must be signed in again and its"
    " cookies renewed"
)
_OVERLAP_S = 60.0  # clocks of other machines differ, and rows were being written


@dataclass(slots=True)
class TokenRetry:
    """Retries a refused token. A token minted before the first refusal may be equally stale, so
    only one minted after it proves that the account is at fault.
    """

    auth: WidgetAuth
    account: Account
    _token: Token | None = None
    _refused_at: float | None = None
    _after: float = -math.inf

    def next(self) -> str:
        """The bearer token of the next try. Raises what `WidgetAuth.token` raises."""
        self._token = self.auth.token(self.account, self._after)
        return self._token.bearer

    def discard_refused(self) -> bool:
        """Discard the token that was refused. True if another may be tried: False once one was
        refused that was minted after the first refusal.
        """
        if self._token is None:
            return True
        refused_at = self.auth.discard(self.account, self._token.bearer)
        if self._refused_at is None:
            self._refused_at = refused_at
            return True
        self._after = self._refused_at
        return self._token.minted_at < self._refused_at

    def refusal_proves_nothing(self) -> bool:
        """True if the refused token was minted after the first refusal: a question's refusal of it
        proves nothing, and it stays in use.
        """
        return (
            self._token is not None
            and self._refused_at is not None
            and self._token.minted_at >= self._refused_at
        )


@dataclass(slots=True)
class FailedRenewals:
    """Limits the renewals for questions that refuse fresh tokens too: when each account had one."""

    monotonic: Callable[[], float]
    _at: dict[Account, list[float]] = field(default_factory=dict)

    def may_ask_again(self, tokens: TokenRetry, asked: int) -> bool:
        """True if a question whose token was refused `asked` times is sent again, as a rule with a
        fresh one.
        """
        # A run of poisoned questions must not cost a sign-in each: the probe that each leads to
        # renews what is stale.
        if self._limit_reached(tokens.account):
            return asked == 1
        if tokens.refusal_proves_nothing():
            self._note(tokens.account)
            return False
        return tokens.discard_refused()

    def _note(self, account: Account) -> None:
        self._at = {known: moments for known in self._at if (moments := self._recent(known))}
        self._at.setdefault(account, []).append(self.monotonic())

    def _limit_reached(self, account: Account) -> bool:
        """True while a run of poisoned questions would cost one more sign-in in vain."""
        return len(self._recent(account)) >= MAX_FAILED_RENEWALS

    def _recent(self, account: Account) -> list[float]:
        begin = self.monotonic() - FAILED_RENEWALS_WITHIN_S
        return [moment for moment in self._at.get(account, ()) if moment > begin]


def suspected(error: TokenRefused) -> AccountSuspected:
    """The error of a question that refuses fresh tokens too: the account's fault, or its own."""
    blamed = AccountSuspected(f"{error.message} for this question. If also for others: {ADVICE}")
    blamed.was_taken = error.was_taken
    return blamed


class SharedCredentials:
    """Hands the tokens and renewed cookies that other workers have got since the last call to this
    one's `WidgetAuth`.
    """

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
        self._version: int | None = None
        self._moved_at = -math.inf

    def pull_changes(self) -> None:
        """Adopt what was stored since the last call. Raises StorageUnavailable."""
        now = self._clock()
        looked_at, self._looked_at = self._looked_at, None
        try:
            if looked_at is not None and not self._may_be_news(looked_at, now):
                self._auth.sync(self._accounts(), {}, {})
                self._looked_at = looked_at
                return
            tokens = self._tokens.read(
                now - TOKEN_LIFE_S if looked_at is None else looked_at - _OVERLAP_S
            )
            cookies = self._cookies.read(0.0 if looked_at is None else looked_at - _OVERLAP_S)
        except StorageUnavailable:
            # It still stores what it could not store before.
            self._auth.sync(self._accounts(), {}, {})
            raise
        self._auth.sync(self._accounts(), tokens, cookies)
        self._looked_at = now

    def _may_be_news(self, looked_at: float, now: float) -> bool:
        """Whether to read. Saves 110 µs of a round that finds nothing; after a change all rounds
        read for some seconds, for an account may come to its credential a little later.
        """
        version = self._tokens.version()
        if version != self._version:
            self._version, self._moved_at = version, now
        return abs(now - self._moved_at) < REREAD_S or abs(now - looked_at) >= REREAD_S
