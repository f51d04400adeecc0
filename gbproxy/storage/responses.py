"""Stored responses of the Responses API, each under the API key that made it, encrypted.

A response names the one before it, and with that the whole conversation: each item is stored once.
What is used lives on: storing a response renews all those before it. Its large values are stored
beside it, in chunks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from sqlalchemy import Connection, bindparam, delete, func, insert, literal, or_, select, update

from gbproxy.storage.chunks import CHUNK_BYTES, Chunks
from gbproxy.storage.database import Database
from gbproxy.storage.encryption import Cipher, Unreadable
from gbproxy.storage.statements import HotStatement
from gbproxy.storage.tables import file_chunks
from gbproxy.storage.tables import responses as rows

TTL_S = 30 * 86_400.0  # after the last use
MOST_OF_A_KEY = 1_000  # responses,
MOST_BYTES_OF_A_KEY = 256 * 1024 * 1024  # and their size; those longest unused go first

_RENEW_S = 600.0  # a renewal that wins less is spared

_c = rows.c
_OWN = (_c.id == bindparam("wanted"), _c.key_digest == bindparam("by"))
_IS_ALIVE = _c.expires_at > bindparam("now")
_NEW = ("id", "key_digest", "previous_id", "size", "content", "created_at", "expires_at")
_ADD = insert(rows).values({name: bindparam(name) for name in _NEW})
_GET = HotStatement(select(_c.content).where(*_OWN, _IS_ALIVE))
_REMOVE = delete(rows).where(*_OWN, _IS_ALIVE)
_EXPIRE = delete(rows).where(_c.expires_at <= bindparam("now"))

_last = select(_c.id, _c.previous_id, literal(0).label("depth")).where(*_OWN, _IS_ALIVE)
_chain = _last.cte("chain", recursive=True)
_before = rows.alias()
_chain = _chain.union_all(
    select(_before.c.id, _before.c.previous_id, _chain.c.depth + 1).where(
        _before.c.id == _chain.c.previous_id, _before.c.key_digest == bindparam("by")
    )
)
_CHAIN = (
    select(_c.id, _c.content, _c.previous_id)
    .join(_chain, _c.id == _chain.c.id)
    .order_by(_chain.c.depth.desc())
)
_RENEW = (
    update(rows)
    .where(_c.id.in_(select(_chain.c.id)), _c.expires_at < bindparam("renewed_before"))
    .values(expires_at=bindparam("until"))
)

# The index alone answers this, so that it costs little where no key has too many.
_CROWDED = (
    select(_c.key_digest)
    .group_by(_c.key_digest)
    .having(
        or_(func.count() > bindparam("most"), func.sum(_c.size) > bindparam("most_bytes")),
    )
)
_newest = (_c.expires_at.desc(), _c.created_at.desc(), _c.id)
_ranked = (
    select(
        _c.id,
        func.row_number().over(order_by=_newest).label("position"),
        func.sum(_c.size).over(order_by=_newest).label("size"),
    )
    .where(_c.key_digest == bindparam("by"))
    .subquery()
)
_TRIM = delete(rows).where(
    _c.id.in_(
        select(_ranked.c.id).where(
            or_(_ranked.c.position > bindparam("most"), _ranked.c.size > bindparam("most_bytes"))
        )
    )
)
_CHUNKS_OF = "response:"  # before a response's id; ids of files have no such sign
_chunked = file_chunks.c.file_id
_ORPHANS = (
    select(_chunked)
    .distinct()
    .where(_chunked.startswith(_CHUNKS_OF), _chunked.not_in(select(literal(_CHUNKS_OF) + _c.id)))
)


class ResponseRows:
    """Calls raise StorageUnavailable. `clock`: Unix seconds. `content` is any bytes, sealed."""

    def __init__(
        self,
        database: Database,
        cipher: Cipher,
        clock: Callable[[], float],
        *,
        most: int = MOST_OF_A_KEY,
        most_bytes: int = MOST_BYTES_OF_A_KEY,
    ) -> None:
        self._database = database
        self._cipher = cipher
        self._chunks = Chunks(database, cipher)
        self._clock = clock
        self._caps = {"most": most, "most_bytes": most_bytes}

    def seal(self, content: bytes) -> bytes:
        """Takes a second for each few hundred megabytes."""
        return self._cipher.encrypt_bytes(content)

    def open(self, sealed: bytes) -> bytes | None:
        """None: its key is not among those of SECRET_KEY any more."""
        try:
            return self._cipher.decrypt_bytes(sealed)
        except Unreadable:
            return None

    def add(
        self,
        key_digest: bytes,
        id_: str,
        previous_id: str | None,
        sealed: bytes,
        *,
        beside_bytes: int = 0,
    ) -> None:
        """Store a response, and renew those before it. `beside_bytes`: of its values in chunks."""
        now = self._clock()
        values = {
            "id": id_,
            "key_digest": key_digest,
            "previous_id": previous_id,
            "size": len(sealed) + beside_bytes,
            "content": sealed,
            "created_at": now,
            "expires_at": now + TTL_S,
        }
        renewed = {
            "wanted": previous_id,
            "by": key_digest,
            "now": now,
            "until": now + TTL_S,
            "renewed_before": now + TTL_S - _RENEW_S,
        }

        def insert_and_renew(connection: Connection) -> None:
            connection.execute(_ADD, values)
            connection.execute(_RENEW, renewed)

        if previous_id is None:
            self._database.change(_ADD, values)
        else:
            self._database.transact(insert_and_renew)

    def get(self, key_digest: bytes, id_: str) -> bytes | None:
        """The sealed content of this key's response."""
        found = self._database.fetch(_GET, self._wanted(key_digest, id_))
        return bytes(found[0][0]) if found else None

    def add_beside(self, id_: str, content: bytes | memoryview, start: int = 0) -> Iterator[int]:
        """Store a large value of a stored response from `start` on. Yields where each chunk ends:
        others may go on before the next one.
        """
        view = memoryview(content)
        for at in range(0, len(view), CHUNK_BYTES):
            piece = bytes(view[at : at + CHUNK_BYTES])
            self._chunks.add(_CHUNKS_OF + id_, start + at, piece)
            yield start + at + len(piece)

    def beside(self, id_: str, start: int, size: int) -> Iterator[bytes]:
        """Yield the bytes of a response's large value; fewer when they are gone."""
        for piece in self._chunks.read(_CHUNKS_OF + id_, start) if size else ():
            yield piece[:size]
            size -= len(piece)
            if size <= 0:
                return

    def chain(self, key_digest: bytes, id_: str) -> Sequence[tuple[str, bytes]]:
        """The ids and sealed contents of this key's response and of all before it, the oldest
        first; empty when one of them is gone.
        """
        found = self._database.fetch(_CHAIN, self._wanted(key_digest, id_))
        if not found or found[0].previous_id is not None:
            return []
        return [(row.id, bytes(row.content)) for row in found]

    def remove(self, key_digest: bytes, id_: str) -> bool:
        """False when this key has no such response."""

        def both(connection: Connection) -> bool:
            wanted = self._wanted(key_digest, id_)
            if connection.execute(_REMOVE, wanted).rowcount != 1:
                return False
            self._chunks.remove(connection, f"{_CHUNKS_OF}{wanted['wanted']}")
            return True

        return self._database.transact(both)

    def trim(self) -> int:
        """Remove what has expired, and what is more than a key may have. Returns how many."""
        removed = self._database.change(_EXPIRE, {"now": self._clock()})
        for (key_digest,) in self._database.fetch(_CROWDED, self._caps):
            removed += self._database.change(_TRIM, {**self._caps, "by": key_digest})
        for (orphan,) in self._database.fetch(_ORPHANS):
            self._database.transact(partial(self._chunks.remove, id_=orphan))
        return removed

    def _wanted(self, key_digest: bytes, id_: str) -> dict[str, object]:
        # no id holds a NUL, and PostgreSQL takes none
        return {"wanted": id_.replace("\0", ""), "by": key_digest, "now": self._clock()}
