"""What an alert says, in plain words: what has happened, and what to do."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal
from urllib.parse import urlsplit

from gbproxy.domain.account import Account, id_of, short_digest
from gbproxy.storage.alerts import AlertKey

Kind = Literal[
    "account_refused",
    "cookies_old",
    "quota_used_up",
    "no_account",
    "database_away",
    "redis_away",
    "test",
]

DATABASE = AlertKey("database_away")


@dataclass(frozen=True, slots=True)
class Alert:
    """One message. `detail` says more, without a secret; `at`: Unix seconds."""

    key: AlertKey
    is_over: bool
    account: str | None  # its name
    detail: str
    at: float

    @property
    def account_id(self) -> str | None:
        return id_of(self.key.account_key) if self.key.account_key else None

    @property
    def title(self) -> str:
        subject = title(self.key, self.account)
        return f"Over: {subject}" if self.is_over else subject

    @property
    def text(self) -> str:
        """What to do; once it is over, that nothing is."""
        if self.is_over:
            return _OVER.get(self.key.kind, "Nothing is to be done.")
        return " ".join(filter(None, (self.detail, _TO_DO[self.key.kind])))


def no_account_key(accounts: Iterable[Account]) -> AlertKey:
    """Shared by the gateways whose settings have the same accounts; all share the stored ones."""
    keys = sorted(account.account_key for account in accounts)
    return AlertKey("no_account", scope=short_digest(*keys))


def redis_key(url: str) -> AlertKey:
    """Shared by the gateways on the same Redis, whatever they sign in to it with."""
    parts = urlsplit(url)
    shown = (parts.hostname or "", str(parts.port or ""), parts.path)
    return AlertKey("redis_away", scope=short_digest(*shown))


def title(key: AlertKey, account: str | None) -> str:
    """One line that names what it is about."""
    match key.kind:
        case "account_refused":
            return f"The sign-in of account {account} is refused"
        case "cookies_old":
            return f"The cookies of account {account} grow old"
        case "quota_used_up":
            return f"The quota of account {account} for {key.model or key.quota} is used up"
        case "no_account":
            return "No account is left that can answer"
        case "database_away":
            return "The database is away"
        case "redis_away":
            return "Redis is away"
        case _:
            return "This is a test"


def moment(at: float) -> str:
    """A time for people, in UTC."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")


_TO_DO = {
    "account_refused": "It is not used until then: copy its cookies anew from a signed-in browser"
    " (the console's page Add an account, or `gbproxy accounts import`).",
    "cookies_old": "They may be refused soon: copy them anew from a signed-in browser (the"
    " console's page Add an account, or `gbproxy accounts import`).",
    "quota_used_up": "Nothing needs to be done: it is asked again by itself. Add an account if this"
    " happens often.",
    "no_account": "Requests fail until an account can be used again: look at the accounts' states"
    " (the console, or `gbproxy accounts list`), renew refused cookies or add an account.",
    "database_away": "Conversations are not continued and nothing can be changed: look at the"
    " database, and at its address in DATABASE_URL.",
    "redis_away": "Limits are not counted meanwhile: look at Redis, and at its address in"
    " REDIS_URL.",
    "test": "Alerts of this gateway arrive here. Nothing is to be done.",
}
_OVER = {
    "account_refused": "Its sign-in was replaced or found good, and it is used again.",
    "cookies_old": "They are renewed.",
    "quota_used_up": "It is asked again.",
    "no_account": "An account can be used again.",
    "database_away": "It is used again.",
    "redis_away": "It is used again.",
}
