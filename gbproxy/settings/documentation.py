"""The settings for docs/settings.md: names, aliases, defaults and descriptions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from gbproxy.settings.entries import AccountSettings
from gbproxy.settings.environment import ALIASES, SECRETS
from gbproxy.settings.fields import ACCOUNT_VARIABLES, VARIABLES, Settings
from gbproxy.settings.types import STATUS_LINES


@dataclass(frozen=True, slots=True)
class Documented:
    """A variable as the documentation shows it; `aliases` has older programs' names too."""

    name: str
    aliases: tuple[str, ...]
    default: str
    description: str
    secret: bool


# Defaults in words, where the field's value does not say it.
_DEFAULTS = {
    "API_KEYS": "made at start",
    "SECRET_KEY": "random per start",
    "DATABASE_URL": "a private temporary SQLite file",
    "GEMINI_BUSINESS_URL": "the edition's",
    "API_BASE_URL": "the edition's",
    "USER_AGENT": "gbproxy/<version>",
    "CA_BUNDLE": "the system's",
    "MODELS": "built-in catalogue",
    "CORS_ORIGINS": "*",
    "STATUS_LINES": ", ".join(STATUS_LINES),
}


def documented() -> list[Documented]:
    """Every variable that a setting is read from, in the order of the fields."""
    return [
        Documented(
            name=variable,
            aliases=tuple(ALIASES.get(variable, ())),
            default=_DEFAULTS.get(variable, _default_text(info.default)),
            description=info.description or "",
            secret=variable in SECRETS,
        )
        for variable, info in _variables_and_fields()
    ]


def _variables_and_fields() -> Iterator[tuple[str, Any]]:
    for name, info in Settings.model_fields.items():
        if name == "accounts":
            yield from (
                (ACCOUNT_VARIABLES[part], AccountSettings.model_fields[part])
                for part in ACCOUNT_VARIABLES
            )
            yield "ACCOUNTS", info
        elif name in VARIABLES:
            yield VARIABLES[name], info


def _default_text(default: object) -> str:
    if isinstance(default, float):
        return f"{default:g}"
    return str(default) if isinstance(default, str | int) else "unset"
