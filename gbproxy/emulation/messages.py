"""What a stage tells the model, put among the messages."""

from __future__ import annotations

from gbproxy.domain.chat import Message, TextPart

Messages = tuple[Message, ...]


def instructed(messages: Messages, instruction: str) -> Messages:
    """The instruction stands behind the system texts that come first; "": there is none."""
    if not instruction:
        return messages
    end = next((i for i, each in enumerate(messages) if each.role != "system"), len(messages))
    told = Message("system", (TextPart(instruction),))
    return (*messages[:end], told, *messages[end:])


def reminded(messages: Messages, reminder: str) -> Messages:
    """The reminder stands behind all that is new."""
    part = TextPart(f"\n{reminder}")
    if not messages or messages[-1].role != "user":
        return (*messages, Message("user", (part,)))
    last = messages[-1]
    return (*messages[:-1], Message("user", (*last.parts, part), last.name))
