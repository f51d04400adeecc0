"""Parsers and checks of variables' texts. Each raises ValueError with what is allowed, without the
value, which may be a secret.
"""

from __future__ import annotations

import json
import math
import os
import re
import ssl
import zoneinfo
from collections.abc import Mapping
from pathlib import Path
from typing import Any

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
    """A JSON object that can be sent on: no NaN, and text that is text."""
    value: dict[str, Any] = json_value(text, dict)
    try:
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError):
        raise ValueError(
            "must be a JSON object without NaN, infinity, halves of characters or endless nesting"
        ) from None
    return value


def comma_separated(text: str) -> tuple[str, ...]:
    """The items in their order, without blanks and repetitions."""
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
    """Further request headers out of a JSON object of texts."""
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
    # os.path and not Path: it also says no, instead of raising, where a path is too long or its
    # directory closed to us.
    if not (os.path.isfile(text) or os.path.isdir(text)) or not os.access(text, os.R_OK):
        raise ValueError("must be the path of a file or directory that exists and can be read")
    if os.path.isfile(text) and not _holds_certificates(text):
        raise ValueError(
            "must be the path of a file with certificates in PEM form, and this one holds none that"
            " can be read"
        )
    if os.path.isdir(text) and not _is_found_in(text):
        raise ValueError(
            "must be the path of a directory whose certificates OpenSSL finds by their names:"
            " `openssl rehash` gives them; or of one file with all of them"
        )
    return Path(text)


def _is_found_in(directory: str) -> bool:
    """Whether there is a certificate with such a name: OpenSSL passes over all others without a
    word.
    """
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


# Words that examples and tutorials put where a key belongs, compared without case, with and without
# a leading `sk-`.
PLACEHOLDERS = frozenset({
    "admin", "api-key", "api_key", "apikey", "default", "demo", "dummy", "example", "foobar", "key",
    "mysecretkey", "my-secret-key", "my_secret_key", "my-super-secret-key", "none", "null",
    "password", "secret", "secret-key", "secret_key", "sk-my-secret-key", "super-secret-key",
    "supersecret", "supersecretkey", "test", "test-key", "testkey", "token", "undefined",
    "adminadminadminadmin", "passwordpassword", "secretsecretsecret",
})  # fmt: skip


PLACEHOLDER_STARTS = (
    "your_", "your-", "yourkey", "<", "{{", "${", "$(", "...", "xxx", "123456", "abcdefgh",
    "changeme", "change-", "change_", "replace-", "replace_", "insert-", "insert_", "put-", "put_",
    "enter-", "enter_", "placeholder", "example-", "example_", "todo", "fixme", "sk-test",
    "sk-example", "my-secret-", "my_secret_", "some-secret", "some_secret", "super-secret",
    "super_secret",
)  # fmt: skip


PLACEHOLDER_PARTS = (
    "changeme",
    "change-me",
    "change_me",
    "change-this",
    "change_this",
    "change-in-",
    "placeholder",
)


KEY_MIN_CHARS = 16


def key_fault(key: str, *, strong: bool, shown: bool = True) -> str | None:
    """What is wrong with a key; `strong`: it guards more than this machine; `shown`: clients or
    administrators send it.
    """
    if not re.fullmatch(r"[!-~]+", key) or "," in key:
        return "must be printable ASCII without spaces and commas"
    if shown and re.match(r"[\"'\[]|\{(?!\{)", key):
        return "must be the bare key, without quotes or JSON round it"
    if strong and is_placeholder(key):
        return (
            "is a well-known placeholder; it must be a secret of your own unless HOST is loopback"
        )
    if strong and len(key) < KEY_MIN_CHARS:
        return (
            f"is too short; it must have at least {KEY_MIN_CHARS} characters unless HOST is"
            " loopback"
        )
    return None


def is_placeholder(key: str) -> bool:
    folded = key.casefold()
    bare = folded.removeprefix("sk-")
    return (
        len(set(bare)) <= 1
        or any(
            form in PLACEHOLDERS or form.startswith(PLACEHOLDER_STARTS) for form in (folded, bare)
        )
        or any(part in folded for part in PLACEHOLDER_PARTS)
    )
