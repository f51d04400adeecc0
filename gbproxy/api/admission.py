"""How many answers run at once in this worker: beyond the limit a request is refused at once, instead of waiting unseen."""

from __future__ import annotations

from collections.abc import Callable

from gbproxy.errors import Overloaded

_RETRY_S = 2.0


class Admission:
    """Counts the answers of one worker, whose requests all run on one event loop."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._running = 0

    def enter(self) -> Callable[[], None]:
        """Take a place; what comes back gives it back, once however often it is called. Raises Overloaded."""
        if self.is_full():
            raise full()
        self._running += 1
        return self._leave_once()

    def is_full(self) -> bool:
        return self._running >= self._limit

    def _leave_once(self) -> Callable[[], None]:
        left = False

        def leave() -> None:
            nonlocal left
            if not left:
                left = True
                self._running -= 1

        return leave


def full() -> Overloaded:
    """What is said to a request for which there is no place."""
    return Overloaded("the gateway has as many answers running as it may", retry_after=_RETRY_S)
