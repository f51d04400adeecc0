"""The rules for the keys of clients, administrators and the database: what they are made of, and
that they are no placeholders.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from gbproxy.settings import network
from gbproxy.settings.environment import Variable
from gbproxy.settings.fields import Settings

_KEY_MIN_CHARS = 16
# Words that examples and tutorials put where a key belongs, compared without case, with and without
# a leading `sk-`.
_PLACEHOLDERS = frozenset({
    "admin", "api-key", "api_key", "apikey", "default", "demo", "dummy", "example", "foobar", "key",
    "mysecretkey", "my-secret-key", "my_secret_key", "my-super-secret-key", "none", "null",
    "password", "secret", "secret-key", "secret_key", "sk-my-secret-key", "super-secret-key",
    "supersecret", "supersecretkey", "test", "test-key", "testkey", "token", "undefined",
    "adminadminadminadmin", "passwordpassword", "secretsecretsecret",
})  # fmt: skip
_PLACEHOLDER_STARTS = (
    "your_", "your-", "yourkey", "<", "{{", "${", "$(", "...", "xxx", "123456", "abcdefgh",
    "changeme", "change-", "change_", "replace-", "replace_", "insert-", "insert_", "put-", "put_",
    "enter-", "enter_", "placeholder", "example-", "example_", "todo", "fixme", "sk-test",
    "sk-example", "my-secret-", "my_secret_", "some-secret", "some_secret", "super-secret",
    "super_secret",
)  # fmt: skip
_PLACEHOLDER_PARTS = (
    "changeme", "change-me", "change_me", "change-this", "change_this", "change-in-", "placeholder",
)  # fmt: skip


def problems(settings: Settings, found: Mapping[str, Variable]) -> Iterator[str]:
    """A line for each key that is weak, shared or missing; `found` has the variables by field."""
    yield from _weak_keys(settings, found)
    yield from _shared_keys(settings, found)
    yield from _missing_secret_key(found)


def _weak_keys(settings: Settings, found: Mapping[str, Variable]) -> Iterator[str]:
    strong = not network.is_loopback(settings.host)
    admin_keys = (settings.admin_key,) if settings.admin_key else ()
    metrics_keys = (settings.metrics_key,) if settings.metrics_key else ()
    for name, keys in (
        ("api_keys", settings.api_keys),
        ("admin_key", admin_keys),
        ("metrics_key", metrics_keys),
        ("secret_keys", settings.secret_keys),
    ):
        for position, key in enumerate(keys, start=1):
            if fault := _fault(key.get_secret_value(), strong=strong, shown=name != "secret_keys"):
                which = f"key {position} " if len(keys) > 1 else ""
                yield f"{found[name].name}: {which}{fault}"


def _shared_keys(settings: Settings, found: Mapping[str, Variable]) -> Iterator[str]:
    if settings.admin_key is not None and settings.admin_key in settings.api_keys:
        yield (
            f"{found['admin_key'].name}: is also one of API_KEYS; whoever may ask must not"
            " administer"
        )


def _missing_secret_key(found: Mapping[str, Variable]) -> Iterator[str]:
    # The text, and not the parsed setting: also reported beside a DATABASE_URL that is invalid.
    url = found["database_url"].text if "database_url" in found else None
    keys = found["secret_keys"].text if "secret_keys" in found else ""
    if url and network.outlives_the_process(url) and keys is not None and not keys.strip(", "):
        yield (
            f"{found['database_url'].name}: needs SECRET_KEY beside it, which encrypts what the"
            " database keeps"
        )


def _fault(key: str, *, strong: bool, shown: bool = True) -> str | None:
    """The mistake in a key, None without one. `strong`: others than this machine reach what it
    guards; `shown`: clients or administrators send it, so that it must fit a header.
    """
    if not re.fullmatch(r"[!-~]+", key) or "," in key:
        return "must be printable ASCII without spaces and commas"
    if shown and re.match(r"[\"'\[]|\{(?!\{)", key):
        return "must be the bare key, without quotes or JSON round it"
    if strong and _is_placeholder(key):
        return (
            "is a well-known placeholder; it must be a secret of your own unless HOST is loopback"
        )
    if strong and len(key) < _KEY_MIN_CHARS:
        return (
            f"is too short; it must have at least {_KEY_MIN_CHARS} characters unless HOST is"
            " loopback"
        )
    return None


def _is_placeholder(key: str) -> bool:
    folded = key.casefold()
    bare = folded.removeprefix("sk-")
    return (
        len(set(bare)) <= 1
        or any(
            form in _PLACEHOLDERS or form.startswith(_PLACEHOLDER_STARTS) for form in (folded, bare)
        )
        or any(part in folded for part in _PLACEHOLDER_PARTS)
    )
