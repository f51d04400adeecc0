"""What is wrong with an environment, in the words of the user who wrote it."""

from __future__ import annotations

import re

from pydantic_core import ErrorDetails

from gbproxy.settings.entries import ModelSettings


class SettingsError(ValueError):
    """All that is wrong with the environment: one line for each mistake, beginning with the variable's name."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


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
