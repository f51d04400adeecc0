"""The mistakes in an environment, in the terms that its author used.

Apart from `loading`, because single accounts are checked with the same messages.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pydantic_core import ErrorDetails

from gbproxy.settings.entries import ModelSettings

if TYPE_CHECKING:
    from gbproxy.settings.fields import Settings


class SettingsError(ValueError):
    """Every mistake in an environment, one line each, which begins with the variable's name.

    `readable`: the settings, with defaults in place of wrong values.
    """

    def __init__(self, problems: list[str], readable: Settings) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems
        self.readable = readable


def line(name: str, path: tuple[int | str, ...], fault: ErrorDetails) -> str:
    """Format one error of pydantic: `ACCOUNTS[1].config_id: is missing`."""
    where = "".join(f"[{step}]" if isinstance(step, int) else f".{_shown(step)}" for step in path)
    match fault["type"]:
        case "missing":
            what = "is missing"
        case "extra_forbidden":
            what = f"is not a known field; allowed: {', '.join(ModelSettings.model_fields)}"
        case "model_type":
            what = "must be a JSON object"
        case _:
            what = fault["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
    return f"{name}{where}: {what}"


def _shown(key: str) -> str:
    return key if re.fullmatch(r"\w{1,64}", key) else "?"
