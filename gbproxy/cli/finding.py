"""What a check has found: how bad it is, about what, and what to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warn", "fail"]
LEVELS: Sequence[Level] = ("ok", "warn", "fail")


@dataclass(frozen=True, slots=True)
class Finding:
    """`detail` and `advice` are shown to anybody: no secret is in them."""

    level: Level
    check: str
    detail: str
    advice: str = ""


def worst(findings: Sequence[Finding]) -> Level:
    return max((finding.level for finding in findings), key=LEVELS.index, default="ok")
