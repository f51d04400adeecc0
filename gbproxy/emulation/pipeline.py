"""The stages that emulate what an attempt's upstream lacks, and the limit of its prompt."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial

from gbproxy.domain.attachment import Attachment, LinkedAttachment
from gbproxy.domain.chat import Message, TextPart, ToolCallPart, ToolResultPart
from gbproxy.domain.events import UpstreamStream, estimate_quarter_tokens
from gbproxy.emulation import context_file, roles
from gbproxy.emulation.roles import PromptSize
from gbproxy.errors import ContextLengthExceeded
from gbproxy.upstreams.base import Capabilities

Messages = tuple[Message, ...]


class CorrectionNeeded(Exception):
    """Raised by a reading stage: the answer does not have the form that was requested.

    `answer`: the text of the upstream; `messages`: the correction to send. A stage that has not
    held back the whole answer may raise it with `follows_shown` only: what was delivered cannot be
    taken back, and the corrected answer has to go on from it.
    """

    def __init__(self, answer: str, messages: Messages, *, follows_shown: bool = False) -> None:
        super().__init__("the upstream's answer has to be corrected")
        self.answer = answer
        self.messages = messages
        self.follows_shown = follows_shown


@dataclass(frozen=True, slots=True)
class Stage:
    """Emulates one capability. A direction without work stays None.

    `write(messages, is_resumed)`: messages -> messages, on the way down; `is_resumed`: the upstream
    remembers what came before these. `read(events, may_correct)`: events -> events, on the way up;
    `may_correct`: CorrectionNeeded may be raised, else it makes the best of the answer.
    `measure(messages)`: the size of what `write` makes of them for a session that knows nothing,
    without making it; only of a last stage.
    """

    write: Callable[[Messages, bool], Messages] | None = None
    read: Callable[[UpstreamStream, bool], UpstreamStream] | None = None
    measure: Callable[[Messages], PromptSize] | None = None


@dataclass(frozen=True, slots=True)
class Pipeline:
    """The stages of one attempt, the one nearest to the upstream last."""

    stages: tuple[Stage, ...] = ()

    def write(self, messages: Messages, *, is_resumed: bool) -> Messages:
        """Turn the messages into those that the upstream understands."""
        for stage in self.stages:
            if stage.write is not None:
                messages = stage.write(messages, is_resumed)
        return messages

    def measure(self, messages: Messages) -> PromptSize:
        """The size of what `write` makes of these messages for a session that knows nothing."""
        for stage in self.stages:
            if stage.measure is not None:
                return stage.measure(messages)
            if stage.write is not None:
                messages = stage.write(messages, False)
        return _size(messages)

    def read(self, events: UpstreamStream, *, may_correct: bool) -> UpstreamStream:
        """Turn the upstream's events into those of one that lacks nothing. May raise
        CorrectionNeeded.

        Stages without `read` are skipped, so they cost nothing per event.
        """
        for stage in reversed(self.stages):
            if stage.read is not None:
                events = stage.read(events, may_correct)
        return events


NATIVE = Pipeline()
_BY_PROMPT = Pipeline((Stage(write=roles.flatten_to_one, measure=roles.measure),))


def compose(capabilities: Capabilities) -> Pipeline:
    """The stages that emulate what these capabilities lack."""
    if capabilities.roles:
        return NATIVE
    if capabilities.files_in and capabilities.prompt_max_chars is not None:
        return _by_prompt_and_file(capabilities.prompt_max_chars)
    return _BY_PROMPT


@lru_cache(maxsize=8)
def _by_prompt_and_file(most_chars: int) -> Pipeline:
    write = partial(context_file.flatten, most_chars)
    return Pipeline((Stage(write=write, measure=partial(context_file.measure, most_chars)),))


def fitting(
    sizes: Mapping[str, PromptSize], upstreams: Mapping[str, Capabilities]
) -> Collection[str]:
    """The names of the upstreams that accept a prompt that has these sizes as they are sent it.
    Raises ContextLengthExceeded when none does.
    """
    able = [name for name, each in upstreams.items() if _fits(sizes[name].chars, each)]
    if not able and upstreams:
        most = max(upstreams, key=lambda name: upstreams[name].prompt_max_chars or 0)
        raise _too_long(sizes[most].chars, upstreams[most].prompt_max_chars or 0)
    return able


def ensure_fits(chars: int, capabilities: Capabilities) -> None:
    """Raise ContextLengthExceeded for a prompt longer than the upstream accepts."""
    if not _fits(chars, capabilities):
        raise _too_long(chars, capabilities.prompt_max_chars or 0)


def _fits(chars: int, capabilities: Capabilities) -> bool:
    return capabilities.prompt_max_chars is None or chars <= capabilities.prompt_max_chars


def _too_long(chars: int, limit: int) -> ContextLengthExceeded:
    return ContextLengthExceeded(
        # Clients look for these words.
        f"This model's maximum context length is {limit} characters"
        f" (PROMPT_MAX_CHARS), but the conversation has {chars}",
        param="messages",
    )


def count_chars(messages: Messages) -> int:
    """Characters of all texts, calls and results."""
    return sum(len(text) for text in _texts(messages))


def _size(messages: Messages) -> PromptSize:
    weight = sum(estimate_quarter_tokens(text) for text in _texts(messages))
    return PromptSize(count_chars(messages), weight)


def _texts(messages: Messages) -> Iterator[str]:
    for message in messages:
        for part in message.parts:
            match part:
                case ToolCallPart(arguments=text) | TextPart(text) | ToolResultPart(text=text):
                    yield text
                case Attachment() | LinkedAttachment():
                    pass
