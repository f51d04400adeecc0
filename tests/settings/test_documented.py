"""The settings as the documentation shows them."""

from __future__ import annotations

import pytest

from gbproxy.settings import Settings, documented, load
from gbproxy.settings.environment import ALIASES, SECRETS
from tests.support.environments import ACCOUNT

NO_VARIABLES = {"IGNORED", "DATABASE_IS_TEMPORARY"}


def test_every_field_is_documented_with_its_default_and_its_names() -> None:
    by_name = {item.name: item for item in documented()}

    assert set(by_name) >= {name.upper() for name in Settings.model_fields} - {
        "SECRET_KEYS",
        *NO_VARIABLES,
    }
    assert set(by_name) >= {*ACCOUNT, "SECRET_KEY"}
    assert all(item.description and item.default for item in by_name.values())
    assert {name for name, item in by_name.items() if item.secret} == SECRETS - {"API_KEY"}
    assert {name: item.aliases for name, item in by_name.items() if item.aliases} == {
        name: tuple(aliases) for name, aliases in ALIASES.items()
    }
    assert (by_name["PORT"].default, by_name["CONNECT_TIMEOUT_S"].default) == ("8080", "10")
    assert (by_name["PROXY"].default, by_name["USER_AGENT"].default) == (
        "unset",
        "gbproxy/<version>",
    )
    assert (by_name["PROMPT_MAX_CHARS"].default, by_name["ACCOUNTS"].default) == ("400000", "unset")


_IN_WORDS = {"unset", "the edition's", "the system's", "built-in catalogue", "gbproxy/<version>"}


@pytest.mark.parametrize(
    ("name", "default"),
    [
        (item.name, item.default)
        for item in documented()
        if not item.secret and item.default not in _IN_WORDS
    ],
)
def test_a_documented_default_is_the_value_without_the_variable(name: str, default: str) -> None:
    assert load({name: default}) == load({})
