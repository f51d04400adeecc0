"""The use case: answer a chat request, in the session that holds its history or a fresh one, on an
account that can.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass

from gbproxy.accounts.available_models import AvailableModels
from gbproxy.accounts.failover import Failover, Next
from gbproxy.accounts.pool import Pool
from gbproxy.conversations import Conversations, SessionSource, Turn
from gbproxy.domain import prompt as prompts
from gbproxy.domain import usage
from gbproxy.domain.account import Account
from gbproxy.domain.chat import ChatRequest
from gbproxy.domain.events import FLUSH, ChatEvent, ChatStream, Done, SessionNamed, Started
from gbproxy.domain.models import Model, no_such
from gbproxy.domain.principal import Principal
from gbproxy.domain.session import Session
from gbproxy.domain.shaping import Shaper
from gbproxy.errors import (
    ContextLengthExceeded,
    ConversationNotFound,
    GatewayError,
    NoAccountAvailable,
    Overloaded,
    RequestRefused,
    SessionDenied,
    SessionGone,
    UpstreamError,
    UpstreamTimeout,
)
from gbproxy.observability import request_context
from gbproxy.observability.request_context import Phase
from gbproxy.rate_limits.limiter import Limiter
from gbproxy.rate_limits.reservation import Reservation
from gbproxy.upstreams.base import Upstream

log = logging.getLogger(__name__)


class Gateway:
    """Answers requests; safe for use by many threads at once."""

    def __init__(
        self,
        models: AvailableModels,
        pool: Pool,
        upstream: Upstream,
        conversations: Conversations,
        ahead: SessionSource,
        limits: Limiter,
        *,
        show_thoughts: bool = False,
        prompt_max_chars: int = 400_000,
        max_attempts: int = 3,
        request_timeout_s: float = 1800,
        suspect: Callable[[Account], object] = lambda account: None,
        record_activity: Callable[..., object] = lambda account_id="": None,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        """`request_timeout_s` bounds one request over all its waits and tries.

        `suspect` has an account looked at that a question was refused on, and does not wait for it.
        `record_activity` notes that a request has arrived or, with an account id, that it got that
        account.
        """
        self._models = models
        self._pool = pool
        self._upstream = upstream
        self._conversations = conversations
        self._ahead = ahead
        self._limits = limits
        self._show_thoughts = show_thoughts
        self._prompt_max_chars = prompt_max_chars
        self._max_attempts = max_attempts
        self._suspect = suspect
        self._record_activity = record_activity
        self._request_timeout_s = request_timeout_s
        self._pause = pause

    def stream(self, chat: ChatRequest) -> ChatStream:
        """Answer one request: `Started`, then content, then `Usage` and `Done`. Nothing happens
        before the first `next`.

        Whoever takes `Done` and asks for no more has not delivered it: then the conversation does
        not go on from this answer.
        """
        context = request_context.current()
        context.until = time.monotonic() + self._request_timeout_s
        ask = self._read(chat)
        self._record_activity()
        use = self._limits.begin(
            chat.principal,
            ask.counted_as,
            is_streamed=chat.is_streamed,
            prompt_tokens=usage.tokens(ask.weight),
        )
        try:
            with self._begin(chat, ask.model) as turn:
                context.conversation = turn.conversation
                if not turn.continues:
                    self._check_length(ask.prompt_chars)
                attempts = self._attempts(ask.model, chat.principal)
                while True:
                    wanted = None if turn.may_start_afresh else turn.wanted
                    with attempts.lease(wanted=wanted, preferred=turn.wanted) as account:
                        self._note_account(account, turn)
                        after: Next | None = Next.SAME
                        while after is Next.SAME:
                            after = yield from self._attempt(ask, turn, attempts, account, use)
                    if after is None:
                        return
        except (UpstreamError, NoAccountAvailable, Overloaded) as error:
            if context.is_over():
                raise UpstreamTimeout(
                    f"the answer took longer than {self._request_timeout_s:g} s"
                ) from error
            raise
        finally:
            use.end(ask.tokens())
            _note_end(ask)

    def _begin(self, chat: ChatRequest, model: Model) -> Turn:
        return self._conversations.begin(
            chat.caller,
            model.id,
            chat.messages,
            chat.conversation,
            avoided=lambda: self._pool.without_place(model.quota),
        )

    def _attempt(
        self, ask: _Ask, turn: Turn, attempts: Failover, account: Account, use: Reservation
    ) -> Generator[ChatEvent, None, Next | None]:
        """One try in one session; returns what follows, None once it was the answer. Raises what
        the client is to see.
        """
        context = request_context.current()
        context.attempts += 1
        context.phase = Phase.CONNECTING
        context.has_elsewhere = (
            attempts.may_go_elsewhere if turn.may_start_afresh else lambda: False
        )
        ask.shaper = shaper = Shaper(ask.shows_thoughts)
        model, made_now, said = attempts.model, False, False
        try:
            prompt = self._prompt(turn)
            session, made_now = self._session(turn, account)
            with closing(self._upstream.stream(prompt, model, account, session.name)) as events:
                for event in events:
                    if isinstance(event, SessionNamed):
                        turn.name(event.name)
                        continue
                    shown = shaper.shape(event)
                    if not said:
                        # Until there is something to show, a failure is still a plain error, and
                        # may be got over.
                        if shown is None or shown is FLUSH:
                            continue
                        said = True
                        attempts.begun()
                        self._note_start(model, account, ask)
                        yield Started(model.id, turn.conversation)
                    if isinstance(shown, Done):
                        self._finish(turn, shaper, shown)
                        use.end(ask.tokens())
                        yield shaper.usage(ask.weight)
                    if shown is not None:
                        yield shown
                    if isinstance(shown, Done):
                        turn.delivered()
        except (UpstreamError, ContextLengthExceeded) as error:
            _log_failure(error, account)
            context.failures.append(
                (error.code, error.said.status if error.said is not None else "")
            )
            if (
                isinstance(error, SessionGone | SessionDenied)
                and not made_now
                and not turn.continues
            ):
                self._ahead.invalidate(account)
            return _after(error, turn, attempts, said=said, continued=not made_now)
        attempts.answered()
        return None

    def _finish(self, turn: Turn, shaper: Shaper, done: Done) -> None:
        """Let the conversation go on from here, if it can; before the last frame: a quick client's
        next request must find it.
        """
        kept = done.finish_reason == "stop" and turn.keep(shaper.answer)
        context = request_context.current()
        if not kept and not context.has_told_conversation:
            context.conversation = None

    def _read(self, chat: ChatRequest) -> _Ask:
        model = self._models.resolve(chat.model)
        if not chat.principal.may_use(model.id):
            raise no_such(chat.model or model.id)
        if chat.model and chat.model != model.id:
            log.info(
                "model.mapped",
                extra={"asked": chat.model[:100], "used": model.id, "reason": "name"},
            )
        size = prompts.measured(chat.messages)
        request_context.current().facts |= {"model": model.id, "prompt_chars": size.chars}
        shows = self._show_thoughts if chat.show_thoughts is None else chat.show_thoughts
        return _Ask(
            model, self._models.counted_as(model), size.chars, size.weight, shows, Shaper(shows)
        )

    def _prompt(self, turn: Turn) -> str:
        prompt = turn.send()
        try:
            self._check_length(len(prompt))
        except ContextLengthExceeded:
            turn.release()
            raise
        return prompt

    def _check_length(self, prompt_chars: int) -> None:
        if prompt_chars > self._prompt_max_chars:
            raise ContextLengthExceeded(
                # in the words that clients look for
                f"This model's maximum context length is {self._prompt_max_chars} characters"
                f" (PROMPT_MAX_CHARS), but the conversation has {prompt_chars}",
                param="messages",
            )

    def _attempts(self, model: Model, principal: Principal) -> Failover:
        requested = self._models.requested(model, principal)
        return Failover(
            self._pool,
            requested,
            limit=self._max_attempts,
            suspect=self._suspect,
            pause=self._pause,
        )

    def _session(self, turn: Turn, account: Account) -> tuple[Session, bool]:
        """The session that this turn continues, or a fresh one; and whether that was made just now,
        for this request.
        """
        if turn.session is not None:
            return turn.session, False
        context = request_context.current()
        may_rename = turn.may_adopt_id and not context.has_told_conversation
        # A session of the stock has an id of its own, by which other workers see that the
        # conversation is in use.
        session = self._ahead.take(account) if may_rename else None
        made_now = session is None
        if session is None:
            session = turn.record(account.account_key, self._ahead.open(account))
        else:
            turn.use(session)
            turn.adopt_id()
        if not context.has_told_conversation:
            context.conversation = turn.conversation
        return session, made_now

    def _note_account(self, account: Account, turn: Turn) -> None:
        context = request_context.current()
        context.facts["account"] = account.id
        context.accounts += 1
        self._record_activity(account.id)
        # its account is busy or cannot answer: all of it goes elsewhere
        if turn.wanted not in (None, account.account_key):
            turn.discard()

    def _note_start(self, model: Model, account: Account, ask: _Ask) -> None:
        context = request_context.current()
        context.ttft_ms = context.elapsed_ms()
        context.phase = Phase.STREAMING
        context.facts["model"] = model.id
        self._pool.succeeded(account, ask.model.quota)


@dataclass(slots=True)
class _Ask:
    """One request on its way: the model asked for, what its prompt weighs, and what shapes the
    answer that is tried.
    """

    model: Model
    counted_as: str  # the model's id, as limits know it
    prompt_chars: int
    weight: int
    shows_thoughts: bool
    shaper: Shaper

    def tokens(self) -> int:
        """What was asked and answered, as it is charged: nothing was, when nothing was answered."""
        counted = self.shaper.usage(self.weight)
        return counted.input_tokens + counted.output_tokens if counted.output_tokens else 0


def _after(
    error: GatewayError, turn: Turn, attempts: Failover, *, said: bool, continued: bool
) -> Next:
    """How it goes on after a failure. Raises what the client is to see when it does not."""
    try:
        is_last = said or request_context.current().is_over()
        after = attempts.failed(
            error, said=is_last, continued=continued, afresh=turn.may_start_afresh
        )
    except GatewayError:
        if turn.may_start_afresh or said:
            raise
        if isinstance(error, SessionGone | SessionDenied):
            turn.discard()
            raise ConversationNotFound from error
        if not error.was_taken:
            turn.release()
        raise
    turn.discard()
    return after


def _note_end(ask: _Ask) -> None:
    counted = ask.shaper.usage(ask.weight)
    request_context.current().facts |= {
        "answer_chars": ask.shaper.characters,
        "input_tokens": counted.input_tokens,
        "output_tokens": counted.output_tokens,
    }


def _log_failure(error: GatewayError, account: Account) -> None:
    # A refusal of the request itself is told in the upstream's words, which may quote the prompt.
    reason = None if isinstance(error, RequestRefused | ContextLengthExceeded) else error.message
    facts = {
        "account": account.id,
        "code": error.code,
        "reason": reason,
        "retry_after_s": error.retry_after,
        "said": error.safe_words,
    }
    log.warning("attempt.failed", extra=facts)
