"""What is wrong with an environment, in the words of the user who wrote it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pydantic_core import ErrorDetails

from gbproxy.settings.entries import ModelSettings

if TYPE_CHECKING:
    from gbproxy.settings.fields import Settings


class SettingsError(ValueError):
    """All that is wrong with the environment: one line for each mistake, beginning with the
    variable's name.

    `readable`: the settings, with defaults for what is wrong.
    """

    def __init__(self, problems: list[str], readable: Settings) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems
        self.readable = readable


def line(name: str, path: tuple[int | str, ...], fault: ErrorDetails) -> str:
    """One mistake as the user reads it: `ACCOUNTS[1].config_id: is missing`."""
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
