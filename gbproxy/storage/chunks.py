"""Encrypted bytes in chunks: neither the writing nor the reading of a large value holds all of it,
and no step of either is long.
"""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Connection, bindparam, delete, insert, select

from gbproxy.storage.database import Database
from gbproxy.storage.encryption import Cipher, Unreadable
from gbproxy.storage.tables import file_chunks as rows

CHUNK_BYTES = 256 * 1024

_ADD = insert(rows)
_AT = (
    select(rows.c.start, rows.c.content)
    .where(rows.c.file_id == bindparam("wanted"), rows.c.start <= bindparam("at"))
    .order_by(rows.c.start.desc())
    .limit(1)
)
_REMOVE = delete(rows).where(rows.c.file_id == bindparam("wanted"))


class Chunks:
    """Calls outside of a transaction raise StorageUnavailable."""

    def __init__(self, database: Database, cipher: Cipher) -> None:
        self._database = database
        self._cipher = cipher

    def sealed(self, id_: str, start: int, content: bytes) -> dict[str, object]:
        """The row of these bytes, at most CHUNK_BYTES, which begin at `start`."""
        return {"file_id": id_, "start": start, "content": self._cipher.encrypt_bytes(content)}

    def insert(self, connection: Connection, row: dict[str, object]) -> None:
        connection.execute(_ADD, row)

    def add(self, id_: str, start: int, content: bytes) -> None:
        self._database.change(_ADD, self.sealed(id_, start, content))

    def read(self, id_: str, start: int = 0) -> Iterator[bytes]:
        """Yield the bytes from `start` on, a chunk at a time. Ends early when they are removed
        meanwhile, or their key is not among those of SECRET_KEY any more.
        """
        while True:
            found = self._database.fetch(_AT, {"wanted": id_, "at": start})
            if not found:
                return
            try:
                content = self._cipher.decrypt_bytes(bytes(found[0].content))
            except Unreadable:
                return
            piece = content[start - found[0].start :]
            if not piece:
                return
            start += len(piece)
            yield piece

    def remove(self, connection: Connection, id_: str) -> None:
        connection.execute(_REMOVE, {"wanted": id_})
