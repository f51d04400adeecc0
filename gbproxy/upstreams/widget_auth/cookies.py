"""An account's two cookies: as a header, as the upstream renews them, and which ones are in use.

Source: docs/upstream.md, credentials and token; RFC 6265 for Set-Cookie.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC
from email.utils import parsedate_to_datetime

from gbproxy.domain.account import Account
from gbproxy.storage.renewals import RenewedCookies
from gbproxy.upstreams.widget_auth.records import Records

_SESSION, _HOST = "__Secure-C_SES", "__Host-C_OSES"
_SECONDS = re.compile(r"-?[0-9]+")
_TICK_S = 0.001  # what tells later cookies from earlier ones when the clock does not


class CookieJar:
    """Which cookies each account uses: those that the upstream gave in place of the ones that are configured.

    They count for as long as the account's two cookies, as given, are those that they replace; what else it has may change.
    """

    def __init__(self, records: Records, clock: Callable[[], float]) -> None:
        self._records = records
        self._clock = clock
        self._lock = threading.Lock()
        self._renewed: dict[str, RenewedCookies] = {}  # by seat
        self._unsaved: set[str] = set()

    def current(self, given: Account) -> Account:
        """The account with the cookies that are in use."""
        return _with(given, self._renewed.get(given.seat))

    def recorded(self, given: Account) -> Account:
        """The account with the cookies that stand in the records, older ones than ours too, or as it is given."""
        return _with(given, self._records.cookies(given.seat))

    def look(self, given: Account) -> Account:
        """As `current`, after a look at what other workers have renewed."""
        theirs = self._records.cookies(given.seat)
        if theirs is not None:
            self.take_over(given, theirs)
        return self.current(given)

    def take_over(self, given: Account, theirs: RenewedCookies) -> None:
        """What another worker has got, if it is for this credential and newer than ours."""
        if theirs.replaces != given.sign_in():
            return
        with self._lock:
            ours = self._renewed.get(given.seat)
            if ours is None or ours.replaces != theirs.replaces or ours.renewed_at < theirs.renewed_at:
                self._renewed[given.seat] = theirs
                self._unsaved.discard(given.seat)

    def put(self, given: Account, changed: Account) -> None:
        """From now on the cookies of `changed` are in use, here and, as soon as can be, in all workers."""
        with self._lock:
            ours = self._renewed.get(given.seat)
            after_ours = ours.renewed_at + _TICK_S if ours else 0.0  # also when the clock was set back
            self._renewed[given.seat] = RenewedCookies(
                given.sign_in(), changed.secure_c_ses, changed.host_c_oses, max(self._clock(), after_ours)
            )
            self._unsaved.add(given.seat)
        self.save()

    def save(self) -> None:
        """Keep what could not be kept before: with the old cookies nobody else could sign in, nor we after a restart."""
        for seat in tuple(self._unsaved):
            renewed = self._renewed[seat]
            if self._records.keep_cookies(seat, renewed):
                with self._lock:
                    if self._renewed[seat] is renewed:
                        self._unsaved.discard(seat)


def header(account: Account) -> str:
    cookies = f"__Secure-C_SES={account.secure_c_ses}"
    return f"{cookies}; __Host-C_OSES={account.host_c_oses}" if account.host_c_oses else cookies


def merged(account: Account, set_cookies: Iterable[str], now: float) -> Account:
    """Take over renewed session cookies; one that is deleted, empty or expired at `now` (Unix seconds) changes nothing.

    Others (NID and the like) can make the sign-in ask for a refresh again.
    """
    renewed: dict[str, str] = {}
    for line in set_cookies:
        pair, *attributes = line.split(";")
        name, _, value = pair.partition("=")
        name, value = name.strip(), value.strip().strip('"')
        if name in (_SESSION, _HOST) and value and not _is_expired(attributes, now):
            renewed[name] = value
    return replace(
        account,
        secure_c_ses=renewed.get(_SESSION, account.secure_c_ses),
        host_c_oses=renewed.get(_HOST, account.host_c_oses),
    )


def _is_expired(attributes: Iterable[str], now: float) -> bool:
    """Max-Age counts before Expires; what cannot be read does not count (RFC 6265, 5.2)."""
    pairs = [attribute.partition("=") for attribute in attributes]
    given = {name.strip().lower(): value.strip() for name, _, value in pairs}
    max_age = given.get("max-age", "")
    if _SECONDS.fullmatch(max_age):
        return max_age.startswith("-") or not max_age.strip("0")
    try:
        expires = parsedate_to_datetime(given.get("expires", ""))
        return expires.replace(tzinfo=expires.tzinfo or UTC).timestamp() <= now
    except (ValueError, TypeError, OverflowError):
        return False


def _with(given: Account, renewed: RenewedCookies | None) -> Account:
    if renewed is None or renewed.replaces != given.sign_in():
        return given
    return replace(given, secure_c_ses=renewed.secure_c_ses, host_c_oses=renewed.host_c_oses)
