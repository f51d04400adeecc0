"""The port that every upstream fills: it takes messages, and declares what it can do by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from gbproxy.domain.account import Account
from gbproxy.domain.attachment import Attachment
from gbproxy.domain.chat import Message
from gbproxy.domain.events import UpstreamStream
from gbproxy.domain.models import AccountCapabilities, Model


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """Features of an upstream, the same for all accounts; the gateway emulates the others.

    `sessions`: it remembers conversations in sessions; else it is sent the whole history each time,
    and nothing is opened, recorded or deleted. `roles`: messages with roles; else one user message
    holds them all. `tools`, `structured_output`, `sampling`, `files_in`: it takes them with a
    request. `media_out`: files that it makes can be fetched. `prompt_max_chars`: its longest
    prompt, None: none is too long.
    """

    sessions: bool
    roles: bool
    tools: bool = False
    structured_output: bool = False
    sampling: bool = False
    files_in: bool = False
    media_out: bool = False
    prompt_max_chars: int | None = None


@dataclass(frozen=True, slots=True)
class UpstreamRequest:
    """A question: only messages that are to be sent, and nothing that the capabilities lack.

    `file_ids`: what `add_file` gave for files of this session, in the order in which they are to be
    seen. Further capabilities (tools, sampling) become fields with the first upstream that has
    them.
    """

    messages: tuple[Message, ...]
    model: Model
    file_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ByteRange:
    """The bytes from `start` up to `end`, exclusive; None: to the file's end."""

    start: int = 0
    end: int | None = None


@dataclass(frozen=True, slots=True)
class FileMetadata:
    """What an upstream says of a file; "" and None where it says nothing."""

    name: str = ""
    media_type: str = ""
    size: int | None = None


@dataclass(frozen=True, slots=True)
class OpenFile:
    """A file on its way. `pieces`: the bytes of the range that was asked for, to be read once; they
    raise GatewayErrors. `head`: the file's first bytes, by which its type is told; b"" where they
    did not come. `close` ends the connection, wherever it is.
    """

    metadata: FileMetadata
    pieces: Iterator[bytes] = field(repr=False)
    head: bytes = field(repr=False)
    close: Callable[[], None] = field(repr=False)


class Upstream(Protocol):
    """One kind of service that answers. All calls raise GatewayErrors."""

    @property
    def capabilities(self) -> Capabilities:
        """Constant for as long as the process lives."""
        ...

    def open_session(self, account: Account, *, for_files: bool = False) -> str:
        """Make an upstream session; its name is what `stream` and `delete_session` take.

        An empty name: `stream` makes the session, and yields a `SessionNamed` as soon as the
        upstream sends its name; never with `for_files`, after which `add_file` takes it. Not called
        where the upstream has no sessions.
        """
        ...

    def add_file(self, account: Account, session: str, attachment: Attachment) -> str:
        """Put a file into a session, and return the id by which a request names it. May be called
        for several files of one session at once. Only called where the upstream has `files_in`.

        Raises BadRequest or RequestTooLarge, naming the attachment's place, where the upstream does
        not want this file.
        """
        ...

    def stream(self, request: UpstreamRequest, account: Account, session: str) -> UpstreamStream:
        """Yield the answer as it arrives; closing the generator closes the connection.

        `session` is empty where the upstream has none, or is to make one with this answer.
        """
        ...

    def file_metadata(self, account: Account, session: str, file_id: str) -> FileMetadata:
        """What is known of a file that a model made. Only called where the upstream has
        `media_out`, as `open_file`.

        Raises SessionGone when the session or the file is not there (any more).
        """
        ...

    def open_file(
        self, account: Account, session: str, file_id: str, wanted: ByteRange
    ) -> OpenFile:
        """Begin to fetch a file that a model made; returns as soon as it begins to arrive. Raises
        SessionGone when it is not there (any more).
        """
        ...

    def delete_session(self, account: Account, session: str) -> None:
        """Delete a session; one that is gone already is no error."""
        ...

    def probe(self, account: Account) -> None:
        """Check the account's credentials by the cheapest call.

        Raises CredentialRefused when they are refused; other errors say nothing about them.
        """
        ...

    def account_capabilities(self, account: Account) -> AccountCapabilities:
        """Read which models and tools the account has. An error says nothing about the account."""
        ...

    def sign_in_ahead(self, account: Account, older_than_s: float) -> bool:
        """Renew the account's token if it is older; requests go on with the old one meanwhile.

        True if it was renewed.
        """
        ...

    def prewarm(self, accounts: Iterable[Account]) -> None:
        """Connect ahead to the hosts of these accounts' requests; a failure is no error."""
        ...
