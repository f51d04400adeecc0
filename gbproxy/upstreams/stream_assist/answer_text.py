"""The text of one answer: what of it must be compared with what follows, and the headlines that
come ahead of it. Source: docs/upstream.md, elements.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256

# of a longer answer, at least the last so many; all before that is known by its digest
KEPT_CHARS = 128 * 1024
_MANY_FRAGMENTS = 1000  # small ones take many times the room of what they say

_REPEATED_CHARS = 16  # a shorter text may stand twice in an answer by itself
_SENTENCE_CHARS = 6  # unless it is a sentence that has come in pieces
_SENTENCE_ENDS = tuple(".!?…。！？")
_LETTERS = 4  # that differ: digits and syllables repeat


class AnswerText:
    """The text of one answer, of which little is kept however long it grows."""

    def __init__(self, kept_chars: int = KEPT_CHARS) -> None:
        self._most_chars = kept_chars
        self.fragments = 0
        self.characters = 0
        self._begins_at = 0  # which of them is the first of `_kept`
        self._kept: list[str] = []
        self._kept_chars = 0
        self._digest = sha256()  # of what is not kept any more

    def __bool__(self) -> bool:
        return self.fragments > 0

    def add(self, fragment: str, *, joined_of: int = 1) -> None:
        """Add a fragment, or the text of so many that came together."""
        self.fragments += joined_of
        self.characters += len(fragment)
        self._kept.append(fragment)
        self._kept_chars += len(fragment)
        if self._kept_chars > 2 * self._most_chars:
            self._let_go()
        elif len(self._kept) > _MANY_FRAGMENTS:
            self._kept = ["".join(self._kept)]

    def is_again(self, text: str) -> bool:
        """True if this is the whole answer so far, but for white space around it."""
        text = text.strip()
        # Nearly always a last text that goes on: saves 500 µs of an answer of 200 KB.
        if self._kept and not text.endswith(self._kept[-1].strip()):
            return False
        kept = "".join(self._kept)
        if not self._begins_at:
            return text == kept.strip()
        tail = kept.rstrip()
        at = len(text) - len(tail)
        return (
            text.endswith(tail)
            and at >= 0
            and sha256(text[:at].encode()).digest() == self._digest.digest()
        )

    def is_repeat(self, last: str, planned: str) -> bool:
        """True if `last`, a text that `is_again`, does not belong to the answer: by the text that
        the model `planned`, or else by what cannot be chance.
        """
        said = self.whole
        if said is None:  # so long a text is not repeated by chance
            return True
        if planned in (said.strip(), (said + last).strip()):
            return planned == said.strip()
        return _cannot_be_chance(last.strip(), is_whole=last == said, pieces=self.fragments)

    @property
    def whole(self) -> str | None:
        """All of it, as long as all of it is kept."""
        return None if self._begins_at else "".join(self._kept)

    def _let_go(self) -> None:
        text = "".join(self._kept)
        gone, rest = text[: -self._most_chars], text[-self._most_chars :]
        self._kept, self._kept_chars = [rest], len(rest)
        self._digest.update((gone if self._begins_at else gone.lstrip()).encode())
        self._begins_at += len(gone)


def _cannot_be_chance(said: str, *, is_whole: bool, pieces: int) -> bool:
    """True for a text that an answer would not say twice in a row. To show a repeat does less harm
    than to lose a text.
    """
    letters = "".join(filter(str.isalpha, said)).casefold()
    # A text that consists of repetitions may go on repeating.
    if len(set(letters)) < _LETTERS or letters in (letters + letters)[1:-1]:
        return False
    if len(said) >= _REPEATED_CHARS:
        return True
    return (
        is_whole and pieces > 1 and len(said) >= _SENTENCE_CHARS and said.endswith(_SENTENCE_ENDS)
    )


def normalized(headline: str) -> str:
    """A status headline, such as `**Assessing the Request**`, in the form in which headlines are
    compared. Only their words count: Google varies case, the `**` around them and white space.
    """
    return " ".join(headline.split()).strip("* ").casefold()


def normalized_all(headlines: Iterable[str]) -> frozenset[str]:
    """Headlines as the setting has them, made ready to be compared. One without words is left out:
    it would equal white space.
    """
    return frozenset(filter(None, map(normalized, headlines)))
