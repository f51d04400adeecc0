"""The text of a file that people have made, also with Windows' tools."""

from __future__ import annotations

import codecs

_MARKS = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}


def decoded(content: bytes) -> str:
    """UTF-8, or UTF-16 as some editors and PowerShell write it; without the mark at its beginning.

    Raises ValueError with what it is instead, never with what stands there.
    """
    mark = content[:2]
    encoding = _MARKS.get(mark) or _unmarked(content)
    try:
        text = content.decode(encoding).removeprefix("\ufeff")
    except UnicodeDecodeError:
        raise ValueError(
            f"is not {'UTF-16' if encoding.startswith('utf-16') else 'UTF-8'} text"
        ) from None
    if "\0" in text:
        raise ValueError("holds NUL characters, so it is no text")
    return text


def _unmarked(content: bytes) -> str:
    """Letters and digits of UTF-16 have a zero on one side; text in UTF-8 has none at all."""
    zeros = [content[side::2].count(0) for side in (0, 1)]
    most = len(content) // 4  # half of all characters
    if zeros[1] > most and not zeros[0]:
        return "utf-16-le"
    return "utf-16-be" if zeros[0] > most and not zeros[1] else "utf-8"
