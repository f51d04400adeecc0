"""Renewed cookies and bearer tokens of all accounts, encrypted.

A value that no key can decrypt is left out and logged.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import bindparam, delete, or_, select

from gbproxy.domain.account import id_of
from gbproxy.storage.database import Database
from gbproxy.storage.encryption import Cipher, Unreadable
from gbproxy.storage.tables import cookies, tokens
from gbproxy.storage.upserts import at, not_older, upsert
from gbproxy.storage.workers import ChangeCounter

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RenewedCookies:
    """`replaces`: digest of the ids and cookies, as given, in whose place these are used;
    `renewed_at`: Unix seconds.
    """

    replaces: str
    secure_c_ses: str = field(repr=False)
    host_c_oses: str | None = field(repr=False)
    renewed_at: float
    cookies: str | None = field(default=None, repr=False)
    """Further cookies of the page that are in use, as a Cookie header; None as long as the two
    alone are taken.
    """
    cookies_given: str | None = field(default=None, repr=False)
    """Those of the account that they replace, or are: with others, it begins again with the two
    alone.
    """


@dataclass(frozen=True, slots=True)
class StoredToken:
    """`credential`: digest of the credential that has bought the bearer; `signed_at`: Unix
    seconds.
    """

    credential: str
    bearer: str = field(repr=False)
    signed_at: float


_COOKIES = select(cookies).where(cookies.c.renewed_at >= bindparam("since"))
_TOKENS = select(tokens).where(tokens.c.signed_at >= bindparam("since"))
_DROP_TOKEN = delete(tokens).where(
    tokens.c.account_key == bindparam("wanted"), tokens.c.signed_at <= bindparam("until")
)


class CookieRows:
    """Cookies that the upstream has renewed."""

    def __init__(self, database: Database, cipher: Cipher) -> None:
        self._database = database
        self._cipher = cipher
        self._changes = ChangeCounter(database)
        self._put = upsert(
            database,
            cookies,
            "replaces",
            "cookies",
            "renewed_at",
            when=lambda new: not_older(new, cookies.c.renewed_at),
        )

    def keep(self, account_key: str, renewed: RenewedCookies) -> bool:
        """Replace older ones. False if newer ones are stored already."""
        secrets = {"secure_c_ses": renewed.secure_c_ses, "host_c_oses": renewed.host_c_oses}
        if renewed.cookies is not None:
            secrets |= {"cookies": renewed.cookies, "cookies_given": renewed.cookies_given}
        values = {
            "account_key": account_key,
            "replaces": renewed.replaces,
            "cookies": self._cipher.encrypt(secrets),
            **at(cookies.c.renewed_at, renewed.renewed_at),
        }
        return self._changes.change("credentials", self._put, values) == 1

    def read(self, since: float = 0.0) -> dict[str, RenewedCookies]:
        """By account key, those renewed at `since` (Unix seconds) or later."""
        found = {}
        for row in self._database.fetch(_COOKIES, {"since": since}):
            secrets = decrypted(self._cipher, row.cookies, "cookies", id_of(row.account_key))
            if secrets is not None:
                found[row.account_key] = RenewedCookies(
                    row.replaces, renewed_at=row.renewed_at, **secrets
                )
        return found


class TokenRows:
    """Bearer tokens, so that one worker signs in for all."""

    def __init__(self, database: Database, cipher: Cipher) -> None:
        self._database = database
        self._cipher = cipher
        self._changes = ChangeCounter(database)
        self._put = upsert(
            database,
            tokens,
            "credential",
            "bearer",
            "signed_at",
            when=lambda new: or_(
                not_older(new, tokens.c.signed_at), new.credential != tokens.c.credential
            ),
        )

    def keep(self, account_key: str, token: StoredToken) -> bool:
        """Replace an older one, or one of another credential. False if a newer one is stored."""
        values = {
            "account_key": account_key,
            "credential": token.credential,
            "bearer": self._cipher.encrypt(token.bearer),
            **at(tokens.c.signed_at, token.signed_at),
        }
        return self._changes.change("credentials", self._put, values) == 1

    def version(self) -> int:
        """A number that changes with every token and every renewed cookie that is kept."""
        return self._changes.version("credentials")

    def read(self, since: float = 0.0) -> dict[str, StoredToken]:
        """By account key, those signed at `since` (Unix seconds) or later."""
        found = {}
        for row in self._database.fetch(_TOKENS, {"since": since}):
            bearer = decrypted(self._cipher, row.bearer, "tokens", id_of(row.account_key))
            if bearer is not None:
                found[row.account_key] = StoredToken(row.credential, bearer, row.signed_at)
        return found

    def drop(self, account_key: str, signed_at: float) -> None:
        """Delete a token that the upstream has refused; a newer one stays."""
        self._database.change(_DROP_TOKEN, {"wanted": account_key, "until": signed_at})


def decrypted(cipher: Cipher, encrypted: bytes, table: str, account_id: str) -> Any:
    """The value, or None when it cannot be read."""
    try:
        return cipher.decrypt(encrypted)
    except Unreadable:
        log.error("secret.unreadable", extra={"table": table, "account": account_id})
        return None
