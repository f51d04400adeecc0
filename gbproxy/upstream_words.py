"""What an upstream said when it failed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

_SAFE = ("verb", "http_status", "content_type", "status", "reasons", "domain", "quotas")


@dataclass(frozen=True, slots=True)
class UpstreamWords:
    """An upstream's reply in its own words: HTTP status and type, and the parts of Google's error.

    All but `message` and `body` are single words, fit for a log. Those two may quote anything: they
    are for the doctor and a capture alone.
    """

    verb: str = ""
    http_status: int | None = None
    content_type: str = ""
    status: str = ""
    reasons: tuple[str, ...] = ()
    domain: str = ""
    quotas: tuple[str, ...] = ()
    message: str = field(default="", repr=False)
    body: bytes = field(default=b"", repr=False)

    def safe(self) -> dict[str, Any]:
        """The parts that operators may see, as a JSON object without empty ones."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name in _SAFE
            if (value := getattr(self, name))
        }
