"""Environment -> Settings, or SettingsError with every mistake in it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from gbproxy.settings import accounts as account_settings
from gbproxy.settings import network, validators
from gbproxy.settings.environment import LEGACY_IGNORED, RESERVED, EnvironmentReader, Variable
from gbproxy.settings.errors import SettingsError, line
from gbproxy.settings.fields import VARIABLES, Settings


def load(environ: Mapping[str, str], known_models: Collection[str] = ()) -> Settings:
    """The settings of an environment; `known_models` are the built-in catalogue's names, for
    `DEFAULT_MODEL`.

    Raises SettingsError with every mistake.
    """
    reader = EnvironmentReader(environ)
    found = {
        name: given for name, variable in VARIABLES.items() if (given := reader.find(variable))
    }
    accounts, account_problems = account_settings.read(reader)
    settings, faults = _validated(
        {name: given.text for name, given in found.items() if given.text is not None}
    )
    problems = [
        *reader.problems,
        *account_problems,
        *(line(found[str(fault["loc"][0])].name, fault["loc"][1:], fault) for fault in faults),
        *_weak_keys(settings, found),
        *_shared_keys(settings, found),
        *_missing_secret_key(found),
        *_missing_redis(settings, found),
    ]
    if not {"models", "default_model"} & {fault["loc"][0] for fault in faults}:
        problems += _unknown_default_model(settings, found, known_models)
        problems += _wrong_names_in_models(settings, found, known_models)
    if problems:
        raise SettingsError(problems, settings)
    return settings.model_copy(update={"accounts": accounts, "ignored": _ignored(environ)})


def _validated(values: dict[str, Any]) -> tuple[Settings, list[ErrorDetails]]:
    """The settings, with defaults in place of wrong values, and pydantic's errors."""
    try:
        return Settings(**values), []
    except ValidationError as error:
        faults = error.errors(include_url=False, include_context=False, include_input=False)
    wrong = {fault["loc"][0] for fault in faults}
    return Settings(**{name: value for name, value in values.items() if name not in wrong}), faults


def _weak_keys(settings: Settings, found: Mapping[str, Variable]) -> Iterator[str]:
    strong = not network.is_loopback(settings.host)
    admin_keys = (settings.admin_key,) if settings.admin_key else ()
    metrics_keys = (settings.metrics_key,) if settings.metrics_key else ()
    for name, keys in (
        ("api_keys", settings.api_keys),
        ("admin_key", admin_keys),
        ("metrics_key", metrics_keys),
        ("secret_keys", settings.secret_keys),
    ):
        for position, key in enumerate(keys, start=1):
            if fault := validators.key_fault(
                key.get_secret_value(), strong=strong, shown=name != "secret_keys"
            ):
                which = f"key {position} " if len(keys) > 1 else ""
                yield f"{found[name].name}: {which}{fault}"


def _shared_keys(settings: Settings, found: Mapping[str, Variable]) -> Iterator[str]:
    if settings.admin_key is not None and settings.admin_key in settings.api_keys:
        yield (
            f"{found['admin_key'].name}: is also one of API_KEYS; whoever may ask must not"
            " administer"
        )


def _missing_secret_key(found: Mapping[str, Variable]) -> Iterator[str]:
    """Checked beside an invalid address too: all mistakes are reported at once."""
    url = found["database_url"].text if "database_url" in found else None
    keys = found["secret_keys"].text if "secret_keys" in found else ""
    if url and network.outlives_the_process(url) and keys is not None and not keys.strip(", "):
        yield (
            f"{found['database_url'].name}: needs SECRET_KEY beside it, which encrypts what the"
            " database keeps"
        )


def _missing_redis(settings: Settings, found: Mapping[str, Variable]) -> Iterator[str]:
    if settings.can_limit_keys or "redis_url" in found:
        return
    for name, is_set in (
        ("rate_limit", settings.rate_limit),
        ("model_interval_s", settings.model_interval_s),
    ):
        if is_set:
            yield (
                f"{found[name].name}: needs REDIS_URL beside it, where the"
                f" {settings.web_concurrency} workers (WEB_CONCURRENCY) count together"
            )


def _unknown_default_model(
    settings: Settings, found: Mapping[str, Variable], known_models: Collection[str]
) -> Iterator[str]:
    given = found.get("default_model")
    known = {
        "gemini-business",
        *known_models,
        *(name for model in settings.models for name in model.names),
    }
    if given and given.text is not None and known_models and given.text not in known:
        yield f"{given.name}: is no model of the catalogue; allowed: {', '.join(sorted(known))}"


def _wrong_names_in_models(
    settings: Settings, found: Mapping[str, Variable], known_models: Collection[str]
) -> Iterator[str]:
    ids = {model.id for model in settings.models}
    names = {*known_models, *(name for model in settings.models for name in model.names)}
    for position, model in enumerate(settings.models):
        where = f"{found['models'].name}[{position}]"
        if model.successor is not None and known_models and model.successor not in names:
            yield f"{where}.successor: is no model of the catalogue"
        for alias in model.aliases or ():
            # the last is an alias itself
            if alias in set(known_models) - ids - {model.id, "gemini-business"}:
                yield f"{where}.aliases: {alias} is a model of the catalogue itself"


def _ignored(environ: Mapping[str, str]) -> tuple[str, ...]:
    without_effect = LEGACY_IGNORED | RESERVED
    return tuple(
        sorted(
            name
            for name, text in environ.items()
            if text.strip()
            and (name in without_effect or name.removesuffix("_FILE") in without_effect)
        )
    )
