"""One chat request: resolve its model, lease an account, ask, fail over, correct, record."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Generator, Iterator
from contextlib import closing, contextmanager

from gbproxy.accounts.available_models import AvailableModels
from gbproxy.accounts.failover import Failover, Next
from gbproxy.accounts.pool import Pool
from gbproxy.conversations import Conversations, Turn
from gbproxy.domain.account import Account
from gbproxy.domain.chat import ChatRequest
from gbproxy.domain.events import ChatEvent, ChatStream, Done, Flush, SessionNamed, Started
from gbproxy.domain.models import ALL_TOOLS, Model, no_such
from gbproxy.emulation.pipeline import CorrectionNeeded, ensure_fits, fitting
from gbproxy.emulation.request_emulation import RequestEmulation
from gbproxy.emulation.roles import PromptSize
from gbproxy.errors import (
    BadRequest,
    ContextLengthExceeded,
    NoAccountAvailable,
    Overloaded,
    RequestTooLarge,
    SessionDenied,
    SessionGone,
    UpstreamError,
    UpstreamTimeout,
)
from gbproxy.gateway.answer_files import NO_MEDIA, AnswerFiles, MediaOut
from gbproxy.gateway.attempt import (
    RequestState,
    commit,
    next_step,
    note_failure,
    write_request,
)
from gbproxy.gateway.files import FileTransfer, RequestFiles
from gbproxy.gateway.opening import session_for
from gbproxy.gateway.shared_reservation import Ending, Reserve, SharedReservation
from gbproxy.observability import request_context
from gbproxy.observability.request_context import Phase
from gbproxy.rate_limits.limiter import Limiter
from gbproxy.sessions.prewarmed import SessionPool
from gbproxy.upstreams.registry import Upstreams

log = logging.getLogger(__name__)


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
        emulation: Callable[[ChatRequest], RequestEmulation] = RequestEmulation,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        """`request_timeout_s` bounds one request over all its waits and attempts.

        `suspect` has an account probed on which a question was refused, and does not wait for it.
        `record_activity` notes that a request has arrived or, with an account id, that it got that
        account.
        """
        self._models = models
        self._pool = pool
        self._upstreams = upstreams
        self._conversations = conversations
        self._sessions = sessions
        self._limits = limits
        self._files = files
        self._media = media
        self._show_thoughts = show_thoughts
        self._max_attempts = max_attempts
        self._suspect = suspect
        self._record_activity = record_activity
        self._request_timeout_s = request_timeout_s
        self._emulation = emulation
        self._pause = pause

    def stream(self, chat: ChatRequest) -> ChatStream:
        """Answer one request: `Started`, then content, then `Usage` and `Done`. Nothing happens
        before the first `next`.

        Reading on behind `Done` confirms that the last frame was written; if the generator is
        closed instead, the conversation does not go on from this answer.
        """
        return self._stream(chat, self._limits.begin, RequestFiles(self._files, chat.messages))

    @contextmanager
    def streams(self, chat: ChatRequest) -> Iterator[list[ChatStream]]:
        """As many answers as the request asks for, to be read side by side, each in a request
        context of its own (`request_context.child`). Limits count them as one, until the block is
        left.
        """
        shared = SharedReservation(self._limits.begin, chat.choices)
        files = RequestFiles(self._files, chat.messages)
        with closing(shared):
            yield [self._stream(chat, shared.begin, files) for _ in range(chat.choices)]

    def count_tokens(self, chat: ChatRequest) -> int:
        """The tokens of a request's prompt, as the `Usage` of its answer would count them; nothing
        is asked, and however long it is, it is counted. Raises ModelNotFound.
        """
        return self._prepare(chat, RequestFiles(self._files, chat.messages)).prompt_tokens

    def _stream(self, chat: ChatRequest, reserve: Reserve, files: RequestFiles) -> ChatStream:
        context = request_context.current()
        context.limit_time(self._request_timeout_s)
        state = self._prepare(chat, files)
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
                state.files.fetch(turn.messages)
                while True:
                    required = None if turn.can_restart else turn.account_key
                    with failover.lease(required=required, preferred=turn.account_key) as account:
                        self._note_lease(account, turn)
                        step: Next | CorrectionNeeded | None = Next.SAME
                        while step is Next.SAME or isinstance(step, CorrectionNeeded):
                            step = yield from self._attempt(
                                state, turn, failover, account, reservation
                            )
                            if isinstance(step, CorrectionNeeded):
                                state.correct(step)
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
        context.note_attempt()
        context.phase = Phase.CONNECTING
        context.has_elsewhere = failover.may_go_elsewhere if turn.can_restart else lambda: False
        model, transform = failover.model, state.begin_attempt()
        try:
            upstream = self._upstreams.of(account)
            pipeline = state.emulation.pipeline(upstream.capabilities)
            state.size = state.sizes[account.upstream]
            if not turn.is_resumed:
                ensure_fits(state.size.chars, upstream.capabilities)
            session = session_for(state, turn, account, upstream.capabilities, self._sessions)
            state.emulation.enter(turn.conversation, is_told=turn.is_told)
            request = write_request(
                state,
                turn,
                pipeline,
                upstream.capabilities,
                model,
                lambda file: upstream.add_file(account, session, file),
            )
            made = AnswerFiles(self._media, state.chat, turn, upstream, account)
            with (
                closing(upstream.stream(request, account, session)) as source,
                closing(
                    made.with_bytes(
                        transform.apply(
                            pipeline.read(source, may_correct=state.may_correct),
                            made.published,
                            made.delivery,
                        )
                    )
                ) as events,
            ):
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
                        has_started = state.output_started = True
                        turn.mark_shown()
                        failover.begun()
                        self._note_start(state, model, account)
                        yield Started(model.id, state.prompt_tokens)
                    if isinstance(event, Done):
                        commit(state, turn, event)
                        reservation.end(state.tokens())
                        yield transform.usage(state.size.quarter_tokens)
                        yield event
                        turn.confirm_delivery()
                    else:
                        yield event
        except CorrectionNeeded as needed:
            if state.output_started and not needed.follows_shown:  # a stage's bug
                raise
            return needed.with_traceback(None)
        except (UpstreamError, ContextLengthExceeded) as error:
            note_failure(error, account)
            is_lost = isinstance(error, SessionGone | SessionDenied)
            if is_lost and not state.has_opened and not turn.is_resumed:
                # It was prewarmed: the account's other prewarmed sessions may be gone too.
                self._sessions.invalidate(account)
            return next_step(error, state, turn, failover)
        except (BadRequest, RequestTooLarge) as error:  # of a file
            note_failure(error, account)
            raise
        failover.answered()
        return None

    def _prepare(self, chat: ChatRequest, files: RequestFiles) -> RequestState:
        model = self._models.resolve(chat.model)
        if chat.makes_image:
            model = model.narrowed_to("imageGenerationSpec")
            if "imageGenerationSpec" not in model.tools:
                raise BadRequest(f"the model {model.id} makes no images", param="model")
        elif chat.web_search:
            model = model.narrowed_to("webGroundingSpec")
        elif chat.tools.declared:  # the model takes the upstream's own for them
            model = model.without_tools(ALL_TOOLS)
        if not chat.principal.may_use(model.id):
            raise no_such(chat.model or model.id)
        if chat.model and chat.model != model.id:
            log.info(
                "model.mapped",
                extra={"asked": chat.model[:100], "used": model.id, "reason": "name"},
            )
        emulation = self._emulation(chat)
        upstreams = self._upstreams.capabilities(model.names)
        sizes = emulation.sizes(upstreams)
        size = next(iter(sizes.values()), PromptSize(0, 0))
        request_context.current().log_fields |= {"model": model.id, "prompt_chars": size.chars}
        return RequestState(
            chat,
            model,
            self._models.counted_as(model),
            emulation,
            upstreams,
            sizes,
            size,
            files,
            self._show_thoughts,
        )

    def _begin_turn(self, state: RequestState) -> Turn:
        chat, model = state.chat, state.model
        return self._conversations.begin(
            chat.key_digest,
            model.id,
            chat.messages,
            chat.conversation,
            form=chat.form_digest,
            avoided=lambda: self._pool.saturated(model.quota),
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

    def _note_start(self, state: RequestState, model: Model, account: Account) -> None:
        context = request_context.current()
        context.ttft_ms = context.elapsed_ms()
        context.phase = Phase.STREAMING
        context.log_fields["model"] = model.id
        self._pool.succeeded(account, state.model.quota)
