"""How much work one paste may be: every character is read a few times at most, whoever wrote it."""

from __future__ import annotations

from gbproxy.errors import BadRequest

WORD_CHARS = 65_536
"""What is read of one word: cookies and ids are shorter, and stand at the beginning of a body."""


class WorkLimit:
    """Spent while reading. Raises BadRequest when a text holds more than any browser copies."""

    def __init__(self, chars: int, *, words: int = 300_000) -> None:
        self._words = words
        self._chars = chars + chars // 2 + 100_000

    def spend(self, words: int = 1) -> None:
        """For each word of a command and each row of a list; a line costs as much as some words."""
        self._words -= words
        if self._words < 0:
            raise BadRequest(
                "the text holds too many commands and lines: paste only those of the Gemini"
                " Business page",
                param="text",
            )

    def backtrack(self, chars: int) -> None:
        """For reading that came to nothing and will be done once more from another place."""
        self._chars -= chars
        if self._chars < 0:
            raise BadRequest(
                "the text is cut off or damaged in too many places: copy it anew", param="text"
            )
