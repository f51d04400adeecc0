"""What an administrator gives for an account -> its values, or what is wrong with each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pydantic import SecretStr, ValidationError

from gbproxy.domain.account import Account
from gbproxy.errors import BadRequest
from gbproxy.settings import AccountSettings
from gbproxy.settings import errors as problems
from gbproxy.settings.entries import STAND_INS, is_empty, names_two_config_ids, told_by_addresses


@dataclass(frozen=True, slots=True)
class AccountInput:
    """`is_active` is None when nothing was said of it."""

    values: AccountSettings
    is_active: bool | None

    def account(self, account_id: str) -> Account:
        return account_of(self.values, account_id)


def account_of(values: AccountSettings, account_id: str) -> Account:
    return Account(
        id=account_id,
        name=values.name,
        csesidx=values.csesidx,
        config_id=values.config_id,
        secure_c_ses=values.secure_c_ses.get_secret_value(),
        host_c_oses=_bare(values.host_c_oses),
        edition=values.edition,
        location=values.location,
        cookies=_bare(values.cookies),
        server_token=_bare(values.server_token),
        user_agent=values.user_agent,
    )


def _bare(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret is not None else None


def read(given: Mapping[str, object], known: Account | None = None) -> AccountInput:
    """The values of an account: as they are `known`, but for those that are given; unknown fields
    are passed over.

    Raises BadRequest: its message says what is wrong with each field, and `param` names the first.
    """
    wrong = dict(_wrong_by_themselves(given))
    try:
        values = _validated(told_by_addresses(given) | _named(given), known)
    except ValidationError as error:
        for fault in error.errors(include_url=False, include_context=False, include_input=False):
            name = str(fault["loc"][0])
            wrong.setdefault(name, problems.line(name, (), fault))
    if wrong:
        raise BadRequest("; ".join(wrong.values()), param=next(iter(wrong)))
    is_active = given.get("is_active")
    return AccountInput(values, is_active if isinstance(is_active, bool) else None)


def _named(given: Mapping[str, object]) -> dict[str, object]:
    """The fields of an account that are given, `team_id` as `config_id`."""
    named = {name: given[name] for name in AccountSettings.model_fields if name in given}
    if "team_id" in given and is_empty(given.get("config_id")):
        named["config_id"] = given["team_id"]
    return named


def _validated(named: Mapping[str, object], known: Account | None) -> AccountSettings:
    """Raises ValidationError, for what is given alone: what is stored may be older than today's
    rules.
    """
    if known is None:
        return AccountSettings.model_validate(named)
    changed = {name: value for name, value in named.items() if value != getattr(known, name)}
    checked = AccountSettings.model_validate({**STAND_INS, **changed})
    kept = {
        "name": known.name,
        "secure_c_ses": SecretStr(known.secure_c_ses),
        "host_c_oses": SecretStr(known.host_c_oses) if known.host_c_oses is not None else None,
        "csesidx": known.csesidx,
        "config_id": known.config_id,
        "edition": known.edition,
        "location": known.location,
        "cookies": SecretStr(known.cookies) if known.cookies is not None else None,
        "server_token": SecretStr(known.server_token) if known.server_token is not None else None,
        "user_agent": known.user_agent,
    }
    return checked.model_copy(
        update={name: value for name, value in kept.items() if name not in changed}
    )


def _wrong_by_themselves(given: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    if "is_active" in given and not isinstance(given["is_active"], bool):
        yield "is_active", "is_active: must be true or false"
    if names_two_config_ids(given):
        yield (
            "team_id",
            "team_id: differs from config_id, which means the same; give one of the two",
        )
