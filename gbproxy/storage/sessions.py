"""Upstream sessions: which there are, which history each holds, and who has it in hand.

A row is made as soon as the upstream has made the session, and goes when the upstream has deleted
it. In between it is `stock` (made ahead of any request) or `running` (a request is in it), both
held by one worker; `idle`: whoever has its history may claim it; `doomed`: to be deleted upstream.
Whoever has lost a row finds its writes without effect.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import and_, bindparam, delete, func, insert, not_, or_, select, update

from gbproxy.domain.account import IDENTITY_CHARS, identity_of
from gbproxy.domain.session import Claim, Claimed, NoClaim, Session, id_prefix, random_prefix
from gbproxy.storage.database import AnyRow, Database
from gbproxy.storage.tables import sessions as rows

STOCK, RUNNING, IDLE, DOOMED = "stock", "running", "idle", "doomed"


@dataclass(frozen=True, slots=True)
class PendingDeletion(Session):
    """A session to be deleted upstream, and how many times that has failed."""

    tries: int


_SESSION = (rows.c.id, rows.c.account_id, rows.c.name, rows.c.conversation)
_HELD = rows.c.state.in_((STOCK, RUNNING))
_OURS = and_(rows.c.id == bindparam("session_id"), rows.c.holder == bindparam("worker"), _HELD)
_FREE = and_(rows.c.state == IDLE, rows.c.expires_at > bindparam("now"))
TO_DOOM: dict[str, Any] = {"state": DOOMED, "holder": None, "not_before": bindparam("from_when")}


def _claim(condition: Any, *first: Any) -> Any:
    """Take the one of all free sessions whose turn is the latest; of those who try at once each
    gets another.
    """
    one = (
        select(rows.c.id)
        .where(condition, _FREE)
        .order_by(*first, rows.c.last_turn_at.desc())
        .limit(1)
    )
    return (
        update(rows)
        .where(
            rows.c.id == one.with_for_update(skip_locked=True).scalar_subquery(),
            rows.c.state == IDLE,
        )
        .values(state=RUNNING, holder=bindparam("worker"), held_at=bindparam("now"))
        .returning(*_SESSION, rows.c.head)
    )


_CONVERSATION = and_(rows.c.conversation == bindparam("wanted"), rows.c.caller == bindparam("by"))
# Until its first answer is kept a session has no caller, and maybe half an id; the caller's part of
# it was checked before.
_IN_USE = or_(
    and_(
        rows.c.conversation.in_((bindparam("wanted"), bindparam("half"))),
        _HELD,
        or_(rows.c.caller == bindparam("by"), rows.c.caller.is_(None)),
    ),
    and_(_CONVERSATION, _FREE),  # it has just become free, or somebody looks at it
)
_ADD = insert(rows)
_IS_AVOIDED = rows.c.account_id.in_(bindparam("avoided", expanding=True))
_CLAIM_HISTORY = _claim(rows.c.head == bindparam("wanted"), _IS_AVOIDED)
_CLAIM_HISTORY_IN = _claim(
    and_(rows.c.head == bindparam("wanted"), rows.c.conversation == bindparam("in_conversation"))
)
_CLAIM_CONVERSATION = _claim(_CONVERSATION)
_FIND_IN_USE = select(rows.c.id).where(_IN_USE).limit(1)
_FIND_TAKEN = (
    select(rows.c.id).where(rows.c.head == bindparam("wanted"), rows.c.state == RUNNING).limit(1)
)
_KEEP = (
    update(rows)
    .where(_OURS)
    .values(
        state=IDLE,
        holder=None,
        held_at=None,
        head=bindparam("new_head"),
        caller=bindparam("by"),
        conversation=bindparam("wanted"),
        last_turn_at=bindparam("now"),
        expires_at=bindparam("until"),
    )
)
_NAME = update(rows).where(_OURS).values(name=bindparam("new_name"))
_RELEASE = (
    update(rows)
    .where(_OURS, rows.c.head.is_not(None))
    .values(state=IDLE, holder=None, held_at=None)
)
_WITHDRAW = (
    update(rows)
    .where(
        rows.c.id == bindparam("session_id"),
        rows.c.state == IDLE,
        rows.c.head == bindparam("wanted"),
    )
    .values(TO_DOOM)
)
_DOOM = update(rows).where(_OURS).values(TO_DOOM)
_EXPIRE = (
    update(rows).where(rows.c.state == IDLE, rows.c.expires_at <= bindparam("now")).values(TO_DOOM)
)
_ORPHANS = (
    update(rows).where(_HELD, rows.c.holder.in_(bindparam("dead", expanding=True))).values(TO_DOOM)
)
_HOLDERS = select(rows.c.holder).where(_HELD).distinct()
_HELD_LONG = select(rows.c.id).where(
    rows.c.holder == bindparam("worker"), _HELD, rows.c.held_at < bindparam("before")
)
# Whoever has the same seat upstream can delete them, also under another name or when it was removed
# and added again.
_THEIRS = func.substr(rows.c.account_id, 1, IDENTITY_CHARS).in_(
    bindparam("identities", expanding=True)
)
_DOOMED = (
    select(*_SESSION, rows.c.tries)
    .where(rows.c.state == DOOMED, rows.c.not_before <= bindparam("now"), _THEIRS)
    .order_by(rows.c.not_before)
    .limit(bindparam("most"))
)
_GIVEN_UP = delete(rows).where(
    rows.c.state == DOOMED, rows.c.not_before <= bindparam("before"), not_(_THEIRS)
)
_DELETED = delete(rows).where(rows.c.id == bindparam("session_id"))
_POSTPONE = (
    update(rows)
    .where(rows.c.id == bindparam("session_id"), rows.c.state == DOOMED)
    .values(not_before=bindparam("until"), tries=rows.c.tries + bindparam("failures"))
)
_STOCK_OF = select(*_SESSION).where(rows.c.holder == bindparam("worker"), rows.c.state == STOCK)
_ALL = select(*_SESSION).limit(bindparam("most"))


class SessionRows:
    """All upstream sessions of all workers and replicas on one database. `clock`: Unix seconds."""

    def __init__(
        self, database: Database, clock: Callable[[], float], worker_id: Callable[[], str]
    ) -> None:
        self._database = database
        self._clock = clock
        self._worker_id = worker_id
        self._known: set[str] = set()  # held by this worker, and it knows of it

    def add(
        self, account_key: str, name: str, *, stock: bool, conversation: str | None = None
    ) -> Session:
        """Note a session that the upstream has just made; this worker holds it. Without
        `conversation` it gets half an id.
        """
        session = Session(uuid.uuid4().hex, account_key, name, conversation or random_prefix())
        now = self._clock()
        self._database.change(
            _ADD,
            {
                "id": session.id,
                "account_id": account_key,
                "name": name,
                "conversation": session.conversation,
                "state": STOCK if stock else RUNNING,
                "holder": self._worker_id(),
                "tries": 0,
                "made_at": now,
                "held_at": now,
            },
        )
        self._known.add(session.id)
        return session

    def name(self, session: Session) -> bool:
        """Note the name of a session of ours that was recorded before the upstream told it. False:
        it is not ours any more.
        """
        return self._database.change(_NAME, {**self._ours(session), "new_name": session.name}) == 1

    def add_doomed(self, found: Collection[tuple[str, str]]) -> None:
        """Note sessions that are to be deleted upstream: seat and name of each."""
        if not found:
            return
        now = self._clock()
        fixed = {"state": DOOMED, "tries": 0, "not_before": now, "made_at": now, "conversation": ""}
        values = [
            {"id": uuid.uuid4().hex, "account_id": account_key, "name": name, **fixed}
            for account_key, name in found
        ]
        self._database.transact(lambda connection: connection.execute(_ADD, values))

    def claim_history(
        self, history_digest: bytes, conversation: str | None = None, avoided: Collection[str] = ()
    ) -> Session | None:
        """One free session that holds exactly this history, of this conversation where one is
        named; None: there is none.

        It is this worker's from now on. Of several, one of a seat that is not `avoided` comes
        first.
        """
        values = {"wanted": history_digest, "now": self._clock(), "worker": self._worker_id()}
        if conversation is None:
            found = self._database.fetch(_CLAIM_HISTORY, {**values, "avoided": list(avoided)})
        else:
            found = self._database.fetch(
                _CLAIM_HISTORY_IN, {**values, "in_conversation": conversation}
            )
        return self._claimed(found[0]).session if found else None

    def is_taken(self, history_digest: bytes) -> bool:
        """Whether a request is running in a session that had this history."""
        return bool(self._database.fetch(_FIND_TAKEN, {"wanted": history_digest}))

    def claim_conversation(self, conversation: str, caller: bytes) -> Claim:
        """The free session of a caller's conversation. UNKNOWN also when it has expired or is
        another caller's.
        """
        wanted = {"wanted": conversation, "by": caller, "now": self._clock()}
        found = self._database.fetch(_CLAIM_CONVERSATION, {**wanted, "worker": self._worker_id()})
        if found:
            return self._claimed(found[0])
        in_use = self._database.fetch(_FIND_IN_USE, {**wanted, "half": id_prefix(conversation)})
        return NoClaim.BUSY if in_use else NoClaim.UNKNOWN

    def commit(
        self,
        session: Session,
        *,
        history_digest: bytes,
        caller: bytes,
        conversation: str,
        expires_at: float,
    ) -> bool:
        """Give a session back, holding this history now. False when it was no longer ours: then nothing
        has changed.
        """
        self._known.discard(session.id)
        kept = {
            **self._ours(session),
            "new_head": history_digest,
            "by": caller,
            "wanted": conversation,
            "now": self._clock(),
            "until": expires_at,
        }
        return self._database.change(_KEEP, kept) == 1

    def rollback(self, session: Session, history_digest: bytes) -> None:
        """Have a session deleted that was just committed with this history, unless somebody has claimed it
        since.
        """
        values = {"session_id": session.id, "wanted": history_digest, "from_when": self._clock()}
        self._database.change(_WITHDRAW, values)

    def release(self, session: Session) -> None:
        """Give a claimed session back as it was: nothing has been sent in it."""
        self._known.discard(session.id)
        self._database.change(_RELEASE, self._ours(session))

    def doom(self, session: Session, *, not_before: float | None = None) -> None:
        """Have a session that we hold deleted upstream, now or later."""
        self._known.discard(session.id)
        from_when = self._clock() if not_before is None else not_before
        self._database.change(_DOOM, {**self._ours(session), "from_when": from_when})

    def expire(self, now: float) -> int:
        """Doom what nobody may continue any more."""
        return self._database.change(_EXPIRE, {"now": now, "from_when": now})

    def holders(self) -> frozenset[str]:
        """The workers that hold sessions."""
        return frozenset(row.holder for row in self._database.fetch(_HOLDERS))

    def orphans(self, dead: Collection[str]) -> int:
        """Doom what is held by workers that have died."""
        return self._database.change(_ORPHANS, {"dead": list(dead), "from_when": self._clock()})

    def doom_lost(self, after_s: float = 60.0) -> int:
        """Doom what this worker holds and does not know of: a request was ended, or the database
        away, in mid-write.
        """
        now = self._clock()
        held = self._database.fetch(
            _HELD_LONG, {"worker": self._worker_id(), "before": now - after_s}
        )
        lost = [row.id for row in held if row.id not in self._known]
        values = [
            {"session_id": id_, "worker": self._worker_id(), "from_when": now} for id_ in lost
        ]
        return sum(self._database.change(_DOOM, value) for value in values)

    def doomed(self, limit: int, account_keys: Collection[str]) -> list[PendingDeletion]:
        """What of these seats' owners is to be deleted upstream now, the longest due first."""
        values = {"now": self._clock(), "most": limit, "identities": _identities(account_keys)}
        return [PendingDeletion(*row) for row in self._database.fetch(_DOOMED, values)]

    def give_up(self, account_keys: Collection[str], after_s: float) -> int:
        """Forget what was to be deleted so long ago, of all but these seats: nobody can any more.
        How many that were.
        """
        return self._database.change(
            _GIVEN_UP, {"before": self._clock() - after_s, "identities": _identities(account_keys)}
        )

    def deleted(self, session: Session) -> None:
        """The upstream has deleted it."""
        self._known.discard(session.id)
        self._database.change(_DELETED, {"session_id": session.id})

    def postpone(self, session: Session, until: float, *, failed: bool = True) -> None:
        """Try to delete it from then on; `failed`: it was tried in vain."""
        self._database.change(
            _POSTPONE, {"session_id": session.id, "until": until, "failures": int(failed)}
        )

    def stock_of(self, worker: str) -> list[Session]:
        return [Session(*row) for row in self._database.fetch(_STOCK_OF, {"worker": worker})]

    def all_sessions(self, limit: int) -> list[Session]:
        """For the end of a temporary database: whatever the upstream still has."""
        return [Session(*row) for row in self._database.fetch(_ALL, {"most": limit})]

    def _ours(self, session: Session) -> dict[str, Any]:
        return {"session_id": session.id, "worker": self._worker_id()}

    def _claimed(self, row: AnyRow) -> Claimed:
        *session, history_digest = row
        claimed = Claimed(Session(*session), history_digest)
        self._known.add(claimed.session.id)
        return claimed


def _identities(account_keys: Collection[str]) -> list[str]:
    return sorted({identity_of(account_key) for account_key in account_keys})
