"""Several answers to one request -> the choices of one chat completion (`n` > 1)."""

from __future__ import annotations

from gbproxy.api.openai.encoder import CompletionEncoder
from gbproxy.api.openai.request import ParsedCompletion
from gbproxy.domain.choices import Answers, ChoiceEvent
from gbproxy.domain.events import Done, Flush, Started, Usage
from gbproxy.errors import GatewayError


class ChoicesEncoder:
    """Writes the chunks of all choices under one id, each with its index, or one whole
    completion.

    All choices begin when the first of them does, in order: the official client for Python puts
    them together as a list, and fails where one begins before another with a lower index.
    """

    heartbeat = CompletionEncoder.heartbeat
    stream_type = CompletionEncoder.stream_type
    whole_type = CompletionEncoder.whole_type

    def __init__(self, parsed: ParsedCompletion) -> None:
        self._first = CompletionEncoder(parsed)
        others = range(1, parsed.chat.choices)
        self._encoders = [self._first, *(self._first.sibling(parsed, i) for i in others)]
        self._has_begun = False

    def feed(self, event: ChoiceEvent | Usage | Flush | Done) -> bytes:
        match event:
            case ChoiceEvent(index, Done(reason)):
                return self._encoders[index].finish(reason)
            case ChoiceEvent(index, Started(model)):
                return self._begin(index, model)
            case ChoiceEvent(index, inner):
                return self._encoders[index].feed(inner)
            case Usage() | Flush():
                return self._first.feed(event)
            case Done():
                return self._first.end()

    def _begin(self, index: int, model: str) -> bytes:
        if self._has_begun:
            self._encoders[index].name(model)
            return b""
        self._has_begun = True
        return b"".join(encoder.feed(Started(model)) for encoder in self._encoders)

    def error(self, error: GatewayError) -> bytes:
        return self._first.error(error)

    def whole(self, answers: Answers) -> bytes:
        choices = [
            encoder.choice(answer)
            for encoder, answer in zip(self._encoders, answers.choices, strict=True)
        ]
        return self._first.completion(answers.choices[0].model, choices, answers.usage)
