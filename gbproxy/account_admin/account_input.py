"""What an administrator gives for an account -> its values, or what is wrong with each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from gbproxy.domain.account import WIDGET, Account
from gbproxy.errors import BadRequest
from gbproxy.settings import AccountSettings
from gbproxy.settings import errors as problems
from gbproxy.settings.entries import STAND_INS, is_empty, names_two_config_ids, told_by_addresses
from gbproxy.upstreams.widget.credential import WidgetCredential


@dataclass(frozen=True, slots=True)
class AccountInput:
    """A name, the values of a credential, secrets too, and `is_active`, None when it was not given."""

    name: str
    values: Mapping[str, Any] = field(repr=False)
    is_active: bool | None

    def account(self, account_id: str) -> Account:
        return _account(account_id, self.name, self.values)


def account_of(settings: AccountSettings, account_id: str) -> Account:
    """The account that settings describe."""
    return _account(account_id, settings.name, settings.credential())


def _account(account_id: str, name: str, values: Mapping[str, Any]) -> Account:
    return Account(account_id, name, WIDGET, WidgetCredential.from_json(values))


def read(given: Mapping[str, object], known: Account | None = None) -> AccountInput:
    """The values of an account: as they are `known`, but for those that are given; unknown fields
    are passed over.

    Raises BadRequest: its message says what is wrong with each field, and `param` names the first.
    """
    wrong = dict(_wrong_by_themselves(given))
    try:
        name, values = _validated(told_by_addresses(given) | _named(given), known)
    except ValidationError as error:
        for fault in error.errors(include_url=False, include_context=False, include_input=False):
            field_name = str(fault["loc"][0])
            wrong.setdefault(field_name, problems.line(field_name, (), fault))
    if wrong:
        raise BadRequest("; ".join(wrong.values()), param=next(iter(wrong)))
    is_active = given.get("is_active")
    return AccountInput(name, values, is_active if isinstance(is_active, bool) else None)


def _named(given: Mapping[str, object]) -> dict[str, object]:
    """The fields of an account that are given, `team_id` as `config_id`."""
    named = {name: given[name] for name in AccountSettings.model_fields if name in given}
    if "team_id" in given and is_empty(given.get("config_id")):
        named["config_id"] = given["team_id"]
    return named


def _validated(named: Mapping[str, object], known: Account | None) -> tuple[str, dict[str, Any]]:
    """The name, and the credential's values. Raises ValidationError, for what is given alone: what
    is stored may be older than today's rules.
    """
    if known is None:
        whole = AccountSettings.model_validate(named)
        return whole.name, whole.credential()
    kept = {"name": known.name, **known.credential.to_json()}
    changed = {name: value for name, value in named.items() if value != kept.get(name)}
    checked = AccountSettings.model_validate({**STAND_INS, **changed})
    new = {"name": checked.name, **checked.credential()}
    values = kept | {name: new[name] for name in changed}
    return values.pop("name"), values


def _wrong_by_themselves(given: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    if "is_active" in given and not isinstance(given["is_active"], bool):
        yield "is_active", "is_active: must be true or false"
    if names_two_config_ids(given):
        yield (
            "team_id",
            "team_id: differs from config_id, which means the same; give one of the two",
        )
