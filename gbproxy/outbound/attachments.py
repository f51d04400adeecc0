"""Fetches linked attachments."""

from __future__ import annotations

from functools import partial

from gbproxy.domain import attachment
from gbproxy.domain.attachment import Attachment, LinkedAttachment, Wanted
from gbproxy.domain.media_types import media_type
from gbproxy.domain.slices import Work
from gbproxy.outbound.fetch import FetchLimits, FileFetcher


def fetched(
    link: LinkedAttachment,
    fetcher: FileFetcher,
    max_bytes: int,
    *,
    timeout_s: float = 30.0,
) -> Attachment:
    """The file that a link leads to. Raises BadRequest or RequestTooLarge."""
    limits = FetchLimits(max_bytes, timeout_s, partial(_refusal, link.wanted))
    file = fetcher.fetch(link.url, limits, link.place)
    name = link.name or file.name
    with Work() as work:
        return attachment.of_content(
            file.content, link.place, label=file.content_type, name=name, rest=work.rest
        )


def _refusal(wanted: Wanted, head: bytes, content_type: str) -> str | None:
    """Where an image is wanted, a page is what a login or an error page looks like."""
    kind = media_type(head, content_type)
    if wanted == "image" and kind == "text/html":
        return "is a web page, not an image"
    return None
