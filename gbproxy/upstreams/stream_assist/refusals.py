"""Reads out of an answer why it has no content: the account's policy, and connected data sources
that could not sign in.

Source: docs/upstream.md, elements.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from gbproxy.observability import request_context
from gbproxy.upstreams.decoding.objects import as_list, as_mapping, as_text
from gbproxy.upstreams.stream_assist.wording import enum_word

log = logging.getLogger(__name__)

_REFUSES_NOTHING = ("", "ALLOW", "VERDICT_UNSPECIFIED")
_MOST = 100  # results and errors that are looked at
_IGNORED = "The upstream took the message for no question and did not answer it."
_SKIPPED = "The upstream skipped the message"
_BLOCKED = {
    "PROMPT": "The prompt was blocked",
    "ATTACHMENT": "An attachment of the prompt was blocked",
}
_FILTER_FAILED = "the policy's filter (Model Armor) reported a failure of its own"
_NOT_SIGNED_IN = (
    "data sources that are connected to the account could not sign in: open its page and sign in to"
    " them there"
)
_PLAIN = re.compile("[A-Za-z]{1,40}")


@dataclass(slots=True)
class Policy:
    """The policy's verdict on one answer; the last element that names one counts."""

    verdict: str = ""
    source: str = ""  # SYSTEM, PROMPT, ATTACHMENT, or a word that is not known yet
    has_failed_filter: bool = False

    def read(self, answer: Mapping[str, Any]) -> None:
        result = as_mapping(answer.get("customerPolicyEnforcementResult"))
        if not result:
            return
        if result.get("verdict"):
            self.verdict = enum_word(result["verdict"]) or "unreadable"
        self.source = enum_word(result.get("violationSource")) or self.source
        for each in islice(map(as_mapping, as_list(result.get("policyResults"))), _MOST):
            if as_mapping(each.get("modelArmorEnforcementResult")).get("error"):
                self.has_failed_filter = True

    @property
    def blocks(self) -> bool:
        return self.verdict == "BLOCK"

    def refusal(self, skipped_reasons: list[Any]) -> str:
        """The reason of a blocked or skipped answer, as a sentence for the client."""
        if self.blocks or "CUSTOMER_POLICY_VIOLATION" in skipped_reasons:
            what = _BLOCKED.get(self.source, "The answer was blocked")
            return (
                f"{what} by the policy in force for this Gemini Business account{self._details()}."
            )
        if "NON_ASSIST_SEEKING_QUERY_IGNORED" in skipped_reasons:
            return _IGNORED
        reasons = ", ".join(filter(None, map(enum_word, skipped_reasons[:3])))
        return (
            f"{_SKIPPED}{f' ({reasons})' if reasons else ', without saying why'}{self._details()}."
        )

    def doubts(self) -> list[str]:
        """Possible causes of an answer without content; the upstream does not name the cause."""
        doubts = [f"its policy verdict was {self.verdict}"] if self._is_unknown else []
        return [*doubts, _FILTER_FAILED] if self.has_failed_filter else doubts

    @property
    def _is_unknown(self) -> bool:
        return self.verdict not in _REFUSES_NOTHING and not self.blocks

    def _details(self) -> str:
        doubts = self.doubts()
        return f": {' and '.join(doubts)}" if doubts else ""


@dataclass(slots=True)
class Connectors:
    """Connected data sources that could not sign in, by the kinds that one answer has named; logged
    once for each answer.
    """

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
        return [_NOT_SIGNED_IN] if self.kinds else []


def _kind(name: str) -> str:
    """The end of a resource's name without ids, which stand at every second place:
    `collections/-/dataConnector`.
    """
    shown = [
        place if index % 2 == 0 and _PLAIN.fullmatch(place) else "-"
        for index, place in enumerate(name.split("/"))
    ]
    return "/".join(shown[-3:])
