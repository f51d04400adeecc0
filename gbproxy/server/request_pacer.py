"""Lets requests in a few at a time, so that a rush leaves time for connections, probes and
chunks.
"""

from __future__ import annotations

from collections import deque

import gevent
from gevent.hub import Waiter

AT_ONCE = 3  # a request takes 2 to 3 ms in all


class RequestPacer:
    """The greenlets of one event loop pass it in the order in which they came, so many in each
    round of the loop.

    A request costs milliseconds before it waits for anything. Without this, a thousand that arrive
    together are all worked on in one round, and nothing else is: no connection is taken in, no
    probe answered, no chunk passed on.
    """

    def __init__(self, at_once: int = AT_ONCE) -> None:
        self._at_once = at_once
        self._left = at_once  # in this round
        self._waiting: deque[Waiter] = deque()
        self._round = gevent.get_hub().loop.timer(0)

    def wait_turn(self) -> None:
        """Return when it is the caller's turn: at once, unless there is a rush."""
        if not self._round.active:
            self._round.start(self._next_round)
        if self._left and not self._waiting:
            self._left -= 1
            return
        turn = Waiter()
        self._waiting.append(turn)
        try:
            turn.get()
        except BaseException:  # its greenlet was ended while it waited
            self._waiting.remove(turn)
            raise

    def _next_round(self) -> None:
        self._round.stop()
        if self._waiting:
            self._round.start(self._next_round)
        self._left = self._at_once
        while self._left and self._waiting:
            self._left -= 1
            self._waiting.popleft().switch(None)
