"""Wall clocks may be set back: then what was noted before lies in the future.

A module of its own, as both what is kept in memory and what SQL compares depend on it.
"""

from __future__ import annotations

SET_BACK_S = 60.0  # the clocks of several machines differ by less


def was_set_back_since(noted_at: float, now: float) -> bool:
    """True if something was noted by a clock that has been set back since. Unix seconds."""
    return noted_at > now + SET_BACK_S
