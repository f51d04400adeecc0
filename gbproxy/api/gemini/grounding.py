"""Citations -> the grounding metadata of a candidate.

Source: https://ai.google.dev/api/generate-content#GroundingMetadata.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gbproxy.domain.events import Citation

MOST_KEPT_CHARS = 1_000_000  # of an answer's text, to which the segments refer


class KeptText:
    """The text of an answer, for its segments; one that is too long is not kept."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._chars = 0

    def add(self, piece: str) -> None:
        self._chars += len(piece)
        if self._chars > MOST_KEPT_CHARS:
            self._pieces.clear()
        else:
            self._pieces.append(piece)

    def result(self) -> str | None:
        return "".join(self._pieces) if self._chars <= MOST_KEPT_CHARS else None


def render(citations: Iterable[Citation], text: str | None) -> dict[str, Any] | None:
    """None without a source that has an address. Of a text that is not known no segment is named.

    A grounded answer's addresses are Google's redirects; the title or domain names the real site.
    """
    chunks: dict[str, dict[str, Any]] = {}
    sources: dict[tuple[int, int], list[int]] = {}  # of each stretch of the text
    for citation in citations:
        if not citation.uri:
            continue
        chunks.setdefault(citation.uri, _web(citation))
        index = list(chunks).index(citation.uri)
        found = sources.setdefault((citation.start, citation.end), [])
        if index not in found:
            found.append(index)
    if not chunks:
        return None
    metadata: dict[str, Any] = {"groundingChunks": [{"web": web} for web in chunks.values()]}
    if text is not None:
        metadata["groundingSupports"] = [
            {"segment": _segment(text, *stretch), "groundingChunkIndices": indices}
            for stretch, indices in sources.items()
        ]
    return metadata


def _web(citation: Citation) -> dict[str, Any]:
    web = {
        "uri": citation.uri,
        "title": citation.title or citation.domain or citation.uri,
        "domain": citation.domain,
    }
    return {name: value for name, value in web.items() if value}


def _segment(text: str, start: int, end: int) -> dict[str, Any]:
    """Indexes count the bytes of UTF-8, where citations count code points."""
    cited = text[start:end]
    begin = len(text[:start].encode("utf-8", "surrogatepass"))
    length = len(cited.encode("utf-8", "surrogatepass"))
    return {"startIndex": begin, "endIndex": begin + length, "text": cited}
