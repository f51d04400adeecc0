"""The file that a link leads to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from gbproxy.domain.account import Account, identity_of
from gbproxy.domain.session import Session
from gbproxy.errors import GatewayError, NotFound, SessionDenied, SessionGone
from gbproxy.media.links import MediaLink, MediaLinks, NoLink
from gbproxy.upstreams.base import ByteRange, FileMetadata, OpenFile
from gbproxy.upstreams.registry import Upstreams

Learn = Callable[[Account, GatewayError], None]
"""Notes what a failed call says about the account."""


class Sessions(Protocol):
    """The records of upstream sessions, shared by all workers."""

    def find(self, session_id: str) -> Session | None:
        """The session of this id. Raises StorageUnavailable."""
        ...


@dataclass(frozen=True, slots=True)
class LinkedFile:
    """A file that a valid link leads to. Calls raise NotFound when it is not there any more, and
    other GatewayErrors, of which `learn` is told.
    """

    link: MediaLink
    session: Session
    account: Account
    upstreams: Upstreams
    learn: Learn

    def metadata(self) -> FileMetadata:
        with self._learning():
            return self.upstreams.file_metadata(self.account, self.session.name, self.link.file_id)

    def open(self, wanted: ByteRange) -> OpenFile:
        with self._learning():
            return self.upstreams.open_file(
                self.account, self.session.name, self.link.file_id, wanted
            )

    @contextmanager
    def _learning(self) -> Iterator[None]:
        try:
            yield
        except (SessionGone, SessionDenied) as error:
            raise _gone() from error
        except GatewayError as error:
            self.learn(self.account, error)
            raise


class LinkedFiles:
    """Finds what links lead to; safe for use by many threads at once. `has_key`: True for the
    digest of an API key that is valid now; may raise StorageUnavailable.
    """

    def __init__(
        self,
        links: MediaLinks,
        sessions: Sessions,
        accounts: Callable[[], Iterable[Account]],
        upstreams: Upstreams,
        has_key: Callable[[bytes], bool],
        learn: Learn,
    ) -> None:
        self._links = links
        self._sessions = sessions
        self._accounts = accounts
        self._upstreams = upstreams
        self._has_key = has_key
        self._learn = learn

    def find(self, token: str, presented: bytes | None = None) -> LinkedFile:
        """The file of a token. `presented`: the digest of a key that came with the request, None
        without one: a link needs none, but it is of no use to another API key.

        Raises NotFound, which does not say why: also for a link whose key, session or account is
        gone.
        """
        try:
            link = self._links.open(token)
        except NoLink:
            raise _gone() from None
        if not self._has_key(link.key_digest):
            raise _gone()
        # What is no key of ours may be meant for a proxy in front.
        if presented not in (None, link.key_digest) and self._has_key(presented):
            raise _gone()
        session = self._sessions.find(link.session_id)
        account = self._account(session.account_key) if session is not None else None
        if session is None or account is None or not session.name:
            raise _gone()
        return LinkedFile(link, session, account, self._upstreams, self._learn)

    def _account(self, account_key: str) -> Account | None:
        """The account of this upstream identity, under whatever id."""
        owner = identity_of(account_key)
        return next(
            (each for each in self._accounts() if identity_of(each.account_key) == owner), None
        )


def _gone() -> NotFound:
    return NotFound("there is no file at this link (any more)")
