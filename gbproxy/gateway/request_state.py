"""The state of one request, over all its attempts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gbproxy.domain.chat import ChatRequest, Message, TextPart
from gbproxy.domain.events import Usage, whole_tokens
from gbproxy.domain.models import Model
from gbproxy.emulation.pipeline import CorrectionNeeded, Messages
from gbproxy.emulation.request_emulation import RequestEmulation
from gbproxy.emulation.roles import PromptSize
from gbproxy.gateway.files import RequestFiles
from gbproxy.observability.request_context import RequestContext
from gbproxy.shaping.transform import AnswerTransform
from gbproxy.upstreams.base import Capabilities

_MOST_CORRECTIONS = 2


@dataclass(slots=True)
class RequestState:
    """One request, and how far its answer is; for one thread at a time."""

    chat: ChatRequest
    asked: Model  # that the client wants
    counted_as: str  # id under which limits count the model
    emulation: RequestEmulation
    upstreams: Mapping[str, Capabilities]  # that serve the model, by name
    sizes: Mapping[str, PromptSize]  # of the prompt as each of them is sent it
    size: PromptSize  # as the one that is asked is sent it
    files: RequestFiles
    shows_thoughts: bool  # where the request does not say
    # Those that may answer when the quota of the model that is asked is used up; None: not yet
    # looked up.
    fallbacks: list[Model] | None = None
    retry_after_s: float | None = None  # until one of the models' quotas is there again
    output_started: bool = False  # something was shown, which cannot be taken back
    answered_by: str = ""  # id of the account whose answer is shown
    has_opened: bool = False  # True when this attempt's session was opened for this request
    # Turns that the client does not know: answers that had to be corrected, and the corrections.
    # Empty again in a fresh session.
    exchange: Messages = ()
    correction: Messages = ()  # the last of them, not yet sent
    corrections: int = 0  # in the whole request
    _transform: AnswerTransform | None = None
    _fallback: Model | None = None

    @property
    def model(self) -> Model:
        """The one to ask for: that of the client, or the fallback in its place."""
        return self._fallback or self.asked

    def fall_back(
        self, model: Model, upstreams: Mapping[str, Capabilities], sizes: Mapping[str, PromptSize]
    ) -> None:
        """Ask for another model from now on. `upstreams` serve it."""
        self._fallback, self.upstreams, self.sizes = model, upstreams, sizes

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

    def usage(self) -> Usage:
        """Of the question and the answer, as far as it came."""
        return self.transform.usage(self.size.quarter_tokens)

    def tokens(self) -> int:
        """Tokens to charge for question and answer: 0 when nothing was answered."""
        counted = self.usage()
        return counted.input_tokens + counted.output_tokens if counted.output_tokens else 0

    def note_end(self, context: RequestContext) -> None:
        """Log what was emulated, and write the answer's size, as far as it came, to the request's
        log line.
        """
        self.emulation.note_end()
        counted = self.usage()
        context.log_fields |= {
            "answer_chars": self.transform.characters,
            "input_tokens": counted.input_tokens,
            "output_tokens": counted.output_tokens,
        }
