"""Citations -> the annotations of a message. Source:
https://platform.openai.com/docs/guides/tools-web-search, output and citations.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gbproxy.domain.events import Citation


def render(citations: Iterable[Citation]) -> list[dict[str, Any]]:
    """One `url_citation` for each source that has an address; indexes count code points.

    A grounded answer's addresses are Google's redirects, whose title or domain names the real site.
    """
    return [
        {
            "type": "url_citation",
            "url_citation": {
                "start_index": citation.start,
                "end_index": citation.end,
                "title": citation.title or citation.domain or citation.uri,
                "url": citation.uri,
            },
        }
        for citation in citations
        if citation.uri
    ]
