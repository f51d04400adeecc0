"""How many answers run at once in this worker: beyond the limit a request is refused at once,
instead of waiting unseen.
"""

from __future__ import annotations

from collections.abc import Callable

from gbproxy.errors import Overloaded

_RETRY_S = 2.0


class Admission:
    """Counts the answers of one worker, whose requests all run on one event loop."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._running = 0
        self._closed = False

    def enter(self) -> Callable[[], None]:
        """Take a place; what comes back gives it back, once however often it is called. Raises
        Overloaded.
        """
        refusal = self.refusal()
        if refusal is not None:
            raise refusal
        self._running += 1
        return self._leave_once()

    def refusal(self) -> Overloaded | None:
        """What is said to a request for which there is no place; None while there is one."""
        if self._closed:
            return stopping()
        if self._running >= self._limit:
            return Overloaded(
                "the gateway has as many answers running as it may", retry_after=_RETRY_S
            )
        return None

    def close(self) -> None:
        """From now on there is no place."""
        self._closed = True

    def _leave_once(self) -> Callable[[], None]:
        left = False

        def leave() -> None:
            nonlocal left
            if not left:
                left = True
                self._running -= 1

        return leave


def stopping() -> Overloaded:
    """What is said when the time to stop has come."""
    return Overloaded("the gateway is stopping", retry_after=1)
