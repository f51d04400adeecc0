"""The gateway as a program is told of it: its address, a key, and models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gbproxy.domain.catalogue import AUTOMATIC, BUILT_IN

KEY = "$API_KEY"
"""Stands for the key wherever one is shown."""

_SMALL = "gemini-3.5-flash-lite"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """`url`: without `/v1` and without a slash at its end. `model`: the chosen one; None: what
    suits the program best. `models`: ids of all that answer with text.
    """

    url: str
    model: str | None = None
    models: tuple[str, ...] = tuple(each.id for each in BUILT_IN if not each.makes_media)
    default: str = AUTOMATIC
    key: str = KEY

    def model_for(self, preferred: str | None) -> str:
        """The chosen model, or the preferred one where there is such a model, or the default."""
        if self.model is not None:
            return self.model
        return preferred if preferred in self.models else self.default

    def words(self, preferred: str | None = None) -> Mapping[str, str]:
        """What the marks in the values of a program stand for."""
        return {
            "{url}": self.url,
            "{key}": self.key,
            "{model}": self.model_for(preferred),
            "{small}": _SMALL if _SMALL in self.models else self.model_for(preferred),
        }


def filled(value: Any, words: Mapping[str, str]) -> Any:
    """A text, or a nested object of texts, with each mark replaced. Replaced texts are not looked
    into again: a key may contain what looks like a mark.
    """
    if isinstance(value, str):
        return _filled_text(value, words)
    if isinstance(value, Mapping):
        return {_filled_text(name, words): filled(each, words) for name, each in value.items()}
    return value


def _filled_text(text: str, words: Mapping[str, str]) -> str:
    for mark, word in words.items():
        before, found, after = text.partition(mark)
        if found:
            return _filled_text(before, words) + word + _filled_text(after, words)
    return text
