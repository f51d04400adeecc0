"""Reads an account's policies from an answer: what they blocked, and why. Source:
docs/upstream.md, elements.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from gbproxy.upstreams.stream_assist.fields import as_list, as_mapping
from gbproxy.upstreams.stream_assist.words import enum_word

_REFUSES_NOTHING = ("", "ALLOW", "VERDICT_UNSPECIFIED")
_MOST = 100  # results that are looked at
_IGNORED = "The upstream took the message for no question and did not answer it."
_SKIPPED = "The upstream skipped the message"
_BLOCKED = {
    "PROMPT": "The prompt was blocked",
    "ATTACHMENT": "An attachment of the prompt was blocked",
}
_FILTER_FAILED = "the policy's filter (Model Armor) reported a failure of its own"


@dataclass(slots=True)
class Policy:
    """The policy as told by the elements of one answer; the last that tells something counts."""

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
        """Why there is no answer, in a sentence: the upstream has blocked or skipped it."""
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
        """Possible causes of an answer without content; whether one is the cause, the upstream does
        not say.
        """
        doubts = [f"its policy verdict was {self.verdict}"] if self._is_unknown else []
        return [*doubts, _FILTER_FAILED] if self.has_failed_filter else doubts

    @property
    def _is_unknown(self) -> bool:
        return self.verdict not in _REFUSES_NOTHING and not self.blocks

    def _details(self) -> str:
        doubts = self.doubts()
        return f": {' and '.join(doubts)}" if doubts else ""
