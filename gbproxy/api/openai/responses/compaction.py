"""A conversation's summary in place of its items.

Source: https://platform.openai.com/docs/api-reference/responses/compact. OpenAI's own is encrypted
by its servers; ours is a text that the model has written, and whoever has it may read it.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import replace

from gbproxy.api.openai.responses.body import Item
from gbproxy.domain.chat import ChatRequest, Message, TextPart
from gbproxy.domain.tools import NO_TOOLS
from gbproxy.errors import BadRequest

SUMMARY = "compaction"
TRIGGER = "compaction_trigger"  # the item that asks for one

_PREFIX = "gbproxy.summary.1."
_HEAD = "The conversation so far was replaced by this summary of it:\n\n"

_INSTRUCTION = """\
Write a summary of this conversation that takes its place: whoever goes on with it will know \
nothing else of it. Say

- what the user wants, and every condition and preference that still counts;
- what was done and found out, with the names of files, functions, commands, values and errors;
- what was decided, and why;
- where the work stands, and what comes next.

Be complete and exact rather than short, do not go on with the work itself, and write nothing but \
the summary."""


def asking(chat: ChatRequest) -> ChatRequest:
    """The request whose answer is the summary of this one."""
    return replace(
        chat,
        messages=(*chat.messages, Message("user", (TextPart(_INSTRUCTION),))),
        tools=NO_TOOLS,
        response_format=None,
        web_search=False,
        makes_image=False,
        show_thoughts=False,
    )


def sealed(summary: str) -> str:
    """The `encrypted_content` of a summary: opaque to clients."""
    return _PREFIX + base64.urlsafe_b64encode(summary.encode("utf-8", "surrogatepass")).decode()


def opened(item: Item, place: str) -> str:
    """The words that stand for what was summarized. Raises BadRequest for a foreign summary, which
    nobody here can read.
    """
    content = item.get("encrypted_content")
    place = f"{place}.encrypted_content"
    if not isinstance(content, str) or not content.startswith(_PREFIX):
        raise BadRequest(f"{place} was not made by this gateway", param=place)
    try:
        summary = base64.b64decode(content[len(_PREFIX) :], altchars=b"-_", validate=True)
        return _HEAD + summary.decode("utf-8", "surrogatepass")
    except (binascii.Error, UnicodeDecodeError) as error:
        raise BadRequest(f"{place} was changed", param=place) from error
