"""Makes docs/settings.md out of the code: `make docs-settings` writes it, a test compares the two.

Names, aliases, defaults and descriptions come from `gbproxy.settings`; this file has the sections,
defaults in words, and what holds for all settings.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gbproxy.settings import LEGACY_IGNORED, STATUS_LINES, AccountSettings, Settings
from gbproxy.settings.environment import ALIASES, IN_FILES, SECRETS
from gbproxy.settings.loading import ACCOUNT_VARIABLES, VARIABLES

PAGE = Path(__file__).with_name("settings.md")

# A setting that stands in none of these fails the page: a new one is put where its reader would
# look for it.
SECTIONS = {
    "Serving": (
        "HOST", "PORT", "API_KEYS", "ADMIN_KEY", "WEB_CONCURRENCY", "WORKER_CONNECTIONS",
        "GRACEFUL_TIMEOUT_S", "DRAIN_DELAY_S", "TRUSTED_PROXIES", "CORS_ORIGINS", "MAX_BODY_MB",
        "MAX_FILE_MB", "MAX_ANSWER_MB", "METRICS_KEY", "LOG_LEVEL", "LOG_FORMAT",
        "OTEL_EXPORTER_OTLP_ENDPOINT",
    ),
    "Accounts": (
        "SECURE_C_SES", "HOST_C_OSES", "CSESIDX", "CONFIG_ID", "ACCOUNTS", "MAX_ATTEMPTS",
        "ACCOUNT_ORDER", "ACCOUNT_CONCURRENCY", "CHECK_INTERVAL_S",
    ),
    "Storage": ("DATABASE_URL", "SECRET_KEY", "REQUEST_LOG_DAYS"),
    "Alerts": ("ALERT_WEBHOOK", "ALERT_SILENCE_S", "COOKIE_MAX_AGE_H"),
    "Limits": ("RATE_LIMIT", "RATE_LIMIT_BY", "MODEL_INTERVAL_S", "REDIS_URL"),
    "Answers": (
        "DEFAULT_MODEL", "MODELS", "THOUGHTS", "STATUS_LINES", "HEARTBEAT_S", "SESSION_TIMEOUT",
        "PROMPT_MAX_CHARS", "LANGUAGE_CODE", "TIME_ZONE", "PUBLIC_URL", "MEDIA_TTL_S",
        "IMAGES_IN_CHAT",
    ),
    "Upstream": (
        "GEMINI_BUSINESS_URL", "API_BASE_URL", "PROXY", "CA_BUNDLE", "CONNECT_TIMEOUT_S",
        "READ_TIMEOUT_S", "REQUEST_TIMEOUT_S", "UPSTREAM_STREAM", "USER_AGENT", "UPSTREAM_HEADERS",
        "UPSTREAM_BODY", "UPSTREAM_SESSION",
    ),
}  # fmt: skip
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
# Defaults that are described instead of quoted.
IN_WORDS = (
    "unset", "made at start", "random per start", "a private temporary SQLite file",
    "built-in catalogue", "the edition's", "the system's",
)  # fmt: skip

OPENING = """\
# Settings

<!-- Made by `make docs-settings` out of gbproxy/settings: change the descriptions there. -->

All settings are environment variables. `make run` and `gbproxy serve --env-file FILE` put the lines
of a file into the environment; where both name a variable, the environment wins. An empty value
means unset. [conf/env.example](../conf/env.example) has every setting, to copy.

Every mistake is reported at the start, all of them at once, each with the name of its variable, and
the exit status is 2. The same holds where `HOST` and `PORT` cannot be listened on, or the database
cannot be used; where it is only away or locked the status is 75, for whoever supervises the gateway
to start it again.

The file follows Docker's rules for `--env-file`: everything after `=` is the value as it stands. No
spaces round `=`, no `export`, no `$VARIABLE`; a line that begins with `#` is a comment, and one
behind a value is not; JSON goes on one line. UTF-16, which Windows' tools write, is read too.
"""
CLOSING = """\
## Quotes

One pair of `"…"` or `'…'` round a value is removed, for every setting alike: in the environment, in
a file of it, in a secret's file, and round the items of a list. A quote that stands alone at one
end is refused. To begin or end a value with a quote, put it into other quotes:
`SECRET_KEY='"secret"'` keeps the inner ones, which a `SECRET_KEY` that was used with a database may
need. Client keys and admin keys never begin with a quote, and lists are separated by commas, not
written as JSON.

## Names of older programs

The names in brackets work like the first one; giving two different values is a mistake.
`GEMINI_API_BASE` is an origin (`/v1alpha` is added), `BUSINESS_DOMAIN` a host, and
`DEFAULT_MODEL=gemini-business` means `gemini-auto`.

These are accepted, do nothing, and are named in the log by `setting.ignored`: {do_nothing}.

## Secrets from files

These may be given as the path of a file that holds the value, under the name with `_FILE` at its
end, such as `SECURE_C_SES_FILE`: {in_files}.
"""


@dataclass(frozen=True, slots=True)
class Documented:
    """A variable as the documentation shows it; `aliases` has older programs' names too."""

    name: str
    aliases: tuple[str, ...]
    default: str
    description: str
    secret: bool


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


def page() -> str:
    """The text of docs/settings.md. Raises KeyError for a section's setting that the code does not
    have.
    """
    settings = {setting.name: setting for setting in documented()}
    tables = [
        _table(title, [settings.pop(name) for name in names]) for title, names in SECTIONS.items()
    ]
    if settings:
        raise KeyError(f"no section has {', '.join(settings)}: add it to SECTIONS")
    closing = CLOSING.format(do_nothing=_listed(LEGACY_IGNORED), in_files=_listed(IN_FILES))
    return "\n".join([OPENING, *tables, closing])


def _table(title: str, settings: Iterable[Documented]) -> str:
    rows = "\n".join(map(_row, settings))
    return f"## {title}\n\n| setting | default | meaning |\n|---|---|---|\n{rows}\n"


def _row(setting: Documented) -> str:
    aliases = ", ".join(f"`{alias}`" for alias in setting.aliases)
    default = (
        setting.default
        if setting.default in IN_WORDS or ", " in setting.default
        else f"`{setting.default}`"
    )
    names = f"`{setting.name}` ({aliases})" if aliases else f"`{setting.name}`"
    return f"| {names} | {default} | {setting.description} |"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(names))


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
