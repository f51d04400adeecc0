"""The text of an answer so far, kept as far as it must be compared with what follows."""

from __future__ import annotations

from hashlib import sha256

# of a longer answer, at least the last so many; all before that is known by its digest
KEPT_CHARS = 128 * 1024
_MANY_FRAGMENTS = 1000  # small ones take many times the room of what they say


class Said:
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

    def add(self, fragment: str) -> None:
        self.fragments += 1
        self.characters += len(fragment)
        self._kept.append(fragment)
        self._kept_chars += len(fragment)
        if self._kept_chars > 2 * self._most_chars:
            self._let_go()
        elif len(self._kept) > _MANY_FRAGMENTS:
            self._kept = ["".join(self._kept)]

    def is_again(self, text: str) -> bool:
        """True if this is the whole answer so far, but for white space around it."""
        text, kept = text.strip(), "".join(self._kept)
        if not self._begins_at:
            return text == kept.strip()
        tail = kept.rstrip()
        at = len(text) - len(tail)
        return (
            text.endswith(tail)
            and at >= 0
            and sha256(text[:at].encode()).digest() == self._digest.digest()
        )

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
