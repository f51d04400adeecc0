"""What one request asks for, and how far its answer is."""

from __future__ import annotations

from dataclasses import dataclass

from gbproxy.domain.chat import ChatRequest, Message, TextPart
from gbproxy.domain.events import whole_tokens
from gbproxy.domain.models import Model
from gbproxy.emulation.pipeline import CorrectionNeeded, Messages
from gbproxy.emulation.roles import PromptSize
from gbproxy.observability.request_context import RequestContext
from gbproxy.shaping.transform import AnswerTransform

_MOST_CORRECTIONS = 2


@dataclass(slots=True)
class RequestState:
    """One request, from its reading to the answer that is tried; for one thread at a time."""

    chat: ChatRequest
    model: Model  # that the client asked for
    counted_as: str  # the model's id, as limits know it
    size: PromptSize
    shows_thoughts: bool  # where the request does not say
    has_opened: bool = False  # the session to ask in, for this request
    # Turns that the client does not know: answers that had to be corrected, and what was said of
    # them. Empty again in a fresh session.
    exchange: Messages = ()
    correction: Messages = ()  # the last of them, not yet sent
    corrections: int = 0  # of the whole request
    _transform: AnswerTransform | None = None

    def begin_attempt(self) -> AnswerTransform:
        """Start counting anew: what a failed attempt said is neither shown nor charged."""
        self._transform = AnswerTransform.of(self.chat, shows_thoughts=self.shows_thoughts)
        return self._transform

    @property
    def transform(self) -> AnswerTransform:
        """Of the last attempt; of nothing before the first."""
        return self._transform or self.begin_attempt()

    @property
    def may_correct(self) -> bool:
        return self.corrections < _MOST_CORRECTIONS

    def correct(self, needed: CorrectionNeeded) -> None:
        """Ask once more, with what is to be said of the answer."""
        answer = Message("assistant", (TextPart(needed.answer),))
        self.corrections += 1
        self.correction = needed.messages
        self.exchange = (*self.exchange, answer, *needed.messages)

    def start_over(self) -> None:
        """The next attempt is sent what the client sent, in another session."""
        self.exchange = self.correction = ()

    @property
    def prompt_tokens(self) -> int:
        return whole_tokens(self.size.quarter_tokens)

    def tokens(self) -> int:
        """Of question and answer, as they are charged: none when nothing was answered."""
        counted = self.transform.usage(self.size.quarter_tokens)
        return counted.input_tokens + counted.output_tokens if counted.output_tokens else 0

    def note_end(self, context: RequestContext) -> None:
        """Tell the request's log line of the answer, as far as it came."""
        counted = self.transform.usage(self.size.quarter_tokens)
        context.log_fields |= {
            "answer_chars": self.transform.characters,
            "input_tokens": counted.input_tokens,
            "output_tokens": counted.output_tokens,
        }
