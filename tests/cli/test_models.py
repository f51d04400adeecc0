"""`gbproxy models`, on a database that a gateway has written, and through a running one."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from gbproxy.bootstrap import open_services
from gbproxy.domain.catalogue import BUILT_IN, built_in_names
from gbproxy.domain.models import AccountCapabilities
from gbproxy.services import Services
from gbproxy.settings import load
from gbproxy.simulator import Simulator
from tests.cli.conftest import Command, Ended
from tests.support.chats import accounts
from tests.support.serving import KEY, serving

ADMIN_KEY = "adm-3f0c72d19be64a58"
SECRETS = {"API_KEYS": "sk-9f2c41d07ab84e5e11", "SECRET_KEY": "k7Jq2mZ0vT9xWc4LbN8r"}

Models = Callable[..., Ended]


@pytest.fixture
def environment(upstream: Simulator, tmp_path: Path) -> dict[str, str]:
    database = {"DATABASE_URL": f"sqlite:///{tmp_path}/x.db"}
    return accounts(upstream, 2) | SECRETS | database


@contextmanager
def gateway_on(environment: dict[str, str]) -> Iterator[Services]:
    """A gateway on this database that publishes at the end what it has found out."""
    with open_services(load(environment, built_in_names())) as services:
        yield services
        services.support.sync()


def entries(ended: Ended) -> dict[str, dict[str, Any]]:
    assert (ended.status, ended.err) == (0, "")
    return {model["id"]: model for model in json.loads(ended.out)["models"]}


def states(entry: dict[str, Any]) -> dict[str, str]:
    return {account["name"]: account["state"] for account in entry["accounts"]}


def test_what_accounts_have_taken_and_refused_is_read_from_the_database(
    gbproxy: Command, environment: dict[str, str]
) -> None:
    with gateway_on(environment) as services:
        first, second = services.pool.accounts()
        services.support.model_accepted(first, "gemini-3.8-flash")
        services.support.model_refused(second, "gemini-3.8-flash", is_named=True)
        services.support.model_accepted(first, "gemini-9-neon")
        services.support.tool_refused(second, "imageGenerationSpec", is_named=True)

    table = gbproxy("models", environment=environment)
    found = entries(gbproxy("models", "--json", environment=environment))

    assert list(found) == [*(model.id for model in BUILT_IN), "gemini-9-neon"]
    assert states(found["gemini-3.8-flash"]) == {"first": "taken", "second": "refused"}
    assert states(found["gemini-9-neon"]) == {"first": "taken", "second": "unknown"}
    assert states(found["gemini-auto"]) == {"first": "automatic", "second": "automatic"}
    assert not found["gemini-9-neon"]["is_listed"]
    assert found["gemini-2.5-pro"]["successor"] == "gemini-3.1-pro-preview"
    assert all(each["noted_at"] > 1_700_000_000 for each in found["gemini-3.8-flash"]["accounts"])
    lines = table.out.splitlines()
    assert lines[0].split() == [
        "model",
        "listed",
        "also",
        "called",
        "successor",
        "fallback",
        "accounts",
    ]
    [row] = [line for line in lines if line.startswith("gemini-3.8-flash ")]
    assert row.endswith("taken: first; refused: second")
    assert "gemini-flash-latest" in row
    assert lines[-1] == "second is asked without imageGenerationSpec."


def test_what_configurations_say_is_told_where_nothing_was_asked(
    gbproxy: Command, environment: dict[str, str]
) -> None:
    with gateway_on(environment) as services:
        first, second = services.pool.accounts()
        services.support.note_capabilities(
            first,
            AccountCapabilities(
                listed=("gemini-3.8-flash", "gemini-4-neon"), disabled=frozenset({"gemini-2.5-pro"})
            ),
        )
        services.support.note_capabilities(second, AccountCapabilities())

    found = entries(gbproxy("models", "--json", environment=environment))

    assert states(found["gemini-3.8-flash"]) == {"first": "listed", "second": "unknown"}
    assert states(found["gemini-4-neon"]) == {"first": "listed", "second": "unknown"}
    assert states(found["gemini-2.5-pro"]) == {"first": "off", "second": "unknown"}
    assert states(found["gemini-2.5-flash"]) == {"first": "unlisted", "second": "unknown"}
    assert found["gemini-4-neon"]["is_listed"]


def test_without_a_database_the_catalogue_is_shown_and_why_there_is_no_more(
    gbproxy: Command, upstream: Simulator
) -> None:
    models = json.dumps(
        [
            {
                "id": "mine",
                "upstream": "gemini-9-mine",
                "aliases": ["best"],
                "fallback": "gemini-auto",
            }
        ]
    )

    ended = gbproxy("models", environment=accounts(upstream, 1) | SECRETS, MODELS=models)

    assert ended.status == 0
    assert "--url" in ended.err
    assert ended.out.splitlines()[-1].split() == ["mine", "yes", "best", "-", "gemini-auto", "-"]


def test_a_running_gateway_tells_what_its_accounts_have_met(
    gbproxy: Command, upstream: Simulator
) -> None:
    upstream.set(known_models=("gemini-3.8-flash",), widget_config="absent")
    with serving(accounts(upstream, 1), API_KEYS=KEY, ADMIN_KEY=ADMIN_KEY) as gateway:
        answers = [gateway.ask(model=name) for name in ("gemini-2.5-flash", "gemini-9-neon")]
        ended = gbproxy("models", "--json", "--url", gateway.url, ADMIN_KEY=ADMIN_KEY)

    assert [reply.model for reply in answers] == ["gemini-3.8-flash", "gemini-auto"]
    found = entries(ended)
    told = {name: states(entry)["first"] for name, entry in found.items()}
    assert told == {
        **dict.fromkeys((model.id for model in BUILT_IN), "unknown"),
        **dict.fromkeys(("gemini-auto", "gemini-imagen", "gemini-veo"), "automatic"),
        "gemini-3.8-flash": "taken",
        "gemini-2.5-flash": "refused",
        "gemini-9-neon": "refused",
    }


def test_a_gateway_without_it_is_told_so(gbproxy: Command, upstream: Simulator) -> None:
    ended = gbproxy("models", "--url", upstream.url, ADMIN_KEY=ADMIN_KEY)

    assert (ended.status, ended.out) == (1, "")
    assert ended.err.count("\n") == 1
