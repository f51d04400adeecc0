"""Tells what this worker has learnt of accounts: to the other workers by the board, to operators by
log and figures.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from gbproxy.accounts.health import AccountHealth, HealthStore
from gbproxy.domain.account import id_of
from gbproxy.errors import GatewayError
from gbproxy.observability.meter import Meter

log = logging.getLogger(__name__)


class HealthPublisher:
    """Keeps what the board could not take, until it can. But for `note_error`, to be called without
    holding a lock.
    """

    def __init__(self, board: HealthStore, meter: Meter) -> None:
        self._board = board
        self._meter = meter
        self._untold: dict[tuple[str, str], AccountHealth] = {}
        self._untold_errors: dict[str, tuple[str | None, float, dict[str, Any] | None]] = {}

    def tell(self, change: AccountHealth, now: float, said: dict[str, Any] | None = None) -> None:
        """Everybody who is to know: those who read the log or the figures, and the other workers.

        `said`: the safe words of the upstream that led to it.
        """
        _log(change, now, said)
        cause = change.cause if change.state == "cooling" else ""
        self._meter.account_changed(change.state, change.quota, cause)
        self.share(change)

    def share(self, change: AccountHealth) -> None:
        """The other workers alone."""
        try:
            self._board.publish(change)
        except GatewayError as error:  # this worker knows; the others hear of it later
            self._untold[change.account_key, change.quota] = change
            log.warning(
                "pool.unshared", extra={"account": id_of(change.account_key), "reason": error.code}
            )

    def note_error(
        self, account_id: str, error: str | None, now: float, said: dict[str, Any] | None
    ) -> None:
        """What an account has met last is told by `share_again`: no request waits for it."""
        self._untold_errors[account_id] = (error, now, said)

    def share_again(self, is_member: Callable[[str], bool]) -> None:
        """Tell the others what they were not told yet, or could not be. Raises the GatewayError of
        the board.
        """
        while self._untold:
            key, change = next(iter(self._untold.items()))
            self._board.publish(change)
            if self._untold.get(key) is change:
                del self._untold[key]
        while self._untold_errors:
            account_id, met = next(iter(self._untold_errors.items()))
            if is_member(account_id):
                self._board.failed(account_id, *met)
            if self._untold_errors.get(account_id) is met:
                del self._untold_errors[account_id]


def _log(change: AccountHealth, now: float, said: dict[str, Any] | None) -> None:
    account, quota = id_of(change.account_key), change.quota or None
    match change.state:
        case "cooling":
            seconds = round((change.cooling_until or now) - now, 1)
            facts = {
                "account": account,
                "quota": quota,
                "cause": change.cause,
                "seconds": seconds,
                "strikes": change.consecutive_failures,
                "said": said,
            }
            log.warning("account.cooling", extra=facts)
        case "refused":
            log.warning(
                "account.refused", extra={"account": account, "reason": change.cause, "said": said}
            )
        case "ready":
            log.info("account.ready", extra={"account": account, "quota": quota})
