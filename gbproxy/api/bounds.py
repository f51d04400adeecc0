"""How many items one request may hold, the same in every format: each costs time on the event loop
that all clients of a worker share.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gbproxy.errors import BadRequest

MOST_MESSAGES = 10_000
MOST_PARTS = 50_000  # in all messages; a tool call is one
MOST_TOOLS = 2_000


def refuse_too_many(body: Mapping[str, Any], **most: int) -> None:
    """Raises BadRequest for a list of the body that is longer than `most` allows: before it is
    validated, which would take seconds.
    """
    for name, limit in most.items():
        items = body.get(name)
        if isinstance(items, list) and len(items) > limit:
            raise BadRequest(
                f"{name}: at most {limit} are taken, and these are {len(items)}", param=name
            )
