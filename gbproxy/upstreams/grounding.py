"""Grounding metadata -> citations. Google counts in UTF-8 bytes, and writes 64-bit numbers as strings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gbproxy.domain.events import Citation


def citations(metadata: Mapping[str, Any], *, fragment: str, texts: Sequence[str]) -> list[Citation]:
    """The sources that `metadata` names for the answer `texts`, whose newest fragment is `fragment` (or "").

    A segment counts from the beginning of its own fragment; where it reaches beyond it, from the beginning of the answer.
    Source: docs/upstream.md, elements.
    """
    references = [_source(reference) for reference in metadata.get("references") or () if isinstance(reference, dict)]
    answer = "".join(texts)
    found: list[Citation] = []
    named: set[int] = set()
    for segment in metadata.get("segments") or ():
        if not isinstance(segment, dict):
            continue
        start, end = _span(segment, fragment, answer)
        for index in segment.get("referenceIndices") or ():
            number = _int(index)
            if 0 <= number < len(references):
                named.add(number)
                found.append(Citation(start, end, *references[number]))
    unnamed = (source for number, source in enumerate(references) if number not in named)
    return [*found, *(Citation(len(answer), len(answer), *source) for source in unnamed)]


def _span(segment: Mapping[str, Any], fragment: str, answer: str) -> tuple[int, int]:
    start, end = _int(segment.get("startIndex")), _int(segment.get("endIndex"))
    text, offset = fragment.encode(), len(answer) - len(fragment)
    if end > len(text):
        text, offset = answer.encode(), 0
    return offset + _characters(text, start), offset + _characters(text, max(start, end))


def _characters(text: bytes, size: int) -> int:
    return len(text[:size].decode("utf-8", "ignore"))


def _source(reference: Mapping[str, Any]) -> tuple[str, str, str]:
    document = reference.get("documentMetadata")
    document = document if isinstance(document, dict) else {}
    return str(document.get("uri") or ""), str(document.get("title") or ""), str(document.get("domain") or "")


def _int(value: object) -> int:
    """A count in either JSON form; anything else is 0."""
    if isinstance(value, int):
        return value
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 19 else 0
