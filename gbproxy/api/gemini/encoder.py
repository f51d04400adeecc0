"""Events -> the responses of a request for content, streamed or whole. Source:
https://ai.google.dev/api/generate-content#v1beta.GenerateContentResponse
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any

from gbproxy.api.gemini import errors
from gbproxy.api.gemini.candidate import Candidate
from gbproxy.api.gemini.framing import HEARTBEAT, Framing
from gbproxy.api.gemini.request import ParsedContent
from gbproxy.domain import jsontext
from gbproxy.domain.choices import Answers, ChoiceEvent
from gbproxy.domain.events import Answer, ChatEvent, Done, FinishReason, Flush, Started, Usage
from gbproxy.errors import GatewayError


class _Responses:
    """Writes responses that share an id and a model, one behind the other."""

    heartbeat = HEARTBEAT
    whole_type = "application/json"

    def __init__(self, framing: Framing) -> None:
        self.stream_type = framing.content_type
        self._framing = framing
        self._id = secrets.token_urlsafe(16)
        self._usage = Usage(0, 0)
        self._start("")

    def error(self, error: GatewayError) -> bytes:
        return self._framing.frame(errors.render(error)) + self._framing.end()

    def _start(self, model: str) -> None:
        """From now on responses name this model."""
        named = {"modelVersion": model, "responseId": self._id}
        self._after = b",%b" % jsontext.encode_bytes(named)[1:]

    def _response(self, candidate: bytes) -> bytes:
        """A response with one candidate; b"" for none."""
        if not candidate:
            return b""
        return self._framing.frame(b'{"candidates":[%b]%b' % (candidate, self._after))

    def _last(self, candidates: Sequence[bytes]) -> bytes:
        """The response with the ends of all candidates, and the end of the stream."""
        usage = jsontext.encode_bytes(_usage(self._usage))
        response = b'{"candidates":[%b],"usageMetadata":%b%b'
        found = response % (b",".join(candidates), usage, self._after)
        return self._framing.frame(found) + self._framing.end()

    def _whole(self, model: str, candidates: Sequence[dict[str, Any]], usage: Usage) -> bytes:
        return jsontext.encode_bytes(
            {
                "candidates": candidates,
                "usageMetadata": _usage(usage),
                "modelVersion": model,
                "responseId": self._id,
            }
        )


class ContentEncoder(_Responses):
    """Writes one answer."""

    def __init__(self, parsed: ParsedContent, framing: Framing) -> None:
        super().__init__(framing)
        self._candidate = Candidate(parsed)

    def feed(self, event: ChatEvent) -> bytes:
        match event:
            case Started(model):
                self._start(model)
            case Usage():
                self._usage = event
            case Done(reason):
                held, end = self._candidate.end(reason)
                return self._response(held) + self._last([end])
            case _:
                return self._response(self._candidate.feed(event))
        return b""

    def whole(self, answer: Answer) -> bytes:
        return self._whole(answer.model, [self._candidate.whole(answer)], answer.usage)


class CandidatesEncoder(_Responses):
    """Writes several answers, each as one candidate. Their ends come in the last response."""

    def __init__(self, parsed: ParsedContent, framing: Framing) -> None:
        super().__init__(framing)
        indices = range(parsed.chat.choices)
        self._candidates = [Candidate(parsed, i) for i in indices]
        self._reasons: dict[int, FinishReason] = {}

    def feed(self, event: ChoiceEvent | Usage | Flush | Done) -> bytes:
        match event:
            case ChoiceEvent(_, Started(model)):
                self._start(model)
            case ChoiceEvent(index, Done(reason)):
                self._reasons[index] = reason
            case ChoiceEvent(index, inner):
                return self._response(self._candidates[index].feed(inner))
            case Usage():
                self._usage = event
            case Done():
                return self._end()
            case Flush():
                pass
        return b""

    def whole(self, answers: Answers) -> bytes:
        pairs = zip(self._candidates, answers.choices, strict=True)
        candidates = [candidate.whole(answer) for candidate, answer in pairs]
        return self._whole(answers.choices[0].model, candidates, answers.usage)

    def _end(self) -> bytes:
        ends = [each.end(self._reasons[i]) for i, each in enumerate(self._candidates)]
        return b"".join(self._response(held) for held, _ in ends) + self._last(
            [end for _, end in ends]
        )


def _usage(usage: Usage) -> dict[str, Any]:
    found: dict[str, Any] = {
        "promptTokenCount": usage.input_tokens,
        "candidatesTokenCount": usage.output_tokens - usage.reasoning_tokens,
        "totalTokenCount": usage.input_tokens + usage.output_tokens,
    }
    if usage.reasoning_tokens:
        found["thoughtsTokenCount"] = usage.reasoning_tokens
    return {**found, "gbproxyEstimated": True}
