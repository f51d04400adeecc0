"""Files that clients upload: written as they come, read as they are asked for, and found again by
the ids that requests name, all of it for the API key that made them.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Callable, Generator

from gbproxy.domain import attachment
from gbproxy.domain.attachment import Attachment, StoredAttachment
from gbproxy.domain.media_types import media_type
from gbproxy.domain.slices import Work
from gbproxy.errors import BadRequest, NotFound
from gbproxy.storage.chunks import CHUNK_BYTES
from gbproxy.storage.files import FileRows, StoredFile
from gbproxy.upstreams.base import ByteRange, FileMetadata, OpenFile

_ID = re.compile(r"(?:file[-_]|files/)?([0-9a-f]{32})")


class Uploads:
    """The uploaded files of all keys; safe for use by many threads at once. All methods raise
    StorageUnavailable. `max_bytes`: of each file; `has_key`: True for the digest of an API key that
    is valid now.
    """

    def __init__(self, rows: FileRows, max_bytes: int, has_key: Callable[[bytes], bool]) -> None:
        self.rows = rows
        self.max_bytes = max_bytes
        self._has_key = has_key

    def begun(self, id_: str) -> StoredFile | None:
        """The upload of this id, whose requests need no key; None where it is over, or the key that
        began it is not valid any more.
        """
        found = self.rows.upload(id_)
        return found if found is not None and self._has_key(found.key_digest) else None

    def get(self, key_digest: bytes, name: str) -> StoredFile:
        """The file that an id of any format names. Raises NotFound."""
        id_ = _ID.fullmatch(name)
        found = self.rows.get(key_digest, id_[1]) if id_ else None
        if found is None:
            raise _no_such(name)
        return found

    def remove(self, key_digest: bytes, name: str) -> None:
        """Raises NotFound."""
        id_ = _ID.fullmatch(name)
        if id_ is None or not self.rows.remove(key_digest, id_[1]):
            raise _no_such(name)

    def open(self, file: StoredFile, wanted: ByteRange) -> OpenFile:
        """A file to be read. Raises NotFound, also between two pieces, when it is gone."""
        head = next(self.rows.read(file.id), b"")
        pieces = self._pieces(file, wanted)
        metadata = FileMetadata(file.name, file.media_type, file.size)
        return OpenFile(metadata, pieces, head, pieces.close)

    def digest(self, key_digest: bytes, stored: StoredAttachment) -> str:
        """The digest of the file that a message names; "" where there is none."""
        try:
            return self.get(key_digest, stored.url).digest
        except NotFound:
            return ""

    def attachment(self, key_digest: bytes, stored: StoredAttachment) -> Attachment:
        """The file that a message names. Raises BadRequest or RequestTooLarge, naming its place."""
        try:
            file = self.get(key_digest, stored.url)
            if file.size > self.max_bytes:
                raise attachment.too_large(stored.place, self.max_bytes)
            content = self._whole(file)
        except NotFound as error:
            raise attachment.no_such_file(stored.place) from error
        with Work() as work:
            return attachment.of_content(
                content,
                stored.place,
                label=file.media_type,
                name=stored.name or file.name,
                rest=work.rest,
            )

    def _whole(self, file: StoredFile) -> bytes:
        content = io.BytesIO()
        with Work() as work:
            for piece in self._pieces(file, ByteRange()):
                content.write(piece)
                work.rest()
        return content.getvalue()  # which is no copy

    def _pieces(self, file: StoredFile, wanted: ByteRange) -> Generator[bytes]:
        left = (file.size if wanted.end is None else wanted.end) - wanted.start
        for piece in self.rows.read(file.id, wanted.start):
            yield piece[:left]
            left -= len(piece)
            if left <= 0:
                return
        if left > 0:
            raise _no_such(file.id)


class Upload:
    """One file on its way in, in one go. Holds no more than one chunk of it."""

    def __init__(self, uploads: Uploads, key_digest: bytes, *, name: str, label: str) -> None:
        """`label`: the type that the client says it has. Raises StorageUnavailable."""
        self._rows = uploads.rows
        self.name, self.label = name, label
        self._id = self._rows.begin(key_digest, name=name, media_type=label)
        self._writer = ChunkWriter(uploads, self._id)
        self._digest = hashlib.sha256()
        self._head = b""

    def write(self, data: bytes) -> None:
        """Raises BadRequest, RequestTooLarge or StorageUnavailable."""
        if len(self._head) < CHUNK_BYTES:
            self._head += data[: CHUNK_BYTES - len(self._head)]
        self._digest.update(data)
        self._writer.write(data)

    def finish(self, *, purpose: str, ttl_s: float, name: str | None = None) -> StoredFile:
        """`name`: in place of the first. Raises BadRequest or StorageUnavailable."""
        self._writer.flush()
        if self._writer.size == 0:
            raise BadRequest("file: the file is empty", param="file")
        done = self._rows.complete(
            self._id,
            self._writer.size,
            self._digest.hexdigest(),
            media_type=media_type(self._head, self.label, self.name),
            name=name,
            purpose=purpose,
            ttl_s=ttl_s,
        )
        if done is None:
            raise _interrupted()
        return done

    def abandon(self) -> None:
        """Raises StorageUnavailable."""
        self._rows.abandon(self._id)


class ChunkWriter:
    """Cuts what comes into chunks of an upload, from `size` bytes on."""

    def __init__(self, uploads: Uploads, id_: str, size: int = 0) -> None:
        self._uploads = uploads
        self._id = id_
        self._buffer = bytearray()
        self.size = size

    def write(self, data: bytes) -> None:
        """Raises RequestTooLarge, BadRequest or StorageUnavailable."""
        self._buffer += data
        if self.size + len(self._buffer) > self._uploads.max_bytes:
            raise attachment.too_large("file", self._uploads.max_bytes)
        while len(self._buffer) >= CHUNK_BYTES:
            self._store(bytes(self._buffer[:CHUNK_BYTES]))
            del self._buffer[:CHUNK_BYTES]

    def flush(self) -> None:
        """Store what is left."""
        if self._buffer:
            self._store(bytes(self._buffer))
            self._buffer.clear()

    def _store(self, chunk: bytes) -> None:
        if not self._uploads.rows.add(self._id, self.size, chunk):
            raise _interrupted()
        self.size += len(chunk)


def completed(uploads: Uploads, upload: StoredFile) -> StoredFile:
    """Make a file of an upload whose bytes came in several requests, maybe to several workers.
    Raises BadRequest, also where other than the announced bytes have come, of which none stay then;
    StorageUnavailable.
    """
    digest, head, size = hashlib.sha256(), b"", 0
    with Work() as work:
        for piece in uploads.rows.read(upload.id):
            head = head or piece
            size += len(piece)
            digest.update(piece)
            work.rest()
    if size == 0:
        raise BadRequest("the file is empty")
    if upload.declared_size not in (None, size):
        uploads.rows.abandon(upload.id)
        raise BadRequest(f"{upload.declared_size} bytes were announced, and {size} have come")
    kind = media_type(head, upload.media_type, upload.name)
    done = uploads.rows.complete(upload.id, size, digest.hexdigest(), media_type=kind)
    if done is None:
        raise _interrupted()
    return done


def _interrupted() -> BadRequest:
    return BadRequest("the upload is over, or other bytes of it came meanwhile")


def _no_such(name: str) -> NotFound:
    return NotFound(f"there is no file {name[:100]!r} (any more)")
