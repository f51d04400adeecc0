"""Citations -> the annotations of a message. Sources:
https://platform.openai.com/docs/guides/tools-web-search, output and citations, and
https://platform.openai.com/docs/api-reference/responses/object.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from gbproxy.domain.events import Citation


def render(citations: Iterable[Citation]) -> list[dict[str, Any]]:
    """As a chat completion has them: each field but the type in an object of its own."""
    return [{"type": "url_citation", "url_citation": each} for each in _fields(citations)]


def render_flat(citations: Iterable[Citation]) -> list[dict[str, Any]]:
    """As a response has them."""
    return [{"type": "url_citation", **each} for each in _fields(citations)]


def _fields(citations: Iterable[Citation]) -> Iterator[dict[str, Any]]:
    """One for each source that has an address; indexes count code points.

    A grounded answer's addresses are Google's redirects, whose title or domain names the real site.
    """
    for citation in citations:
        if citation.uri:
            yield {
                "start_index": citation.start,
                "end_index": citation.end,
                "title": citation.title or citation.domain or citation.uri,
                "url": citation.uri,
            }
