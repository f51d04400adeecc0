"""The entries of ACCOUNTS and MODELS, and the lines that report mistakes in them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, model_validator
from pydantic_core import ErrorDetails

from gbproxy.settings import account_values
from gbproxy.settings.validators import ANY_CASE, JSON_ARRAY, ModelId, parsed_by


def _printable(text: str) -> str:
    if not text.isprintable() or len(text) > 128:
        raise ValueError("must be at most 128 printable characters")
    return text.strip()


class AccountSettings(BaseModel):
    """One upstream account."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    name: Annotated[str, AfterValidator(_printable)] = Field(
        description="what logs and the console call the account"
    )
    secure_c_ses: Annotated[
        SecretStr, parsed_by(partial(account_values.cookie, name="__Secure-C_SES"))
    ] = Field(
        description="the account's cookie `__Secure-C_SES`; a pasted `name=value;` is understood"
    )
    host_c_oses: (
        Annotated[SecretStr, parsed_by(partial(account_values.cookie, name="__Host-C_OSES"))] | None
    ) = Field(None, description="the account's cookie `__Host-C_OSES`, where there is one")
    csesidx: Annotated[str, parsed_by(account_values.csesidx)] = Field(
        description=("the digits after `csesidx=` in the address bar, or that whole address")
    )
    config_id: Annotated[str, parsed_by(account_values.config_id)] = Field(
        description=("the UUID after `/cid/` in the address bar, or that whole address")
    )
    edition: Annotated[Literal["business", "enterprise"], ANY_CASE] = Field(
        "business",
        description="whose page the account signs in to; the page's address tells it too",
    )
    location: Annotated[Literal["global", "us", "eu"], ANY_CASE] = Field(
        "global", description="where the account's app lives; the page's address tells it too"
    )
    cookies: Annotated[SecretStr, parsed_by(account_values.further_cookies)] | None = Field(
        None, description="further cookies of the account's page, as a Cookie header"
    )
    server_token: Annotated[SecretStr, parsed_by(account_values.server_token)] | None = Field(
        None, description="what the account's browser sends as x-server-token"
    )
    user_agent: Annotated[str, parsed_by(account_values.user_agent)] | None = Field(
        None, description="the `user-agent` that the upstream sees; you may name your own browser's"
    )

    def credential(self) -> dict[str, Any]:
        """All but the name, secrets bare."""
        values = {name: value for name, value in self if name != "name"}
        return {
            name: value.get_secret_value() if isinstance(value, SecretStr) else value
            for name, value in values.items()
        }

    @model_validator(mode="before")
    @classmethod
    def _known_and_given(cls, given: Any) -> Any:
        """Drop unknown and empty fields; accept `team_id` for `config_id`, a number as `csesidx`,
        and the page's address for either.
        """
        if not isinstance(given, Mapping):
            return given
        values = {name: given.get(name) for name in cls.model_fields}
        if is_empty(values["config_id"]):
            values["config_id"] = given.get("team_id")
        if type(values["csesidx"]) is int:
            values["csesidx"] = str(values["csesidx"])
        return fields_of_addresses(given) | {
            name: value for name, value in values.items() if not is_empty(value)
        }


# Valid values for missing fields, so that a part of an account can be validated as a whole one.
STAND_INS = {
    "name": "imported",
    "secure_c_ses": "x",
    "csesidx": "0",
    "config_id": "00000000-0000-4000-8000-000000000000",
}


def fields_of_addresses(given: Mapping[str, object]) -> dict[str, str]:
    """The fields that the page's address names, where it is given in place of an id."""
    texts = [
        text
        for name in ("csesidx", "team_id", "config_id")
        if isinstance(text := given.get(name), str)
    ]
    return {
        name: value
        for text in texts
        for name, value in account_values.read_page_address(text).items()
    }


TWO_CONFIG_IDS = "team_id: differs from config_id, which means the same; give one of the two"


def names_two_config_ids(given: Mapping[str, object]) -> bool:
    """True if `config_id` and `team_id`, which mean the same, are both given and differ."""
    one, other = given.get("config_id"), given.get("team_id")
    return not (is_empty(one) or is_empty(other) or account_values.is_same_config_id(one, other))


def is_disabled(given: Mapping[str, object]) -> bool:
    """True for an account that is not to be used, in any of the spellings of other programs."""
    return (
        given.get("disabled") is True
        or given.get("is_active") is False
        or given.get("enabled") is False
    )


def is_empty(value: object) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


class ModelSettings(BaseModel):
    """One entry of `MODELS`; unset fields keep the built-in catalogue's values."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    id: ModelId
    upstream: ModelId | None = None
    tools: (
        tuple[
            Literal[
                "webGroundingSpec", "toolRegistry", "imageGenerationSpec", "videoGenerationSpec"
            ],
            ...,
        ]
        | None
    ) = None
    quota: Literal["text", "images", "videos"] | None = None
    aliases: tuple[ModelId, ...] | None = None
    successor: ModelId | None = None
    fallback: ModelId | None = None

    @property
    def names(self) -> frozenset[str]:
        return frozenset((self.id, *(self.aliases or ())))


def _distinct(models: tuple[ModelSettings, ...]) -> tuple[ModelSettings, ...]:
    """The models as they are. Raises ValueError when two have a name in common."""
    taken: dict[str, int] = {}
    for index, model in enumerate(models):
        for name in sorted(model.names):
            if taken.setdefault(name, index) != index:
                raise ValueError(
                    f"entries {taken[name]} and {index} have the same id or alias, {name}"
                )
    return models


Models = Annotated[tuple[ModelSettings, ...], JSON_ARRAY, AfterValidator(_distinct)]


def error_line(name: str, path: tuple[int | str, ...], fault: ErrorDetails) -> str:
    """Format one error of pydantic: `ACCOUNTS[1].config_id: is missing`."""
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
