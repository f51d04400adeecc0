"""Files that clients upload, each under the API key that made it, encrypted, in chunks: neither the
writing nor the reading of a file holds all of it.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, or_, select

from gbproxy.storage import file_statements as statements
from gbproxy.storage.chunks import Chunks
from gbproxy.storage.database import Database
from gbproxy.storage.encryption import Cipher, Unreadable
from gbproxy.storage.tables import files as rows

TTL_S = 30 * 86_400.0  # of a file whose client names no other
UNFINISHED_TTL_S = 3_600.0  # of an upload, after its last bytes
MOST_OF_A_KEY = 1_000  # files,
MOST_BYTES_OF_A_KEY = 1024 * 1024 * 1024  # and their size; the oldest go first


@dataclass(frozen=True, slots=True)
class StoredFile:
    """`digest`: SHA-256 of its bytes, in hex, "" while they come. `key_digest`: of the API key that
    made it; `declared_size`: the bytes that its client has announced, None: it did not say. Times
    are Unix seconds.
    """

    id: str
    name: str
    media_type: str
    purpose: str
    size: int
    digest: str
    created_at: float
    expires_at: float
    key_digest: bytes = field(repr=False)
    declared_size: int | None


class FileRows:
    """Calls raise StorageUnavailable. `clock`: Unix seconds."""

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

    def begin(
        self,
        key_digest: bytes,
        *,
        name: str,
        media_type: str,
        purpose: str = "",
        ttl_s: float = TTL_S,
        declared_size: int | None = None,
    ) -> str:
        """Begin an upload. Returns its id, which becomes the file's. `ttl_s`: of the file."""
        now, id_ = self._clock(), secrets.token_hex(16)
        about = {
            "name": name,
            "media_type": media_type,
            "digest": "",
            "ttl_s": ttl_s,
            "declared_size": declared_size,
        }
        values = {
            "id": id_,
            "key_digest": key_digest,
            "purpose": purpose,
            "is_complete": False,
            "size": 0,
            "created_at": now,
            "expires_at": now + UNFINISHED_TTL_S,
            "about": self._cipher.encrypt(about),
        }
        self._make_room(self._database.fetch(statements.USE, {"by": key_digest}), files=1)
        self._database.change(statements.ADD, values)
        return id_

    def add(self, id_: str, start: int, content: bytes) -> bool:
        """Store the next bytes of an upload, at most CHUNK_BYTES. False: there is no such upload
        (any more), or it does not end at `start`.
        """
        now = self._clock()
        growth = {
            **self._wanted(id_),
            "start": start,
            "end": start + len(content),
            "until": now + UNFINISHED_TTL_S,
        }
        chunk = self._chunks.sealed(id_, start, content)
        use = self._database.fetch(statements.USE_BESIDE, {"wanted": growth["wanted"]})
        self._make_room(use, size=len(content))

        def grow(connection: Connection) -> bool:
            # First the row, so that a removal at the same time leaves no chunk behind.
            if connection.execute(statements.GROW, growth).rowcount != 1:
                return False
            self._chunks.insert(connection, chunk)
            return True

        return self._database.transact(grow)

    def complete(
        self,
        id_: str,
        size: int,
        digest: str,
        *,
        media_type: str,
        name: str | None = None,
        purpose: str | None = None,
        ttl_s: float | None = None,
    ) -> StoredFile | None:
        """Make a file of an upload with so many bytes. None: as False of `add`.

        `name`, `purpose` and `ttl_s`: in place of what the upload began with.
        """
        found = self._database.fetch(statements.GET_UPLOAD, self._wanted(id_))
        about = self._about(found[0]) if found else None
        if about is None:
            return None
        about |= {"digest": digest, "media_type": media_type}
        if name is not None:
            about["name"] = name
        until = found[0].created_at + (about["ttl_s"] if ttl_s is None else ttl_s)
        purpose = found[0].purpose if purpose is None else purpose
        changes = {
            **self._wanted(id_),
            "start": size,
            "meant": purpose,
            "told": self._cipher.encrypt(about),
            "until": until,
        }
        if self._database.change(statements.COMPLETE, changes) != 1:
            return None
        return replace(_file(found[0], about, expires_at=until), purpose=purpose)

    def upload(self, id_: str) -> StoredFile | None:
        """An upload that is not complete."""
        return next(
            self._files(self._database.fetch(statements.GET_UPLOAD, self._wanted(id_))), None
        )

    def get(self, key_digest: bytes, id_: str) -> StoredFile | None:
        """This key's file."""
        found = self._database.fetch(statements.GET, {**self._wanted(id_), "by": key_digest})
        return next(self._files(found), None)

    def page(
        self,
        key_digest: bytes,
        *,
        limit: int,
        after: StoredFile | None = None,
        is_ascending: bool = False,
        purpose: str | None = None,
    ) -> list[StoredFile]:
        """This key's files, those behind `after` in this order; the newest first, or the oldest."""
        which: list[ColumnElement[bool]] = [rows.c.key_digest == key_digest, *statements.IS_FILE]
        if purpose is not None:
            which.append(rows.c.purpose == purpose.replace("\0", ""))
        if after is not None:
            at, id_ = after.created_at, after.id
            beyond = rows.c.created_at > at if is_ascending else rows.c.created_at < at
            next_ = rows.c.id > id_ if is_ascending else rows.c.id < id_
            which.append(or_(beyond, and_(rows.c.created_at == at, next_)))
        order = (rows.c.created_at, rows.c.id)
        sorted_by = order if is_ascending else [column.desc() for column in order]
        statement = select(*statements.FIELDS).where(*which).order_by(*sorted_by).limit(limit)
        return list(self._files(self._database.fetch(statement, {"now": self._clock()})))

    def read(self, id_: str, start: int = 0) -> Iterator[bytes]:
        """Yield the bytes of a file or an upload from `start` on, a chunk at a time. Ends early
        when it is removed meanwhile, or its key is not among those of SECRET_KEY any more.
        """
        return self._chunks.read(id_, start)

    def remove(self, key_digest: bytes, id_: str) -> bool:
        """False when this key has no such file."""
        return self.get(key_digest, id_) is not None and self._remove(id_)

    def abandon(self, id_: str) -> None:
        """Remove an upload."""
        if self.upload(id_) is not None:
            self._remove(id_)

    def trim(self) -> int:
        """Remove what has expired, and what is more than a key may have. Returns how many."""
        gone = [id_ for (id_,) in self._database.fetch(statements.EXPIRED, {"now": self._clock()})]
        removed = sum(map(self._remove, gone))
        for (key_digest,) in self._database.fetch(statements.CROWDED, self._caps):
            removed += self._remove_oldest(key_digest, self._caps)
        return removed

    def _make_room(self, use: Sequence[Any], *, files: int = 0, size: int = 0) -> None:
        """Remove a key's oldest files where so much more would be too much.

        `use`: what it has. Not in one transaction with what comes: two uploads of a key that remove
        each other's rows would wait for one another.
        """
        caps = {"most": self._caps["most"] - files, "most_bytes": self._caps["most_bytes"] - size}
        for key_digest, count, total in use:
            if count > caps["most"] or total > caps["most_bytes"]:
                self._remove_oldest(key_digest, caps)

    def _remove_oldest(self, key_digest: bytes, caps: dict[str, int]) -> int:
        too_many = self._database.fetch(statements.TOO_MANY, {**caps, "by": key_digest})
        return sum(self._remove(id_) for (id_,) in too_many)

    def _remove(self, id_: str) -> bool:
        def both(connection: Connection) -> bool:
            was_there = connection.execute(statements.REMOVE, {"wanted": id_}).rowcount == 1
            self._chunks.remove(connection, id_)
            return was_there

        return self._database.transact(both)

    def _files(self, found: Sequence[Any]) -> Iterator[StoredFile]:
        for row in found:
            about = self._about(row)
            if about is not None:
                yield _file(row, about, expires_at=row.expires_at)

    def _about(self, row: Any) -> dict[str, Any] | None:
        """None: its key is not among those of SECRET_KEY any more."""
        try:
            about: dict[str, Any] = self._cipher.decrypt(bytes(row.about))
        except Unreadable:
            return None
        return about

    def _wanted(self, id_: str) -> dict[str, Any]:
        # no id holds a NUL, and PostgreSQL takes none
        return {"wanted": id_.replace("\0", ""), "now": self._clock()}


def _file(row: Any, about: dict[str, Any], *, expires_at: float) -> StoredFile:
    return StoredFile(
        row.id,
        about["name"],
        about["media_type"],
        row.purpose,
        row.size,
        about["digest"],
        row.created_at,
        expires_at,
        bytes(row.key_digest),
        about.get("declared_size"),
    )
