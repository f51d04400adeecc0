"""The tools of a published form that a client declares by their type alone, and runs itself:
shell, editor and memory.

Sources: https://platform.claude.com/docs/en/agents-and-tools/tool-use/bash-tool, text-editor-tool
and memory-tool. Anthropic's models know these forms; others have to be told them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gbproxy.domain.tools import FunctionTool

_TEXT, _NUMBER = {"type": "string"}, {"type": "integer"}


def find(kind: str) -> FunctionTool | None:
    """The tool of a type such as `bash_20250124`, of any version; None for other types."""
    return next((tool for prefix, tool in _BY_TYPE.items() if kind.startswith(prefix)), None)


def _commands(
    name: str, description: str, commands: Mapping[str, str], properties: Mapping[str, Any]
) -> FunctionTool:
    """A tool with one parameter that says what is to be done with the others."""
    told = "\n".join(f"- {command}: {what}" for command, what in commands.items())
    return FunctionTool(
        name,
        f"{description} Commands:\n{told}",
        {
            "type": "object",
            "properties": {"command": {"type": "string", "enum": list(commands)}, **properties},
            "required": ["command"],
        },
    )


_RANGE = {
    "type": "array",
    "items": _NUMBER,
    "description": "First and last line to show, counted from 1; -1: up to the end.",
}
_VIEW = "show a file (path, view_range) or list a directory (path)"
_EDITING = {
    "view": _VIEW,
    "create": "write a new file (path, file_text)",
    "str_replace": "replace old_str, which stands in the file once, by new_str (path)",
    "insert": "insert insert_text behind the line insert_line, 0: at the top (path)",
}
_EDITED = {
    "path": _TEXT,
    "view_range": _RANGE,
    "file_text": _TEXT,
    "old_str": _TEXT,
    "new_str": _TEXT,
    "insert_line": _NUMBER,
    "insert_text": _TEXT,
}
# Editors up to January 2025.
_OLDER_EDITING = {
    **_EDITING,
    "insert": "insert new_str behind the line insert_line, 0: at the top (path)",
    "undo_edit": "take back the last edit (path)",
}
_OLDER_EDITED = {name: form for name, form in _EDITED.items() if name != "insert_text"}

_BASH = FunctionTool(
    "bash",
    "Run a command in a shell that keeps its state from call to call.",
    {
        "type": "object",
        "properties": {
            "command": {**_TEXT, "description": "The command; none with restart."},
            "restart": {"type": "boolean", "description": "True: begin with a fresh shell."},
        },
    },
)
_OLDER_EDITOR = _commands(
    "str_replace_editor", "View and edit text files.", _OLDER_EDITING, _OLDER_EDITED
)
_EDITOR = _commands("str_replace_based_edit_tool", "View and edit text files.", _EDITING, _EDITED)
_MEMORY = _commands(
    "memory",
    "Keep files below /memories from one conversation to the next. Look there before a task.",
    {
        **_EDITING,
        "delete": "remove a file or directory (path)",
        "rename": "move a file or directory (old_path, new_path)",
    },
    {**_EDITED, "old_path": _TEXT, "new_path": _TEXT},
)

_BY_TYPE: Mapping[str, FunctionTool] = {
    "bash_": _BASH,
    "text_editor_2024": _OLDER_EDITOR,
    "text_editor_20250124": _OLDER_EDITOR,
    "text_editor_": _EDITOR,
    "memory_": _MEMORY,
}
