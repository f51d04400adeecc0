"""Environment -> Settings, or SettingsError with every mistake in it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from gbproxy.domain.catalogue import BUILT_IN
from gbproxy.settings import keys, validators
from gbproxy.settings.entries import (
    TWO_CONFIG_IDS,
    AccountSettings,
    error_line,
    is_disabled,
    is_empty,
    names_two_config_ids,
)
from gbproxy.settings.environment import LEGACY_IGNORED, EnvironmentReader, Variable
from gbproxy.settings.fields import Settings

VARIABLES = {
    name: {"secret_keys": "SECRET_KEY"}.get(name, name.upper())
    for name in Settings.model_fields
    if name not in ("accounts", "ignored", "database_is_temporary")
}
MAX_FALLBACKS = 4  # one after the other: each is asked on several accounts
ACCOUNT_VARIABLES = {
    name: name.upper() for name in ("secure_c_ses", "host_c_oses", "csesidx", "config_id")
}


class SettingsError(ValueError):
    """Every mistake in an environment, one line each, which begins with the variable's name.

    `readable`: the settings, with defaults in place of wrong values.
    """

    def __init__(self, problems: list[str], readable: Settings) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems
        self.readable = readable


def load(environ: Mapping[str, str], known_models: Collection[str] = ()) -> Settings:
    """The settings of an environment. Raises SettingsError with every mistake.

    `known_models`: the built-in catalogue's names, which `DEFAULT_MODEL` and `MODELS` may use.
    """
    reader = EnvironmentReader(environ)
    found = {
        name: given for name, variable in VARIABLES.items() if (given := reader.find(variable))
    }
    accounts, account_problems = _read_accounts(reader)
    settings, faults = _validated(
        {name: given.text for name, given in found.items() if given.text is not None}
    )
    problems = [
        *reader.problems,
        *account_problems,
        *(
            error_line(found[str(fault["loc"][0])].name, fault["loc"][1:], fault)
            for fault in faults
        ),
        *keys.problems(settings, found),
        *_missing_redis(settings, found),
    ]
    if not {"models", "default_model"} & {fault["loc"][0] for fault in faults}:
        problems += _unknown_default_model(settings, found, known_models)
        problems += _wrong_names_in_models(settings, found, known_models)
        problems += _endless_fallbacks(settings, found)
    if problems:
        raise SettingsError(problems, settings)
    return settings.model_copy(update={"accounts": accounts, "ignored": _ignored(environ)})


def _validated(values: dict[str, Any]) -> tuple[Settings, list[ErrorDetails]]:
    """The settings, with defaults in place of wrong values, and pydantic's errors."""
    try:
        return Settings(**values), []
    except ValidationError as error:
        faults = _faults(error)
    wrong = {fault["loc"][0] for fault in faults}
    return Settings(**{name: value for name, value in values.items() if name not in wrong}), faults


def _faults(error: ValidationError) -> list[ErrorDetails]:
    """Pydantic's errors without the values, which may be secrets."""
    return error.errors(include_url=False, include_context=False, include_input=False)


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
    built_in = {model.id for model in BUILT_IN}.intersection(known_models)
    names = {*known_models, *(name for model in settings.models for name in model.names)}
    for position, model in enumerate(settings.models):
        where = f"{found['models'].name}[{position}]"
        for field_name, named in (("successor", model.successor), ("fallback", model.fallback)):
            if named is not None and known_models and named not in names:
                yield f"{where}.{field_name}: is no model of the catalogue"
        for alias in model.aliases or ():
            if alias in built_in - ids:  # a built-in alias may be given to another
                yield f"{where}.aliases: {alias} is a model of the catalogue itself"


def _endless_fallbacks(settings: Settings, found: Mapping[str, Variable]) -> Iterator[str]:
    """Fallbacks that lead back to themselves, or too far. Only `MODELS` names any."""
    ids = {alias: model.id for model in BUILT_IN for alias in model.aliases}
    ids |= {name: model.id for model in settings.models for name in model.names}
    following = {
        model.id: ids.get(model.fallback, model.fallback)
        for model in settings.models
        if model.fallback is not None
    }
    for position, model in enumerate(settings.models):
        chain = [model.id]
        while chain[-1] in following and len(chain) <= len(following):
            chain.append(following[chain[-1]])
        where, following_it = f"{found['models'].name}[{position}].fallback", len(chain) - 1
        if model.id in chain[1:]:
            yield f"{where}: leads back to {model.id}"
        elif following_it > MAX_FALLBACKS and len(set(chain)) == len(chain):
            yield f"{where}: {following_it} models follow; at most {MAX_FALLBACKS} may"


def _ignored(environ: Mapping[str, str]) -> tuple[str, ...]:
    """The variables that are set and have no effect."""
    return tuple(
        sorted(
            name
            for name, text in environ.items()
            if text.strip() and name.removesuffix("_FILE") in LEGACY_IGNORED
        )
    )


@dataclass(frozen=True, slots=True)
class _Candidate:
    """An account before validation. `label` begins its error lines; `variables` has the variable of
    each field, for the account that is given by single variables.
    """

    label: str
    values: object
    variables: Mapping[str, Variable] = field(default_factory=dict)

    def error_line(self, fault: ErrorDetails) -> str | None:
        """The line of one of pydantic's errors; None when another line reports the same mistake."""
        hint = (
            "; an account needs its cookie, csesidx and config id"
            if fault["type"] == "missing"
            else ""
        )
        if not self.variables:
            return error_line(self.label, fault["loc"], fault) + hint
        name = str(fault["loc"][0])
        variable = self.variables.get(name, Variable(name.upper(), ""))
        # The reader has reported a file that could not be read.
        return None if variable.text is None else error_line(variable.name, (), fault) + hint


def _read_accounts(reader: EnvironmentReader) -> tuple[tuple[AccountSettings, ...], list[str]]:
    """The account of the single variables, then those of `ACCOUNTS`, and their mistakes."""
    problems: list[str] = []
    accounts: dict[str, AccountSettings] = {}
    for candidate in _candidates(reader, problems):
        problems += _two_config_ids(candidate)
        try:
            account = AccountSettings.model_validate(candidate.values)
        except ValidationError as error:
            problems += filter(None, map(candidate.error_line, _faults(error)))
        else:
            problems += _clashes(candidate, account, accounts)
            accounts[candidate.label] = account
    return tuple(accounts.values()), problems


def _candidates(reader: EnvironmentReader, problems: list[str]) -> Iterator[_Candidate]:
    single = {
        name: given
        for name, variable in ACCOUNT_VARIABLES.items()
        if (given := reader.find(variable))
    }
    if single:
        values = {"name": "default", **{name: given.text for name, given in single.items()}}
        yield _Candidate(next(iter(single.values())).name, values, single)
    several = reader.find("ACCOUNTS")
    if several and several.text is not None:
        try:
            yield from _entries(several.name, several.text)
        except ValueError as error:
            problems.append(f"{several.name}: {error}")


def _entries(variable: str, text: str) -> Iterator[_Candidate]:
    """The accounts of a JSON array, without disabled ones, which are not even checked."""
    for index, item in enumerate(validators.json_value(text, list)):
        if isinstance(item, dict) and is_disabled(item):
            continue
        nameless = isinstance(item, dict) and is_empty(item.get("name"))
        yield _Candidate(
            f"{variable}[{index}]", {**item, "name": f"account-{index + 1}"} if nameless else item
        )


def _two_config_ids(candidate: _Candidate) -> Iterator[str]:
    if isinstance(candidate.values, dict) and names_two_config_ids(candidate.values):
        yield f"{candidate.label}.{TWO_CONFIG_IDS}"


def _clashes(
    candidate: _Candidate, account: AccountSettings, earlier: Mapping[str, AccountSettings]
) -> Iterator[str]:
    for label, other in earlier.items():
        if account.name == other.name:
            yield f"{candidate.label}.name: is also the name of {label}; each account needs its own"
        if (account.csesidx, account.secure_c_ses) == (other.csesidx, other.secure_c_ses):
            yield f"{candidate.label}: is the same account as {label}; give it once"
