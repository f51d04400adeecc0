"""A few large bodies at a time are read and decoded; others wait on the wire, where they take no
memory of ours.
"""

from __future__ import annotations

from types import TracebackType

import gevent
from gevent.lock import BoundedSemaphore

LARGE_BYTES = 1024 * 1024
_AT_ONCE = 2
# Then a place is given on: a slow sender must not hold up others, and does not fill much either.
_PATIENCE_S = 2.0
_MOST_WAIT_S = 10.0  # for a place: however many send slowly, others come to be read

_places = BoundedSemaphore(_AT_ONCE)


class Place:
    """A place among the large bodies, as a `with` block."""

    def __init__(self) -> None:
        self._has_place = False
        self._timer: gevent.Greenlet | None = None

    def __enter__(self) -> Place:
        self._has_place = _places.acquire(timeout=_MOST_WAIT_S)
        if self._has_place:
            self._timer = gevent.spawn_later(_PATIENCE_S, self._leave)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.begin_work()
        self._leave()

    def begin_work(self) -> None:
        """The body is in: the place is kept until the end."""
        if self._timer is not None:
            self._timer.kill(block=False)
            self._timer = None

    def _leave(self) -> None:
        if self._has_place:
            self._has_place = False
            _places.release()
