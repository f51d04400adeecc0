"""How settings are given: their variables' names, aliases and files.

No message repeats a text: it may be a secret.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from gbproxy.settings import account_values
from gbproxy.settings.text import decoded, unquoted, unquoted_items

MAX_FILE_BYTES = 1024 * 1024

SECRETS = frozenset({
    "API_KEYS", "API_KEY", "ADMIN_KEY", "SECRET_KEY", "SECURE_C_SES", "HOST_C_OSES", "ACCOUNTS",
    "DATABASE_URL", "REDIS_URL", "PROXY", "UPSTREAM_BODY", "UPSTREAM_HEADERS", "METRICS_KEY",
})  # fmt: skip
# Variables that may also be given as the path of a file, under NAME_FILE: every secret, and the
# other two values of an account.
IN_FILES = SECRETS | {"CSESIDX", "CONFIG_ID", "GEMINI_BUSINESS_CONFIG_ID"}

# lists of values between commas, which may each stand in quotes
_SEPARATED = frozenset({"API_KEYS", "API_KEY", "SECRET_KEY", "CORS_ORIGINS", "STATUS_LINES"})


def _with_version(origin: str) -> str:
    origin = origin.rstrip("/")
    return origin if origin.endswith("/v1alpha") else f"{origin}/v1alpha"


def _with_scheme(host: str) -> str:
    return host if "://" in host else f"https://{host}"


# Other names of a setting (those of older programs too), and what makes its text out of theirs.
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

# Variables of features that are not built yet: named at start, so that nobody relies on a limit
# that is not there.
RESERVED = frozenset({"MAX_FILE_MB", "PUBLIC_URL", "MEDIA_TTL_S"})


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
        remove = unquoted_items if name in _SEPARATED else unquoted
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


def read_secret(path: str) -> str:
    """The text of a file without its last newline. Raises ValueError, which quotes none of it."""
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
        text = decoded(content)
    except ValueError as error:
        raise ValueError(f"the file {error}") from None
    return text.removesuffix("\n").removesuffix("\r")
