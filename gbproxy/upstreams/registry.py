"""The configured upstreams by name; each call goes to the one of its account."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from gbproxy.domain.account import Account
from gbproxy.domain.attachment import Attachment
from gbproxy.domain.models import AccountCapabilities
from gbproxy.errors import UpstreamError
from gbproxy.upstreams.base import (
    ByteRange,
    Capabilities,
    FileMetadata,
    OpenFile,
    Upstream,
)


class Upstreams:
    """The calls of the port `Upstream`, for an account of any upstream.

    All of them raise UpstreamError for an account of an upstream that is not configured.
    """

    def __init__(self, by_name: Mapping[str, Upstream]) -> None:
        self._by_name = dict(by_name)

    @property
    def names(self) -> Collection[str]:
        return self._by_name.keys()

    def of(self, account: Account) -> Upstream:
        upstream = self._by_name.get(account.upstream)
        if upstream is None:
            raise UpstreamError(f"there is no upstream {account.upstream!r}")
        return upstream

    def capabilities(self, names: Iterable[str]) -> dict[str, Capabilities]:
        """The capabilities by name, of those among `names` that are configured."""
        known = self._by_name
        return {name: known[name].capabilities for name in names if name in known}

    def has_sessions(self, account: Account) -> bool:
        return self.of(account).capabilities.sessions

    def open_session(self, account: Account, *, for_files: bool = False) -> str:
        return self.of(account).open_session(account, for_files=for_files)

    def add_file(self, account: Account, session: str, attachment: Attachment) -> str:
        return self.of(account).add_file(account, session, attachment)

    def file_metadata(self, account: Account, session: str, file_id: str) -> FileMetadata:
        return self.of(account).file_metadata(account, session, file_id)

    def open_file(
        self, account: Account, session: str, file_id: str, wanted: ByteRange
    ) -> OpenFile:
        return self.of(account).open_file(account, session, file_id, wanted)

    def delete_session(self, account: Account, session: str) -> None:
        self.of(account).delete_session(account, session)

    def probe(self, account: Account) -> None:
        self.of(account).probe(account)

    def account_capabilities(self, account: Account) -> AccountCapabilities:
        return self.of(account).account_capabilities(account)

    def sign_in_ahead(self, account: Account, older_than_s: float) -> bool:
        return self.of(account).sign_in_ahead(account, older_than_s)

    def prewarm(self, accounts: Iterable[Account]) -> None:
        by_name: dict[str, list[Account]] = {}
        for account in accounts:
            by_name.setdefault(account.upstream, []).append(account)
        for name, of_one in by_name.items():
            if name in self._by_name:
                self._by_name[name].prewarm(of_one)
