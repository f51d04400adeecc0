"""Tells if the wall clock was set back; jitters delays."""

from __future__ import annotations

import random

SET_BACK_S = 60.0  # the clocks of several machines differ by less

# Delays are jittered so that workers and replicas do not act in step. Stateless: forked workers
# draw different numbers.
jitter = random.SystemRandom().uniform


def was_set_back_since(noted_at: float, now: float) -> bool:
    """True if `noted_at` lies in the future: the clock was set back since. Unix seconds."""
    return noted_at > now + SET_BACK_S
