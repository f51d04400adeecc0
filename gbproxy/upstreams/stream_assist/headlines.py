"""Status headlines, such as `**Assessing the Request**`: sent like text, alone, before an answer.

Only their words count: Google varies case, the `**` around them and white space. Source:
docs/upstream.md, elements.
"""

from __future__ import annotations

from collections.abc import Iterable


def normalized(text: str) -> str:
    """A text in the form in which headlines are compared."""
    return " ".join(text.split()).strip("* ").casefold()


def normalized_all(headlines: Iterable[str]) -> frozenset[str]:
    """Headlines as the setting has them, made ready to be compared. One without words is left out:
    it would equal white space.
    """
    return frozenset(filter(None, map(normalized, headlines)))
