"""One answer that is counted while it runs, and charged in full when it is over."""

from __future__ import annotations

from collections.abc import Callable


class Reservation:
    """Ends once, however often it is told to: with the answer's last event, or with whatever cut it
    short.
    """

    def __init__(self, leave: Callable[[], None], charge: Callable[[int], None]) -> None:
        self._leave = leave
        self._charge = charge
        self._is_over = False

    def end(self, tokens: int) -> None:
        """`tokens`: what was asked and answered; 0 when nothing was answered."""
        if not self._is_over:
            self._is_over = True
            self._leave()
            self._charge(tokens)
