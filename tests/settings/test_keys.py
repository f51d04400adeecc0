"""Client keys, the admin's key and keys for secrets."""

from __future__ import annotations

import pytest

from gbproxy.settings import load
from tests.support.environments import KEY, plain, problem_of, problems_of


@pytest.mark.parametrize("variable", ["API_KEYS", "API_KEY", "ADMIN_KEY", "METRICS_KEY"])
@pytest.mark.parametrize("host", ["0.0.0.0", "127.0.0.1"])
@pytest.mark.parametrize(
    "form", ["'\"{}\"'", "['{}']", '["{}"]', "'[\"{}\"]'", '["{0}", "{0}2"]', '{{"{}": "ben"}}']
)
def test_a_key_with_quotes_or_in_json_is_refused(variable: str, host: str, form: str) -> None:
    problem = problem_of({variable: form.format(KEY), "HOST": host})

    assert problem.startswith(f"{variable}: ")
    assert KEY not in problem


def test_client_keys_are_separated_by_commas_without_blanks_and_repetitions() -> None:
    settings = load({"API_KEYS": f" {KEY} ,, {KEY}2,{KEY}, "})

    assert plain(settings.api_keys) == [KEY, f"{KEY}2"]


def test_several_secret_keys_keep_their_order() -> None:
    assert plain(load({"SECRET_KEY": f"{KEY}2,{KEY}1"}).secret_keys) == [f"{KEY}2", f"{KEY}1"]


PLACEHOLDERS = [
    "sk-123456",
    "sk-1234567890",
    "sk-1234567890abcdef",
    "SK-1234567890123456789012",
    "sk-my-secret-key",
    "your_api_key_goes_here",
    "YOUR-SECRET-KEY-PLEASE",
    "sk-your-key-goes-here",
    "<put-your-own-key-here>",
    "changeme",
    "changemechangemechangeme",
    "change-me-in-production",
    "change_this_to_something",
    "my-key-to-changeme-later",
    "secret",
    "password",
    "passwordpassword",
    "admin",
    "test",
    "sk-test",
    "sk-test-0011223344556677",
    "xxxxxxxxxxxxxxxxxxxx",
    "sk-xxxxxxxxxxxxxxxxxxxx",
    "0000000000000000000",
    "sk-................",
    "${API_KEY_FROM_ENV}",
    "super-secret-api-key-1",
]


@pytest.mark.parametrize(
    "variable", ["API_KEYS", "API_KEY", "ADMIN_KEY", "METRICS_KEY", "SECRET_KEY"]
)
@pytest.mark.parametrize("key", PLACEHOLDERS)
def test_a_placeholder_is_refused_as_a_key(variable: str, key: str) -> None:
    assert (
        problem_of({variable: key})
        == f"{variable}: is a well-known placeholder; it must be a secret of your own unless HOST"
        " is loopback"
    )


@pytest.mark.parametrize("variable", ["API_KEYS", "ADMIN_KEY", "METRICS_KEY", "SECRET_KEY"])
def test_a_short_key_is_refused(variable: str) -> None:
    problem = problem_of({variable: "q7Jv2mZ0vT9xWc4"})

    assert (
        problem
        == f"{variable}: is too short; it must have at least 16 characters unless HOST is loopback"
    )


@pytest.mark.parametrize(
    "key",
    [
        "sk-0123456789abcdef",
        KEY,
        "q7Jv2mZ0vT9xWc4L",
        "correct-horse-battery",
        "testing0f8a7b6c5d4e",
    ],
)
def test_a_key_of_ones_own_is_accepted(key: str) -> None:
    assert plain(load({"API_KEYS": key}).api_keys) == [key]


def test_a_client_s_key_is_not_the_admin_key() -> None:
    problem = problem_of({"HOST": "127.0.0.1", "API_KEYS": f"{KEY},other", "ADMIN_KEY": KEY})

    assert problem == "ADMIN_KEY: is also one of API_KEYS; whoever may ask must not administer"


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.8.9.1", "::1", "[::1]", "localhost", "LocalHost"]
)
def test_on_loopback_any_key_will_do(host: str) -> None:
    environ = {"HOST": host, "API_KEYS": "sk-123456", "ADMIN_KEY": "admin", "SECRET_KEY": "x"}

    assert plain(load(environ).api_keys) == ["sk-123456"]


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "localhost.example", "128.0.0.1"])
def test_elsewhere_than_on_loopback_a_weak_key_is_refused(host: str) -> None:
    assert problem_of({"HOST": host, "API_KEYS": "sk-123456"}).startswith("API_KEYS: ")


@pytest.mark.parametrize(
    "key",
    ["has a space inside it", "schlüssel-0123456789", "tab\tinside-0123456789", "\ud800" + KEY],
)
@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_a_key_that_no_header_carries_safely_is_refused(key: str, host: str) -> None:
    problem = problem_of({"HOST": host, "API_KEYS": key})

    assert problem.startswith("API_KEYS: must be ")
    assert key not in problem


def test_an_admin_key_has_no_comma() -> None:
    assert (
        problem_of({"ADMIN_KEY": f"{KEY},{KEY}"})
        == "ADMIN_KEY: must be printable ASCII without spaces and commas"
    )


def test_each_bad_key_of_several_is_named_by_its_position() -> None:
    assert [
        problem.partition(" is ")[0]
        for problem in problems_of({"API_KEYS": f"short,{KEY},changeme"})
    ] == [
        "API_KEYS: key 1",
        "API_KEYS: key 3",
    ]
