"""Grounding metadata -> citations. Google counts in UTF-8 bytes, and writes 64-bit numbers as
strings.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from itertools import accumulate
from typing import Any

from gbproxy.domain.events import Citation
from gbproxy.upstreams.decoding.objects import as_list, as_mapping, as_text
from gbproxy.upstreams.stream_assist.answer_text import AnswerText

_MOST_REFERENCES = 1000
_STEP_BYTES = 4096
# all but those that continue a character
_BEGINNINGS = bytes(byte for byte in range(256) if byte & 0xC0 != 0x80)


def citations(
    metadata: Mapping[str, Any], *, fragment: str, said: AnswerText, at_most: int
) -> list[Citation]:
    """The sources that `metadata` names for what was `said`, whose newest fragment is `fragment`
    (or "").

    A segment counts from the beginning of its own fragment; where it reaches beyond it, from the
    beginning of the answer. Source: docs/upstream.md, elements.
    """
    listed = as_list(metadata.get("references"))[:_MOST_REFERENCES]
    references = [_source(reference) for reference in listed if isinstance(reference, dict)]
    length = said.characters
    places = _Places(fragment, said)
    found: list[Citation] = []
    named: set[int] = set()
    for segment in as_list(metadata.get("segments"))[:at_most]:
        if not isinstance(segment, dict):
            continue
        start, end = places.span(segment)
        for index in as_list(segment.get("referenceIndices"))[: at_most - len(found)]:
            number = _int(index)
            if number is not None and number < len(references):
                named.add(number)
                found.append(Citation(start, end, *references[number]))
    unnamed = (source for number, source in enumerate(references) if number not in named)
    return [*found, *(Citation(length, length, *source) for source in unnamed)][:at_most]


class _Places:
    """Finds the spans of segments in an answer. Reads each text once for all segments."""

    def __init__(self, fragment: str, said: AnswerText) -> None:
        self._said = said
        self._fragment = _Bytes(fragment)
        self._before = said.characters - len(fragment)

    def span(self, segment: Mapping[str, Any]) -> tuple[int, int]:
        start, end = _int(segment.get("startIndex")) or 0, _int(segment.get("endIndex")) or 0
        if end <= self._fragment.size:
            return self._before + self._fragment.characters(
                start
            ), self._before + self._fragment.characters(end, start)
        # too long ago: the source is named at the end, as one that has no segment
        if self._whole is None:
            return self._said.characters, self._said.characters
        return self._whole.characters(start), self._whole.characters(end, start)

    @cached_property
    def _whole(self) -> _Bytes | None:
        whole = self._said.whole
        return None if whole is None else _Bytes(whole)


class _Bytes:
    """A text in UTF-8: how many whole characters stand before which byte."""

    def __init__(self, text: str) -> None:
        self._data = text.encode()
        self.size = len(self._data)
        self._is_ascii = self.size == len(text)

    def characters(self, end: int, least: int = 0) -> int:
        """In so many bytes, or in `least` if that is more."""
        end = min(max(end, least), self.size)
        if self._is_ascii:
            return end
        step = end // _STEP_BYTES
        return self._at_steps[step] + _starts(
            self._data[step * _STEP_BYTES : self._last_whole(end)]
        )

    @cached_property
    def _at_steps(self) -> list[int]:
        steps = range(0, self.size, _STEP_BYTES)
        return [0, *accumulate(_starts(self._data[step : step + _STEP_BYTES]) for step in steps)]

    def _last_whole(self, end: int) -> int:
        """The end of the last whole character before this byte."""
        while end < self.size and self._data[end] & 0xC0 == 0x80:  # it continues a character
            end -= 1
        return end


def _starts(data: bytes) -> int:
    """The number of characters that begin in these bytes."""
    return len(data) - len(data.translate(None, _BEGINNINGS))


def _source(reference: Mapping[str, Any]) -> tuple[str, str, str]:
    document = as_mapping(reference.get("documentMetadata"))
    return (
        as_text(document.get("uri")),
        as_text(document.get("title")),
        as_text(document.get("domain")),
    )


def _int(value: object) -> int | None:
    """A count in either JSON form; None for anything else, also for negative ones."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value if value >= 0 else None
    return (
        int(value)
        if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20
        else None
    )
