"""Environments for the settings' tests, and what is wrong with them."""

from __future__ import annotations

import json

import pytest
from pydantic import SecretStr

from gbproxy.settings import SettingsError, load

KEY = "k7Jq2mZ0vT9xWc4LbN8r"
KNOWN = frozenset({"gemini-auto", "gemini-business", "gemini-2.5-pro"})
IDS = [f"11111111-2222-4333-8444-{number:012}" for number in range(5)]
ACCOUNT = {
    "SECURE_C_SES": "CSE.AdwtfQ==",
    "HOST_C_OSES": "COS.Bcvkk",
    "CSESIDX": "123456789",
    "CONFIG_ID": IDS[0],
}


def entry(**changes: object) -> dict[str, object]:
    """One account of ACCOUNTS."""
    return {
        "name": "one",
        "secure_c_ses": "CSE.one",
        "csesidx": "1",
        "config_id": IDS[1],
        **changes,
    }


def models(*entries: object) -> dict[str, str]:
    return {"MODELS": json.dumps(entries)}


def problems_of(environ: dict[str, str], known_models: frozenset[str] = KNOWN) -> list[str]:
    """All mistakes in an environment that must have some."""
    with pytest.raises(SettingsError) as caught:
        load(environ, known_models)
    return caught.value.problems


def problem_of(environ: dict[str, str]) -> str:
    """The only mistake in an environment."""
    problems = problems_of(environ)
    assert len(problems) == 1, problems
    return problems[0]


def plain(keys: tuple[SecretStr, ...]) -> list[str]:
    return [key.get_secret_value() for key in keys]
