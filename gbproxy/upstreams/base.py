"""The port that every upstream fills."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from gbproxy.domain.account import Account
from gbproxy.domain.capabilities import AccountCapabilities
from gbproxy.domain.events import UpstreamStream
from gbproxy.domain.models import Model


class Upstream(Protocol):
    """Answers prompts with one account's models. All calls raise GatewayErrors; `prompt` holds only
    what is to be sent.
    """

    def open_session(self, account: Account) -> str:
        """Make an upstream session; its name is what `stream` and `delete_session` take.

        An empty name: it is made by `stream`, which yields a `SessionNamed` as soon as the upstream
        tells its name.
        """
        ...

    def stream(self, prompt: str, model: Model, account: Account, session: str) -> UpstreamStream:
        """Yield the answer as it arrives; closing the generator closes the connection."""
        ...

    def delete_session(self, account: Account, session: str) -> None:
        """Delete a session; one that is gone already is no error."""
        ...

    def probe(self, account: Account) -> None:
        """Ask, as cheaply as can be, whether the account's credentials are good. Raises
        CredentialRefused when they are not.

        Other errors say nothing about the credentials.
        """
        ...

    def account_capabilities(self, account: Account) -> AccountCapabilities:
        """Read which models and tools the account has. Whatever this raises says nothing about the
        account.
        """
        ...

    def sign_in_ahead(self, account: Account, older_than_s: float) -> bool:
        """Renew what the account signs in with if that is older; requests go on with the old one
        meanwhile.

        Returns whether there is a new one.
        """
        ...

    def prewarm(self, accounts: Iterable[Account]) -> None:
        """See to it that a connection stands ready for the next request on each. Raises nothing for
        faults of the network.
        """
        ...
