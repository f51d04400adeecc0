"""The steps of one attempt: what is sent, what becomes of its answer, and of its failure."""

from __future__ import annotations

import logging

from gbproxy.accounts.failover import Failover, Next
from gbproxy.conversations import Turn
from gbproxy.domain.account import Account
from gbproxy.domain.events import Done
from gbproxy.domain.models import Model
from gbproxy.emulation.pipeline import Pipeline, count_chars, ensure_fits
from gbproxy.errors import (
    ContextLengthExceeded,
    ConversationNotFound,
    GatewayError,
    RequestRefused,
    SessionDenied,
    SessionGone,
)
from gbproxy.gateway.request_state import RequestState
from gbproxy.observability import request_context
from gbproxy.upstreams.base import Capabilities, UpstreamRequest

log = logging.getLogger(__name__)


def write_request(
    state: RequestState,
    turn: Turn,
    pipeline: Pipeline,
    capabilities: Capabilities,
    model: Model,
) -> UpstreamRequest:
    """Make what is sent in this attempt. From then on the session counts as holding it."""
    if state.exchange and capabilities.sessions:
        written = pipeline.write(state.correction, is_resumed=True)
    else:
        messages = (*turn.messages, *state.exchange)
        written = pipeline.write(messages, is_resumed=turn.is_resumed)
    ensure_fits(count_chars(written), capabilities)
    turn.mark_sent()
    return UpstreamRequest(written, model)


def commit(state: RequestState, turn: Turn, done: Done) -> None:
    """Let the conversation go on from here, if it can; before the last frame: a quick client's
    next request must find it.
    """
    # What was cut, or corrected, is not what the session holds.
    is_exact = done.finish_reason == "stop" and state.transform.is_whole and not state.exchange
    committed = is_exact and turn.session is not None and turn.commit(state.transform.answer)
    context = request_context.current()
    if not committed and not context.conversation_sent:
        context.conversation = None


def next_step(
    error: GatewayError,
    state: RequestState,
    turn: Turn,
    failover: Failover,
    *,
    output_started: bool,
    reused_session: bool,
) -> Next:
    """Decide how it goes on after a failure. Raises what the client is to see when it does not."""
    can_restart = turn.can_restart
    try:
        step = failover.failed(
            error,
            output_started=output_started or request_context.current().is_over(),
            reused_session=reused_session,
            can_restart=can_restart,
        )
    except GatewayError:
        if can_restart or output_started:
            raise
        if isinstance(error, SessionGone | SessionDenied):
            turn.invalidate_session()
            raise ConversationNotFound from error
        # What was corrected before is in the session, whatever became of this attempt.
        if not error.was_taken and not state.exchange:
            turn.release()
        raise
    turn.invalidate_session()
    return step


def log_failure(error: GatewayError, account: Account) -> None:
    # A refusal of the request itself is told in the upstream's words, which may quote the prompt.
    reason = None if isinstance(error, RequestRefused | ContextLengthExceeded) else error.message
    fields = {
        "account": account.id,
        "code": error.code,
        "reason": reason,
        "retry_after_s": error.retry_after,
        "said": error.safe_words,
    }
    log.warning("attempt.failed", extra=fields)
