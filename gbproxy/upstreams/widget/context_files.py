"""Files that are put into a session: the body that carries one, the id that comes back, and why one
is not wanted.

Source: docs/upstream.md, files.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from gbproxy.domain import base64_pieces, media_type_names
from gbproxy.domain.account import Account
from gbproxy.domain.attachment import Attachment
from gbproxy.errors import (
    BadRequest,
    ContextLengthExceeded,
    GatewayError,
    RequestRefused,
    RequestTooLarge,
    UpstreamProtocolError,
)
from gbproxy.upstreams.decoding.objects import as_mapping, as_text
from gbproxy.upstreams.widget import bodies, session_names
from gbproxy.upstreams.widget.bodies import WidgetSettings

_FILE_ID = re.compile(r"[!-~]{1,200}")
_FILTER_REASON = "MODEL_ARMOR_VIOLATION"
_UNSUPPORTED_TYPE = re.compile(
    r"(unsupported|not supported|invalid|unknown)\b.{0,40}\b(file|mime|media|content)[ _]?type"
    r"|\b(file|mime|media|content)[ _]?type\b.{0,80}\b(unsupported|not (supported|allowed))",
    re.IGNORECASE,
)
_TOO_LARGE = re.compile(
    r"\btoo (large|big)\b|\bexceed|\b(larger|bigger) than\b|\b(size|token) limit\b", re.IGNORECASE
)


class FileBody:
    """The body of `widgetAddContextFile`. The file's base64 is made while it is sent: never is all
    of it held.
    """

    def __init__(
        self, account: Account, session: str, attachment: Attachment, settings: WidgetSettings
    ) -> None:
        # Stands where the base64 belongs; nobody can have written it into a file's name.
        mark = secrets.token_hex(16)
        request = {
            "name": session_names.short(session),
            "fileName": attachment.name,
            "mimeType": attachment.media_type,
            "fileContents": mark,
        }
        whole = bodies.call(account, {"addContextFileRequest": request}, settings)
        self._head, _, self._tail = whole.partition(mark.encode())
        self._content = attachment.content

    def __len__(self) -> int:
        return len(self._head) + base64_pieces.encoded_size(self._content) + len(self._tail)

    def __iter__(self) -> Iterator[bytes]:
        yield self._head
        yield from base64_pieces.encoded(self._content)
        yield self._tail


def file_id(answer: Mapping[str, Any]) -> str:
    """The id in the answer to an upload. Raises UpstreamProtocolError when there is none."""
    # The official API has no wrapper, and one client has found the id in an object of its own.
    added = as_mapping(answer.get("addContextFileResponse")) or answer
    found = as_text(added.get("fileId")) or as_text(
        as_mapping(added.get("contextFile")).get("fileId")
    )
    if not _FILE_ID.fullmatch(found):
        raise UpstreamProtocolError("the upstream took a file without telling its id")
    return found


def relabelled(error: GatewayError, attachment: Attachment) -> Attachment | None:
    """The file under a plainer type, where this error of its upload refuses the type that it has;
    None where there is nothing to try.
    """
    if not isinstance(error, RequestRefused) or _is_filtered(error):
        return None
    kind = media_type_names.plainer(attachment.media_type)
    if not kind or not _UNSUPPORTED_TYPE.search(error.message):
        return None
    name = media_type_names.file_name(attachment.name, kind)
    return replace(attachment, name=name, media_type=kind)


def blamed(error: GatewayError, attachment: Attachment) -> GatewayError:
    """The error of a refused upload, put down to the file where the upstream says so."""
    place = attachment.place
    if isinstance(error, ContextLengthExceeded):  # what a 413 is elsewhere
        return _too_large(place)
    if not isinstance(error, RequestRefused):
        return error
    if _is_filtered(error):
        why = "the upstream's content filter refuses this file"
    elif _UNSUPPORTED_TYPE.search(error.message):
        why = f"the upstream takes no files of the type {attachment.media_type}"
    elif _TOO_LARGE.search(error.message):
        return _too_large(place)
    else:
        why = "the upstream refuses this file"
    return BadRequest(f"{place}: {why}", param=place)


def _is_filtered(error: RequestRefused) -> bool:
    return error.said is not None and _FILTER_REASON in error.said.reasons


def _too_large(place: str) -> RequestTooLarge:
    return RequestTooLarge(f"{place}: the file is larger than the upstream takes", param=place)
