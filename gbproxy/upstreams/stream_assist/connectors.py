"""Data sources that are connected to an account and could not sign in. Source: docs/upstream.md,
elements.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gbproxy.observability import request_context
from gbproxy.upstreams.stream_assist.fields import as_list, as_mapping, as_text

log = logging.getLogger(__name__)

_MOST = 100
_PLAIN = re.compile("[A-Za-z]{1,40}")
DOUBT = (
    "data sources that are connected to the account could not sign in: open its page and sign in to"
    " them there"
)


@dataclass(slots=True)
class Connectors:
    """Those that one answer has named; the log is told once for each kind that it names."""

    kinds: dict[str, None] = field(default_factory=dict)

    def read(self, response: Mapping[str, Any]) -> None:
        errors = as_list(response.get("connectorAuthErrors"))[:_MOST]
        kinds = dict.fromkeys(
            _kind(as_text(as_mapping(error).get("dataConnector"))) for error in errors
        )
        if errors and not self.kinds:
            account = request_context.current().log_fields.get("account")
            log.warning("connectors.refused", extra={"account": account, "kinds": sorted(kinds)})
        self.kinds |= kinds

    def doubts(self) -> list[str]:
        """Possible causes of an answer without content."""
        return [DOUBT] if self.kinds else []


def _kind(name: str) -> str:
    """The end of a resource's name without ids, which stand at every second place:
    `collections/-/dataConnector`.
    """
    shown = [
        place if index % 2 == 0 and _PLAIN.fullmatch(place) else "-"
        for index, place in enumerate(name.split("/"))
    ]
    return "/".join(shown[-3:])
