"""How the text of a variable becomes a value. A rule raises ValueError with what is allowed, never
with the value.
"""

from __future__ import annotations

import ipaddress
import json
import math
import os
import re
import ssl
import zoneinfo
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, quote, urlsplit

from gbproxy.settings.origins import normalized
from gbproxy.settings.proxy_address import ProxyAddress

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


def origins(text: str) -> tuple[str, ...]:
    """Origins as browsers send them, `scheme://host[:port]`, patterns of such, or `*`."""
    found = comma_separated(text)
    wrong: list[str] = []
    result: list[str] = []
    for position, origin in enumerate(found, start=1):
        try:
            result.append(normalized(origin))
        except ValueError as error:
            wrong.append(f"origin {position} {error}")
    if wrong:
        raise ValueError("; ".join(wrong))
    return tuple(dict.fromkeys(result))


def host(text: str) -> str:
    """An address or host name to listen on; an IPv6 address comes back without brackets."""
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    if not _is_address(bare) and not _HOST_NAME.fullmatch(text):
        raise ValueError("must be an IP address or a host name, without scheme, port or path")
    return bare


def is_loopback(address: str) -> bool:
    """Whether an address or host name as `host` returns it is reached from this machine only."""
    if _is_address(address):
        return ipaddress.ip_address(address).is_loopback
    return address.casefold() == "localhost"


# Labels as sockets take them: one that is empty or too long would fail at the first request.
_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST_NAME = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*\.?")


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def base_url(text: str) -> str:
    """An http(s) address that paths can be added to: no slash at its end."""
    parts = _url(text, ("http", "https"))
    if "@" in parts.netloc:
        raise ValueError("must not contain a user name or password")
    return f"{parts.scheme}://{parts.netloc.lower()}{parts.path}".rstrip("/")


def proxy_url(text: str) -> str:
    """A proxy's address; user and password may be any, and come back as ASCII."""
    given, at, host = text.rpartition("@")
    parts = _url(
        re.sub(r"[^\x00-\x7f]+|[][\\]+", _percent_encoded, given) + at + host,
        ("http", "https", "socks5", "socks5h"),
    )
    if parts.path not in ("", "/"):
        raise ValueError("must end after the host and port; a `/` in a password is written %2F")
    url = f"{parts.scheme}://{parts.netloc}"
    address = ProxyAddress.parse(url)
    if address.is_socks and any(
        len((part or "").encode()) > 255 for part in (address.user, address.password)
    ):
        raise ValueError("has a user or password of more than 255 bytes, which SOCKS5 cannot carry")
    return url


def _percent_encoded(found: re.Match[str]) -> str:
    try:
        # bytes of an environment that are no UTF-8 stay as they are
        return quote(found[0], errors="surrogateescape")
    except UnicodeEncodeError:
        raise ValueError("has a user or password with characters that are none") from None


def redis_url(text: str) -> str:
    allowed = "must look like redis://:password@host:port/0, or rediss:// for TLS"
    if not re.fullmatch(r"rediss?://[!-~]+", text) or re.search(r"[?#]", text):
        raise ValueError(f"{allowed}; other signs in a password are written as %XX")
    try:
        parts = urlsplit(text)
        name, _ = parts.hostname or "", parts.port  # reading the port checks it
    except ValueError:
        raise ValueError(f"{allowed}, with a port up to 65535") from None
    if not (_HOST_NAME.fullmatch(name) or _is_address(name)) or not re.fullmatch(
        r"(/[0-9]{0,5})?", parts.path
    ):
        raise ValueError(allowed)
    return text


def _url(text: str, schemes: tuple[str, ...]) -> SplitResult:
    allowed = f"must be an address such as {schemes[0]}://host:port; allowed: {', '.join(schemes)}"
    if not re.fullmatch(r"[!-~]+", text):
        raise ValueError(f"{allowed}, all of it printable ASCII without spaces")
    if "?" in text or "#" in text:
        raise ValueError("must not contain `?` or `#`; in a password they are written %3F and %23")
    try:
        parts = urlsplit(text)
        name, _ = parts.hostname or "", parts.port  # reading the port checks it
    except ValueError:
        raise ValueError(f"{allowed}, with a port up to 65535") from None
    if parts.scheme not in schemes or not (_HOST_NAME.fullmatch(name) or _is_address(name)):
        raise ValueError(allowed)
    return parts


def database_url(text: str) -> str:
    if text.startswith("sqlite:///"):
        if outlives_the_process(text):
            _writable_file(text.removeprefix("sqlite:///"))
    elif text.startswith("postgresql://"):
        _server(text)
    else:
        raise ValueError(
            "must begin with sqlite:/// (four slashes for an absolute path) or postgresql://"
        )
    return text


def _writable_file(path: str) -> None:
    if re.search(r"[?#\x00-\x1f]", path):
        raise ValueError("must not contain `?`, `#` or control characters")
    if not os.path.isdir(os.path.dirname(path) or "."):
        raise ValueError("the directory of its file does not exist")
    if os.path.isdir(path):
        raise ValueError("must be the path of a file, and is a directory")
    # SQLite puts files of its own beside it.
    if not os.access(os.path.dirname(path) or ".", os.W_OK | os.X_OK) or (
        os.path.exists(path) and not os.access(path, os.R_OK | os.W_OK)
    ):
        raise ValueError("the file, or the directory it is in, cannot be written to")


def _server(text: str) -> None:
    allowed = "must look like postgresql://user:password@host:port/database"
    if not re.fullmatch(r"[!-~]+", text) or "#" in text:
        raise ValueError(f"{allowed}; other signs in a password are written as %XX")
    try:
        parts = urlsplit(text)
        named, _ = parts.netloc or parts.query, parts.port  # reading the port checks it
    except ValueError:
        raise ValueError(
            f"{allowed}; `@`, `:` and `/` in a password are written %40, %3A and %2F"
        ) from None
    if not named or not parts.path.strip("/"):
        raise ValueError(allowed)


def outlives_the_process(url: str) -> bool:
    """Whether a database keeps what is in it; none given ("") and SQLite in memory do not."""
    return url not in ("", "sqlite:///", "sqlite:///:memory:")


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
