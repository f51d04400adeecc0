"""Reads settings as given: the names, aliases and files of variables, quotes and encodings.

No message repeats a text: it may be a secret.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from gbproxy.settings import account_values

MAX_FILE_BYTES = 1024 * 1024
_BYTE_ORDER_MARKS = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
_QUOTES = "\"'"
# the inside of "…" in which each `"` is written `\"`
_WITH_ESCAPES = re.compile(r'(?:[^"\\]|\\.)*', re.DOTALL)

SECRETS = frozenset({
    "API_KEYS", "API_KEY", "ADMIN_KEY", "SECRET_KEY", "SECURE_C_SES", "HOST_C_OSES", "ACCOUNTS",
    "DATABASE_URL", "REDIS_URL", "PROXY", "UPSTREAM_BODY", "UPSTREAM_HEADERS", "METRICS_KEY",
    "ALERT_WEBHOOK",
})  # fmt: skip
# Variables that may also be given as the path of a file, under NAME_FILE: every secret, and the
# other two values of an account.
IN_FILES = SECRETS | {"CSESIDX", "CONFIG_ID", "GEMINI_BUSINESS_CONFIG_ID"}

# Lists of values between commas, each of which may stand in quotes.
_SEPARATED = frozenset({
    "API_KEYS", "API_KEY", "SECRET_KEY", "CORS_ORIGINS", "STATUS_LINES", "ALERT_WEBHOOK",
})  # fmt: skip


def _with_version(origin: str) -> str:
    origin = origin.rstrip("/")
    return origin if origin.endswith("/v1alpha") else f"{origin}/v1alpha"


def _with_scheme(host: str) -> str:
    return host if "://" in host else f"https://{host}"


# Other names of a setting (also in older programs), each with the conversion of its text.
ALIASES: Mapping[str, Mapping[str, Callable[[str], str]]] = {
    "HOST": {"SERVER_ADDRESS": str},
    "PORT": {"SERVER_PORT": str},
    "API_KEYS": {"API_KEY": str},
    "CONFIG_ID": {"GEMINI_BUSINESS_CONFIG_ID": str},
    "API_BASE_URL": {"GEMINI_API_BASE": _with_version},
    "GEMINI_BUSINESS_URL": {"BUSINESS_DOMAIN": _with_scheme},
}


# Variables of older programs that are accepted and have no meaning here.
LEGACY_IGNORED = frozenset({
    "AUTH_URL", "AUTH_DOMAIN", "ACCOUNT_EMAIL", "GEMINI_BUSINESS_EMAIL", "JWT_SECRET",
    "JWT_EXPIRY_MINUTES", "OPENAI_COMPATIBLE", "API_KEY_HEADER",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable that is set: its name as the user wrote it, and its text, None if unreadable."""

    name: str
    text: str | None


class EnvironmentReader:
    """Looks variables up in an environment; `problems` collects the mistakes on the way."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self.problems: list[str] = []

    def find(self, name: str) -> Variable | None:
        """The variable `name`, or an alias or file of it; None when it is unset or empty."""
        spellings: dict[str, Callable[[str], str]] = {name: str, **ALIASES.get(name, {})}
        found = [
            given
            for spelling, convert in spellings.items()
            if (given := self._find_one(spelling, convert))
        ]
        for other in found[1:]:
            if _differ(name, found[0].text, other.text):
                self.problems.append(
                    f"{found[0].name}: has another value than {other.name}, which means the same;"
                    " set one of the two"
                )
        return found[0] if found else None

    def _find_one(self, name: str, convert: Callable[[str], str]) -> Variable | None:
        value = self._unquote(name, name, self._environ.get(name, ""), convert)
        file = f"{name}_FILE"
        path = (
            self._unquote(file, file, self._environ.get(file, ""), str)
            if name in IN_FILES
            else None
        )
        if value and path:
            self.problems.append(f"{file}: is set together with {name}; set one of the two")
        if value or path is None or path.text is None:
            return value or path
        return self._read_file(file, path.text, name, convert)

    def _read_file(
        self, file: str, path: str, name: str, convert: Callable[[str], str]
    ) -> Variable | None:
        try:
            text = read_secret(path)
        except ValueError as error:
            self.problems.append(f"{file}: {error}")
            return Variable(file, None)
        return self._unquote(file, name, text, convert)

    def _unquote(
        self, variable: str, name: str, text: str, convert: Callable[[str], str]
    ) -> Variable | None:
        """The text of `variable` without quotes round it, as the setting `name` takes it; None when
        it is empty.
        """
        remove = unquote_items if name in _SEPARATED else unquote
        try:
            bare = remove(text)
        except ValueError as error:
            self.problems.append(f"{variable}: {error}")
            return Variable(variable, None)
        return Variable(variable, convert(bare)) if bare else None


def _differ(name: str, one: str | None, other: str | None) -> bool:
    if one is None or other is None:
        return False
    is_same = (
        account_values.is_same_config_id(one, other)
        if name == "CONFIG_ID"
        else one.rstrip("/") == other.rstrip("/")
    )
    return not is_same


def read_env_file(path: Path) -> dict[str, str]:
    """Read an environment file by Docker's rules: `NAME=value` as it stands, without expansion;
    `#` begins a comment.

    A bare NAME stands for the environment's own value, so it adds nothing. Raises OSError and
    ValueError.
    """
    try:
        text = decode_text(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path} {error}") from None
    values: dict[str, str] = {}
    for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n"):
        name, separator, value = line.lstrip().partition("=")
        if separator and name and not name.startswith("#"):
            values[name.strip()] = value
    return values


def read_secret(path: str) -> str:
    """The text of a secret's file without its last newline. Raises ValueError."""
    try:
        with open(path, "rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ValueError(f"the file cannot be read: {error.strerror}") from None
    except ValueError:
        raise ValueError("is not a path to a file") from None
    if len(content) > MAX_FILE_BYTES:
        raise ValueError("the file is larger than 1 MB; it may hold one secret")
    try:
        text = decode_text(content)
    except ValueError as error:
        raise ValueError(f"the file {error}") from None
    return text.removesuffix("\n").removesuffix("\r")


def decode_text(content: bytes) -> str:
    """Decode UTF-8, or UTF-16 as some editors and PowerShell write it, without a byte order mark.

    Raises ValueError, whose message quotes nothing of the content.
    """
    mark = content[:2]
    encoding = _BYTE_ORDER_MARKS.get(mark) or _encoding_by_zeros(content)
    try:
        text = content.decode(encoding).removeprefix("\ufeff")
    except UnicodeDecodeError:
        raise ValueError(
            f"is not {'UTF-16' if encoding.startswith('utf-16') else 'UTF-8'} text"
        ) from None
    if "\0" in text:
        raise ValueError("holds NUL characters, so it is no text")
    return text


def _encoding_by_zeros(content: bytes) -> str:
    """The encoding of text without a byte order mark."""
    # Letters and digits in UTF-16 have a zero byte on one side; UTF-8 has none at all.
    zeros = [content[side::2].count(0) for side in (0, 1)]
    most = len(content) // 4  # half of all characters
    if zeros[1] > most and not zeros[0]:
        return "utf-16-le"
    return "utf-16-be" if zeros[0] > most and not zeros[1] else "utf-8"


def unquote(text: str) -> str:
    """Remove white space and one pair of quotes round a value: shells remove such quotes, Docker's
    env files hand them on.

    Only one pair, so that a value which begins or ends with a quote can stand in another pair.
    Raises ValueError for a quote at one end alone.
    """
    text = text.strip()
    if not _is_quoted(text):
        _refuse_lone_quote(text)
        return text
    inner = text[1:-1]
    if text[0] == '"' and '\\"' in inner and _WITH_ESCAPES.fullmatch(inner):
        inner = re.sub(r'\\(["\\])', r"\1", inner)  # JSON as a shell takes it
    return inner.strip()


def unquote_items(text: str) -> str:
    """As `unquote`, for items between commas: quotes round all of them, or round single ones."""
    text = text.strip()
    if _is_quoted(text) and text[0] not in text[1:-1]:
        return text[1:-1].strip()
    items = text.split(",")
    try:
        return ",".join(map(unquote, items))
    except ValueError as error:
        raise ValueError(
            f"one of its {len(items)} values {error}" if len(items) > 1 else str(error)
        ) from None


def _is_quoted(text: str) -> bool:
    return len(text) > 1 and text[0] in _QUOTES and text[0] == text[-1]


def _refuse_lone_quote(text: str) -> None:
    # A quote at an end whose partner is inside belongs to the value: **Reading "x"**, Searching "y"
    for where, quote in (("begins", text[:1]), ("ends", text[-1:])):
        if quote and quote in _QUOTES and text.count(quote) % 2:
            raise ValueError(
                f"{where} with a quote that has no partner at the other end: take it away, or put"
                " quotes round the whole value"
            )
