"""How settings are written: under which names, and in which files.

No message ever repeats a text: it may be a secret.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from gbproxy.settings import account_values
from gbproxy.settings.text import decoded, unquoted, unquoted_items

MAX_FILE_BYTES = 1024 * 1024

SECRETS = frozenset({
    "API_KEYS", "API_KEY", "ADMIN_KEY", "SECRET_KEY", "SECURE_C_SES", "HOST_C_OSES", "ACCOUNTS", "DATABASE_URL",
    "REDIS_URL", "PROXY", "UPSTREAM_BODY", "UPSTREAM_HEADERS", "METRICS_KEY",
})  # fmt: skip
# Variables that may also be given as a path, NAME_FILE: every secret, and what stands beside the
# cookies.
IN_FILES = SECRETS | {"CSESIDX", "CONFIG_ID", "GEMINI_BUSINESS_CONFIG_ID"}

# by commas
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


@dataclass(frozen=True, slots=True)
class Found:
    """A setting's text, None when it could not be read, and the variable's name as the user wrote
    it.
    """

    name: str
    text: str | None


class Reader:
    """Looks settings up in an environment; `problems` collects what is wrong with how they are
    given.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self.problems: list[str] = []

    def find(self, name: str) -> Found | None:
        """The setting `name`, under whichever of its names it is given; empty counts as not
        given.
        """
        spellings: dict[str, Callable[[str], str]] = {name: str, **ALIASES.get(name, {})}
        found = [
            given
            for spelling, convert in spellings.items()
            if (given := self._look_up(spelling, convert))
        ]
        for other in found[1:]:
            if _differ(name, found[0].text, other.text):
                self.problems.append(
                    f"{found[0].name}: has another value than {other.name}, which means the same;"
                    " set one of the two"
                )
        return found[0] if found else None

    def _look_up(self, name: str, convert: Callable[[str], str]) -> Found | None:
        value = self._bare(name, name, self._environ.get(name, ""), convert)
        file = f"{name}_FILE"
        path = (
            self._bare(file, file, self._environ.get(file, ""), str) if name in IN_FILES else None
        )
        if value and path:
            self.problems.append(f"{file}: is set together with {name}; set one of the two")
        if value or path is None or path.text is None:
            return value or path
        return self._look_into(file, path.text, name, convert)

    def _look_into(
        self, file: str, path: str, name: str, convert: Callable[[str], str]
    ) -> Found | None:
        try:
            text = read_secret(path)
        except ValueError as error:
            self.problems.append(f"{file}: {error}")
            return Found(file, None)
        return self._bare(file, name, text, convert)

    def _bare(
        self, variable: str, name: str, text: str, convert: Callable[[str], str]
    ) -> Found | None:
        """A text without the quotes round it, as `variable` gives it for the setting `name`; None
        when it is empty.
        """
        remove = unquoted_items if name in _SEPARATED else unquoted
        try:
            bare = remove(text)
        except ValueError as error:
            self.problems.append(f"{variable}: {error}")
            return Found(variable, None)
        return Found(variable, convert(bare)) if bare else None


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
    """A secret file's text without its last newline."""
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
