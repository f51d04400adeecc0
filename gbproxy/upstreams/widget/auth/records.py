"""Tokens and renewed cookies in the database, for all workers and after a restart.

They spare sign-ins and keep renewed cookies, but no request depends on them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Protocol, TypeVar

from gbproxy.errors import StorageUnavailable
from gbproxy.storage.tokens_cookies import RenewedCookies, StoredToken

log = logging.getLogger(__name__)

T = TypeVar("T")


class TokenRecords(Protocol):
    """Bearer tokens by account key. All may raise StorageUnavailable."""

    def keep(self, account_key: str, token: StoredToken) -> bool: ...
    def read(self, since: float = 0.0) -> Mapping[str, StoredToken]: ...
    def drop(self, account_key: str, signed_at: float) -> None: ...


class CookieRecords(Protocol):
    """Renewed cookies by account key. All may raise StorageUnavailable."""

    def keep(self, account_key: str, renewed: RenewedCookies) -> bool: ...
    def read(self, since: float = 0.0) -> Mapping[str, RenewedCookies]: ...


class NoTokens:
    """Stores nothing, so that each sign-in is made anew."""

    def keep(self, account_key: str, token: StoredToken) -> bool:
        return True

    def read(self, since: float = 0.0) -> Mapping[str, StoredToken]:
        return {}

    def drop(self, account_key: str, signed_at: float) -> None:
        return None


class Records:
    """Both kinds. While the database is away nothing is found or stored: logged once, never
    raised.
    """

    def __init__(self, tokens: TokenRecords, cookies: CookieRecords) -> None:
        self._tokens = tokens
        self._cookies = cookies
        self._is_away = False

    def token(self, account_key: str, since: float) -> StoredToken | None:
        return self._try(lambda: self._tokens.read(since).get(account_key), None)

    def keep_token(self, account_key: str, token: StoredToken) -> None:
        self._try(lambda: self._tokens.keep(account_key, token), False)

    def drop_token(self, account_key: str, signed_at: float) -> None:
        self._try(lambda: self._tokens.drop(account_key, signed_at), None)

    def cookies(self, account_key: str) -> RenewedCookies | None:
        return self._try(lambda: self._cookies.read().get(account_key), None)

    def keep_cookies(self, account_key: str, renewed: RenewedCookies) -> bool:
        """True if these, or newer ones, are stored now."""

        def keep() -> bool:
            self._cookies.keep(account_key, renewed)
            return True

        return self._try(keep, False)

    def _try(self, action: Callable[[], T], otherwise: T) -> T:
        try:
            result = action()
        except StorageUnavailable:
            if not self._is_away:
                self._is_away = True
                log.warning("credentials.unshared", extra={"reason": "the database is away"})
            return otherwise
        self._is_away = False
        return result
