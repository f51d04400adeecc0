"""The events of an upstream's answer, in no upstream's format, and the estimate of its tokens.

A stream is a generator of events. It ends with exactly one `Done`, or raises a GatewayError;
nothing follows either. Closing it closes the upstream connection.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field, replace
from typing import Literal

from gbproxy.domain.chat import ToolCallPart

FinishReason = Literal["stop", "length", "tool_calls", "content_filter"]


@dataclass(frozen=True, slots=True)
class Started:
    """The upstream has begun to answer; the first of the gateway's events. `model`: the id that was
    used, a fallback's where one was; `input_tokens`: of the prompt, as in the `Usage` at the end.
    """

    model: str
    input_tokens: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class TextDelta:
    text: str


@dataclass(frozen=True, slots=True)
class ThoughtDelta:
    text: str


@dataclass(frozen=True, slots=True)
class ToolCallStarted:
    """The `index`-th call of the answer, counted from 0; its deltas follow before the next one
    starts.
    """

    index: int
    id: str
    name: str
    is_custom: bool = False


@dataclass(frozen=True, slots=True)
class ToolCallDelta:
    """More of a call's arguments, which are JSON when complete, or of a custom tool's input."""

    index: int
    text: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """One sentence with the reason why there is no answer; `Done` follows.

    `is_content`: it is the answer's text too, for clients that read no refusals. Not where they
    read the text as JSON.
    """

    text: str
    is_content: bool = True


@dataclass(frozen=True, slots=True)
class Citation:
    """A source for the answer's characters `start` to `end` (code points, end exclusive)."""

    start: int
    end: int
    uri: str
    title: str = ""
    domain: str = ""


@dataclass(frozen=True, slots=True)
class FileOutput:
    """A file that the model made: kept upstream under `file_id`, or included as `data`. `url`: the
    gateway's link to it, "" without one.

    What comes out of the gateway has data or a link.
    """

    mime_type: str
    file_id: str | None = None
    name: str | None = None
    data: bytes | None = field(default=None, repr=False)
    url: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts, all estimated (`estimate_quarter_tokens`); `output_tokens` includes
    `reasoning_tokens`.
    """

    input_tokens: int
    output_tokens: int
    reasoning_tokens: int = 0


@dataclass(frozen=True, slots=True)
class SessionNamed:
    """The name of the session that the upstream opened for this request; for the gateway alone."""

    name: str


@dataclass(frozen=True, slots=True)
class Flush:
    """Everything that had arrived has been yielded: what was buffered for one write is sent now."""


@dataclass(frozen=True, slots=True)
class Done:
    """`stop_sequence`: the one of the request's that ended the answer, and is no part of it."""

    finish_reason: FinishReason = "stop"
    stop_sequence: str | None = None


ChatEvent = (
    Started
    | TextDelta
    | ThoughtDelta
    | ToolCallStarted
    | ToolCallDelta
    | Refusal
    | Citation
    | FileOutput
    | Usage
    | Flush
    | Done
)
ChatStream = Generator[ChatEvent]
UpstreamStream = Generator[ChatEvent | SessionNamed]

FLUSH = Flush()


@dataclass(slots=True)
class Answer:
    """A whole answer, as `collect` returns it."""

    model: str = ""
    text: str = ""
    thoughts: str = ""
    refusal: str | None = None
    citations: list[Citation] = field(default_factory=list)
    files: list[FileOutput] = field(default_factory=list)
    tool_calls: list[ToolCallPart] = field(default_factory=list)
    usage: Usage = Usage(0, 0)
    finish_reason: FinishReason = "stop"
    stop_sequence: str | None = None


def collect(events: ChatStream) -> Answer:
    """Read a stream up to its `Done`, and no further. Raises what the stream raises."""
    answer = Answer()
    text: list[str] = []
    thoughts: list[str] = []
    for event in events:
        match event:
            case Started(model):
                answer.model = model
            case TextDelta(delta):
                text.append(delta)
            case ThoughtDelta(delta):
                thoughts.append(delta)
            case ToolCallStarted(_, call_id, name, is_custom):
                answer.tool_calls.append(ToolCallPart(call_id, name, "", is_custom))
            case ToolCallDelta(index, delta):
                call = answer.tool_calls[index]
                answer.tool_calls[index] = replace(call, arguments=call.arguments + delta)
            case Refusal(sentence, is_content):
                answer.refusal = sentence
                if is_content:
                    text.append(sentence)
            case Citation():
                answer.citations.append(event)
            case Usage():
                answer.usage = event
            case Done(reason, sequence):
                answer.finish_reason, answer.stop_sequence = reason, sequence
                break
            case FileOutput():
                answer.files.append(event)
            case Flush():
                pass
    answer.text = "".join(text)
    answer.thoughts = "".join(thoughts)
    return answer


IMAGE_TOKENS = 1290
"""Tokens that a file of the model's counts for: what Google counts for an image of 1024 pixels.
Source: https://ai.google.dev/gemini-api/docs/pricing
"""

_CODE_SIGNS = b'{}()[]<>=;:/\\|&^%$#@~`*+_"'


def estimate_quarter_tokens(text: str) -> int:
    """Estimate a text's tokens, in quarters of one: the upstream counts nothing.

    A text weighs one quarter token per byte of its UTF-8 form, and a quarter more for each of the
    signs of which code is made. English prose comes to about four characters a token, CJK to three
    quarters of a token a character, Cyrillic or Arabic to half, an emoji to one, source code to
    about three characters a token. Weights are sums over characters: they never fall as a text
    grows, and the weights of fragments add up to the weight of the whole, wherever it was cut.
    """
    data = text.encode("utf-8", "surrogatepass")
    return 2 * len(data) - len(data.translate(None, _CODE_SIGNS))


def whole_tokens(quarter_tokens: int) -> int:
    """Round up to whole tokens: never zero for a text."""
    return -(-quarter_tokens // 4)
