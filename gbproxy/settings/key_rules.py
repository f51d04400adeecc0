"""What a key must be like before it guards anything."""

from __future__ import annotations

import re

# Words that examples and tutorials put where a key belongs, compared without case, with and without
# a leading `sk-`.
PLACEHOLDERS = frozenset({
    "admin", "api-key", "api_key", "apikey", "default", "demo", "dummy", "example", "foobar", "key", "mysecretkey",
    "my-secret-key", "my_secret_key", "my-super-secret-key", "none", "null", "password", "secret", "secret-key",
    "secret_key", "sk-my-secret-key", "super-secret-key", "supersecret", "supersecretkey", "test", "test-key",
    "testkey", "token", "undefined", "adminadminadminadmin", "passwordpassword", "secretsecretsecret",
})  # fmt: skip
PLACEHOLDER_STARTS = (
    "your_", "your-", "yourkey", "<", "{{", "${", "$(", "...", "xxx", "123456", "abcdefgh", "changeme",
    "change-", "change_", "replace-", "replace_", "insert-", "insert_", "put-", "put_", "enter-", "enter_",
    "placeholder", "example-", "example_", "todo", "fixme", "sk-test", "sk-example", "my-secret-", "my_secret_",
    "some-secret", "some_secret", "super-secret", "super_secret",
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
