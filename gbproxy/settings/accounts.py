"""The accounts of an environment: the one with variables of its own, and those of `ACCOUNTS`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from gbproxy.settings import errors as problems
from gbproxy.settings import validators
from gbproxy.settings.entries import AccountSettings, is_disabled, is_empty, names_two_config_ids
from gbproxy.settings.environment import EnvironmentReader, Variable
from gbproxy.settings.fields import ACCOUNT_VARIABLES


@dataclass(frozen=True, slots=True)
class _Candidate:
    """An account as it was given; `variables` names each field of the one that has a variable of
    its own for each.
    """

    label: str
    values: object
    variables: Mapping[str, Variable] = field(default_factory=dict)

    def line(self, fault: ErrorDetails) -> str | None:
        reason = (
            "; an account needs its cookie, csesidx and config id"
            if fault["type"] == "missing"
            else ""
        )
        if not self.variables:
            return problems.line(self.label, fault["loc"], fault) + reason
        name = str(fault["loc"][0])
        variable = self.variables.get(name, Variable(name.upper(), ""))
        # A file that could not be read is a mistake of its own.
        return None if variable.text is None else problems.line(variable.name, (), fault) + reason


def read(reader: EnvironmentReader) -> tuple[tuple[AccountSettings, ...], list[str]]:
    """The account of the single variables, then those of `ACCOUNTS`, and what is wrong with
    them.
    """
    single = {
        name: given
        for name, variable in ACCOUNT_VARIABLES.items()
        if (given := reader.find(variable))
    }
    several = reader.find("ACCOUNTS")
    candidates: list[_Candidate] = []
    found_wrong: list[str] = []
    if single:
        values = {"name": "default", **{name: given.text for name, given in single.items()}}
        candidates.append(_Candidate(next(iter(single.values())).name, values, single))
    if several and several.text is not None:
        try:
            candidates += _listed(several.name, several.text)
        except ValueError as error:
            found_wrong.append(f"{several.name}: {error}")
    accounts: dict[str, AccountSettings] = {}
    for candidate in candidates:
        found_wrong += _two_config_ids(candidate)
        try:
            account = AccountSettings.model_validate(candidate.values)
        except ValidationError as error:
            faults = error.errors(include_url=False, include_context=False, include_input=False)
            found_wrong += filter(None, map(candidate.line, faults))
        else:
            found_wrong += _clashes(candidate, account, accounts)
            accounts[candidate.label] = account
    return tuple(accounts.values()), found_wrong


def _listed(variable: str, text: str) -> Iterator[_Candidate]:
    for index, item in enumerate(validators.json_value(text, list)):
        if isinstance(item, dict) and is_disabled(item):
            continue  # also what is wrong with it is nobody's trouble
        nameless = isinstance(item, dict) and is_empty(item.get("name"))
        yield _Candidate(
            f"{variable}[{index}]", {**item, "name": f"account-{index + 1}"} if nameless else item
        )


def _two_config_ids(candidate: _Candidate) -> Iterator[str]:
    if isinstance(candidate.values, dict) and names_two_config_ids(candidate.values):
        yield (
            f"{candidate.label}.team_id: differs from config_id, which means the same; give one of"
            " the two"
        )


def _clashes(
    candidate: _Candidate, account: AccountSettings, earlier: Mapping[str, AccountSettings]
) -> Iterator[str]:
    for label, other in earlier.items():
        if account.name == other.name:
            yield f"{candidate.label}.name: is also the name of {label}; each account needs its own"
        if (account.csesidx, account.secure_c_ses) == (other.csesidx, other.secure_c_ses):
            yield f"{candidate.label}: is the same account as {label}; give it once"
