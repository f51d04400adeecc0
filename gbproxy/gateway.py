"""The use case: answer a chat request with an account of the upstream."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field

from gbproxy.accounts import Pool
from gbproxy.domain import prompt as prompts
from gbproxy.domain import usage
from gbproxy.domain.account import Account
from gbproxy.domain.chat import ChatRequest
from gbproxy.domain.events import FLUSH, ChatStream, Done, Started
from gbproxy.domain.models import Catalogue, Model
from gbproxy.domain.shaping import Shaper
from gbproxy.errors import ContextLengthExceeded, GatewayError, RequestRefused, SessionGone, UpstreamError
from gbproxy.observability import trace
from gbproxy.upstreams.base import Upstream

log = logging.getLogger(__name__)

_RETRY_S = (0.1, 0.4)  # before the same account is asked again, jittered
_SUCCESSOR_S = 3600.0  # how long an account's refusal of a retired model is remembered


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
        trace.current().facts |= {"model": model.id, "prompt_chars": len(prompt)}
        shows = self._show_thoughts if chat.show_thoughts is None else chat.show_thoughts
        weight = usage.weight(prompt)
        shaper = Shaper(shows)
        try:
            with self._pool.lease() as account:
                tries = self._begin(account, model)
                said = False
                while not said:
                    shaper = Shaper(shows)
                    try:
                        with (
                            self._session(account) as session,
                            closing(self._upstream.stream(prompt, tries.model, account, session)) as events,
                        ):
                            for event in events:
                                shown = shaper.shape(event)
                                if not said:
                                    # Until there is something to show, a failure is still a plain error, and may be
                                    # followed by another try.
                                    if shown is None or shown is FLUSH:
                                        continue
                                    said = True
                                    _note_start(tries.model)
                                    yield Started(tries.model.id)
                                if isinstance(shown, Done):
                                    yield shaper.usage(weight)
                                if shown is not None:
                                    yield shown
                    except (UpstreamError, ContextLengthExceeded) as error:
                        _log_failure(error, account)
                        if said:
                            raise
                        tries.prepare_next(error, self._pause)
                if tries.refusal is not None:
                    self._successors.remember(account, model, tries.model)
        finally:
            _note_end(shaper, weight)

    def _begin(self, account: Account, model: Model) -> _Tries:
        trace.current().facts["account"] = account.id
        return _Tries(self._catalogue, self._successors.current(account, model))

    @contextmanager
    def _session(self, account: Account) -> Iterator[str]:
        """A session of its own for one try, which is deleted afterwards."""
        trace.current().attempts += 1
        session = self._upstream.open_session(account)
        try:
            yield session
        finally:
            self._discard_session(account, session)


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


def _note_start(model: Model) -> None:
    measured = trace.current()
    measured.ttft_ms = measured.elapsed_ms()
    measured.facts["model"] = model.id


def _note_end(shaper: Shaper, input_weight: int) -> None:
    counted = shaper.usage(input_weight)
    trace.current().facts |= {
        "answer_chars": shaper.characters,
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
