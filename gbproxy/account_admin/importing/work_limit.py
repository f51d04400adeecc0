"""Bounds on reading one paste: however it was made, each character is read a few times at most."""

from __future__ import annotations

from gbproxy.errors import BadRequest

WORD_CHARS = 65_536
"""What is read of one word: cookies and ids are shorter, and stand at the beginning of a body."""


class WorkLimit:
    """A budget. Both methods raise BadRequest when a text holds more than any browser copies."""

    def __init__(self, chars: int, *, words: int = 300_000) -> None:
        self._words = words
        self._chars = chars + chars // 2 + 100_000

    def spend(self, words: int = 1) -> None:
        """Charge a word of a command or a row of a list; a line costs several."""
        self._words -= words
        if self._words < 0:
            raise BadRequest(
                "the text holds too many commands and lines: paste only those of the Gemini"
                " Business page",
                param="text",
            )

    def backtrack(self, chars: int) -> None:
        """Charge reading that found nothing and begins again at another place."""
        self._chars -= chars
        if self._chars < 0:
            raise BadRequest(
                "the text is cut off or damaged in too many places: copy it anew", param="text"
            )
