"""Waits for what no event tells of: the one polling loop of the tests."""

from __future__ import annotations

import time
from collections.abc import Callable

_FIRST_PAUSE_S = 0.001


def until(
    true: Callable[[], object],
    timeout_s: float = 30.0,
    *,
    every_s: float = 0.02,
    hopeless: Callable[[], object] = lambda: False,
    message: Callable[[], object] = lambda: "it never came to be",
    sleep: Callable[[float], object] = time.sleep,
) -> float:
    """Wait until `true` is. Returns after how many seconds it was so.

    Asked at first after a millisecond, then ever more seldom, at last each `every_s`. Raises
    AssertionError with `message` after `timeout_s`, or as soon as it is `hopeless`.
    """
    started = time.monotonic()
    pause_s = _FIRST_PAUSE_S
    while not true():
        assert time.monotonic() - started < timeout_s, message()
        assert not hopeless(), message()
        sleep(pause_s)
        pause_s = min(2 * pause_s, every_s)
    return time.monotonic() - started


def until_steady(value: Callable[[], int], for_s: float = 0.5, every_s: float = 0.02) -> int:
    """Wait until `value` has not changed for so long, which is how the end of what grows is seen
    from outside. Returns it.
    """
    last, since = value(), time.monotonic()
    while time.monotonic() - since < for_s:
        time.sleep(every_s)
        if (now := value()) != last:
            last, since = now, time.monotonic()
    return last
