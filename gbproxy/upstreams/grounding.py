"""Grounding metadata -> citations. Google counts in UTF-8 bytes, and writes 64-bit numbers as strings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gbproxy.domain.events import Citation
from gbproxy.upstreams.fields import as_list, as_mapping, as_text


def citations(metadata: Mapping[str, Any], *, fragment: str, texts: Sequence[str]) -> list[Citation]:
    """The sources that `metadata` names for the answer `texts`, whose newest fragment is `fragment` (or "").

    A segment counts from the beginning of its own fragment; where it reaches beyond it, from the beginning of the answer.
    Source: docs/upstream.md, elements.
    """
    references = [
        _source(reference) for reference in as_list(metadata.get("references")) if isinstance(reference, dict)
    ]
    answer = "".join(texts)
    found: list[Citation] = []
    named: set[int] = set()
    for segment in as_list(metadata.get("segments")):
        if not isinstance(segment, dict):
            continue
        start, end = _span(segment, fragment, answer)
        for index in as_list(segment.get("referenceIndices")):
            number = _int(index)
            if number is not None and number < len(references):
                named.add(number)
                found.append(Citation(start, end, *references[number]))
    unnamed = (source for number, source in enumerate(references) if number not in named)
    return [*found, *(Citation(len(answer), len(answer), *source) for source in unnamed)]


def _span(segment: Mapping[str, Any], fragment: str, answer: str) -> tuple[int, int]:
    start, end = _int(segment.get("startIndex")) or 0, _int(segment.get("endIndex")) or 0
    text, offset = fragment.encode(), len(answer) - len(fragment)
    if end > len(text):
        text, offset = answer.encode(), 0
    return offset + _characters(text, start), offset + _characters(text, max(start, end))


def _characters(text: bytes, size: int) -> int:
    return len(text[:size].decode("utf-8", "ignore"))


def _source(reference: Mapping[str, Any]) -> tuple[str, str, str]:
    document = as_mapping(reference.get("documentMetadata"))
    return as_text(document.get("uri")), as_text(document.get("title")), as_text(document.get("domain"))


def _int(value: object) -> int | None:
    """A count in either JSON form; None for anything else, also for negative ones."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value if value >= 0 else None
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20 else None
