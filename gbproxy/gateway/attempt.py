"""The steps of one attempt to answer a request: write the upstream's request, commit the answer, or
decide what follows a failure.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from gbproxy.accounts.failover import Failover, Next
from gbproxy.conversations import Turn
from gbproxy.domain.account import Account
from gbproxy.domain.attachment import Attachment
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
from gbproxy.gateway.files import attachments_of, without_files
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
    put: Callable[[Attachment], str],
) -> UpstreamRequest:
    """The request of this attempt, whose files are in the session, by `put`. From now on the
    session counts as holding its messages.
    """
    if state.exchange and capabilities.sessions:
        written = pipeline.write(state.correction, is_resumed=True)
    else:
        messages = state.files.ready((*turn.messages, *state.exchange), turn.files)
        written = pipeline.write(messages, is_resumed=turn.is_resumed)
    ensure_fits(count_chars(written), capabilities)
    file_ids: tuple[str, ...] = ()
    if files := attachments_of(written):
        known = turn.files
        sent = state.files.put(files, put, known)
        turn.note_files({**known, **sent})
        file_ids = tuple(file.id for file in sent.values())
        written = without_files(written)
    turn.mark_sent()
    return UpstreamRequest(written, model, file_ids)


def commit(state: RequestState, turn: Turn, done: Done) -> None:
    """Commit the conversation, if the session holds exactly what the client was shown. To be called
    before the last frame is handed out: a quick client's next request must find it.
    """
    transform = state.transform
    # A cut or corrected answer is not what the session holds.
    is_cut = not transform.is_whole or state.emulation.has_cut
    is_exact = done.finish_reason in ("stop", "tool_calls") and not is_cut and not state.exchange
    if turn.session is None:
        committed = False
    elif is_exact:
        committed = turn.commit(transform.answer, transform.calls)
    else:
        committed = turn.commit_as_is()
    context = request_context.current()
    if not committed and not context.conversation_sent:
        context.conversation = None


def next_step(
    error: GatewayError,
    state: RequestState,
    turn: Turn,
    failover: Failover,
) -> Next:
    """Decide what follows a failed attempt. Raises the client's error when nothing does."""
    can_restart = turn.can_restart
    try:
        step = failover.failed(
            error,
            output_started=state.output_started or request_context.current().is_over(),
            reused_session=not state.has_opened,
            can_restart=can_restart,
        )
    except GatewayError:
        if can_restart or state.output_started:
            raise
        if isinstance(error, SessionGone | SessionDenied):
            turn.invalidate_session()
            raise ConversationNotFound from error
        # Turns that were corrected before are in the session, whatever became of this attempt.
        if not error.was_taken and not state.exchange:
            turn.release()
        raise
    turn.invalidate_session()
    state.start_over()
    return step


def note_failure(error: GatewayError, account: Account) -> None:
    """Log a failed attempt, and add it to the request's context."""
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
    status = error.said.status if error.said is not None else ""
    request_context.current().note_failure(error.code, status)
