"""Items -> messages.

Source: https://platform.openai.com/docs/api-reference/responses/create, input. What an assistant
has said and called in one turn is one message here, however many items it is. Of an assistant's
turn, what only OpenAI's own services can make is left out; what a user or a tool says never is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from gbproxy.api.openai.messages import json_of
from gbproxy.api.openai.responses import compaction, search_item
from gbproxy.api.openai.responses.body import Item, kind_of
from gbproxy.api.openai.responses.client_tools import CALL_KINDS, OUTPUT_KINDS, arguments_of
from gbproxy.api.openai.responses.content import ContentReader, text_of
from gbproxy.api.openai.responses.image_tool import CALL
from gbproxy.api.openai.responses.tools import qualified
from gbproxy.domain.base64_pieces import go_on
from gbproxy.domain.chat import Message, Part, Role, TextPart, ToolCallPart, ToolResultPart
from gbproxy.errors import BadRequest, NotFound

_ROLES: dict[str, Role] = {
    "user": "user",
    "assistant": "assistant",
    "system": "system",
    "developer": "system",
}
_TOOL_LISTS = ("additional_tools", "tool_search_output")
# Thoughts and searches are in the upstream's session already, and it takes them from nobody.
_SILENTLY_LEFT_OUT = ("reasoning", search_item.CALL)
_KIND = re.compile(r"[a-z_]{1,40}")


class ItemReader:
    """Reads the items of one request.

    `ignored` names the kinds that were left out, `tools` are those that items declare. `find` is
    asked for an item that is only referred to; None: there is none of this id. `rest` is called
    between the items.
    """

    def __init__(
        self,
        content: ContentReader,
        find: Callable[[str], Item | None],
        rest: Callable[[], None] = go_on,
    ) -> None:
        self.ignored: dict[str, None] = {}
        self.tools: list[tuple[Item, str]] = []
        self.wants_compaction = False
        self._content = content
        self._find = find
        self._rest = rest
        self._messages: list[Message] = []
        self._turn: list[Part] = []  # of the assistant, as far as it was read

    def read(self, items: Sequence[Item], place: str) -> None:
        """Add these items, which stand at `place`. Raises BadRequest or NotFound."""
        for i, item in enumerate(items):
            self._item(item, f"{place}[{i}]")
            self._rest()

    def messages(self) -> tuple[Message, ...]:
        """The messages of all that was read."""
        self._end_turn()
        return tuple(self._messages)

    def _item(self, item: Item, place: str) -> None:
        kind = kind_of(item)
        if kind == "message":
            self._message(item, place)
        elif kind in ("function_call", "custom_tool_call"):
            self._turn.append(_call(item, place))
        elif kind in ("function_call_output", "custom_tool_call_output"):
            self._result(item, item.get("output"), place)
        elif kind == "item_reference":
            self._item(self._referred(item, place), place)
        elif kind in (compaction.SUMMARY, "compaction_summary"):
            self._add("user", TextPart(compaction.opened(item, place)))
        elif kind == compaction.TRIGGER:
            self.wants_compaction = True
        elif kind in _TOOL_LISTS:
            self._tool_list(item, place)
        elif kind in CALL_KINDS:
            self._turn.append(ToolCallPart(_call_id(item), kind[:-5], arguments_of(item, place)))
        elif kind in OUTPUT_KINDS:
            self._client_result(item, place)
        elif kind == CALL:
            self._picture(item, place)
        elif not isinstance(kind, str):
            raise BadRequest(f"{place}.type must be a text", param=f"{place}.type")
        elif kind not in _SILENTLY_LEFT_OUT:
            self.ignored[f"input.{kind}" if _KIND.fullmatch(kind) else "input.type"] = None

    def _message(self, item: Item, place: str) -> None:
        role = _ROLES.get(item["role"]) if isinstance(item.get("role"), str) else None
        content = item.get("content")
        if role is None:
            message = f"{place}.role must be user, assistant, system or developer"
            raise BadRequest(message, param=f"{place}.role")
        if role == "assistant":
            self._turn.append(TextPart(self._content.read_answer(content, f"{place}.content")))
            return
        takes_files = role == "user"
        parts = self._content.read(content, f"{place}.content", takes_files=takes_files)
        self._add(role, *parts)

    def _result(self, item: Item, output: object, place: str) -> None:
        text, files = self._content.read_result(output, f"{place}.output")
        self._add("tool", ToolResultPart(_call_id(item), text), *files)

    def _picture(self, item: Item, place: str) -> None:
        """One that the model has made, for a session that has not made it itself. Programs cut its
        bytes out of their histories, and name it by its id alone.
        """
        known = item if item.get("result") else self._find(str(item.get("id"))) or {}
        part = {"type": "input_file", "file_data": known.get("result")}
        try:
            self._turn.append(self._content.files.read(part, place))
        except BadRequest:
            self.ignored[f"input.{CALL}"] = None
        else:
            known["result"] = part["file_data"]  # which may be its bytes now

    def _client_result(self, item: Item, place: str) -> None:
        """Of a screen the picture itself; else what the client says of it."""
        output = item.get("output")
        if isinstance(output, dict) and "image_url" in output:
            part = {**output, "type": "input_image"}
            self._result(item, [part], place)
            output["image_url"] = part["image_url"]  # which may be its bytes now
            return
        if isinstance(output, list | dict):
            output = json_of(output, f"{place}.output")
        self._result(item, output if output is not None else item.get("status"), place)

    def _referred(self, item: Item, place: str) -> Item:
        wanted = text_of(item, "id", place)
        found = self._find(wanted)
        if found is None or found.get("type") == "item_reference":
            raise NotFound(
                f"{place}.id: there is no item {wanted[:100]!r} (any more); of responses with"
                " store: false none is kept",
                param=f"{place}.id",
            )
        return found

    def _tool_list(self, item: Item, place: str) -> None:
        listed = item.get("tools")
        for i, tool in enumerate(listed if isinstance(listed, list) else ()):
            if isinstance(tool, dict):
                self.tools.append((tool, f"{place}.tools[{i}]"))

    def _add(self, role: Role, *parts: Part) -> None:
        self._end_turn()
        self._messages.append(Message(role, parts))

    def _end_turn(self) -> None:
        if self._turn:
            self._messages.append(Message("assistant", tuple(self._turn)))
            self._turn.clear()


def _call(item: Item, place: str) -> ToolCallPart:
    is_custom = item.get("type") == "custom_tool_call"
    name = text_of(item, "name", place)
    namespace = item.get("namespace")
    if isinstance(namespace, str) and namespace:
        name = qualified(namespace, name)
    field = "input" if is_custom else "arguments"
    written = json_of(item.get(field), f"{place}.{field}")
    return ToolCallPart(_call_id(item), name, written, is_custom)


def _call_id(item: Item) -> str:
    call_id: Any = item.get("call_id") or item.get("id")
    return call_id if isinstance(call_id, str) else ""
