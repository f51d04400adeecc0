"""The files of a part -> attachments. Source: https://ai.google.dev/api/caching, Blob, FileData."""

from __future__ import annotations

from collections.abc import Callable

from gbproxy.api.gemini.body import BlobBody, FileDataBody
from gbproxy.domain import attachment
from gbproxy.domain.attachment import Attachment, LinkedAttachment
from gbproxy.domain.base64_pieces import go_on
from gbproxy.errors import BadRequest

_UPLOADED = ("files/", "https://generativelanguage.googleapis.com/")


class FileReader:
    """`max_bytes`: of each file; `rest` is called every few milliseconds of long work."""

    def __init__(self, max_bytes: int, rest: Callable[[], None] = go_on) -> None:
        self._max_bytes = max_bytes
        self._rest = rest

    def inline(self, blob: BlobBody, place: str) -> Attachment:
        """`place`: where the blob stands. Raises BadRequest or RequestTooLarge."""
        return attachment.of_data(
            self._standard(blob.data),
            f"{place}.data",
            self._max_bytes,
            label=blob.mime_type or "",
            name=blob.display_name or "",
            rest=self._rest,
        )

    def linked(self, file: FileDataBody, place: str) -> Attachment | LinkedAttachment:
        """As `inline`, for a file that stands under a URL."""
        place = f"{place}.fileUri"
        if file.file_uri.startswith(_UPLOADED):
            raise BadRequest(f"{place}: there is no such file", param=place)
        is_image = (file.mime_type or "").startswith("image/")
        return attachment.of_url(
            file.file_uri,
            place,
            self._max_bytes,
            name=file.display_name or "",
            wanted="image" if is_image else "file",
            rest=self._rest,
        )

    def _standard(self, data: str) -> str:
        """Base64 in its standard form: Google takes it in that for URLs too, which its SDK for
        Python sends, and without padding.
        """
        for letter, standard in (("-", "+"), ("_", "/")):
            if letter in data and "," not in data:  # a data URL stays as it is
                data = data.replace(letter, standard)
                self._rest()
        return data + "=" * (-len(data) % 4) if "," not in data else data
