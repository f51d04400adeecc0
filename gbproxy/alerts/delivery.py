"""Has alerts sent, and notes in the database that they were: so one that was being sent by a worker
that was killed is found there.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from gbproxy.alerts.alert import Alert
from gbproxy.storage.alerts import AlertRows


class Delivery:
    """Safe for many threads at once."""

    def __init__(self, send: Callable[[Alert, Callable[[], None]], None], rows: AlertRows) -> None:
        """`send`: sends in the background, and calls the other once that has ended."""
        self._send = send
        self._rows = rows
        self._sending: set[Alert] = set()
        self._ended: set[Alert] = set()  # and not noted yet

    def send(self, alert: Alert) -> None:
        """Send it in the background. Never waits."""
        self._sending.add(alert)
        self._send(alert, partial(self._ended.add, alert))

    def is_sending(self, alert: Alert) -> bool:
        """True while a message that says the same is on its way from this worker."""
        said = (alert.key, alert.is_over)
        return any((each.key, each.is_over) == said for each in tuple(self._sending))

    def note_sent(self) -> None:
        """Note what has been sent since. To be called often. Raises StorageUnavailable."""
        for alert in tuple(self._ended):
            self._rows.told(alert.key, is_open=not alert.is_over)
            self._ended.discard(alert)
            self._sending.discard(alert)
