"""The files of a part -> attachments. Source: https://ai.google.dev/api/caching, Blob, FileData."""

from __future__ import annotations

import re
from collections.abc import Callable

from gbproxy.api.gemini.body import BlobBody, FileDataBody
from gbproxy.domain import attachment
from gbproxy.domain.attachment import Attachment, LinkedAttachment, StoredAttachment, Wanted
from gbproxy.domain.base64_pieces import go_on

# As this gateway says it, wherever it is reached, or as Google's programs shorten it.
_UPLOADED = re.compile(
    r"(?:https?://[^?#]+/v1(?:beta|alpha)?/)?files/([0-9a-f]{32})", re.IGNORECASE
)
_GOOGLES = ("files/", "https://generativelanguage.googleapis.com/")


class FileReader:
    """`max_bytes`: of each file; `rest` is called every few milliseconds of long work."""

    def __init__(self, max_bytes: int, rest: Callable[[], None] = go_on) -> None:
        self._max_bytes = max_bytes
        self._rest = rest

    def inline(self, blob: BlobBody, place: str) -> Attachment:
        """`place`: where the blob stands. Raises BadRequest or RequestTooLarge."""
        return attachment.of_data(
            blob.data,
            f"{place}.data",
            self._max_bytes,
            label=blob.mime_type or "",
            name=blob.display_name or "",
            is_lax=True,  # Google takes both, and its SDK for Python sends the form for URLs
            rest=self._rest,
        )

    def linked(self, file: FileDataBody, place: str) -> Attachment | LinkedAttachment:
        """As `inline`, for a file that stands under a URL."""
        place = f"{place}.fileUri"
        is_image = (file.mime_type or "").startswith("image/")
        if uploaded := _UPLOADED.fullmatch(file.file_uri):
            wanted: Wanted = "image" if is_image else "file"
            return StoredAttachment(uploaded[1], place, file.display_name or "", wanted)
        if file.file_uri.startswith(_GOOGLES):
            raise attachment.no_such_file(place)
        return attachment.of_url(
            file.file_uri,
            place,
            self._max_bytes,
            name=file.display_name or "",
            wanted="image" if is_image else "file",
            rest=self._rest,
        )
