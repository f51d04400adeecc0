"""One chat request: resolve its model, lease an account, ask, fail over, correct, record."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Generator, Iterator
from contextlib import closing, contextmanager
from functools import partial

from gbproxy.accounts.available_models import AvailableModels
from gbproxy.accounts.failover import Failover, Next
from gbproxy.accounts.pool import Pool
from gbproxy.conversations import Conversations, Turn
from gbproxy.domain.account import Account, QuotaClass
from gbproxy.domain.chat import ChatRequest
from gbproxy.domain.events import ChatEvent, ChatStream, Done, Flush, SessionNamed, Started
from gbproxy.domain.models import Model
from gbproxy.emulation.pipeline import CorrectionNeeded, fitting
from gbproxy.emulation.request_emulation import RequestEmulation
from gbproxy.errors import (
    BadRequest,
    ContextLengthExceeded,
    NoAccountAvailable,
    Overloaded,
    QuotaExhausted,
    RequestTooLarge,
    SessionDenied,
    SessionGone,
    UpstreamError,
    UpstreamTimeout,
)
from gbproxy.gateway.answer_files import NO_MEDIA, MediaOut
from gbproxy.gateway.asking import Asker
from gbproxy.gateway.attempt import commit, next_step, note_failure
from gbproxy.gateway.files import FileTransfer, RequestFiles
from gbproxy.gateway.preparation import Preparation
from gbproxy.gateway.quota_fallback import QuotaFallback, note_mapping
from gbproxy.gateway.request_state import RequestState
from gbproxy.gateway.shared_reservation import Ending, Reserve, SharedReservation
from gbproxy.observability import request_context
from gbproxy.observability.request_context import Phase
from gbproxy.rate_limits.limiter import Limiter
from gbproxy.sessions.prewarmed import SessionPool
from gbproxy.upstreams.registry import Upstreams


class Gateway:
    """Answers requests; safe for use by many threads at once."""

    def __init__(
        self,
        models: AvailableModels,
        pool: Pool,
        upstreams: Upstreams,
        conversations: Conversations,
        sessions: SessionPool,
        limits: Limiter,
        files: FileTransfer,
        *,
        media: MediaOut = NO_MEDIA,
        show_thoughts: bool = False,
        max_attempts: int = 3,
        request_timeout_s: float = 1800,
        suspect: Callable[[Account], object] = lambda account: None,
        record_activity: Callable[..., object] = lambda account_id="": None,
        note_use: Callable[[str, str, QuotaClass, int], object] = lambda *use: None,
        emulation: Callable[[ChatRequest], RequestEmulation] = RequestEmulation,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        """`request_timeout_s` bounds one request over all its waits and attempts.

        `suspect` has an account probed on which a question was refused, and does not wait for it.
        `record_activity` notes that a request has arrived or, with an account id, that it got that
        account. `note_use` counts an answer that has begun, at its end: account id, fingerprint of
        the key, quota class and tokens.
        """
        self._models = models
        self._pool = pool
        self._upstreams = upstreams
        self._conversations = conversations
        self._sessions = sessions
        self._limits = limits
        self._files = files
        self._preparation = Preparation(models, upstreams, emulation, show_thoughts)
        self._fallback = QuotaFallback(models, upstreams)
        self._asker = Asker(upstreams, sessions, media)
        self._media = media
        self._max_attempts = max_attempts
        self._suspect = suspect
        self._record_activity = record_activity
        self._note_use = note_use
        self._request_timeout_s = request_timeout_s
        self._pause = pause

    def stream(self, chat: ChatRequest) -> ChatStream:
        """Answer one request: `Started`, then content, then `Usage` and `Done`. Nothing happens
        before the first `next`.

        Reading on behind `Done` confirms that the last frame was written; if the generator is
        closed instead, the conversation does not go on from this answer.
        """
        return self._stream(chat, self._limits.begin, RequestFiles(self._files, chat))

    @contextmanager
    def streams(self, chat: ChatRequest) -> Iterator[list[ChatStream]]:
        """As many answers as the request asks for, to be read side by side, each in a request
        context of its own (`request_context.child`). Limits count them as one, until the block is
        left.
        """
        shared = SharedReservation(self._limits.begin, chat.choices)
        files = RequestFiles(self._files, chat)
        with closing(shared):
            yield [self._stream(chat, shared.begin, files) for _ in range(chat.choices)]

    def count_tokens(self, chat: ChatRequest) -> int:
        """The tokens of a request's prompt, as the `Usage` of its answer would count them; nothing
        is asked, and however long it is, it is counted. Raises ModelNotFound.
        """
        return self._preparation.state(chat, RequestFiles(self._files, chat)).prompt_tokens

    def _stream(self, chat: ChatRequest, reserve: Reserve, files: RequestFiles) -> ChatStream:
        context = request_context.current()
        context.limit_time(self._request_timeout_s)
        self._media.ensure_way(chat)
        state = self._preparation.state(files.identified(chat), files)
        self._record_activity()
        reservation = reserve(
            chat.principal,
            state.counted_as,
            is_streamed=chat.is_streamed,
            prompt_tokens=state.prompt_tokens,
        )
        try:
            with self._begin_turn(state) as turn:
                context.conversation = turn.conversation
                failover = self._failover(state, turn)
                state.files.fetch(turn.messages, turn.files)
                while True:
                    required = None if turn.can_restart else turn.account_key
                    preferred = turn.account_key
                    step: Next | CorrectionNeeded | None = Next.SAME
                    try:
                        with failover.lease(required=required, preferred=preferred) as account:
                            self._note_lease(account, turn)
                            while step is Next.SAME or isinstance(step, CorrectionNeeded):
                                step = yield from self._attempt(
                                    state, turn, failover, account, reservation
                                )
                                if isinstance(step, CorrectionNeeded):
                                    state.correct(step)
                    except QuotaExhausted as error:
                        self._fallback.apply(error, state, turn, failover)
                        failover = self._failover(state, turn)
                        continue
                    if step is None:
                        return
        except (UpstreamError, NoAccountAvailable, Overloaded) as error:
            if context.is_over():
                raise UpstreamTimeout(
                    f"the answer took longer than {self._request_timeout_s:g} s"
                ) from error
            raise
        finally:
            reservation.end(state.tokens())
            state.note_end(context)
            if state.answered_by:
                self._note_use(
                    state.answered_by, chat.principal.fingerprint, state.model.quota, state.tokens()
                )

    def _attempt(
        self,
        state: RequestState,
        turn: Turn,
        failover: Failover,
        account: Account,
        reservation: Ending,
    ) -> Generator[ChatEvent, None, Next | CorrectionNeeded | None]:
        """Ask once, in one session. Returns the next step, None once it was answered. Raises the
        client's error.
        """
        context = request_context.current()
        model = failover.model
        context.note_attempt(account.id, model.id)
        context.phase = Phase.CONNECTING
        context.has_elsewhere = failover.may_go_elsewhere if turn.can_restart else lambda: False
        state.begin_attempt()
        try:
            learn = partial(failover.file_failed, account)
            with self._asker.ask(state, turn, account, model, learn) as events:
                has_started = state.output_started
                for event in events:
                    if isinstance(event, SessionNamed):
                        turn.name(event.name)
                        continue
                    if not has_started:
                        # Until there is something to show, a failure is still a plain error, and
                        # another attempt may follow.
                        if isinstance(event, Flush):
                            continue
                        has_started = True
                        failover.begun()
                        self._note_start(state, turn, model, account)
                        yield Started(model.id, state.prompt_tokens)
                    if isinstance(event, Done):
                        commit(state, turn, event)
                        reservation.end(state.tokens())
                        yield state.usage()
                        yield event
                        turn.confirm_delivery()
                    else:
                        yield event
        except CorrectionNeeded as needed:
            if state.output_started and not needed.follows_shown:  # a stage's bug
                raise
            return needed.with_traceback(None)
        except (UpstreamError, ContextLengthExceeded) as error:
            return self._after_failure(error, state, turn, failover, account)
        except (BadRequest, RequestTooLarge) as error:  # of a file
            note_failure(error, account)
            raise
        failover.answered()
        return None

    def _after_failure(
        self,
        error: UpstreamError | ContextLengthExceeded,
        state: RequestState,
        turn: Turn,
        failover: Failover,
        account: Account,
    ) -> Next:
        """The next step. Raises the client's error when there is none."""
        note_failure(error, account)
        is_lost = isinstance(error, SessionGone | SessionDenied)
        if is_lost and not state.has_opened and not turn.is_resumed:
            # It was prewarmed: the account's other prewarmed sessions may be gone too.
            self._sessions.invalidate(account)
        return next_step(error, state, turn, failover)

    def _begin_turn(self, state: RequestState) -> Turn:
        chat, model = state.chat, state.model
        return self._conversations.begin(
            chat.key_digest,
            model.id,
            chat.messages,
            chat.conversation,
            form=chat.form_digest,
            avoided=lambda: self._pool.saturated(model.quota_scope),
        )

    def _failover(self, state: RequestState, turn: Turn) -> Failover:
        """Raises ContextLengthExceeded, and BadRequest for files that nobody takes, also where no
        account can be asked, at no account's cost.
        """
        able: Collection[str] = state.upstreams.keys()
        # A resumed session is sent its delta only, which may fit where the whole does not.
        if not turn.is_resumed:
            able = fitting(state.sizes, state.upstreams)
        able = state.files.takers(turn.messages, able, state.upstreams)
        return Failover(
            self._pool,
            self._models.requested(state.model, state.chat.principal, able),
            limit=self._max_attempts,
            suspect=self._suspect,
            pause=self._pause,
        )

    def _note_lease(self, account: Account, turn: Turn) -> None:
        context = request_context.current()
        context.log_fields["account"] = account.id
        context.accounts += 1
        self._record_activity(account.id)
        # The session's own account is busy or cannot answer: the whole history goes elsewhere.
        if turn.account_key not in (None, account.account_key):
            turn.invalidate_session()

    def _note_start(self, state: RequestState, turn: Turn, model: Model, account: Account) -> None:
        """Note that from now on the client is shown the answer."""
        state.output_started = True
        state.answered_by = account.id
        turn.mark_shown()
        context = request_context.current()
        context.note_first_token()
        context.log_fields["model"] = model.id
        note_mapping(state, account)
        self._pool.succeeded(account, state.model.quota_scope)
