"""A file that stood in a request's body as base64, held as its bytes: a text of a third more is not
kept beside them, and made again piece by piece where it is written.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

from gbproxy.domain import base64_pieces

_LARGE_CHARS = 64 * 1024  # a shorter text may stay as it is


@dataclass(frozen=True, slots=True)
class InlineFile:
    """`prefix`: what stands before the base64: the head of a data URL, or nothing."""

    prefix: str
    content: bytes = field(repr=False)

    @classmethod
    def in_place_of(cls, text: str, content: bytes) -> Self | None:
        """The file whose text this is; None for a short one, and one that is no base64."""
        if len(text) < _LARGE_CHARS:
            return None
        prefix = text[: text.index(",") + 1] if text[:5].lower() == "data:" else ""
        is_base64 = not prefix or "base64" in prefix.lower()
        has_its_size = len(text) - len(prefix) == base64_pieces.encoded_size(content)
        return cls(prefix, content) if is_base64 and has_its_size else None
