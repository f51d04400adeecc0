"""Sends alerts to the webhooks, in the background: three tries each, with growing waits."""

from __future__ import annotations

import logging
import math
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from gbproxy.alerts import forms
from gbproxy.alerts.alert import Alert
from gbproxy.background.executor import BackgroundExecutor
from gbproxy.errors import GatewayError
from gbproxy.observability.meter import SILENT, Meter
from gbproxy.outbound import HttpClient
from gbproxy.settings.webhooks import Webhook, WebhookKind

log = logging.getLogger(__name__)

WAITS_S = (2.0, 10.0)  # before the second and the third try
_MOST_WAIT_S = 60.0  # that a webhook may ask for by Retry-After
_WAITING = 100  # alerts that may wait for one webhook
_HEADERS = {"Content-Type": "application/json; charset=utf-8", "User-Agent": "gbproxy"}


@dataclass(frozen=True, slots=True)
class Outcome:
    """`trouble`: in words, without the address; None if the webhook has taken the message."""

    kind: WebhookKind
    host: str
    trouble: str | None


@dataclass(frozen=True, slots=True)
class _Try:
    """`wait_s`: the least wait before the next try, as the webhook asks."""

    trouble: str | None
    wait_s: float = 0.0


class Sender:
    """`client_of`: the client for a webhook. `wait`: waits for so many seconds; True if the sender
    ends meanwhile. Safe for many threads at once.
    """

    def __init__(
        self,
        webhooks: Sequence[Webhook],
        client_of: Callable[[Webhook], HttpClient],
        *,
        meter: Meter = SILENT,
        wait: Callable[[float], bool] | None = None,
        sender: str = "",
    ) -> None:
        self.webhooks = tuple(webhooks)
        self._client_of = client_of
        self._meter = meter
        self._stopping = threading.Event()
        self._wait = wait or self._stopping.wait
        self._sender = sender or socket.gethostname()
        # One of its own for each webhook: one that stalls delays no other, and order is kept.
        self._executors = [BackgroundExecutor(width=1, capacity=_WAITING) for _ in self.webhooks]

    def send(self, alert: Alert, on_end: Callable[[bool], None]) -> None:
        """Send it to all webhooks, in the background. Never waits. `on_end` is called once each has
        taken it, or has not in any try, with True if one has; never if the sender ends before.
        """
        left = list(self.webhooks)
        takers: list[Webhook] = []

        def end(webhook: Webhook, is_taken: bool) -> None:
            if is_taken:
                takers.append(webhook)
            left.remove(webhook)
            if not left:
                on_end(bool(takers))

        for webhook, executor in zip(self.webhooks, self._executors, strict=True):
            if executor.submit(partial(self._deliver, webhook, alert, end)):
                continue
            if not self._stopping.is_set():
                self._failed(webhook, alert, "too many wait", 0)
                end(webhook, False)

    def test(self, alert: Alert) -> list[Outcome]:
        """Send it to all webhooks, once each, side by side, and wait for what becomes of it."""
        outcomes: dict[int, Outcome] = {}

        def run(place: int, webhook: Webhook) -> None:
            outcomes[place] = self._tested(webhook, alert)

        threads = [
            threading.Thread(target=run, args=(place, webhook), daemon=True)
            for place, webhook in enumerate(self.webhooks)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return [outcomes[place] for place in sorted(outcomes)]

    def close(self, within_s: float = 1.0) -> None:
        """End, `within_s` at most: what waits for its next try gets its last one at once."""
        deadline = time.monotonic() + within_s
        self._stopping.set()
        for executor in self._executors:
            executor.shutdown(max(0.0, deadline - time.monotonic()))

    def _tested(self, webhook: Webhook, alert: Alert) -> Outcome:
        trouble = self._try(webhook, alert).trouble
        self._meter.alert_sent(webhook.kind, "failed" if trouble else "ok")
        return Outcome(webhook.kind, webhook.host, trouble)

    def _deliver(
        self, webhook: Webhook, alert: Alert, end: Callable[[Webhook, bool], None]
    ) -> None:
        is_last = False
        for tries, pause_s in enumerate((*WAITS_S, None), start=1):
            result = self._try(webhook, alert)
            if result.trouble is None:
                self._sent(webhook, alert, tries)
                break
            if pause_s is None or is_last:
                self._failed(webhook, alert, result.trouble, tries)
                break
            is_last = self._wait(max(pause_s, result.wait_s))
        end(webhook, result.trouble is None)

    def _sent(self, webhook: Webhook, alert: Alert, tries: int) -> None:
        taken = {
            "kind": alert.key.kind,
            "over": alert.is_over,
            "account": alert.account_id,
            "webhook": webhook.kind,
            "host": webhook.host,
            "tries": tries,
        }
        log.info("alert.sent", extra=taken)
        self._meter.alert_sent(webhook.kind, "ok")

    def _failed(self, webhook: Webhook, alert: Alert, trouble: str, tries: int) -> None:
        facts = {
            "kind": alert.key.kind,
            "over": alert.is_over,
            "account": alert.account_id,
            "webhook": webhook.kind,
            "host": webhook.host,
            "reason": trouble,
            "tries": tries,
        }
        log.error("alert.failed", extra=facts)
        self._meter.alert_sent(webhook.kind, "failed")

    def _try(self, webhook: Webhook, alert: Alert) -> _Try:
        try:
            reply = self._client_of(webhook).request(
                "POST", forms.address(webhook), _HEADERS, forms.body(webhook, alert, self._sender)
            )
        except GatewayError as error:
            # Not its message: that may quote the address, which is a secret.
            return _Try(f"it could not be reached ({error.code})")
        if 300 <= reply.status < 400:
            # Followed nowhere: what is sent is for this host alone.
            return _Try(f"it redirects elsewhere ({reply.status})")
        if 200 <= reply.status < 300:
            if forms.is_refused(webhook.kind, reply.body):
                return _Try("it took the message and refused it in its answer")
            return _Try(None)
        # Whatever the status: a relay's 403 or 404 may pass too, and two more tries cost nothing.
        wait_s = _asked_wait_s(reply.headers.get("retry-after"))
        return _Try(f"it answered {reply.status}", wait_s)


def _asked_wait_s(text: str | None) -> float:
    try:
        asked = float(text or 0)
    except ValueError:  # a date: our own waits will do
        return 0.0
    return min(asked, _MOST_WAIT_S) if math.isfinite(asked) and asked > 0 else 0.0
