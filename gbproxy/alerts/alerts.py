"""Alerts as a whole: what runs for them, what administrators see of them, and the test."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from gbproxy.alerts.alert import DATABASE, Alert, title
from gbproxy.alerts.delivery import Delivery
from gbproxy.alerts.outage import DatabaseWatch
from gbproxy.alerts.sender import Outcome, Sender
from gbproxy.alerts.watch import AlertWatch
from gbproxy.background.leader import Duty
from gbproxy.errors import StorageUnavailable
from gbproxy.observability import audit
from gbproxy.settings.webhooks import Webhook
from gbproxy.storage.alerts import AlertKey, AlertRows, StoredAlert


@dataclass(frozen=True, slots=True)
class ToldAlert:
    """`account`: its name, None for what is about none. Times are Unix seconds; `closed_at` is None
    while it is open. `sent_at`: when a webhook has last taken a message of it; `has_failed`: none
    has taken the last one.
    """

    kind: str
    account: str | None
    quota: str | None
    model: str | None
    title: str
    opened_at: float
    closed_at: float | None
    sent_at: float | None
    has_failed: bool


@dataclass(frozen=True, slots=True)
class AlertsStatus:
    """`told`: the open ones first, then the others, each group with the last one first."""

    webhooks: Sequence[Webhook]
    told: Sequence[ToldAlert]

    @property
    def last_sent_at(self) -> float | None:
        """Unix seconds."""
        return max((each.sent_at for each in self.told if each.sent_at), default=None)


class Alerts:
    """Safe for many threads at once."""

    def __init__(
        self,
        sender: Sender,
        delivery: Delivery,
        watch: AlertWatch,
        outage: DatabaseWatch,
        rows: AlertRows,
        *,
        close_clients: Callable[[], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`close_clients`: closes the connections to the webhooks. `clock`: Unix seconds."""
        self._sender = sender
        self._delivery = delivery
        self._watch = watch
        self._outage = outage
        self._rows = rows
        self._close_clients = close_clients
        self._clock = clock

    @property
    def leader_duties(self) -> Mapping[str, Duty]:
        """What the leader runs in each round, by name; nothing without a webhook."""
        return {"alerts": self._watch.run_due} if self._sender.webhooks else {}

    @property
    def worker_duties(self) -> Sequence[Callable[[], None]]:
        """What every worker runs in each round; nothing without a webhook."""
        return (self._outage.look, self._delivery.note_sent) if self._sender.webhooks else ()

    def status(self) -> AlertsStatus:
        """Raises StorageUnavailable."""
        rows = self._rows.read()
        shown = {DATABASE, *self._watch.ours(each.key for each in rows)}
        told = [self._told(each) for each in rows if each.key in shown]
        told.sort(key=lambda each: each.closed_at is not None)
        return AlertsStatus(self._sender.webhooks, told)

    def test(self) -> list[Outcome]:
        """Send a test to every webhook and wait for the outcome, ten seconds at most."""
        outcomes = self._sender.test(Alert(AlertKey("test"), False, None, "", self._clock()))
        audit.did("alerts.tested", hosts=[each.host for each in outcomes])
        return outcomes

    def close(self) -> None:
        """End what runs in the background."""
        self._watch.close()
        self._sender.close()
        with suppress(StorageUnavailable):
            self._delivery.note_sent()
        self._close_clients()

    def _told(self, stored: StoredAlert) -> ToldAlert:
        account = self._watch.account_of(stored.key)
        name = account.name if account is not None else None
        return ToldAlert(
            stored.key.kind,
            name,
            stored.key.quota,
            stored.key.model,
            title(stored.key, name),
            stored.opened_at,
            None if stored.is_open else stored.closed_at,
            stored.sent_at,
            stored.untold_since is None and stored.failed_at is not None,
        )
