"""Parse the fields that an administrator gives to an account, or name what is wrong with each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from pydantic import Field, ValidationError

from gbproxy.domain.account import WIDGET, Account, Credential
from gbproxy.errors import BadRequest
from gbproxy.settings import AccountSettings
from gbproxy.settings.entries import (
    STAND_INS,
    TWO_CONFIG_IDS,
    error_line,
    fields_of_addresses,
    is_empty,
    names_two_config_ids,
)
from gbproxy.upstreams.widget.credential import WidgetCredential


class AccountBody(AccountSettings):
    """An account. An empty optional field is removed; unknown ones are passed over."""

    team_id: str | None = Field(None, description="another name of `config_id`")
    is_active: bool | None = None


@dataclass(frozen=True, slots=True)
class AccountInput:
    """Fields of an account, parsed and checked; `is_active` is None when it was not given."""

    name: str
    upstream: str
    credential: Credential
    is_active: bool | None

    def account(self, account_id: str) -> Account:
        return Account(account_id, self.name, self.upstream, self.credential)

    @classmethod
    def parse(cls, given: Mapping[str, object], known: Account | None = None) -> AccountInput:
        """Read the given fields over those of a known account; unknown fields are ignored.

        Raises BadRequest: its message says what is wrong with each field, `param` names the first.
        """
        wrong = dict(_wrong_by_themselves(given))
        try:
            account = _validated(fields_of_addresses(given) | _named(given), known)
        except ValidationError as error:
            for fault in error.errors(
                include_url=False, include_context=False, include_input=False
            ):
                name = str(fault["loc"][0])
                wrong.setdefault(name, error_line(name, (), fault))
        if wrong:
            raise BadRequest("; ".join(wrong.values()), param=next(iter(wrong)))
        is_active = given.get("is_active")
        is_active = is_active if isinstance(is_active, bool) else None
        return cls(account.name, account.upstream, account.credential, is_active)


def account_of(settings: AccountSettings, account_id: str) -> Account:
    """The account that settings describe."""
    credential = WidgetCredential.from_json(settings.credential())
    return Account(account_id, settings.name, WIDGET, credential)


def _named(given: Mapping[str, object]) -> dict[str, object]:
    """The fields of an account that are given, `team_id` as `config_id`."""
    named = {name: given[name] for name in AccountSettings.model_fields if name in given}
    if "team_id" in given and is_empty(given.get("config_id")):
        named["config_id"] = given["team_id"]
    return named


def _validated(named: Mapping[str, object], known: Account | None) -> Account:
    """Raises ValidationError, for what is given alone: what is stored may be older than today's
    rules.
    """
    if known is None:
        return account_of(AccountSettings.model_validate(named), "")
    kept = {"name": known.name, **known.credential.to_json()}
    changed = {name: value for name, value in named.items() if value != kept.get(name)}
    checked = AccountSettings.model_validate({**STAND_INS, **changed})
    new = {name: value for name, value in checked.credential().items() if name in changed}
    name = checked.name if "name" in changed else known.name
    if not new:  # whatever its upstream
        return replace(known, name=name)
    credential = WidgetCredential.from_json({**known.credential.to_json(), **new})
    return replace(known, name=name, credential=credential)


def _wrong_by_themselves(given: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    if "is_active" in given and not isinstance(given["is_active"], bool):
        yield "is_active", "is_active: must be true or false"
    if names_two_config_ids(given):
        yield "team_id", TWO_CONFIG_IDS
