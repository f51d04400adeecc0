"""The port to the sessions that are opened before a request needs them."""

from __future__ import annotations

from typing import Protocol

from gbproxy.domain.account import Account
from gbproxy.domain.session import Session


class SessionSource(Protocol):
    """Fresh sessions for requests."""

    def take(self, account: Account) -> Session | None:
        """A prewarmed session, if there is one."""
        ...

    def open(self, account: Account) -> str:
        """Open a session now and return its name; if the request leaves meanwhile, the session is
        kept for another.
        """
        ...

    def invalidate(self, account: Account) -> None:
        """Use none of this account's prewarmed sessions: one of them was gone upstream."""
        ...
