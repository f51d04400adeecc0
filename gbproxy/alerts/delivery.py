"""Has alerts sent, and notes in the database what became of them: so one that was being sent by a
worker that was killed is found there.
"""

from __future__ import annotations

from collections.abc import Callable

from gbproxy.alerts.alert import Alert
from gbproxy.storage.alerts import AlertRows


class Delivery:
    """Safe for many threads at once."""

    def __init__(
        self, send: Callable[[Alert, Callable[[bool], None]], None], rows: AlertRows
    ) -> None:
        """`send`: sends in the background, and calls the other once that has ended, with True if a
        webhook has taken it.
        """
        self._send = send
        self._rows = rows
        self._sending: set[Alert] = set()
        self._ended: set[tuple[Alert, bool]] = set()  # with whether it was taken; not noted yet

    def send(self, alert: Alert) -> None:
        """Send it in the background. Never waits."""
        self._sending.add(alert)
        self._send(alert, lambda is_taken: self._ended.add((alert, is_taken)))

    def is_sending(self, alert: Alert) -> bool:
        """True while a message that says the same is on its way from this worker."""
        said = (alert.key, alert.is_over)
        return any((each.key, each.is_over) == said for each in tuple(self._sending))

    def note_sent(self) -> None:
        """Note what has become of those that ended since. To be called often. Raises
        StorageUnavailable.
        """
        for alert, is_taken in tuple(self._ended):
            self._rows.told(alert.key, is_open=not alert.is_over, is_taken=is_taken)
            self._ended.discard((alert, is_taken))
            self._sending.discard(alert)
