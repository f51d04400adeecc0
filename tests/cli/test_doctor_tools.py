"""`gbproxy doctor --tools`: the rate at which each kind of model calls functions."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gbproxy.cli.tool_trials import TRIALS
from gbproxy.simulator import Simulator, quota
from tests.cli.conftest import Command, Ended

REQUIRED = sum(trial.choice.mode == "required" for trial in TRIALS)


def measured(gbproxy: Command, upstream: Simulator, *options: str) -> tuple[Ended, dict[str, Any]]:
    ended = gbproxy("doctor", "--tools", "--json", *options, environment=upstream.environment())
    return ended, json.loads(ended.out)


def kinds(found: dict[str, Any], when: str) -> set[str | None]:
    return {call[when] for call in found["calls"]}


@pytest.mark.parametrize(
    ("manner", "at_once", "first"),
    [
        ("as_told", 20, None),
        ("other_fence", 20, None),
        ("chatter", 20, None),
        ("wrong_json", 20, None),
        ("answers_itself", 20, None),
        ("escaped", 20, None),
        ("broken_json", 19, "wrong JSON"),  # half a text is not mended
        ("wrong_name", 0, "wrong name"),
        ("wrong_types", 0, "wrong types"),
        ("cut_short", 0, "cut"),
    ],
)
def test_a_model_that_heeds_corrections_reaches_the_full_rate(
    gbproxy: Command, upstream: Simulator, manner: str, at_once: int, first: str | None
) -> None:
    upstream.set(tool_manner=manner)

    ended, found = measured(gbproxy, upstream)

    assert (ended.status, ended.err, found["status"]) == (0, "", "ok")
    assert (found["asked_for"], found["answered"], found["came"]) == (20, 20, 20)
    assert (found["at_once"], found["rate"]) == (at_once, 1.0)
    assert kinds(found, "kind") == {None}
    assert kinds(found, "first") - {None} == ({first} if first else set())
    asked = upstream.calls("widgetStreamAssist")
    assert len(asked) == 20 + (20 - at_once)
    assert not upstream.sessions_of(upstream.account)


@pytest.mark.parametrize(
    ("manner", "came", "kind"),
    [
        ("wrong_name", 0, "wrong name"),
        ("broken_json", 19, "wrong JSON"),
        ("wrong_types", 0, "wrong types"),
        ("cut_short", 0, "cut"),
        ("prose", 0, "prose"),
    ],
)
def test_a_model_that_does_not_has_its_rate_and_the_kind_of_each_failure(
    gbproxy: Command, upstream: Simulator, manner: str, came: int, kind: str
) -> None:
    upstream.set(tool_manner=manner, heeds_corrections=False)

    ended, found = measured(gbproxy, upstream)

    assert (ended.status, found["status"]) == ((1, "warn") if came else (2, "fail"))
    assert (found["answered"], found["came"], found["rate"]) == (20, came, came / 20)
    assert kinds(found, "kind") - {None} == {kind}


def test_words_in_the_place_of_a_call_fail_where_nothing_requires_one(
    gbproxy: Command, upstream: Simulator
) -> None:
    upstream.set(tool_manner="prose")

    ended, found = measured(gbproxy, upstream)

    assert (ended.status, found["came"], found["at_once"]) == (2, REQUIRED, 0)
    assert [call["kind"] for call in found["calls"]].count("prose") == 20 - REQUIRED


def test_people_are_told_what_came_and_what_to_do(gbproxy: Command, upstream: Simulator) -> None:
    upstream.set(tool_manner="broken_json", heeds_corrections=False)

    ended = gbproxy(
        "doctor", "--tools", "default", "--model", "gemini-3.8-flash",
        environment=upstream.environment(), RATE_LIMIT="3/hour",
    )  # fmt: skip

    first, *calls, rate, kind, advice = ended.out.splitlines()
    assert (ended.status, ended.err) == (1, "")
    assert "20 function calls are asked for on the account default, of gemini-3.8-flash." in first
    assert [line.split("  ")[0] for line in calls] == ["ok"] * 17 + ["fail"] + ["ok"] * 2
    assert "wrong JSON; asked for once more because of: wrong JSON" in calls[17]
    assert rate == "19 of 20 calls came (95 %), 19 of them at once."
    assert kind == "1 wrong JSON"
    assert advice.startswith("  → ")
    bodies = [call.body["streamAssistRequest"] for call in upstream.calls("widgetStreamAssist")]
    assert {body["assistGenerationConfig"]["modelId"] for body in bodies} == {"gemini-3.8-flash"}


def test_an_account_that_cannot_be_asked_ends_it_soon(
    gbproxy: Command, upstream: Simulator
) -> None:
    upstream.script(*quota(), times=40)

    ended = gbproxy("doctor", "--tools", environment=upstream.environment())

    assert ended.status == 2
    assert "fail  a text" in ended.out
    assert "not answered: " in ended.out
    assert ended.out.endswith("No call was answered: gbproxy doctor --deep says why.\n")
    assert len(upstream.calls("widgetStreamAssist")) < 8


@pytest.mark.parametrize("options", [("nobody",), ("--model", "none-such")])
def test_what_is_not_there_is_told(
    gbproxy: Command, upstream: Simulator, options: tuple[str, ...]
) -> None:
    ended = gbproxy("doctor", "--tools", *options, environment=upstream.environment())

    assert (ended.status, ended.out) == (2, "")
    assert options[-1] in ended.err
    assert upstream.calls("widgetStreamAssist") == []


def test_another_account_is_not_asked(gbproxy: Command, upstream: Simulator) -> None:
    other = upstream.add_account()
    accounts = [
        {"name": name, **upstream.described(account)}
        for name, account in (("anna", None), ("ben", other))
    ]
    urls = {name: v for name, v in upstream.environment().items() if name.endswith("_URL")}

    ended = gbproxy("doctor", "--tools", "ben", environment=urls, ACCOUNTS=json.dumps(accounts))

    assert ended.status == 0
    configurations = {call.body["configId"] for call in upstream.calls("widgetStreamAssist")}
    assert configurations == {other.config_id}
