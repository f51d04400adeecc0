"""Which retired models an account has refused of late, and what answers in their place."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from gbproxy.domain.account import Account
from gbproxy.domain.models import Model
from gbproxy.domain.principal import Principal

log = logging.getLogger(__name__)

_REMEMBERED_S = 3600.0


@dataclass(slots=True)
class Successors:
    """Safe for use by many threads at once. `_clock`: seconds, only ever growing."""

    _clock: Callable[[], float]
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _known: dict[tuple[str, str], tuple[Model, float]] = field(default_factory=dict)

    def current(self, account: Account, model: Model, principal: Principal) -> Model:
        """What is to be asked for in the place of this model, if that is known and the caller may use it."""
        with self._lock:
            used, until = self._known.get((account.id, model.id), (model, 0.0))
        if used is model or until <= self._clock() or not principal.may_use(used.id):
            return model
        _log_mapped(model, used, account)
        return used

    def remember(self, account: Account, model: Model, used: Model) -> None:
        with self._lock:
            self._known[account.id, model.id] = (used, self._clock() + _REMEMBERED_S)
        _log_mapped(model, used, account)


def _log_mapped(model: Model, used: Model, account: Account) -> None:
    log.info("model.mapped", extra={"asked": model.id, "used": used.id, "reason": "retired", "account": account.id})
