"""Prompts that are longer than the upstream takes: the older turns go up as one file, and the
newest stay in the prompt, with the system texts.

A session that goes on may hold such a file already, so that of a later prompt has a name of its
own, by its content.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from gbproxy.domain import attachment
from gbproxy.domain.attachment import Attachment
from gbproxy.domain.chat import Message, TextPart
from gbproxy.domain.slices import Work
from gbproxy.emulation import roles
from gbproxy.emulation.roles import Messages, PromptSize

FILE_NAME = "conversation.txt"
PLACE = "messages"

_LATER_NAME = "conversation-{}.txt"
_LATER_SIGNS = 8

_NOTE = (
    " The turns before these parts are in the attached file {name}, in parts that begin"
    " likewise: read it first, as you would read them here."
)


def flatten(most_chars: int, messages: Messages, is_resumed: bool) -> Messages:
    """As `roles.flatten_to_one`, where that is no longer than `most_chars`; else with a file. What
    is too long even so stays as it is.
    """
    whole = roles.flatten_to_one(messages, is_resumed)
    text = whole[0].parts[0]
    if isinstance(text, TextPart) and len(text.text) <= most_chars:
        return whole
    of_its_length = _LATER_NAME.format("0" * _LATER_SIGNS) if is_resumed else FILE_NAME
    first = _first_kept(most_chars, messages, _introduction(of_its_length, is_resumed=is_resumed))
    if not first:
        return whole
    turns = _turns(messages)
    older = list(roles.turn_fragments(turns[:first]))
    name = _later_name(older) if is_resumed else FILE_NAME
    kept = (*(each for each in messages if each.role == "system"), *turns[first:])
    prompt, content = roles.laid_out(
        roles.fragments(kept, _introduction(name, is_resumed=is_resumed)), older
    )
    file = _file(content, name)
    return (Message("user", (TextPart(prompt), file, *roles.attachments(messages))),)


def measure(most_chars: int, messages: Messages) -> PromptSize:
    """Measure what `flatten` would return for a session that knows nothing; a file has a weight,
    and no characters.
    """
    whole = roles.measure(messages)
    if whole.chars <= most_chars:
        return whole
    introduction = _introduction(FILE_NAME, is_resumed=False)
    first = _first_kept(most_chars, messages, introduction)
    if not first:
        return whole
    chars = (
        whole.chars
        + len(_NOTE.format(name=FILE_NAME))
        - sum(map(roles.turn_chars, _turns(messages)[:first]))
    )
    return PromptSize(chars, whole.quarter_tokens, has_file=True)


def _first_kept(most_chars: int, messages: Messages, introduction: str) -> int:
    """The index of the first turn that stays: of the newest, as many as there is room for. 0: not
    even the last one fits.
    """
    turns = _turns(messages)
    systems = tuple(each for each in messages if each.role == "system")
    left = most_chars - sum(map(len, roles.fragments(systems, introduction)))
    first = len(turns)
    while first and (left := left - roles.turn_chars(turns[first - 1])) >= 0:
        first -= 1
    return first if first < len(turns) else 0


def _turns(messages: Messages) -> Messages:
    return tuple(message for message in messages if message.role != "system")


def _introduction(name: str, *, is_resumed: bool) -> str:
    return roles.introduction(is_resumed=is_resumed) + _NOTE.format(name=name)


def _later_name(fragments: Iterable[str]) -> str:
    digest = hashlib.sha256()
    with Work() as work:
        for each in fragments:
            digest.update(each.encode("utf-8", "replace"))
            work.rest()
    return _LATER_NAME.format(digest.hexdigest()[:_LATER_SIGNS])


def _file(text: str, name: str) -> Attachment:
    with Work() as work:
        content = text.encode("utf-8", "replace")
        work.rest()
        return attachment.of_content(content, PLACE, label="text/plain", name=name, rest=work.rest)
