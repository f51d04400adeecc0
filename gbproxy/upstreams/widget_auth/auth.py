"""The tokens in use: one for each account, made by one request for all, or by another worker."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future

from gbproxy.domain.account import Account
from gbproxy.errors import CredentialRefused, UpstreamError
from gbproxy.observability import trace
from gbproxy.outbound import Outbound
from gbproxy.storage.renewals import RenewedCookies, StoredToken
from gbproxy.upstreams.widget_auth.ages import Ages, Token
from gbproxy.upstreams.widget_auth.cookies import CookieJar
from gbproxy.upstreams.widget_auth.records import CookieRecords, NoCookies, NoTokens, Records, TokenRecords
from gbproxy.upstreams.widget_auth.signin import SignIn
from gbproxy.upstreams.widget_auth.signing import TOKEN_LIFE_S, sign

log = logging.getLogger(__name__)

TOKEN_USE_S = 240
_LAST_USE_S = 290  # while a new one is being made, or cannot be had


class WidgetAuth:
    """Bearer tokens for accounts; safe for use by many threads at once.

    In the records a token stands under the account's seat, with the digest of the credential *as it was given*, also when
    renewed cookies have bought it: who configures another credential gets none of its tokens, and a worker that does not know
    of the renewal yet still does.
    """

    def __init__(
        self,
        outbound: Outbound,
        base_url: str,
        headers: dict[str, str],
        *,
        tokens: TokenRecords | None = None,
        cookies: CookieRecords | None = None,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._monotonic = monotonic
        self._records = Records(tokens or NoTokens(), cookies or NoCookies())
        self._jar = CookieJar(self._records, clock)
        self._sign_in = SignIn(outbound, base_url, headers, self._jar, clock)
        self._ages = Ages(clock, monotonic)
        self._lock = threading.Lock()
        self._tokens: dict[Account, Token] = {}  # by the account as it is: one that was changed signs in anew
        self._refreshing: dict[Account, Future[Token]] = {}
        self._refused: dict[str, float] = {}  # bearers, and when; the records may still hold them

    def bearer(self, account: Account) -> str:
        """A token that the upstream will take. Raises CredentialRefused, UpstreamTimeout or UpstreamError."""
        while True:
            with self._lock:
                token = self._tokens.get(account)
                usable_s = _LAST_USE_S if account in self._refreshing else TOKEN_USE_S
                if token is not None and token.age_s(self._monotonic()) < usable_s:
                    return token.bearer
                future, mine = self._join(account)
            try:
                return (self._refresh(account, future, TOKEN_USE_S) if mine else _awaited(future)).bearer
            except _Abandoned:
                continue
            except UpstreamError as error:
                old = self._tokens.get(account)
                if isinstance(error, CredentialRefused) or old is None or old.age_s(self._monotonic()) > _LAST_USE_S:
                    raise
                return old.bearer  # a passing fault, and the old one still holds

    def refresh_ahead(self, account: Account, older_than_s: float) -> bool:
        """Replace the token in use, if there is none or it is older; requests use it meanwhile, and none of them waits.

        Returns whether there is a new one. Raises what `bearer` raises; then the old one stays as long as it holds.
        """
        with self._lock:
            token = self._tokens.get(account)
            if token is not None and token.age_s(self._monotonic()) < older_than_s:
                return False
            future, mine = self._join(account)
        if mine:
            self._refresh(account, future, older_than_s)
            return True
        try:
            future.result()
        except _Abandoned:
            return False
        return True

    def take_over(
        self,
        accounts: Iterable[Account],
        tokens: Mapping[str, StoredToken],
        cookies: Mapping[str, RenewedCookies],
    ) -> None:
        """Use what other workers have got for these accounts, as far as it is newer than ours; both by seat.

        Also keeps renewed cookies that could not be kept when they came. Never raises for a database that is away.
        """
        for account in accounts:
            renewed, stored = cookies.get(account.seat), tokens.get(account.seat)
            if renewed is not None:
                self._jar.take_over(account, renewed)
            theirs = self._usable(account, stored) if stored is not None else None
            if theirs is None:
                continue
            with self._lock:
                ours = self._tokens.get(account)
                is_newer = ours is None or (theirs.bearer != ours.bearer and theirs.born_at > ours.born_at)
                if is_newer and theirs.bearer not in self._refused:
                    self._tokens[account] = theirs
        self._jar.save()

    def discard(self, account: Account, bearer: str) -> None:
        """The upstream has refused this token: the next `bearer` makes a new one. A newer token stays."""
        now = self._monotonic()
        with self._lock:
            self._refused = {known: at for known, at in self._refused.items() if now - at < TOKEN_LIFE_S}
            self._refused[bearer] = now
            token = self._tokens.get(account)
            if token is None or token.bearer != bearer:
                return
            del self._tokens[account]
        self._records.drop_token(account.seat, token.signed_at)

    def _join(self, account: Account) -> tuple[Future[Token], bool]:
        """What all wait for who want a new token, and whether it is the caller's to make. The lock is held."""
        future = self._refreshing.get(account)
        if future is not None:
            return future, False
        future = self._refreshing[account] = Future()
        return future, True

    def _refresh(self, account: Account, future: Future[Token], max_age_s: float) -> Token:
        """Get a token for all who wait on `future`; who was interrupted leaves the work to one of them."""
        try:
            token = self._recorded(account, max_age_s)
            is_ours = token is None
            token = token or self._signed(account)
        except UpstreamError as error:
            self._settle(account, future, error=error)
            raise
        except BaseException:
            self._settle(account, future, error=_Abandoned())
            raise
        self._settle(account, future, token=token)
        if is_ours:
            stored = StoredToken(account.credential(), token.bearer, token.signed_at)
            self._records.keep_token(account.seat, stored)
        return token

    def _settle(
        self, account: Account, future: Future[Token], *, token: Token | None = None, error: Exception | None = None
    ) -> None:
        now = self._monotonic()
        with self._lock:
            if token is not None:
                for gone in [known for known, old in self._tokens.items() if old.age_s(now) > TOKEN_LIFE_S]:
                    del self._tokens[gone]
                self._tokens[account] = token
            self._refreshing.pop(account, None)
        if token is not None:
            future.set_result(token)
        else:
            future.set_exception(error)

    def _recorded(self, account: Account, max_age_s: float) -> Token | None:
        """A token younger than that, which another worker has made, or this one before it was started again."""
        stored = self._records.token(account.seat, self._clock() - TOKEN_LIFE_S)
        token = self._usable(account, stored) if stored is not None else None
        return token if token is not None and token.age_s(self._monotonic()) < max_age_s else None

    def _usable(self, account: Account, stored: StoredToken) -> Token | None:
        if stored.credential != account.credential() or stored.bearer in self._refused:
            return None
        token = self._ages.token(stored)
        return token if token is not None and token.age_s(self._monotonic()) < TOKEN_USE_S else None

    def _signed(self, account: Account) -> Token:
        """Sign in, and sign a token by the upstream's clock: a host whose clock is off gets valid ones too."""
        started = self._monotonic()
        key, upstream_time = self._sign_in.buy_key(account)
        wall, now = self._clock(), self._monotonic()
        if upstream_time is not None:
            self._ages.heard(upstream_time)
        issued = wall if upstream_time is None else upstream_time
        log.info(
            "token.refreshed",
            extra={
                "account": account.id,
                "skew_s": round(issued - wall, 1),
                "elapsed_ms": round((now - started) * 1000),
            },
        )
        return Token(sign(key, account.csesidx, int(issued)), now, wall)


class _Abandoned(Exception):
    """Whoever refreshed for all was interrupted."""


def _awaited(future: Future[Token]) -> Token:
    trace.current().wait_begins()
    try:
        return future.result()
    finally:
        trace.current().wait_ends()
