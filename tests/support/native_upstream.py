"""A second kind of upstream: without sessions, with roles of its own, and without a network."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from gbproxy.domain.account import Account, Credential, digest, short_digest
from gbproxy.domain.chat import TextPart
from gbproxy.domain.events import FLUSH, Done, TextDelta, UpstreamStream
from gbproxy.domain.models import NOTHING_SAID, AccountCapabilities
from gbproxy.errors import GatewayError
from gbproxy.upstreams.base import Capabilities, UpstreamRequest

NATIVE = "native"


@dataclass(frozen=True)
class NativeCredential:
    """An API key, which is all that this upstream's accounts have."""

    api_key: str = field(repr=False)

    @property
    def identity(self) -> str:
        return short_digest(self.api_key)

    def fingerprint(self) -> str:
        return digest(self.api_key)

    def sign_in_fingerprint(self) -> str:
        return self.fingerprint()

    def is_same_sign_in(self, other: Credential) -> bool:
        return self == other

    def public(self) -> Mapping[str, str | None]:
        return {}

    def to_json(self) -> Mapping[str, Any]:
        return {"api_key": self.api_key}


class NativeUpstream:
    """Answers every request alike; `failure` is raised in place of an answer."""

    capabilities = Capabilities(sessions=False, roles=True)

    def __init__(self) -> None:
        self.requests: list[UpstreamRequest] = []
        self.sessions: list[str] = []  # all that was said of sessions to an upstream without any
        self.failure: GatewayError | None = None

    @property
    def turns(self) -> list[tuple[str, str]]:
        """Role and text of each message of the last request."""
        return [
            (message.role, "".join(p.text for p in message.parts if isinstance(p, TextPart)))
            for message in self.requests[-1].messages
        ]

    def stream(self, request: UpstreamRequest, account: Account, session: str) -> UpstreamStream:
        self.requests.append(request)
        if session:
            self.sessions.append(session)
        if self.failure is not None:
            raise self.failure
        yield TextDelta("Native ")
        yield FLUSH
        yield TextDelta(f"answer by {account.id}.")
        yield FLUSH
        yield Done()

    def open_session(self, account: Account, *, for_files: bool = False) -> str:
        self.sessions.append(f"opened for {account.id}")
        return "s/native"

    def delete_session(self, account: Account, session: str) -> None:
        self.sessions.append(f"{session} deleted for {account.id}")

    def probe(self, account: Account) -> None:
        pass

    def account_capabilities(self, account: Account) -> AccountCapabilities:
        return NOTHING_SAID

    def sign_in_ahead(self, account: Account, older_than_s: float) -> bool:
        return False

    def prewarm(self, accounts: Iterable[Account]) -> None:
        pass
