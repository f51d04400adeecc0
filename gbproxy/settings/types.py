"""The types of settings: each reads a variable's text by a rule of `validators` or `network`."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, SecretStr

from gbproxy.settings import network, validators

STATUS_LINES = (
    "Assessing the Request",
    "Generating Response",
    "Analyzing the Request",
    "Formulating the Response",
    "Refining the Response",
)


def parsed_by(rule: Callable[[str], Any]) -> BeforeValidator:
    """Read a field's text by a rule of `validators` or `network`; pydantic checks other values."""

    def read(value: object) -> object:
        bare = value.get_secret_value() if isinstance(value, SecretStr) else value
        return rule(bare) if isinstance(bare, str) else value

    return BeforeValidator(read)


def matching(pattern: str, allowed: str) -> Callable[[str], str]:
    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(f"must be {allowed}")
        return text

    return check


def headlines(text: str) -> tuple[str, ...]:
    """Comma-separated headlines as they are written; none for `off`."""
    return () if text.casefold() == "off" else validators.comma_separated(text)


ANY_CASE = BeforeValidator(lambda value: value.lower() if isinstance(value, str) else value)
JSON_ARRAY = parsed_by(partial(validators.json_value, kind=list))

PositiveInt = Annotated[
    int, parsed_by(partial(validators.whole_number, least=1, most=validators.LARGEST))
]
WorkerCount = Annotated[int, parsed_by(partial(validators.whole_number, least=1, most=1000))]
# Each has its place in the list of upstream connections from the start: far more would only fill
# memory.
Connections = Annotated[int, parsed_by(partial(validators.whole_number, least=1, most=100_000))]
CountOrZero = Annotated[int, parsed_by(partial(validators.whole_number, least=0, most=100))]
Port = Annotated[int, parsed_by(partial(validators.whole_number, least=1, most=65535))]
PositiveFloat = Annotated[float, parsed_by(validators.number)]
NonNegativeFloat = Annotated[float, parsed_by(partial(validators.number, zero_allowed=True))]
Keys = Annotated[tuple[SecretStr, ...], parsed_by(validators.comma_separated)]
BaseUrl = Annotated[str, parsed_by(network.base_url)]
ModelId = Annotated[
    str,
    AfterValidator(
        matching(r"[A-Za-z0-9._:/-]{1,128}", "1 to 128 characters of A-Z a-z 0-9 . _ : / -")
    ),
]
LanguageCode = Annotated[
    str,
    AfterValidator(matching(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8})*", "a language tag such as en-US")),
]
