"""Tells if the wall clock was set back; jitters delays; gives way within long work."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

SET_BACK_S = 60.0  # the clocks of several machines differ by less

_AT_ONCE_S = 0.001
_REST_S = 0.001

# Delays are jittered so that workers and replicas do not act in step. Stateless: forked workers
# draw different numbers.
jitter = random.SystemRandom().uniform


def was_set_back_since(noted_at: float, now: float) -> bool:
    """True if `noted_at` lies in the future: the clock was set back since. Unix seconds."""
    return noted_at > now + SET_BACK_S


class Rest:
    """Lets other greenlets go on within work that never waits: each millisecond, if it is asked so
    often.
    """

    def __init__(self, sleep: Callable[[float], object] = time.sleep) -> None:
        self._sleep = sleep
        self._rested_at = time.perf_counter()

    def if_due(self) -> None:
        if time.perf_counter() - self._rested_at > _AT_ONCE_S:
            # Not sleep(0): within it gevent does not look for what has come meanwhile.
            self._sleep(_REST_S)
            self._rested_at = time.perf_counter()
