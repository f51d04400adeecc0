"""A web search, which is told when its pages are known: the upstream names them at the text's end.

Source: https://platform.openai.com/docs/api-reference/responses-streaming, web_search_call
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gbproxy.api.openai.responses.events import EventWriter
from gbproxy.api.openai.responses.hosted_call import HostedCall
from gbproxy.api.openai.responses.output_item import Status

CALL = "web_search_call"
SOURCES = f"{CALL}.action.sources"  # of `include`


class SearchItem(HostedCall):
    """`pages`: the addresses to tell; None: the client does not want them. What was searched for is
    not known.
    """

    def __init__(
        self, writer: EventWriter, index: int, item_id: str, pages: Sequence[str] | None
    ) -> None:
        action: dict[str, Any] = {"type": "search", "query": ""}  # some clients demand one
        super().__init__(writer, index, item_id, CALL, "searching", action=action)
        self._pages = pages

    def _finish(self, status: Status) -> bytes:
        if self._pages is not None:
            sources = [{"type": "url", "url": page} for page in self._pages]
            self.item["action"]["sources"] = sources
        return super()._finish(status)
