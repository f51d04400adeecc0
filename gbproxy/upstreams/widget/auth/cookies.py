"""The cookies that an account uses, and their form as a header.

Source: docs/upstream.md, credentials and token.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping

from gbproxy.domain.account import Account
from gbproxy.storage.tokens_cookies import RenewedCookies
from gbproxy.upstreams.widget.auth.records import Records
from gbproxy.upstreams.widget.credential import credential_of, with_values

_SESSION, _HOST = "__Secure-C_SES", "__Host-C_OSES"
_TICK_S = 0.001  # orders cookies where the clock does not


class CookieJar:
    """The cookies that the upstream gave in place of the configured ones.

    They count as long as the account's ids and its two cookies, as given, are those that they
    replace; its other values may change. An account that comes from here has the further cookies in
    use: none until the two alone were refused.
    """

    def __init__(self, records: Records, clock: Callable[[], float]) -> None:
        self._records = records
        self._clock = clock
        self._lock = threading.Lock()
        self._renewed: dict[str, RenewedCookies] = {}  # by account key
        self._unsaved: set[str] = set()

    def current(self, given: Account) -> Account:
        """The account with the cookies in use."""
        return _with(given, self._renewed.get(given.account_key))

    def recorded(self, given: Account) -> Account:
        """The account with the stored cookies, even if ours are newer; as it is given if none are
        stored.
        """
        return _with(given, self._records.cookies(given.account_key))

    def look(self, given: Account) -> Account:
        """As `current`, after reading what other workers have renewed."""
        theirs = self._records.cookies(given.account_key)
        if theirs is not None:
            self.sync(given, theirs)
        return self.current(given)

    def sync(self, given: Account, theirs: RenewedCookies) -> None:
        """Adopt another worker's cookies if they are for this credential and newer than ours."""
        if theirs.replaces != credential_of(given).sign_in_fingerprint():
            return
        with self._lock:
            ours = self._renewed.get(given.account_key)
            if (
                ours is None
                or ours.replaces != theirs.replaces
                or ours.renewed_at < theirs.renewed_at
            ):
                self._renewed[given.account_key] = theirs
                self._unsaved.discard(given.account_key)

    def put(self, given: Account, changed: Account) -> None:
        """Use the cookies of `changed` from now on, and store them for the other workers."""
        new = credential_of(changed)
        with self._lock:
            ours = self._renewed.get(given.account_key)
            # Later than ours also when the clock was set back.
            after_ours = ours.renewed_at + _TICK_S if ours else 0.0
            self._renewed[given.account_key] = RenewedCookies(
                credential_of(given).sign_in_fingerprint(),
                new.secure_c_ses,
                new.host_c_oses,
                max(self._clock(), after_ours),
                new.cookies,
                further(given) if new.cookies is not None else None,
            )
            self._unsaved.add(given.account_key)
        self.save()

    def save(self) -> None:
        """Store what could not be stored before: with the old cookies no other worker could sign
        in, nor this one after a restart.
        """
        for account_key in tuple(self._unsaved):
            renewed = self._renewed[account_key]
            if self._records.keep_cookies(account_key, renewed):
                with self._lock:
                    if self._renewed[account_key] is renewed:
                        self._unsaved.discard(account_key)


def pairs(account: Account) -> list[tuple[str, str]]:
    """Names and values of the cookies to send, the further ones of the account included."""
    credential = credential_of(account)
    second = [(_HOST, credential.host_c_oses)] if credential.host_c_oses else []
    return [(_SESSION, credential.secure_c_ses), *second, *parsed(credential.cookies or "")]


def header(account: Account) -> str:
    return _written(pairs(account))


def parsed(text: str) -> list[tuple[str, str]]:
    """The cookies of a Cookie header that have a name and a value."""
    split = (pair.partition("=") for pair in text.split(";"))
    return [
        (name.strip(), value.strip()) for name, _, value in split if name.strip() and value.strip()
    ]


def further(account: Account) -> str | None:
    """The further cookies that are given with an account, as they are sent; None if there are none.

    A whole header may be given. The two cookies are in it as they were then; NID, a cookie of
    google.com's, which no browser brings here, makes the sign-in ask for a renewal again.
    """
    kept = {
        name: value
        for name, value in parsed(credential_of(account).cookies or "")
        if name not in (_SESSION, _HOST, "NID")
    }
    return _written(kept.items()) or None


def renewed(account: Account, values: Mapping[str, str]) -> Account:
    """The account with new values for those of its cookies that are named; empty ones change
    nothing.
    """
    old = credential_of(account)
    new = [(name, values.get(name) or value) for name, value in parsed(old.cookies or "")]
    return with_values(
        account,
        secure_c_ses=values.get(_SESSION) or old.secure_c_ses,
        host_c_oses=values.get(_HOST) or old.host_c_oses,
        cookies=_written(new) or None,
    )


def _written(named: Iterable[tuple[str, str]]) -> str:
    return "; ".join(f"{name}={value}" for name, value in named)


def _with(given: Account, renewed: RenewedCookies | None) -> Account:
    if renewed is None or renewed.replaces != credential_of(given).sign_in_fingerprint():
        return with_values(given, cookies=None)
    return with_values(
        given,
        secure_c_ses=renewed.secure_c_ses,
        host_c_oses=renewed.host_c_oses,
        cookies=renewed.cookies if renewed.cookies_given == further(given) else None,
    )
