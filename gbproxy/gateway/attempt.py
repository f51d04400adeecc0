"""The state of one request, and the steps of one attempt to answer it: write the upstream's
request, commit the answer, or decide what follows a failure.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from gbproxy.accounts.failover import Failover, Next
from gbproxy.conversations import Turn
from gbproxy.domain.account import Account
from gbproxy.domain.attachment import Attachment
from gbproxy.domain.chat import ChatRequest, Message, TextPart
from gbproxy.domain.events import Done, whole_tokens
from gbproxy.domain.models import Model
from gbproxy.emulation.pipeline import (
    CorrectionNeeded,
    Messages,
    Pipeline,
    count_chars,
    ensure_fits,
)
from gbproxy.emulation.request_emulation import RequestEmulation
from gbproxy.emulation.roles import PromptSize
from gbproxy.errors import (
    ContextLengthExceeded,
    ConversationNotFound,
    GatewayError,
    RequestRefused,
    SessionDenied,
    SessionGone,
)
from gbproxy.gateway.files import RequestFiles, attachments_of, without_files
from gbproxy.observability import request_context
from gbproxy.observability.request_context import RequestContext
from gbproxy.shaping.transform import AnswerTransform
from gbproxy.upstreams.base import Capabilities, UpstreamRequest

log = logging.getLogger(__name__)

_MOST_CORRECTIONS = 2


@dataclass(slots=True)
class RequestState:
    """One request, and how far its answer is; for one thread at a time."""

    chat: ChatRequest
    model: Model  # that the client asked for
    counted_as: str  # id under which limits count the model
    emulation: RequestEmulation
    upstreams: Mapping[str, Capabilities]  # that serve the model, by name
    sizes: Mapping[str, PromptSize]  # of the prompt as each of them is sent it
    size: PromptSize  # as the one that is asked is sent it
    files: RequestFiles
    shows_thoughts: bool  # where the request does not say
    output_started: bool = False  # something was shown, which cannot be taken back
    has_opened: bool = False  # True when this attempt's session was opened for this request
    # Turns that the client does not know: answers that had to be corrected, and the corrections.
    # Empty again in a fresh session.
    exchange: Messages = ()
    correction: Messages = ()  # the last of them, not yet sent
    corrections: int = 0  # in the whole request
    _transform: AnswerTransform | None = None

    def begin_attempt(self) -> AnswerTransform:
        """Start a new answer: the text of a failed attempt is neither shown nor charged. Behind
        what was shown the answer goes on.
        """
        if self.output_started and self._transform is not None:
            return self._transform
        self._transform = AnswerTransform.of(self.chat, shows_thoughts=self.shows_thoughts)
        return self._transform

    @property
    def transform(self) -> AnswerTransform:
        """Of the last attempt; an empty one before the first."""
        return self._transform or self.begin_attempt()

    @property
    def may_correct(self) -> bool:
        return self.corrections < _MOST_CORRECTIONS

    def correct(self, needed: CorrectionNeeded) -> None:
        """Add the answer and its correction to what the next attempt sends."""
        answer = Message("assistant", (TextPart(needed.answer),))
        self.corrections += 1
        self.correction = needed.messages
        self.exchange = (*self.exchange, answer, *needed.messages)

    def start_over(self) -> None:
        """Forget corrections: the next attempt sends the client's messages in a fresh session."""
        self.exchange = self.correction = ()

    @property
    def prompt_tokens(self) -> int:
        return whole_tokens(self.size.quarter_tokens)

    def tokens(self) -> int:
        """Tokens to charge for question and answer: 0 when nothing was answered."""
        counted = self.transform.usage(self.size.quarter_tokens)
        return counted.input_tokens + counted.output_tokens if counted.output_tokens else 0

    def note_end(self, context: RequestContext) -> None:
        """Log what was emulated, and write the answer's size, as far as it came, to the request's
        log line.
        """
        self.emulation.note_end()
        counted = self.transform.usage(self.size.quarter_tokens)
        context.log_fields |= {
            "answer_chars": self.transform.characters,
            "input_tokens": counted.input_tokens,
            "output_tokens": counted.output_tokens,
        }


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
    request_context.current().failures.append((error.code, status))
