"""Caches bearer tokens: one per account, refreshed by one request for all that wait, and shared
with the other workers.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field

from gbproxy.domain.account import Account
from gbproxy.errors import AccountStalled, CredentialRefused, UpstreamError, UpstreamTimeout
from gbproxy.observability import request_context
from gbproxy.observability.meter import SILENT, Meter
from gbproxy.observability.request_context import result_in_time
from gbproxy.outbound import HttpClient, calls_end_at
from gbproxy.storage.tokens_cookies import RenewedCookies, StoredToken
from gbproxy.upstreams.widget.auth.cookies import CookieJar
from gbproxy.upstreams.widget.auth.jwt import TOKEN_LIFE_S, Token, TokenAges
from gbproxy.upstreams.widget.auth.records import CookieRecords, Records, TokenRecords
from gbproxy.upstreams.widget.auth.signin import SignIn
from gbproxy.upstreams.widget.endpoints import EndpointMap

TOKEN_USE_S = 240
_LAST_USE_S = 290  # while a new one is being made, or cannot be had
_SIGN_IN_S = 30.0  # with all its calls
_WAITED_FOR = "the account's sign-in"


class WidgetAuth:
    """Bearer tokens for accounts; safe for many threads at once.

    A stored token stands under the account's key, with the fingerprint of the credential *as it was
    given*, also when renewed cookies have bought it: another credential gets none of its tokens,
    and a worker that does not know of the renewal yet still finds it.
    """

    def __init__(
        self,
        client: HttpClient,
        endpoints: EndpointMap,
        *,
        tokens: TokenRecords,
        cookies: CookieRecords,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        meter: Meter = SILENT,
        patience_s: float = 5.0,
    ) -> None:
        """`clock`: Unix seconds; `patience_s`: how long a request waits for a sign-in when another
        account may serve it.
        """
        self._patience_s = patience_s
        self._clock = clock
        self._meter = meter
        self._monotonic = monotonic
        self._records = Records(tokens, cookies)
        self._jar = CookieJar(self._records, clock)
        self._ages = TokenAges(clock, monotonic)
        self._sign_in = SignIn(client, endpoints, self._jar, self._ages, meter)
        self._lock = threading.Lock()
        # By the whole account: one whose credential was changed signs in anew.
        self._tokens: dict[Account, Token] = {}
        self._refreshing: dict[Account, _Refreshing] = {}
        # Bearer -> when it was first refused (monotonic seconds); the records may still hold it.
        self._refused: dict[str, float] = {}

    def token(self, account: Account, after: float = -math.inf) -> Token:
        """A token that is still good, minted by a sign-in that began at `after` (monotonic seconds,
        as `discard` returns) or later.

        Raises CredentialRefused, UpstreamTimeout or UpstreamError; AccountStalled when it takes too
        long and another account may serve the request.
        """
        patient_until = time.monotonic() + self._patience_s
        while True:
            with self._lock:
                token = self._tokens.get(account)
                usable_s = _LAST_USE_S if account in self._refreshing else TOKEN_USE_S
                if (
                    token is not None
                    and token.minted_at >= after
                    and token.age_s(self._monotonic()) < usable_s
                ):
                    return token
                refreshing, mine = self._join(account, after)
            try:
                if mine:
                    token = self._refresh(account, refreshing, TOKEN_USE_S, after, patient_until)
                else:
                    token = self._awaited(refreshing.future, patient_until)
                if token.minted_at >= after:
                    return token
            except _Abandoned:
                continue
            except UpstreamError as error:
                old = self._tokens.get(account)
                if isinstance(error, CredentialRefused) or old is None or old.minted_at < after:
                    raise
                if old.age_s(self._monotonic()) > _LAST_USE_S:
                    raise
                return old  # a passing fault, and the old token is still good

    def refresh_ahead(self, account: Account, older_than_s: float) -> bool:
        """Replace a token that is missing or older than this; requests go on with the old one.

        True if there is a new one. Raises what `token` raises; the old one stays in use then.
        """
        with self._lock:
            token = self._tokens.get(account)
            if token is not None and token.age_s(self._monotonic()) < older_than_s:
                return False
            refreshing, mine = self._join(account)
        if mine:
            self._refresh(account, refreshing, older_than_s)
            return True
        try:
            refreshing.future.result()
        except _Abandoned:
            return False
        return True

    def sync(
        self,
        accounts: Iterable[Account],
        tokens: Mapping[str, StoredToken],
        cookies: Mapping[str, RenewedCookies],
    ) -> None:
        """Adopt what other workers have got for these accounts, where it is newer than ours; both
        by account key.

        Also stores renewed cookies that could not be stored when they came. Never raises for a
        database that is away.
        """
        for account in accounts:
            renewed, stored = cookies.get(account.account_key), tokens.get(account.account_key)
            if renewed is not None:
                self._jar.sync(account, renewed)
            theirs = self._usable(account, stored) if stored is not None else None
            if theirs is None:
                continue
            with self._lock:
                ours = self._tokens.get(account)
                is_newer = ours is None or (
                    theirs.bearer != ours.bearer and theirs.minted_at > ours.minted_at
                )
                if is_newer and theirs.bearer not in self._refused:
                    self._tokens[account] = theirs
        self._jar.save()

    def discard(self, account: Account, bearer: str) -> float:
        """Invalidate a token that the upstream has refused; a newer one stays.

        Returns when it was first refused (monotonic seconds): a token minted earlier may be equally
        stale.
        """
        now = self._monotonic()
        with self._lock:
            self._refused = {
                known: at for known, at in self._refused.items() if now - at < TOKEN_LIFE_S
            }
            refused_at = self._refused.setdefault(bearer, now)
            token = self._tokens.get(account)
            if token is None or token.bearer != bearer:
                return refused_at
            del self._tokens[account]
        self._records.drop_token(account.account_key, token.signed_at)
        return refused_at

    def _join(self, account: Account, after: float = -math.inf) -> tuple[_Refreshing, bool]:
        """The refresh under way, and True if the caller has just begun it. The lock is held."""
        running = self._refreshing.get(account)
        if running is not None and running.begun_at >= after:
            return running, False
        mine = self._refreshing[account] = _Refreshing(self._monotonic())
        return mine, True

    def _refresh(
        self,
        account: Account,
        refreshing: _Refreshing,
        max_age_s: float,
        after: float = -math.inf,
        patient_until: float = math.inf,
    ) -> Token:
        """Get a token for all that wait. An interrupted caller leaves the work to one of them."""
        try:
            token = self._recorded(account, max_age_s, after)
            is_ours = token is None
            token = token or self._signed_in_time(account, patient_until)
        except UpstreamError as error:
            self._meter.token_refreshed(error.code)
            # The other requests that wait may have more time.
            has_left = isinstance(error, AccountStalled) or request_context.current().is_over()
            self._settle(account, refreshing, error=_Abandoned() if has_left else error)
            raise
        except BaseException:
            self._settle(account, refreshing, error=_Abandoned())
            raise
        self._settle(account, refreshing, token=token)
        if is_ours:
            stored = StoredToken(account.fingerprint(), token.bearer, token.signed_at)
            self._records.keep_token(account.account_key, stored)
        return token

    def _awaited(self, token: Future[Token], patient_until: float) -> Token:
        request_context.current().begin_wait()
        try:
            return result_in_time(
                token, _WAITED_FOR, self._patience_s, left_s=patient_until - time.monotonic()
            )
        finally:
            request_context.current().end_wait()

    def _settle(
        self,
        account: Account,
        settled: _Refreshing,
        *,
        token: Token | None = None,
        error: Exception | None = None,
    ) -> None:
        now = self._monotonic()
        with self._lock:
            if token is not None:
                for gone in [
                    known for known, old in self._tokens.items() if old.age_s(now) > TOKEN_LIFE_S
                ]:
                    del self._tokens[gone]
                known = self._tokens.get(account)
                if known is None or known.minted_at <= token.minted_at:
                    self._tokens[account] = token
            if self._refreshing.get(account) is settled:
                del self._refreshing[account]
        if token is not None:
            settled.future.set_result(token)
        else:
            settled.future.set_exception(error)

    def _recorded(self, account: Account, max_age_s: float, after: float) -> Token | None:
        """A stored token younger than `max_age_s`: another worker's, or ours before a restart."""
        stored = self._records.token(account.account_key, self._clock() - TOKEN_LIFE_S)
        token = self._usable(account, stored) if stored is not None else None
        is_fresh = (
            token is not None
            and token.age_s(self._monotonic()) < max_age_s
            and token.minted_at >= after
        )
        return token if is_fresh else None

    def _usable(self, account: Account, stored: StoredToken) -> Token | None:
        if stored.credential != account.fingerprint() or stored.bearer in self._refused:
            return None
        token = self._ages.token(stored)
        return token if token is not None and token.age_s(self._monotonic()) < TOKEN_USE_S else None

    def _signed_in_time(self, account: Account, patient_until: float) -> Token:
        """A new token, all calls for it within their time. Raises AccountStalled too."""
        context = request_context.current()
        is_patient = not context.has_elsewhere()
        try:
            with calls_end_at(time.monotonic() + _SIGN_IN_S if is_patient else patient_until):
                return self._sign_in.token(account)
        except UpstreamTimeout as error:
            if is_patient or time.monotonic() < patient_until or context.is_over():
                raise
            raise AccountStalled(
                f"{_WAITED_FOR} took longer than {self._patience_s:g} s"
            ) from error


@dataclass(frozen=True, slots=True, eq=False)
class _Refreshing:
    """A sign-in under way; `begun_at`: monotonic seconds."""

    begun_at: float
    future: Future[Token] = field(default_factory=Future)


class _Abandoned(Exception):
    """The request that refreshed for all was interrupted."""
