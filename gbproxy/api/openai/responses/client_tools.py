"""Tools that OpenAI has declared once for all and that the client runs: a shell, patches.

The model is told of each as of a function whose arguments are the item's own fields, so a call
becomes that item, and the item a call. Source:
https://platform.openai.com/docs/guides/tools-shell, /tools-apply-patch and /tools-local-shell.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gbproxy.api.openai.messages import json_of
from gbproxy.api.openai.responses.body import Item
from gbproxy.domain import jsontext

# Of these the client runs the call and sends the output, whoever has made the call.
CALL_KINDS = ("shell_call", "local_shell_call", "apply_patch_call", "computer_call")
OUTPUT_KINDS = tuple(f"{kind}_output" for kind in CALL_KINDS)

# The field of a call's item that holds what the model has to write.
_FIELDS = {
    "shell_call": "action",
    "local_shell_call": "action",
    "apply_patch_call": "operation",
    "computer_call": "action",
}


def _function(name: str, description: str, **properties: Any) -> Mapping[str, Any]:
    required = [name for name, schema in properties.items() if "optional" not in schema]
    schemas = {
        name: {key: value for key, value in schema.items() if key != "optional"}
        for name, schema in properties.items()
    }
    parameters = {"type": "object", "properties": schemas, "required": required}
    return {"type": "function", "name": name, "description": description, "parameters": parameters}


_TEXT, _TEXTS = {"type": "string"}, {"type": "array", "items": {"type": "string"}}
_MAY_BE_NUMBER = {"type": "integer", "optional": True}
_MAY_BE_TEXT = {"type": "string", "optional": True}

DECLARATIONS: Mapping[str, Mapping[str, Any]] = {
    "shell": _function(
        "shell",
        "Runs commands in a shell, one after the other, and returns what each has written.",
        commands=_TEXTS,
        timeout_ms=_MAY_BE_NUMBER,
        max_output_length=_MAY_BE_NUMBER,
    ),
    "local_shell": _function(
        "local_shell",
        "Runs a program with its arguments on the user's machine and returns what it has written.",
        command=_TEXTS,
        working_directory=_MAY_BE_TEXT,
        timeout_ms=_MAY_BE_NUMBER,
    ),
    "apply_patch": _function(
        "apply_patch",
        "Creates, changes or deletes one file. diff is a V4A diff: lines that begin with a space,"
        " + or -, under @@ lines that name where; of a new file all lines begin with +.",
        type={"type": "string", "enum": ["create_file", "update_file", "delete_file"]},
        path=_TEXT,
        diff=_MAY_BE_TEXT,
    ),
}


def arguments_of(item: Item, place: str) -> str:
    """The arguments of a call that stands in a history."""
    field = _FIELDS[item["type"]]
    value = item.get(field)
    if isinstance(value, dict):  # without what `call_item` adds
        added = ("type", "env") if item["type"] == "local_shell_call" else ()
        value = {k: each for k, each in value.items() if each is not None and k not in added}
    return json_of(value, f"{place}.{field}")


def call_item(kind: str, arguments: str) -> Item:
    """The fields of the item that a call becomes, beside its ids and status. `arguments`: JSON that
    holds to the declared schema.
    """
    value = jsontext.decode(arguments)
    if kind == "local_shell_call":
        return {"action": {"type": "exec", "env": {}, **value}}
    if kind == "shell_call":
        return {"action": {"timeout_ms": None, "max_output_length": None, **value}}
    return {_FIELDS[kind]: value}
