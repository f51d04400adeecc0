"""The types of settings, and the parsers and checks of variables' texts behind them.

Each parser raises ValueError with what is allowed, without the value, which may be a secret.
"""

from __future__ import annotations

import json
import math
import os
import re
import ssl
import zoneinfo
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, SecretStr

LARGEST = 1_000_000_000  # for every number: more would overflow a timer


def whole_number(text: str, *, least: int, most: int) -> int:
    if not re.fullmatch(r"[0-9]{1,20}", text) or not least <= int(text) <= most:
        raise ValueError(f"must be a whole number from {least} to {most}")
    return int(text)


def number(text: str, *, zero_allowed: bool = False) -> float:
    value = float(text) if re.fullmatch(r"[0-9]+(\.[0-9]*)?|\.[0-9]+", text) else math.nan
    if not 0 <= value <= LARGEST or (value == 0 and not zero_allowed):
        raise ValueError(
            f"must be a number, {'at least' if zero_allowed else 'more than'} 0 and at most"
            f" {LARGEST}"
        )
    return value


def json_value(text: str, kind: type[list[Any]] | type[dict[str, Any]]) -> Any:
    wanted = "a JSON array" if kind is list else "a JSON object"
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise ValueError(f"is not valid JSON ({where}); it must be {wanted}") from None
    except (ValueError, RecursionError):  # a number of thousands of digits; thousands of brackets
        raise ValueError(f"is not readable JSON; it must be {wanted}") from None
    if not isinstance(value, kind):
        raise ValueError(f"must be {wanted}")
    return value


def json_object(text: str) -> dict[str, Any]:
    """A JSON object that can be sent on: without NaN and lone surrogates."""
    value: dict[str, Any] = json_value(text, dict)
    try:
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError):
        raise ValueError(
            "must be a JSON object without NaN, infinity, halves of characters or endless nesting"
        ) from None
    return value


def comma_separated(text: str) -> tuple[str, ...]:
    """The items in their order, stripped, without empty and repeated ones."""
    if re.fullmatch(r"\[.*\]|\{(?!\{).*\}", text.strip(), re.DOTALL):
        raise ValueError("must be values separated by commas, and not JSON")
    return tuple(dict.fromkeys(item for item in map(str.strip, text.split(",")) if item))


def header_value(text: str) -> str:
    if re.search(r"[\x00-\x1f\x7f-\x9f]|[^\x00-\xff]", text):
        raise ValueError(
            "contains characters that no header can carry: line breaks, control characters or"
            " non-Latin ones"
        )
    return text.strip()


def user_agent(text: str) -> str:
    if not re.fullmatch(r"[ -~]+", text):
        raise ValueError("must be printable ASCII")
    return text.strip()


def headers(text: str) -> dict[str, str]:
    """Request headers from a JSON object of texts. Raises ValueError with every mistake."""
    mistakes: list[str] = []
    result: dict[str, str] = {}
    for position, (name, value) in enumerate(json_value(text, dict).items(), start=1):
        try:
            result[_header_name(name, position, result)] = header_value(_header_text(value))
        except ValueError as error:
            shown = name if _TOKEN.fullmatch(name) else f"number {position}"
            mistakes.append(f"header {shown} {error}")
    if mistakes:
        raise ValueError("; ".join(mistakes))
    return result


_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}")
_REFUSED_HEADERS = {
    "authorization": "the gateway sends each account's own token in it",
    "cookie": "the gateway sends each account's own cookies in it",
    "host": "it follows from the address",
    "content-length": "it follows from the body",
    "transfer-encoding": "it follows from the body",
    "connection": "the gateway keeps its connections itself",
}


def _header_name(name: str, position: int, earlier: Mapping[str, str]) -> str:
    if not _TOKEN.fullmatch(name):
        raise ValueError("has a name with characters that a header's name cannot have")
    if reason := _REFUSED_HEADERS.get(name.lower()):
        raise ValueError(f"cannot be set: {reason}")
    if name.lower() in map(str.lower, earlier):
        raise ValueError("is given twice")
    return name


def _header_text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("has a value that is not text")
    return value


def certificates(text: str) -> Path:
    """The path of a file of certificates in PEM form, or of a directory of such files with names by
    `openssl rehash`.
    """
    # os.path, because Path raises where a path is too long or its directory closed to us.
    if not (os.path.isfile(text) or os.path.isdir(text)) or not os.access(text, os.R_OK):
        raise ValueError("must be the path of a file or directory that exists and can be read")
    if os.path.isfile(text) and not _holds_certificates(text):
        raise ValueError(
            "must be the path of a file with certificates in PEM form, and this one holds none that"
            " can be read"
        )
    if os.path.isdir(text) and not _has_hashed_certificate(text):
        raise ValueError(
            "must be the path of a directory whose certificates OpenSSL finds by their names:"
            " `openssl rehash` gives them; or of one file with all of them"
        )
    return Path(text)


def _has_hashed_certificate(directory: str) -> bool:
    # OpenSSL silently passes over files with other names.
    names = (name for name in os.listdir(directory) if re.fullmatch(r"[0-9a-f]{8}\.[0-9]+", name))
    return any(_holds_certificates(os.path.join(directory, name)) for name in names)


def _holds_certificates(path: str) -> bool:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(path)
    except (OSError, ValueError):  # also OpenSSL's
        return False
    return context.cert_store_stats()["x509"] > 0


def time_zone(text: str) -> str:
    """A name of the tz database; where the machine has none, what looks like one."""
    shaped = re.fullmatch(r"[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+){0,3}", text)
    if not shaped or (text != "UTC" and not _is_zone(text) and zoneinfo.available_timezones()):
        raise ValueError("must be a time zone's name, such as UTC or Europe/Madrid")
    return text


def _is_zone(name: str) -> bool:
    try:
        zoneinfo.ZoneInfo(name)
    # OSError: a directory of zones, such as America
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def parsed_by(rule: Callable[[str], Any]) -> BeforeValidator:
    """Read a field's text by `rule`; pydantic checks other values."""

    def read(value: object) -> object:
        bare = value.get_secret_value() if isinstance(value, SecretStr) else value
        return rule(bare) if isinstance(bare, str) else value

    return BeforeValidator(read)


def matching(pattern: str, allowed: str) -> Callable[[str], str]:
    """A check that a whole text matches; its error says what is `allowed`."""

    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(f"must be {allowed}")
        return text

    return check


STATUS_LINES = (
    "Assessing the Request", "Generating Response", "Analyzing the Request",
    "Formulating the Response", "Refining the Response",
)  # fmt: skip


def headlines(text: str) -> tuple[str, ...]:
    """Comma-separated headlines as they are written; none for `off`."""
    return () if text.casefold() == "off" else comma_separated(text)


ANY_CASE = BeforeValidator(lambda value: value.lower() if isinstance(value, str) else value)
JSON_ARRAY = parsed_by(partial(json_value, kind=list))

PositiveInt = Annotated[int, parsed_by(partial(whole_number, least=1, most=LARGEST))]
WorkerCount = Annotated[int, parsed_by(partial(whole_number, least=1, most=1000))]
# Each has its place in the list of upstream connections from the start: far more would only fill
# memory.
Connections = Annotated[int, parsed_by(partial(whole_number, least=1, most=100_000))]
NonNegativeInt = Annotated[int, parsed_by(partial(whole_number, least=0, most=100))]
Port = Annotated[int, parsed_by(partial(whole_number, least=1, most=65535))]
PositiveFloat = Annotated[float, parsed_by(number)]
NonNegativeFloat = Annotated[float, parsed_by(partial(number, zero_allowed=True))]
Keys = Annotated[tuple[SecretStr, ...], parsed_by(comma_separated)]
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
