"""What commands ask for: typed at a terminal, secrets unseen, or read from standard input."""

from __future__ import annotations

import getpass
import json
import sys
from typing import Any

from gbproxy.cli.terminal import CannotBegin, print_error


def is_terminal() -> bool:
    return sys.stdin.isatty()


def text() -> str:
    """All of standard input: what is typed, or a file's text in UTF-8 or UTF-16. Raises CannotBegin
    when it is no text.
    """
    from gbproxy.settings.text import decoded

    try:
        return sys.stdin.read() if is_terminal() else decoded(sys.stdin.buffer.read())
    except UnicodeDecodeError as error:
        raise CannotBegin("standard input is not text") from error
    except ValueError as error:
        raise CannotBegin(f"standard input {error}") from error


def pasted(what: str) -> str:
    """All of standard input; at a terminal it is said what is waited for, and how it ends."""
    if is_terminal():
        print_error(f"{what}, and end it with Ctrl-D on a line of its own:")
    return text()


def json_object(example: str) -> dict[str, Any]:
    """The JSON object on standard input. Raises CannotBegin, without a word of what stands
    there.
    """
    try:
        value = json.loads(text())
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise CannotBegin(f"standard input must be a JSON object such as {example}")
    return value


def line(prompt: str) -> str:
    sys.stderr.write(f"{prompt}: ")
    sys.stderr.flush()
    return sys.stdin.readline().strip()


def secret(prompt: str) -> str:
    return getpass.getpass(f"{prompt}: ").strip()
