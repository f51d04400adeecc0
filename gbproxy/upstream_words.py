"""The upstream's own words, as errors carry them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class UpstreamWords:
    """What a reply of the upstream said: its HTTP status and type, and of Google's error the status
    word, reasons, quota ids.

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
        """What may be shown to operators, as JSON has it; without what was not said."""
        named = {
            "verb": self.verb,
            "http_status": self.http_status,
            "content_type": self.content_type,
            "status": self.status,
            "reasons": list(self.reasons),
            "domain": self.domain,
            "quotas": list(self.quotas),
        }
        return {name: value for name, value in named.items() if value}
