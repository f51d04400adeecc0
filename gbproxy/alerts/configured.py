"""Alerts as the settings want them."""

from __future__ import annotations

import tempfile
from collections.abc import Collection
from pathlib import Path

from gbproxy.accounts.pool import Pool
from gbproxy.alerts.alert import no_account_key, redis_key
from gbproxy.alerts.alerts import Alerts
from gbproxy.alerts.conditions import Conditions
from gbproxy.alerts.delivery import Delivery
from gbproxy.alerts.outage import DatabaseWatch
from gbproxy.alerts.outage_hold import FileHold, Hold, SharedHold
from gbproxy.alerts.sender import Sender
from gbproxy.alerts.watch import AlertWatch
from gbproxy.domain.account import Account
from gbproxy.errors import StorageUnavailable
from gbproxy.observability.meter import Meter
from gbproxy.outbound import HttpClient
from gbproxy.outbound.timeouts import Timeouts
from gbproxy.rate_limits.store import LimitStore
from gbproxy.settings import Settings
from gbproxy.settings.webhooks import Webhook
from gbproxy.storage.alerts import AlertRows
from gbproxy.storage.credential_times import CredentialTimes
from gbproxy.storage.database import Database

_TIMEOUTS = Timeouts(connect_s=5, read_s=10, request_s=10, call_s=10)


def make_alerts(
    settings: Settings,
    database: Database,
    rows: AlertRows,
    times: CredentialTimes,
    pool: Pool,
    limits: LimitStore,
    meter: Meter,
    *,
    accounts: Collection[Account],
) -> Alerts:
    """Without ALERT_WEBHOOK they watch nothing and send nothing. `limits`: the store of the counts,
    in Redis if there is one. `accounts`: of the settings.
    """
    clients = _Clients(settings)
    sender = Sender(settings.alert_webhooks, clients.of, meter=meter)
    delivery = Delivery(sender.send, rows)
    redis = settings.redis_url.get_secret_value() if settings.redis_url else None
    conditions = Conditions(
        pool,
        times,
        lambda: _is_up(limits),
        no_account=no_account_key(accounts),
        redis=redis_key(redis) if redis else None,
        max_age_s=settings.cookie_max_age_h * 3600,
    )
    silence_s = settings.alert_silence_s
    shown = database.url.render_as_string(hide_password=True)
    file = FileHold(Path(tempfile.gettempdir()), shown)
    hold: Hold = SharedHold(limits, file, shown) if redis else file
    watch = AlertWatch(
        pool,
        conditions,
        rows,
        delivery,
        silence_s=silence_s,
        configured=[account.id for account in accounts],
    )
    return Alerts(
        sender,
        delivery,
        watch,
        DatabaseWatch(lambda: database.is_up, hold, rows, delivery.send, silence_s=silence_s),
        rows,
        close_clients=clients.close,
    )


class _Clients:
    """Through PROXY as everything that goes out, but to this machine and private networks, which a
    proxy does not reach. Made at their first use: most gateways send no alert for days.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._made: dict[bool, HttpClient] = {}

    def of(self, webhook: Webhook) -> HttpClient:
        through_proxy = self._settings.proxy is not None and not webhook.is_near
        if through_proxy not in self._made:
            proxy = self._settings.proxy.get_secret_value() if self._settings.proxy else None
            self._made[through_proxy] = HttpClient(
                _TIMEOUTS,
                proxy=proxy if through_proxy else None,
                ca_bundle=self._settings.ca_bundle,
                pool_size=len(self._settings.alert_webhook),
            )
        return self._made[through_proxy]

    def close(self) -> None:
        for client in self._made.values():
            client.close()


def _is_up(limits: LimitStore) -> bool:
    try:
        limits.read("alert:is_up")
    except StorageUnavailable:
        return False
    return True
