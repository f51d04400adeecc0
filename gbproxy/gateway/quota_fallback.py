"""The model that answers in the place of one whose quota is used up on all accounts."""

from __future__ import annotations

import logging

from gbproxy.accounts.available_models import AvailableModels
from gbproxy.accounts.failover import Failover
from gbproxy.conversations import Turn
from gbproxy.domain.account import Account
from gbproxy.errors import QuotaExhausted
from gbproxy.gateway.request_state import RequestState
from gbproxy.gateway.requested_model import fallback_models
from gbproxy.observability import request_context
from gbproxy.upstreams.registry import Upstreams

log = logging.getLogger(__name__)


class QuotaFallback:
    """Safe for use by many threads at once."""

    def __init__(self, models: AvailableModels, upstreams: Upstreams) -> None:
        self._models = models
        self._upstreams = upstreams

    def apply(
        self, error: QuotaExhausted, state: RequestState, turn: Turn, failover: Failover
    ) -> None:
        """Have the request ask for its model's next fallback, on all accounts anew.

        Raises the error where there is none, where something was shown, where the history is in a
        session alone, and while an account has the quota left.
        """
        waits_s = [each for each in (error.retry_after, state.retry_after_s) if each is not None]
        error.retry_after = state.retry_after_s = min(waits_s, default=None)
        is_late = state.output_started or request_context.current().is_over()
        if is_late or not turn.can_restart or not failover.is_used_up():
            raise error
        if state.fallbacks is None:
            state.fallbacks = fallback_models(state.chat, self._models, state.asked)
        if not state.fallbacks:
            raise error
        if failover.has_asked:  # else nothing was sent, and the session may go on
            turn.invalidate_session()
            state.start_over()
        model = state.fallbacks.pop(0)
        upstreams = self._upstreams.capabilities(model.names)
        state.fall_back(model, upstreams, state.emulation.sizes(upstreams))


def note_mapping(state: RequestState, account: Account) -> None:
    """Log that a fallback answers."""
    if state.model is not state.asked:
        facts = {"asked": state.asked.id, "used": state.model.id, "reason": "quota"}
        log.info("model.mapped", extra={**facts, "account": account.id})
