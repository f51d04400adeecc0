"""The statements on uploaded files, which storage/files.py runs."""

from __future__ import annotations

from sqlalchemy import bindparam, delete, func, insert, or_, select, update

from gbproxy.storage.tables import files as rows

_c = rows.c
_OWN = (_c.id == bindparam("wanted"), _c.key_digest == bindparam("by"))
_IS_ALIVE = _c.expires_at > bindparam("now")
IS_FILE = (_c.is_complete, _IS_ALIVE)
_UPLOAD = (_c.id == bindparam("wanted"), ~_c.is_complete, _IS_ALIVE)
FIELDS = (
    _c.id, _c.key_digest, _c.purpose, _c.size, _c.created_at, _c.expires_at, _c.about
)  # fmt: skip
ADD = insert(rows)
GET = select(*FIELDS).where(*_OWN, *IS_FILE)
GET_UPLOAD = select(*FIELDS).where(*_UPLOAD)
GROW = (
    update(rows)
    .where(*_UPLOAD, _c.size == bindparam("start"))
    .values(size=bindparam("end"), expires_at=bindparam("until"))
)
COMPLETE = (
    update(rows)
    .where(*_UPLOAD, _c.size == bindparam("start"))
    .values(
        is_complete=True,
        purpose=bindparam("meant"),
        about=bindparam("told"),
        expires_at=bindparam("until"),
    )
)
REMOVE = delete(rows).where(_c.id == bindparam("wanted"))
EXPIRED = select(_c.id).where(_c.expires_at <= bindparam("now"))

# What a key has. The index alone answers these.
_use = select(
    _c.key_digest, func.count().label("files"), func.sum(_c.size).label("bytes")
).group_by(_c.key_digest)
_owner = rows.alias()
USE = _use.where(_c.key_digest == bindparam("by"))
USE_BESIDE = _use.where(
    _c.key_digest
    == select(_owner.c.key_digest).where(_owner.c.id == bindparam("wanted")).scalar_subquery()
)

# The index alone answers this, too, so that it costs little where no key has too many.
CROWDED = (
    select(_c.key_digest)
    .group_by(_c.key_digest)
    .having(or_(func.count() > bindparam("most"), func.sum(_c.size) > bindparam("most_bytes")))
)
_newest = (_c.created_at.desc(), _c.id)
_ranked = (
    select(
        _c.id,
        func.row_number().over(order_by=_newest).label("position"),
        func.sum(_c.size).over(order_by=_newest).label("total"),
    )
    .where(_c.key_digest == bindparam("by"))
    .subquery()
)
TOO_MANY = select(_ranked.c.id).where(
    or_(_ranked.c.position > bindparam("most"), _ranked.c.total > bindparam("most_bytes"))
)
