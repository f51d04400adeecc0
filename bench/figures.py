"""Sums up several rounds: the median of each figure, and of ratios within a round."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bench.loads import Unit
from bench.measure import Row

_ALIKE = ("load", "subject", "framing", "tls", "calls")
_ADDED = ("requests", "failed")
_GREATEST = ("rss_peak_mb", "others_share", "tools_share")


@dataclass(frozen=True, slots=True)
class Who:
    """A subject as it was set up; nginx and the direct way have no other framing than their own."""

    subject: str
    calls: int = 1
    framing: str = "array"

    def is_of(self, row: Row) -> bool:
        framing = "openai" if self.subject in ("direct", "nginx") else self.framing
        return (row.subject, row.calls, row.framing, row.tls) == (
            self.subject,
            self.calls,
            framing,
            False,
        )


OWN = Who("gbproxy")
BARE = Who("bare")
NGINX = Who("nginx")
DIRECT = Who("direct")


def medians(rows: Iterable[Row]) -> list[Row]:
    """One row for all rounds of a subject under a load, in the order of their first appearance."""
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(getattr(row, name) for name in _ALIKE), []).append(row)
    return [_merged(group) for group in groups.values()]


def find(rows: Iterable[Row], load: str, who: Who) -> Row | None:
    """The medians of a subject under a load; None where a round failed, or nothing was measured."""
    own = [row for row in rows if row.load == load and who.is_of(row)]
    if not own or any(row.failed for row in own):
        return None
    return _merged(own)


def ratio(rows: Sequence[Row], load: str, unit: Unit, who: Who, other: Who) -> float | None:
    """How many times as much CPU a request or chunk of one costs as one of the other: the median of
    the rounds, each by itself. None where one of them failed, or was not measured.
    """
    return over_rounds(rows, load, who, other, lambda row: row.cost(unit))


def over_rounds(
    rows: Sequence[Row], load: str, who: Who, other: Who, figure: Callable[[Row], float | None]
) -> float | None:
    here = [row for row in rows if row.load == load and (who.is_of(row) or other.is_of(row))]
    if any(row.failed for row in here):
        return None
    figures = {(who.is_of(row), row.round): figure(row) for row in here}
    quotients = [
        mine / theirs
        for (is_mine, number), mine in figures.items()
        if is_mine and mine and (theirs := figures.get((False, number)))
    ]
    return statistics.median(quotients) if quotients else None


def memory_per_thousand(row: Row, slots: int) -> float | None:
    """MB that 1,000 streams take beside the idle worker."""
    if row.rss_peak_mb is None or row.rss_idle_mb is None:
        return None
    return (row.rss_peak_mb - row.rss_idle_mb) * 1000 / slots


def _merged(rows: Sequence[Row]) -> Row:
    if len(rows) == 1:
        return rows[0]
    values: dict[str, Any] = {}
    for name in Row.__dataclass_fields__:
        if name not in _ALIKE:
            values[name] = _together(name, [getattr(row, name) for row in rows])
    return replace(rows[0], **values)


def _together(name: str, values: Sequence[Any]) -> Any:
    known = [value for value in values if value is not None]
    if not known:
        return None
    if name in _ADDED:
        return sum(known)
    if name in _GREATEST:
        return max(known)
    if name == "settled":
        return all(known)
    if name == "first_error":
        return next(filter(None, known), "")
    if isinstance(known[0], dict):
        names = known[0].keys()
        return {each: statistics.median(v[each] for v in known if each in v) for each in names}
    return statistics.median(known)
