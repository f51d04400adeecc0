"""The statements on the records of upstream sessions, which storage/sessions.py runs."""

from __future__ import annotations

from typing import Any

from sqlalchemy import and_, bindparam, case, delete, insert, not_, or_, select, update

from gbproxy.domain.session import CLIENT_SESSION
from gbproxy.storage.columns import has_identity
from gbproxy.storage.statements import HotStatement
from gbproxy.storage.tables import sessions as rows

PREWARMED, RUNNING, IDLE, DELETING = "prewarmed", "running", "idle", "deleting"


_c = rows.c
SESSION = (_c.id, _c.account_key, _c.name, _c.conversation)
ID = _c.id == bindparam("session_id")
DIGEST = _c.history_digest == bindparam("wanted")
HELD = or_(_c.state == PREWARMED, _c.state == RUNNING)
OURS = and_(ID, _c.holder == bindparam("worker"), HELD)
FREE = and_(_c.state == IDLE, _c.expires_at > bindparam("now"))
CONVERSATION = and_(_c.conversation == bindparam("wanted"), _c.key_digest == bindparam("by"))
# Until its first answer is committed a session has no key, and maybe the prefix of an id only; the
# key's part of the id was checked before.
IN_USE = or_(
    and_(
        _c.conversation.in_((bindparam("wanted"), bindparam("prefix"))),
        HELD,
        or_(_c.key_digest == bindparam("by"), _c.key_digest.is_(None)),
    ),
    and_(CONVERSATION, FREE),  # it has just become free, or is being claimed
)
# An account of the same identity upstream can delete them, also under another name, or after it was
# removed and added again.
THEIRS = has_identity(_c.account_key, bindparam("identities", expanding=True))


def _claim(condition: Any, *first: Any) -> Any:
    """Claim the free session whose last turn is the latest; of claims at the same moment each gets
    another.
    """
    one = select(_c.id).where(condition, FREE).order_by(*first, _c.last_turn_at.desc()).limit(1)
    return (
        update(rows)
        .where(_c.id == one.with_for_update(skip_locked=True).scalar_subquery(), _c.state == IDLE)
        .values(state=RUNNING, holder=bindparam("worker"), claimed_at=bindparam("now"))
        .returning(*SESSION, _c.history_digest, _c.files)
    )


NEW = ("id", "account_key", "name", "conversation", "state", "attempts", "created_at")
ADD = HotStatement(
    insert(rows).values({name: bindparam(name) for name in (*NEW, "holder", "claimed_at")})
)
ADD_MARKED = insert(rows)
ADD_UNOPENED = insert(rows)
CLIENT_SESSIONS = (
    select(_c.conversation, _c.expires_at, _c.last_turn_at)
    .where(
        _c.key_digest == bindparam("by"),
        _c.conversation.startswith(CLIENT_SESSION, autoescape=True),
        or_(HELD, FREE),
    )
    # While the first answer is committed there are two records: that with an answer comes last.
    .order_by(_c.conversation.desc(), _c.last_turn_at.is_not(None))
    .limit(bindparam("most"))
)
CLIENT_SESSION_OF_ID = CLIENT_SESSIONS.where(_c.conversation == bindparam("wanted"))
NAME = HotStatement(update(rows).where(OURS).values(name=bindparam("new_name")))
CLAIM_HISTORY = HotStatement(_claim(DIGEST))
CLAIM_HISTORY_IN = HotStatement(_claim(and_(DIGEST, _c.conversation == bindparam("within"))))
CLAIM_HISTORY_ELSEWHERE = _claim(DIGEST, _c.account_key.in_(bindparam("avoided", expanding=True)))
CLAIM_CONVERSATION = HotStatement(_claim(CONVERSATION))
FIND_IN_USE = HotStatement(select(_c.id).where(IN_USE).limit(1))
FIND_TAKEN = HotStatement(select(_c.id).where(DIGEST, _c.state == RUNNING).limit(1))
COMMIT = HotStatement(
    update(rows)
    .where(OURS)
    .values(
        state=IDLE,
        holder=None,
        claimed_at=None,
        history_digest=bindparam("new_digest"),
        files=bindparam("new_files"),
        key_digest=bindparam("by"),
        conversation=bindparam("wanted"),
        last_turn_at=bindparam("now"),
        expires_at=bindparam("until"),
    )
)
RELEASE = HotStatement(
    update(rows)
    .where(OURS, _c.history_digest.is_not(None))
    .values(state=IDLE, holder=None, claimed_at=None)
)
KEEP_FILES = HotStatement(update(rows).where(OURS).values(files_until=bindparam("until")))
FIND = HotStatement(select(*SESSION).where(ID))
# Not before the last link to one of its files has expired.
_FROM_WHEN = bindparam("from_when", type_=_c.not_before.type)
_DELETED_FROM = case((_c.files_until > _FROM_WHEN, _c.files_until), else_=_FROM_WHEN)
TO_DELETE = dict[str, Any](state=DELETING, holder=None, not_before=_DELETED_FROM)
MARKING = update(rows).values(TO_DELETE)
ROLLBACK = HotStatement(MARKING.where(ID, _c.state == IDLE, DIGEST))
MARK = HotStatement(MARKING.where(OURS))
EXPIRED = and_(_c.state == IDLE, _c.expires_at <= bindparam("now"))
EXPIRE = HotStatement(MARKING.where(EXPIRED))
FIND_EXPIRED = HotStatement(select(_c.id).where(EXPIRED).limit(1))
ORPHANS = MARKING.where(HELD, _c.holder.in_(bindparam("dead", expanding=True)))
HOLDERS = HotStatement(select(_c.holder).where(HELD).distinct())
HELD_LONG = HotStatement(
    select(_c.id).where(_c.holder == bindparam("worker"), HELD, _c.claimed_at < bindparam("before"))
)
DUE = (
    select(*SESSION, _c.attempts)
    .where(_c.state == DELETING, _c.not_before <= bindparam("now"), THEIRS)
    .order_by(_c.not_before)
    .limit(bindparam("most"))
)
ABANDON = delete(rows).where(
    _c.state == DELETING, _c.not_before <= bindparam("before"), not_(THEIRS)
)
REMOVE = HotStatement(delete(rows).where(ID))
RESCHEDULE = (
    update(rows)
    .where(ID, _c.state == DELETING)
    .values(not_before=bindparam("until"), attempts=_c.attempts + bindparam("failures"))
)
ALL = select(*SESSION).limit(bindparam("most"))
