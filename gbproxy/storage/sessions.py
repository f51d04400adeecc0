"""Records of upstream sessions: which there are, which history each holds, and which worker has
it.

A row is added as soon as the upstream has opened the session, and removed when the upstream has
deleted it. In between it is `prewarmed` (no request has used it) or `running` (a request is in it),
both held by one worker; `idle`: a request with its history may claim it; `deleting`: to be deleted
upstream. The writes of a worker that has lost a row have no effect.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection
from typing import Any

from gbproxy.domain.account import identity_of
from gbproxy.domain.session import (
    Claim,
    Claimed,
    ClientSession,
    NoClaim,
    PendingDeletion,
    Session,
    id_prefix,
    random_prefix,
)
from gbproxy.storage import session_statements as statements
from gbproxy.storage.database import AnyRow, Database

_MOST_LISTED = 1000


class SessionRows:
    """All sessions of all workers and replicas on one database. `clock`: Unix seconds.

    Calls raise StorageUnavailable.
    """

    def __init__(
        self, database: Database, clock: Callable[[], float], worker_id: Callable[[], str]
    ) -> None:
        self._database = database
        self._clock = clock
        self._worker_id = worker_id
        self._known: set[str] = set()  # row ids that this worker holds and knows of

    def add(
        self, account_key: str, name: str, *, prewarmed: bool, conversation: str | None = None
    ) -> Session:
        """Record a session that was just opened; this worker holds it. Its conversation is the
        given one, or a random prefix of an id.
        """
        session = Session(secrets.token_hex(16), account_key, name, conversation or random_prefix())
        now = self._clock()
        self._database.change(
            statements.ADD,
            {
                "id": session.id,
                "account_key": account_key,
                "name": name,
                "conversation": session.conversation,
                "state": statements.PREWARMED if prewarmed else statements.RUNNING,
                "holder": self._worker_id(),
                "attempts": 0,
                "created_at": now,
                "claimed_at": now,
            },
        )
        self._known.add(session.id)
        return session

    def add_unopened(self, conversation: str, key_digest: bytes, expires_at: float) -> None:
        """Record a client session, free to be claimed, without account and upstream session."""
        values = {
            "id": secrets.token_hex(16),
            "account_key": "",
            "name": "",
            "conversation": conversation,
            "key_digest": key_digest,
            "history_digest": b"",
            "state": statements.IDLE,
            "attempts": 0,
            "created_at": self._clock(),
            "expires_at": expires_at,
        }
        self._database.change(statements.ADD_UNOPENED, values)

    def client_sessions(
        self, key_digest: bytes, conversation: str | None = None
    ) -> list[ClientSession]:
        """This key's client sessions that are free or in use, the newest first, at most 1,000; or
        the one of this id.
        """
        values = {"by": key_digest, "now": self._clock(), "most": _MOST_LISTED}
        if conversation is None:
            found = self._database.fetch(statements.CLIENT_SESSIONS, values)
        else:
            values["wanted"] = conversation
            found = self._database.fetch(statements.CLIENT_SESSION_OF_ID, values)
        return list({row[0]: ClientSession(*row) for row in found}.values())

    def name(self, session: Session) -> bool:
        """Record a name that the upstream has told late. False: this worker has lost it."""
        return (
            self._database.change(
                statements.NAME, {**self._ours(session), "new_name": session.name}
            )
            == 1
        )

    def claim_history(
        self, history_digest: bytes, conversation: str | None = None, avoided: Collection[str] = ()
    ) -> Session | None:
        """Claim a free session that holds exactly this history (and is of `conversation`, if given)
        for this worker. Account keys that are not `avoided` come first.

        A thread that is stopped here may leave a session claimed: `reclaim_leaked` finds it.
        """
        values: dict[str, Any] = {
            "wanted": history_digest,
            "now": self._clock(),
            "worker": self._worker_id(),
        }
        if conversation is not None:
            found = self._database.fetch(
                statements.CLAIM_HISTORY_IN, {**values, "within": conversation}
            )
        elif avoided:
            values["avoided"] = list(avoided)
            found = self._database.fetch(statements.CLAIM_HISTORY_ELSEWHERE, values)
        else:
            found = self._database.fetch(statements.CLAIM_HISTORY, values)
        return self._claimed(found[0]).session if found else None

    def is_taken(self, history_digest: bytes) -> bool:
        """True while a request runs in a session that had this history."""
        return bool(self._database.fetch(statements.FIND_TAKEN, {"wanted": history_digest}))

    def claim_conversation(self, conversation: str, key_digest: bytes) -> Claim:
        """Claim the free session of this key's conversation. UNKNOWN: also an expired one."""
        wanted = {"wanted": conversation, "by": key_digest, "now": self._clock()}
        found = self._database.fetch(
            statements.CLAIM_CONVERSATION, {**wanted, "worker": self._worker_id()}
        )
        if found:
            return self._claimed(found[0])
        in_use = self._database.fetch(
            statements.FIND_IN_USE, {**wanted, "prefix": id_prefix(conversation)}
        )
        return NoClaim.BUSY if in_use else NoClaim.UNKNOWN

    def commit(
        self,
        session: Session,
        *,
        history_digest: bytes,
        key_digest: bytes,
        conversation: str,
        expires_at: float,
    ) -> bool:
        """Free a session, which holds this history and its `files` now. False: this worker had
        lost it.
        """
        self._known.discard(session.id)
        values = {
            **self._ours(session),
            "new_digest": history_digest,
            "new_files": session.files or None,
            "by": key_digest,
            "wanted": conversation,
            "now": self._clock(),
            "until": expires_at,
        }
        return self._database.change(statements.COMMIT, values) == 1

    def rollback(self, session: Session, history_digest: bytes) -> None:
        """Mark a session committed with this history, unless it has been claimed since."""
        values = {"session_id": session.id, "wanted": history_digest, "from_when": self._clock()}
        self._database.change(statements.ROLLBACK, values)

    def keep_files(self, session: Session, until: float) -> bool:
        """Let the session live until then (Unix seconds), whatever becomes of it: links to its
        files are out. False: this worker has lost it.
        """
        values = {**self._ours(session), "until": until}
        return self._database.change(statements.KEEP_FILES, values) == 1

    def find(self, session_id: str) -> Session | None:
        """The session of this id, whoever holds it and also while it waits to be deleted."""
        found = self._database.fetch(statements.FIND, {"session_id": session_id})
        return Session(*found[0]) if found else None

    def release(self, session: Session) -> None:
        """Free a claimed session as it was: nothing has been sent in it."""
        self._known.discard(session.id)
        self._database.change(statements.RELEASE, self._ours(session))

    def mark_for_deletion(self, session: Session) -> None:
        """Mark a session, if it is this worker's."""
        self._known.discard(session.id)
        self._database.change(statements.MARK, {**self._ours(session), "from_when": self._clock()})

    def mark_expired(self, now: float) -> int:
        """Mark idle sessions that have expired. Returns how many."""
        # Twice a second, nearly always for nothing: to look takes a third of what to write takes.
        if not self._database.fetch(statements.FIND_EXPIRED, {"now": now}):
            return 0
        return self._database.change(statements.EXPIRE, {"now": now, "from_when": now})

    def add_for_deletion(self, found: Collection[tuple[str, str]]) -> None:
        """Record sessions that are marked already: account key and name of each."""
        if not found:
            return
        now = self._clock()
        fixed = {"state": statements.DELETING, "attempts": 0, "not_before": now, "created_at": now}
        values = [
            {
                "id": secrets.token_hex(16),
                "account_key": key,
                "name": name,
                "conversation": "",
                **fixed,
            }
            for key, name in sorted(found)
        ]
        self._database.transact(
            lambda connection: connection.execute(statements.ADD_MARKED, values)
        )

    def holders(self) -> frozenset[str]:
        """The workers that hold sessions."""
        return frozenset(holder for (holder,) in self._database.fetch(statements.HOLDERS))

    def reclaim_orphans(self, dead: Collection[str]) -> int:
        """Mark what dead workers hold. Returns how many."""
        return self._database.change(
            statements.ORPHANS, {"dead": list(dead), "from_when": self._clock()}
        )

    def reclaim_leaked(self, after_s: float = 60.0) -> int:
        """Mark what this worker has held for so long and does not know of: a request or a database
        ended in the middle of a write.
        """
        now, worker = self._clock(), self._worker_id()
        held = self._database.fetch(
            statements.HELD_LONG, {"worker": worker, "before": now - after_s}
        )
        leaked = [id_ for (id_,) in held if id_ not in self._known]
        values = [{"session_id": id_, "worker": worker, "from_when": now} for id_ in leaked]
        return sum(self._database.change(statements.MARK, value) for value in values)

    def due_deletions(self, limit: int, account_keys: Collection[str]) -> list[PendingDeletion]:
        """Sessions that accounts of these identities can delete now, or that no account has opened;
        the longest due first.
        """
        # Client sessions that were never opened: nothing upstream stands for them.
        identities = ["", *_identities(account_keys)]
        values = {"now": self._clock(), "most": limit, "identities": identities}
        return [PendingDeletion(*row) for row in self._database.fetch(statements.DUE, values)]

    def reschedule(self, session: Session, until: float, *, failed: bool = True) -> None:
        """Put a deletion off until then (Unix seconds); `failed` counts an attempt."""
        values = {"session_id": session.id, "until": until, "failures": int(failed)}
        self._database.change(statements.RESCHEDULE, values)

    def remove(self, session: Session) -> None:
        """Remove the record: the upstream has deleted the session."""
        self._known.discard(session.id)
        self._database.change(statements.REMOVE, {"session_id": session.id})

    def abandon(self, account_keys: Collection[str], after_s: float) -> int:
        """Remove deletions due for so long that no account's identity can do. Returns how many."""
        identities = ["", *_identities(account_keys)]
        values = {"before": self._clock() - after_s, "identities": identities}
        return self._database.change(statements.ABANDON, values)

    def all_sessions(self, limit: int) -> list[Session]:
        """Every recorded session, for the end of a temporary database."""
        return [Session(*row) for row in self._database.fetch(statements.ALL, {"most": limit})]

    def _ours(self, session: Session) -> dict[str, Any]:
        return {"session_id": session.id, "worker": self._worker_id()}

    def _claimed(self, row: AnyRow) -> Claimed:
        *session, history_digest, files = row
        claimed = Claimed(Session(*session, files=files or ""), history_digest)
        self._known.add(claimed.session.id)
        return claimed


def _identities(account_keys: Collection[str]) -> list[str]:
    return sorted({identity_of(account_key) for account_key in account_keys})
