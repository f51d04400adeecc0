"""How often something may be done, as RATE_LIMIT and a client key's own limit say it."""

from __future__ import annotations

import re
from dataclasses import dataclass

_UNITS = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400}
_PATTERN = re.compile(
    rf"([0-9]{{1,9}})(?:\s*/\s*|\s+per\s+)([0-9]{{1,9}}\s*)?({'|'.join(_UNITS)})s?", re.IGNORECASE
)
_MOST = 100_000  # each is remembered for as long as it counts
_LONGEST_S = 31 * 86_400


@dataclass(frozen=True, slots=True)
class Rate:
    """So many in any `per_s` seconds, wherever those begin. As a text it is what `parse_rate`
    reads.
    """

    amount: int
    per_s: int

    def __str__(self) -> str:
        name, size = next(
            (name, size) for name, size in reversed(_UNITS.items()) if self.per_s % size == 0
        )
        multiple = self.per_s // size
        return f"{self.amount}/{name}" if multiple == 1 else f"{self.amount}/{multiple} {name}s"


def parse_rate(text: str) -> Rate:
    """`60/hour`, `10 per second`, `100/15 minutes`. Raises ValueError with what is allowed."""
    found = _PATTERN.fullmatch(text.strip())
    if found is None:
        raise ValueError(
            "must look like 60/hour, 10/second or 100/15 minutes; the units go from second to day"
        )
    amount, multiple, unit = found.groups()
    rate = Rate(int(amount), int(multiple or 1) * _UNITS[unit.lower()])
    if not 1 <= rate.amount <= _MOST or not 1 <= rate.per_s <= _LONGEST_S:
        raise ValueError(f"must be from 1 to {_MOST} in at most 31 days")
    return rate
