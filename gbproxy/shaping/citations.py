"""Where the sources of an answer stand in the text that the client gets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from gbproxy.domain.events import Citation


@dataclass(frozen=True, slots=True)
class Insertion:
    """A text of the gateway's own: `at`, its place in the client's text, and its length, both in
    code points.
    """

    at: int
    length: int


def place(
    citations: Sequence[Citation], insertions: Sequence[Insertion], length: int
) -> list[Citation]:
    """The citations, which count in the upstream's text, as they count in the client's: a text of
    `length` code points that has `insertions`, in order, and may have been cut.

    A citation of what was cut off is left out, and each is there once.
    """
    found: dict[Citation, None] = {}
    for citation in citations:
        start, end = _moved(citation, insertions)
        is_cut_off = citation.start < citation.end and start >= length
        if not is_cut_off:
            found[replace(citation, start=min(start, length), end=min(end, length))] = None
    return list(found)


def _moved(citation: Citation, insertions: Sequence[Insertion]) -> tuple[int, int]:
    """Start and end behind what was inserted before them. An insertion at the very start of a
    cited part stands before it, one at its end behind it.
    """
    start, end = citation.start, citation.end
    for insertion in insertions:
        if insertion.at <= start:
            start += insertion.length
        if insertion.at < end:
            end += insertion.length
    return start, max(start, end)
