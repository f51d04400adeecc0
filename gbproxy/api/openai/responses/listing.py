"""A page of a list of items. Source:
https://platform.openai.com/docs/api-reference/responses/input-items
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from gbproxy.api.openai.responses.body import Item
from gbproxy.errors import BadRequest
from gbproxy.web.operations import Parameter

_MOST = 100
_USUAL = 20

PAGE = (
    Parameter(name="limit", place="query", description=f"how many items, up to {_MOST}"),
    Parameter(name="order", place="query", description="asc, or desc: the newest first"),
    Parameter(name="after", place="query", description="the id of the item before the first one"),
)


@dataclass(frozen=True, slots=True)
class Page:
    """`after`: the id of the item before the first one."""

    limit: int = _USUAL
    is_ascending: bool = False
    after: str | None = None

    @classmethod
    def of(cls, arguments: Mapping[str, str]) -> Self:
        """From a query. Raises BadRequest, whose `param` names the argument."""
        limit, order = arguments.get("limit", str(_USUAL)), arguments.get("order", "desc")
        if not re.fullmatch("[0-9]{1,3}", limit) or not 1 <= int(limit) <= _MOST:
            raise BadRequest(f"limit must be between 1 and {_MOST}", param="limit")
        if order not in ("asc", "desc"):
            raise BadRequest("order must be asc or desc", param="order")
        return cls(int(limit), order == "asc", arguments.get("after"))

    def of_items(self, oldest_first: Sequence[Item]) -> dict[str, Any]:
        """The list object with this page of the items. Raises BadRequest."""
        items = list(oldest_first if self.is_ascending else reversed(oldest_first))
        if self.after is not None:
            ids = [item["id"] for item in items]
            if self.after not in ids:
                raise BadRequest("after names no item of this list", param="after")
            items = items[ids.index(self.after) + 1 :]
        page = items[: self.limit]
        return {
            "object": "list",
            "data": page,
            "first_id": page[0]["id"] if page else None,
            "last_id": page[-1]["id"] if page else None,
            "has_more": len(items) > len(page),
        }
