"""The use case: answer a chat request with an account of the upstream."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field

from gbproxy.accounts import Pool
from gbproxy.domain import prompt as prompts
from gbproxy.domain import shaping, usage
from gbproxy.domain.account import Account
from gbproxy.domain.chat import ChatRequest
from gbproxy.domain.events import ChatStream, Done, Flush, Refusal, Started, TextDelta, ThoughtDelta, Usage
from gbproxy.domain.models import Catalogue, Model
from gbproxy.errors import ContextLengthExceeded, GatewayError, RequestRefused, SessionGone, UpstreamError
from gbproxy.observability import trace
from gbproxy.upstreams.base import Upstream

log = logging.getLogger(__name__)

_RETRY_S = (0.1, 0.4)  # before the same account is asked again, jittered
_SUCCESSOR_S = 3600.0  # how long an account's refusal of a retired model is remembered


@dataclass(slots=True)
class Tally:
    """What one answer weighs, in quarter tokens (domain/usage.py), and its length in characters."""

    input_weight: int
    text_weight: int = 0
    thought_weight: int = 0
    characters: int = 0

    def begin_answer(self) -> None:
        """Forget what an attempt that was given up had thought."""
        self.text_weight = self.thought_weight = self.characters = 0

    def usage(self) -> Usage:
        reasoning = usage.tokens(self.thought_weight)
        return Usage(usage.tokens(self.input_weight), usage.tokens(self.text_weight) + reasoning, reasoning)


class Gateway:
    """Answers requests; safe for use by many threads at once."""

    def __init__(
        self,
        catalogue: Catalogue,
        pool: Pool,
        upstream: Upstream,
        discard_session: Callable[[Account, str], None],
        *,
        show_thoughts: bool = False,
        prompt_max_chars: int = 400_000,
        clock: Callable[[], float] = time.monotonic,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._catalogue = catalogue
        self._pool = pool
        self._upstream = upstream
        self._discard_session = discard_session
        self._show_thoughts = show_thoughts
        self._prompt_max_chars = prompt_max_chars
        self._pause = pause
        self._successors = _Successors(catalogue, clock)

    def stream(self, chat: ChatRequest) -> ChatStream:
        """Answer one request: `Started`, then content, then `Usage` and `Done`. Nothing happens before the first `next`."""
        model = self._catalogue.resolve(chat.model)
        if chat.model and chat.model != model.id:
            log.info("model.mapped", extra={"asked": chat.model[:100], "used": model.id, "reason": "name"})
        prompt = prompts.flatten(chat.messages)
        if len(prompt) > self._prompt_max_chars:
            raise ContextLengthExceeded(
                # in the words that clients look for
                f"This model's maximum context length is {self._prompt_max_chars} characters (PROMPT_MAX_CHARS), "
                f"but the conversation has {len(prompt)}",
                param="messages",
            )
        shows = self._show_thoughts if chat.show_thoughts is None else chat.show_thoughts
        ask = _Ask(prompt, model, shows, Tally(usage.weight(prompt)))
        trace.current().facts |= {"model": model.id, "prompt_chars": len(prompt)}
        try:
            with (
                self._pool.lease() as account,
                closing(self._answer(ask, account)) as answer,
                closing(_started_at_content(answer, ask.tally)) as events,
            ):
                yield from events
        finally:
            _note(ask.tally)

    def _answer(self, ask: _Ask, account: Account) -> ChatStream:
        """One answer, `Started` first. Until something was said, another try may follow one that failed."""
        trace.current().facts["account"] = account.id
        tries = _Tries(self._catalogue, self._successors.current(account, ask.model))
        while True:
            said = False
            yield Started(tries.model.id)
            try:
                with closing(self._attempt(ask, tries.model, account)) as events:
                    for event in events:
                        said = said or not isinstance(event, Flush)
                        yield event
            except (UpstreamError, ContextLengthExceeded) as error:
                _log_failure(error, account)
                if said:
                    raise
                tries.prepare_next(error, self._pause)
            else:
                if tries.refusal is not None:
                    self._successors.remember(account, ask.model, tries.model)
                return

    def _attempt(self, ask: _Ask, model: Model, account: Account) -> ChatStream:
        """One try in a session of its own, which is deleted afterwards."""
        trace.current().attempts += 1
        ask.tally.begin_answer()
        session = self._upstream.open_session(account)
        try:
            answer = shaping.name_files(self._upstream.stream(ask.prompt, model, account, session))
            events = _weighed(answer, ask.tally)
            with closing(events if ask.shows_thoughts else shaping.hide_thoughts(events)) as shown:
                yield from shown
        finally:
            self._discard_session(account, session)


@dataclass(frozen=True, slots=True)
class _Ask:
    """One request on its way: what is sent, to which model, and what is counted of the answer."""

    prompt: str
    model: Model
    shows_thoughts: bool
    tally: Tally


@dataclass(slots=True)
class _Tries:
    """What one account may still be asked after a failure: each remedy is tried once."""

    _catalogue: Catalogue
    model: Model
    refusal: UpstreamError | None = None  # of the retired model, where `model` is its successor
    _session_was_lost: bool = False
    _broke: bool = False

    def prepare_next(self, error: GatewayError, pause: Callable[[float], None]) -> None:
        """Get ready for another try. Raises the error that the client shall see when there is none."""
        if isinstance(error, SessionGone) and not self._session_was_lost:
            self._session_was_lost = True
        elif isinstance(error, SessionGone | RequestRefused):
            successor = self._catalogue.successor(self.model)
            if self.refusal is not None or successor is None:
                raise self.refusal or error
            self.refusal, self.model = error, successor
        elif isinstance(error, UpstreamError) and error.retryable and not self._broke:
            self._broke = True
            pause(random.uniform(*_RETRY_S))  # noqa: S311  jitter, no secret
        else:
            raise error


@dataclass(slots=True)
class _Successors:
    """Which retired models an account has refused of late, and what answers in their place."""

    _catalogue: Catalogue
    _clock: Callable[[], float]
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _known: dict[tuple[str, str], tuple[Model, float]] = field(default_factory=dict)

    def current(self, account: Account, model: Model) -> Model:
        with self._lock:
            used, until = self._known.get((account.id, model.id), (model, 0.0))
        if used is model or until <= self._clock():
            return model
        _log_mapped(model, used, account)
        return used

    def remember(self, account: Account, model: Model, used: Model) -> None:
        with self._lock:
            self._known[account.id, model.id] = (used, self._clock() + _SUCCESSOR_S)
        _log_mapped(model, used, account)


def _started_at_content(events: ChatStream, tally: Tally) -> ChatStream:
    """Hold `Started` back until there is something to show, so that until then a failure is still a plain error."""
    started: Started | None = None
    for event in events:
        if isinstance(event, Started):
            started = event
            continue
        if started is not None:
            if isinstance(event, Flush):
                continue
            measured = trace.current()
            measured.ttft_ms = measured.elapsed_ms()
            measured.facts["model"] = started.model
            yield started
            started = None
        if isinstance(event, Done):
            yield tally.usage()
        yield event


def _weighed(events: ChatStream, tally: Tally) -> ChatStream:
    with closing(events):
        for event in events:
            match event:
                case TextDelta(text) | Refusal(text):
                    tally.text_weight += usage.weight(text)
                    tally.characters += len(text)
                case ThoughtDelta(text):
                    tally.thought_weight += usage.weight(text)
                case _:
                    pass
            yield event


def _note(tally: Tally) -> None:
    counted = tally.usage()
    trace.current().facts |= {
        "answer_chars": tally.characters,
        "input_tokens": counted.input_tokens,
        "output_tokens": counted.output_tokens,
    }


def _log_failure(error: UpstreamError | ContextLengthExceeded, account: Account) -> None:
    # A refusal of the request itself is told in the upstream's words, which may quote the prompt.
    reason = None if isinstance(error, RequestRefused | ContextLengthExceeded) else error.message
    log.warning(
        "attempt.failed",
        extra={"account": account.id, "code": error.code, "reason": reason, "retry_after_s": error.retry_after},
    )


def _log_mapped(model: Model, used: Model, account: Account) -> None:
    log.info("model.mapped", extra={"asked": model.id, "used": used.id, "reason": "retired", "account": account.id})
