"""The files that an upstream session holds, by the digest of their bytes: what is there already is
named by its id and not sent again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gbproxy.domain import jsontext


@dataclass(frozen=True, slots=True)
class SessionFile:
    """`id`: the upstream's; `name`: what it was sent as."""

    id: str
    name: str


SessionFiles = Mapping[str, SessionFile]


def encode(files: SessionFiles) -> str:
    """The text that a session's record keeps; "" for none."""
    if not files:
        return ""
    return jsontext.encode({digest: [file.id, file.name] for digest, file in files.items()})


def decode(text: str) -> dict[str, SessionFile]:
    """Read what `encode` has written."""
    if not text:
        return {}
    files = jsontext.decode(text)
    return {digest: SessionFile(id_, name) for digest, (id_, name) in files.items()}
