"""The console's language, and its words for what other packages name by single words.

Texts are English in the code and in templates; `translations/` has them in other languages.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, cast

from flask import Flask, request
from flask_babel import Babel, gettext, lazy_gettext, ngettext

Language = Literal["en", "zh"]
Theme = Literal["auto", "light", "dark"]

FOLDER = Path(__file__).parent / "translations"
LANGUAGES: dict[Language, str] = {"en": "English", "zh": "中文"}
THEMES: dict[Theme, str] = {
    "auto": lazy_gettext("As the system"),
    "light": lazy_gettext("Light"),
    "dark": lazy_gettext("Dark"),
}
# Where a user finds an account's values: of the Business and of the Enterprise edition.
PAGES = ("https://business.gemini.google/", "https://vertexaisearch.cloud.google/")
LANGUAGE_COOKIE = "gbproxy_language"
THEME_COOKIE = "gbproxy_theme"


def N_(text: str) -> str:  # the name by which catalogues are extracted
    """Mark a text that is kept in English, in errors and logs, and translated where it is shown."""
    return text


def install(app: Flask) -> None:
    Babel(
        app,
        default_translation_directories=str(FOLDER),
        locale_selector=language,
        timezone_selector=lambda: "UTC",
    )


def language() -> Language:
    """As chosen; else as the browser prefers."""
    chosen = request.cookies.get(LANGUAGE_COOKIE, "")
    if chosen not in LANGUAGES:
        chosen = request.accept_languages.best_match(list(LANGUAGES), "en")
    return cast("Language", chosen)


def theme() -> Theme:
    chosen = request.cookies.get(THEME_COOKIE, "")
    return chosen if chosen in THEMES else "auto"


def state(name: str) -> str:
    """The word for an account's state."""
    words: dict[str, str] = {
        "ready": gettext("Ready"),
        "cooling": gettext("Cooling down"),
        "refused": gettext("Sign-in expired"),
        "disabled": gettext("Disabled"),
    }
    return words[name]


def quota(name: str) -> str:
    """The word for a kind of request."""
    words: dict[str, str] = {
        "text": gettext("Text"),
        "images": gettext("Images"),
        "videos": gettext("Videos"),
    }
    return words[name]


def surface(name: str) -> str:
    """The words for a route; its own name where there are none, such as for a row of a version
    before.
    """
    words: dict[str, str] = {
        "anthropic_messages": gettext("Anthropic messages"),
        "anthropic_missing": gettext("Anthropic, not offered"),
        "anthropic_tokens": gettext("Anthropic tokens"),
        "files": gettext("Files"),
        "gemini_content": gettext("Gemini answers"),
        "gemini_files": gettext("Gemini files"),
        "gemini_missing": gettext("Gemini, not offered"),
        "gemini_models": gettext("Gemini models"),
        "gemini_tokens": gettext("Gemini tokens"),
        "gemini_uploads": gettext("Gemini uploads"),
        "media": gettext("Linked files"),
        "native_chat": gettext("gbproxy chat"),
        "native_sessions": gettext("gbproxy sessions"),
        "none": gettext("Turned away"),
        "openai_chat": gettext("OpenAI chat"),
        "openai_images": gettext("OpenAI images"),
        "openai_missing": gettext("OpenAI, not offered"),
        "openai_models": gettext("OpenAI models"),
        "openai_response_tokens": gettext("OpenAI tokens"),
        "openai_responses": gettext("OpenAI responses"),
        "openai_stored_responses": gettext("OpenAI stored responses"),
    }
    return words.get(name, name)


def account_field(name: str) -> str:
    """What to look for, and where, for a value of an account."""
    words: dict[str, str] = {
        "secure_c_ses": gettext("the cookie __Secure-C_SES"),
        "host_c_oses": gettext("the cookie __Host-C_OSES (not every account has it)"),
        "csesidx": gettext("csesidx: the digits after csesidx= in the page's address"),
        "config_id": gettext("config id: the part after /cid/ in the page's address"),
    }
    return words.get(name, name)


def age(number: int, unit: str) -> str:
    """A length of time, in one unit: `minutes`, `hours` or `days`."""
    words: dict[str, str] = {
        "minutes": ngettext("%(num)s minute", "%(num)s minutes", number),
        "hours": ngettext("%(num)s hour", "%(num)s hours", number),
        "days": ngettext("%(num)s day", "%(num)s days", number),
    }
    return words[unit]


def import_result(name: str) -> str:
    """What an import does with an account."""
    words: dict[str, str] = {
        "created": gettext("New account"),
        "changed": gettext("Renews a known account"),
        "unchanged": gettext("Known, nothing new"),
        "incomplete": gettext("Not complete yet"),
        "refused": gettext("Cannot be used"),
    }
    return words[name]


def alert(kind: str, account: str, quota_name: str) -> str:
    """What an alert is about."""
    words: dict[str, str] = {
        "account_refused": gettext("The sign-in of %(account)s is refused", account=account),
        "cookies_old": gettext("The cookies of %(account)s grow old", account=account),
        "quota_used_up": gettext(
            "The quota of %(account)s is used up: %(quota)s", account=account, quota=quota_name
        ),
        "no_account": gettext("No account is left that can answer"),
        "database_away": gettext("The database is away"),
        "redis_away": gettext("Redis is away"),
    }
    return words.get(kind, kind)


def check_status(name: str) -> str:
    """The result of a live check."""
    words: dict[str, str] = {
        "valid": gettext("the sign-in is good"),
        "refused": gettext("the sign-in was refused: copy it anew from the browser"),
        "unknown": gettext("the upstream could not be asked just now"),
    }
    return words[name]
