"""The port to the sessions that are made before a request needs them."""

from __future__ import annotations

from typing import Protocol

from gbproxy.domain.account import Account
from gbproxy.domain.session import Session


class SessionSource(Protocol):
    """What was made ready before this request came, and who cares for that."""

    def take(self, account: Account) -> Session | None:
        """A fresh session, if one is in stock."""
        ...

    def open(self, account: Account) -> str:
        """A session that is made upstream now, by its name; who leaves meanwhile leaves it to
        others.
        """
        ...

    def distrust(self, account: Account) -> None:
        """A session from stock was gone: the others of this account are not to be used either."""
        ...

    def note_use(self, account_id: str = "") -> None:
        """An account was lent to a request; or, without a name, a request has arrived."""
        ...
