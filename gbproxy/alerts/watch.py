"""The leader's part: finds what has changed since it was told last, and has it told once."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Collection, Iterable, Mapping

from gbproxy.accounts.pool import Pool
from gbproxy.alerts.alert import DATABASE, Alert
from gbproxy.alerts.conditions import Condition, Conditions, Findings
from gbproxy.alerts.delivery import Delivery
from gbproxy.background.executor import BackgroundExecutor, Job
from gbproxy.domain.account import Account, id_of
from gbproxy.errors import StorageUnavailable
from gbproxy.storage.account_health import AccountUse
from gbproxy.storage.alerts import AlertKey, AlertRows, StoredAlert

log = logging.getLogger(__name__)

LOOK_S = 2.0
LOST_S = 300.0  # a message that is not sent for so long was lost: three tries take less
_SEEN_S = 60.0  # between notes that an open one is still found so
LEFT_S = 600.0  # not seen for so long, it is watched by nobody any more
_FORGET_S = 3600.0  # between clearings of old ones
_KEPT_S = 30 * 24 * 3600.0  # closed alerts, to be looked at


class AlertWatch:
    """An alert that opens again within the silence is told after it, if it is open then; its end is
    told at once, and not at all if its opening was not.
    """

    def __init__(
        self,
        pool: Pool,
        conditions: Conditions,
        rows: AlertRows,
        delivery: Delivery,
        *,
        silence_s: float,
        configured: Collection[str] = (),
        submit: Callable[[Job], bool] | None = None,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`configured`: the ids of the settings' accounts. `submit`: runs a job in the background,
        False if it will not. `clock`: Unix seconds.
        """
        self._pool = pool
        self._conditions = conditions
        self._rows = rows
        self._delivery = delivery
        self._silence_s = silence_s
        self._configured = frozenset(configured)
        self._executor = BackgroundExecutor(width=1)
        self._submit = submit or self._executor.submit
        self._clock = clock
        self._monotonic = monotonic
        self._look_at = self._forget_at = self._looked_at = -math.inf
        self._steady_since = math.inf  # looks have followed each other since then
        self._known_open: set[AlertKey] = set()  # to the look before
        self._is_looking = False

    def run_due(self, uses: Mapping[str, AccountUse], now: float) -> None:
        """Look every two seconds, in the background: Redis may let it wait."""
        del uses, now
        if self._is_looking or self._monotonic() < self._look_at:
            return
        self._look_at = self._monotonic() + LOOK_S
        self._is_looking = True
        if not self._submit(self._look):
            self._is_looking = False

    def ours(self, keys: Iterable[AlertKey]) -> set[AlertKey]:
        """Those that this gateway can judge: others on the database may have other accounts."""
        shared = self._conditions.own_keys
        return {key for key in keys if self.account_of(key) is not None or key in shared}

    def account_of(self, key: AlertKey) -> Account | None:
        """The account that it is about, which may have another upstream identity by now."""
        account = self._pool.account(id_of(key.account_key))
        if account is None or account.account_key == key.account_key:
            return account
        # An id of the settings may be that of another account in another gateway's.
        return account if key.account_key and account.id not in self._configured else None

    def close(self, within_s: float = 0.5) -> None:
        """Look no more, and wait `within_s` for a look that runs."""
        self._executor.shutdown(within_s)

    def _look(self) -> None:
        try:
            self._tell_changes()
        except StorageUnavailable:
            return  # the database has logged it, and the outage is watched elsewhere
        finally:
            self._is_looking = False

    def _tell_changes(self) -> None:
        now = self._clock()
        if self._monotonic() >= self._forget_at:
            self._forget_at = self._monotonic() + _FORGET_S
            self._rows.forget(now - _KEPT_S)
        # Read first: Redis may let `find` wait, and others tell what they find meanwhile.
        stored = self._rows.read()
        found = self._conditions.find()
        self._note_look()
        is_open = {each.key: each for each in stored if each.is_open and each.key != DATABASE}
        ours = self.ours(each.key for each in stored)
        opened = self._tell_new(is_open, found, now)
        for key, told in is_open.items():
            if key not in ours:
                self._end_if_left(told, found, now)
            elif key in found.all_keys:
                self._note_seen(told, now)
            # Else this worker may yet have to learn what another has told since the look before.
            elif key in self._known_open:
                self._tell_end(told, self._end(key, found, now), now)
        self._known_open = is_open.keys() | opened
        for each in stored:
            if each.key in ours or each.key == DATABASE:
                self._send_again_if_lost(each, found, now)

    def _note_look(self) -> None:
        if self._monotonic() - self._looked_at > _SEEN_S:
            self._steady_since = self._monotonic()
        self._looked_at = self._monotonic()

    def _tell_new(
        self, is_open: Collection[AlertKey], found: Findings, now: float
    ) -> set[AlertKey]:
        opened = set()
        for key, condition in found.holding.items():
            if key not in is_open and self._rows.open(key, self._silence_s):
                self._delivery.send(_alert(condition, now))
                opened.add(key)
        return opened

    def _tell_end(self, told: StoredAlert, end: Alert | None, now: float) -> None:
        began = Alert(told.key, False, None, "", now)
        if told.untold_since is not None and not self._delivery.is_sending(began):
            if now - told.untold_since < LOST_S:
                return  # another worker may be sending it: the end comes after that
            end = None
        if self._rows.close(told.key, quietly=end is None) and end is not None:
            self._delivery.send(end)

    def _end(self, key: AlertKey, found: Findings, now: float) -> Alert | None:
        """The message that it is over. None if it is not, or is no more to be told: the account was
        disabled, or it is so under its new identity.
        """
        if not key.account_key:
            return Alert(key, True, None, "", now)
        enabled = {account.id: account for account in self._pool.enabled()}
        account = enabled.get(id_of(key.account_key))
        if account is None or key._replace(account_key=account.account_key) in found.all_keys:
            return None
        return Alert(key, True, account.name, "", now)

    def _send_again_if_lost(self, stored: StoredAlert, found: Findings, now: float) -> None:
        """Send what a worker was sending when it was killed."""
        if stored.untold_since is None or now - stored.untold_since < LOST_S:
            return
        holding = found.holding.get(stored.key)
        began = _alert(holding, now) if holding else None
        alert = began if stored.is_open else self._end(stored.key, found, now)
        if alert is None or self._delivery.is_sending(alert):  # many wait for a webhook that stalls
            return
        if self._rows.retell(stored.key, now - LOST_S):
            self._delivery.send(alert)

    def _note_seen(self, told: StoredAlert, now: float) -> None:
        if abs(_unseen_s(told, now)) >= _SEEN_S:
            self._rows.see(told.key)

    def _end_if_left(self, told: StoredAlert, found: Findings, now: float) -> None:
        """End what is watched no more: the settings of the gateways that shared it have changed, or
        they are gone.
        """
        # After an outage of the database who watches it gets time to note that.
        steady_s = self._monotonic() - self._steady_since
        if _unseen_s(told, now) < LEFT_S or steady_s < 2 * _SEEN_S:
            return
        # Nobody knows of that Redis. That there is an account again, or an account of that name, is
        # seen here, by what the gateway that told it has most likely become.
        is_none_left = told.key.kind == "no_account"
        is_over = self._conditions.has_account(found) if is_none_left else told.key.account_key
        self._tell_end(told, self._end(told.key, found, now) if is_over else None, now)


def _unseen_s(told: StoredAlert, now: float) -> float:
    return now - (told.opened_at if told.seen_at is None else told.seen_at)


def _alert(condition: Condition, now: float) -> Alert:
    return Alert(condition.key, False, condition.account, condition.detail, now)
