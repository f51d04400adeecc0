"""Upstream sessions: who owns them, what was said in them, and which files they hold."""

from __future__ import annotations

import datetime
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from gbproxy.simulator.scripting.google_errors import (
    RefusedError,
    invalid,
    permission_denied,
)
from gbproxy.simulator.widget.accounts import Account

ENGINE = "collections/default_collection/engines/agentspace-engine"
_NAME = re.compile(
    rf"(?:projects/(\d+)/locations/(global|us|eu)/)?{ENGINE}/sessions/(-|[a-z0-9][a-z0-9-]{{0,62}})"
)
_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_ZEROS = bytes(48 * 1024)


@dataclass
class Turn:
    """One question and its answer, as far as it has been sent."""

    query: str
    answer: str = ""
    model_id: str | None = None
    file_ids: tuple[str, ...] = ()
    complete: bool = False


@dataclass
class StoredFile:
    """A file of a session, uploaded or generated. Behind its content stand zeros, up to `size`."""

    file_id: str
    name: str
    mime_type: str
    content: bytes
    origin: str
    uploaded_at: float
    size: int = 0

    def __post_init__(self) -> None:
        self.size = max(self.size, len(self.content))

    @property
    def token_count(self) -> int:
        return max(1, self.size // 4)

    def pieces(self, start: int, end: int) -> Iterator[bytes]:
        """The bytes from `start` to `end`; zeros are made while they are asked for."""
        yield self.content[start:end]
        at = max(start, len(self.content))
        while at < end:
            piece = _ZEROS[: end - at]
            yield piece
            at += len(piece)


@dataclass
class Session:
    """One conversation on the upstream.

    `turns` are those that were answered, at least in part; `asked` all that were accepted;
    `most_at_once` is how many answers ran in it at the same time, each until it was complete. A
    changed `owner` makes it a session of another account.
    """

    id: str
    owner: str
    project_number: str
    display_name: str
    created_at: float
    location: str = "global"
    turns: list[Turn] = field(default_factory=list)
    files: dict[str, StoredFile] = field(default_factory=dict)
    deleted: bool = False
    asked: list[Turn] = field(default_factory=list)
    running: int = 0
    most_at_once: int = 0

    @property
    def queries(self) -> list[str]:
        """The texts that this session was asked, in order."""
        return [turn.query for turn in self.asked]

    @property
    def short_name(self) -> str:
        return f"{ENGINE}/sessions/{self.id}"

    @property
    def full_name(self) -> str:
        return f"projects/{self.project_number}/locations/{self.location}/{self.short_name}"


class Sessions:
    """All sessions ever made; deleted ones are remembered as such. Not locked: the caller is."""

    def __init__(self, rng: random.Random, clock: Callable[[], float]) -> None:
        self.by_id: dict[str, Session] = {}
        self._rng = rng
        self._clock = clock

    def create(
        self, account: Account, location: str, *, session_id: str = "", display_name: str = ""
    ) -> Session:
        """A new session; without `session_id` under an id of the server's."""
        made = session_id or self.new_id()
        session = Session(
            made, account.csesidx, account.project_number, display_name, self._clock(), location
        )
        self.by_id[session.id] = session
        return session

    def find(self, name: object, csesidx: str, *, project_required: bool = False) -> Session:
        """The living session of that name. Raises RefusedError: 400, 404, or 403 for another's."""
        match = _NAME.fullmatch(name) if isinstance(name, str) else None
        if match is None or match[3] == "-" or (project_required and not match[1]):
            raise invalid(f"Invalid resource name: {name!r}.")
        session = self.find_by_id(match[3], csesidx)
        if match[2] and match[2] != session.location:
            raise RefusedError(404, "NOT_FOUND", f"Session {name} not found.")
        if match[1] and match[1] != session.project_number:
            raise permission_denied()
        return session

    def find_by_id(self, session_id: object, csesidx: str) -> Session:
        """As `find`, by the number alone."""
        if not isinstance(session_id, str) or not _ID.fullmatch(session_id):
            raise invalid(f"Invalid session id: {session_id!r}.")
        session = self.by_id.get(session_id)
        if session is None or session.deleted:
            raise RefusedError(404, "NOT_FOUND", f"Session {session_id} not found.")
        if session.owner != csesidx:
            raise permission_denied()
        return session

    def alive(self, csesidx: str | None = None) -> list[Session]:
        """The sessions not deleted, of one owner or of all, newest first."""
        found = [s for s in self.by_id.values() if not s.deleted and csesidx in (None, s.owner)]
        return found[::-1]

    def add_file(
        self,
        session: Session,
        name: str,
        mime_type: str,
        content: bytes,
        origin: str,
        size: int = 0,
    ) -> StoredFile:
        file = StoredFile(self.new_id(), name, mime_type, content, origin, self._clock(), size)
        session.files[file.file_id] = file
        return file

    def new_id(self) -> str:
        """A decimal id of twenty digits, as a string because JSON numbers cannot hold it."""
        return str(self._rng.randrange(10**19, 18_446_744_073_709_551_615))


def is_dash(name: object) -> bool:
    """True if this name asks for a new session."""
    match = _NAME.fullmatch(name) if isinstance(name, str) else None
    return match is not None and match[3] == "-"


def own_id(name: object) -> str:
    """The id in a session's name if the client made it up, else ""; the server's are all digits."""
    match = _NAME.fullmatch(name) if isinstance(name, str) else None
    chosen = match[3] if match else "-"
    return "" if chosen == "-" or chosen.isdecimal() else chosen


def rfc3339(timestamp: float) -> str:
    """The time as Google writes it, with nanoseconds."""
    moment = datetime.datetime.fromtimestamp(timestamp, datetime.UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%f000Z")
