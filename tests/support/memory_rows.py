"""The records of upstream sessions, in memory: what the tables do, without a database."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Literal

from gbproxy.domain.session import (
    Claim,
    Claimed,
    ClientSession,
    NoClaim,
    Session,
    is_client_session,
    random_prefix,
)
from gbproxy.errors import StorageUnavailable


@dataclass(frozen=True, slots=True)
class Row:
    session: Session
    state: Literal["prewarmed", "running", "idle", "deleting"]
    key_digest: bytes | None = None
    history_digest: bytes | None = None
    expires_at: float = 0.0
    files_until: float = 0.0


class MemoryRows:
    """`away`: nothing can be reached; `calls` names what was asked, in order."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.rows: dict[str, Row] = {}
        self.calls: list[str] = []
        self.away = False
        self._clock = clock
        self._lock = threading.Lock()

    def add(
        self, account_key: str, name: str, *, prewarmed: bool, conversation: str | None = None
    ) -> Session:
        with self._called("add"):
            session = Session(
                f"row-{len(self.rows)}", account_key, name, conversation or random_prefix()
            )
            self.rows[session.id] = Row(session, "prewarmed" if prewarmed else "running")
            return session

    def name(self, session: Session) -> bool:
        with self._called("name"):
            row = self.rows.get(session.id)
            if row is None or row.state not in ("prewarmed", "running"):
                return False
            self._set(row, session=session)
            return True

    def add_unopened(self, conversation: str, key_digest: bytes, expires_at: float) -> None:
        with self._called("add_unopened"):
            session = Session(f"row-{len(self.rows)}", "", "", conversation)
            self.rows[session.id] = Row(session, "idle", key_digest, b"", expires_at)

    def client_sessions(
        self, key_digest: bytes, conversation: str | None = None
    ) -> list[ClientSession]:
        with self._called("client_sessions"):
            found = {
                row.session.conversation: ClientSession(row.session.conversation, row.expires_at)
                for row in self.rows.values()
                if row.key_digest == key_digest
                and is_client_session(row.session.conversation)
                and conversation in (None, row.session.conversation)
                and (self._is_free(row) or row.state in ("prewarmed", "running"))
            }
            return [found[each] for each in sorted(found, reverse=True)]

    def claim_history(
        self, history_digest: bytes, conversation: str | None = None, avoided: Collection[str] = ()
    ) -> Session | None:
        with self._called("claim_history"):
            for row in sorted(
                self.rows.values(), key=lambda row: row.session.account_key in avoided
            ):
                if (
                    self._is_free(row)
                    and row.history_digest == history_digest
                    and conversation in (None, row.session.conversation)
                ):
                    return self._set(row, state="running").session
            return None

    def is_taken(self, history_digest: bytes) -> bool:
        with self._called("is_taken"):
            return any(
                row.history_digest == history_digest and row.state == "running"
                for row in self.rows.values()
            )

    def claim_conversation(self, conversation: str, key_digest: bytes) -> Claim:
        with self._called("claim_conversation"):
            named = [row for row in self.rows.values() if row.session.conversation == conversation]
            for row in named:
                if (
                    row.key_digest == key_digest
                    and row.history_digest is not None
                    and self._is_free(row)
                ):
                    return Claimed(self._set(row, state="running").session, row.history_digest)
            if any(
                row.key_digest in (None, key_digest) and row.state in ("prewarmed", "running")
                for row in named
            ):
                return NoClaim.BUSY
            return NoClaim.UNKNOWN

    def commit(
        self,
        session: Session,
        *,
        history_digest: bytes,
        key_digest: bytes,
        conversation: str,
        expires_at: float,
    ) -> bool:
        with self._called("commit"):
            row = self.rows.get(session.id)
            if row is None or row.state not in ("prewarmed", "running"):
                return False
            renamed = replace(session, conversation=conversation)
            self._set(
                row,
                session=renamed,
                state="idle",
                history_digest=history_digest,
                key_digest=key_digest,
                expires_at=expires_at,
            )
            return True

    def rollback(self, session: Session, history_digest: bytes) -> None:
        with self._called("rollback"):
            row = self.rows.get(session.id)
            if row is not None and row.state == "idle" and row.history_digest == history_digest:
                self._set(row, state="deleting")

    def keep_files(self, session: Session, until: float) -> bool:
        with self._called("keep_files"):
            row = self.rows.get(session.id)
            if row is None or row.state not in ("prewarmed", "running"):
                return False
            self._set(row, files_until=until)
            return True

    def release(self, session: Session) -> None:
        with self._called("release"):
            row = self.rows.get(session.id)
            if row is not None and row.state == "running":
                self._set(row, state="idle")

    def mark_for_deletion(self, session: Session) -> None:
        with self._called("mark_for_deletion"):
            row = self.rows.get(session.id)
            if row is not None and row.state in ("prewarmed", "running"):
                self._set(row, state="deleting")

    def mark_expired(self, now: float) -> int:
        with self._called("mark_expired"):
            expired = [
                row for row in self.rows.values() if row.state == "idle" and row.expires_at <= now
            ]
            for row in expired:
                self._set(row, state="deleting")
            return len(expired)

    # For tests

    def state(self, name: str) -> str:
        """The state of the session that the upstream calls so."""
        return next(row.state for row in self.rows.values() if row.session.name == name)

    def _is_free(self, row: Row) -> bool:
        return row.state == "idle" and row.expires_at > self._clock()

    def _set(self, row: Row, **changes: object) -> Row:
        changed = replace(row, **changes)  # type: ignore[arg-type]
        self.rows[row.session.id] = changed
        return changed

    def _called(self, name: str) -> threading.Lock:
        self.calls.append(name)
        if self.away:
            raise StorageUnavailable("the gateway's database cannot be reached")
        return self._lock
