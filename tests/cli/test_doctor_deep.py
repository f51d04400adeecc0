"""`gbproxy doctor --deep`: for each thing that makes an answer impossible, it names the cause."""

from __future__ import annotations

import json
import re
import time
from typing import Any

import pytest

from gbproxy.cli.checks import CLOCK_TOLERANCE_S
from gbproxy.simulator import Simulator, answer
from tests.cli.conftest import Command

pytestmark = pytest.mark.slow

# What is unusual upstream; the step that fails; the cause that must be named, and whether it can be
# proved, as first.
IMPOSSIBLE: list[tuple[dict[str, Any], str, str, bool]] = [
    ({"getoxsrf": "login"}, "sign in", "cookies", True),
    ({"getoxsrf": "account_chooser"}, "sign in", "cookies", True),
    ({"getoxsrf": "401"}, "sign in", "cookies", True),
    ({"getoxsrf": "403"}, "sign in", "restricted", True),
    ({"getoxsrf": "html"}, "sign in", "cookies", True),
    ({"getoxsrf": "eof"}, "sign in", "network", True),
    ({"getoxsrf": "500"}, "sign in", "service", True),
    ({"getoxsrf": "503"}, "sign in", "service", True),
    ({"getoxsrf": "missing_fields"}, "sign in", "protocol", False),
    ({"getoxsrf": "garbage"}, "sign in", "protocol", False),
    ({"getoxsrf": "refreshcookies_dead"}, "sign in", "cookies", False),
    ({"getoxsrf": "refreshcookies_elsewhere"}, "sign in", "renewal", True),
    ({"getoxsrf": "refreshcookies", "refresh_hops": 11}, "sign in", "renewal", False),
    ({"getoxsrf": "refreshcookies", "refresh_chain": "elsewhere"}, "sign in", "renewal", False),
    ({"getoxsrf": "refreshcookies", "refresh_chain": "http"}, "sign in", "renewal", False),
    ({"getoxsrf": "refreshcookies", "refresh_chain": "loop"}, "sign in", "renewal", False),
    ({"further_cookies": ("__Secure-C_AUX",)}, "sign in", "further_cookies", False),
    ({"edition": "enterprise"}, "session", "edition", True),
    ({"location": "eu"}, "session", "location", True),
    ({"location": "us", "wrong_location": "403"}, "session", "location", True),
    ({"location": "us", "wrong_location": "400"}, "session", "location", True),
    ({"server_token": "wanted"}, "session", "server_token", True),
    ({"server_token": "wanted", "server_token_refusal": "400"}, "session", "server_token", True),
    ({"server_token": "wanted", "server_token_refusal": "401"}, "session", "server_token", True),
    ({"server_token": "exact"}, "session", "server_token", False),
    ({"user_agent": "browser"}, "sign in", "user_agent", True),
    ({"user_agent": "browser", "user_agent_refusal": "html"}, "sign in", "user_agent", True),
    ({"create_session": "400"}, "session", "session_form", True),
    ({"create_session": "403"}, "session", "session_form", True),
    ({"create_session": "404"}, "session", "session_form", True),
    ({"tools_off": ("image",)}, "question", "tools", True),
    ({"tools_off": ("video",)}, "question", "tools", True),
    ({"tools_off": ("web",), "tools_off_answer": "403"}, "question", "tools", True),
    (
        {"tools_off": ("image", "video", "web"), "tools_off_answer": "silence"},
        "question",
        "tools",
        True,
    ),
]


@pytest.mark.parametrize(("switches", "failing", "cause", "is_first"), IMPOSSIBLE, ids=str)
def test_the_cause_of_each_single_trouble_is_named(
    gbproxy: Command,
    upstream: Simulator,
    switches: dict[str, Any],
    failing: str,
    cause: str,
    is_first: bool,
) -> None:
    upstream.set(**switches)

    ended = gbproxy("doctor", "--deep", "--json", environment=upstream.environment())

    steps = json.loads(ended.out)["steps"]
    failed = next(step for step in steps if step["level"] == "fail")
    named = [each["cause"] for each in failed["causes"]]
    assert (ended.status, ended.err) == (2, "")
    assert failed["step"] == failing
    assert named[0] == cause if is_first else cause in named
    assert not upstream.sessions_of(upstream.account)


def test_an_unknown_config_id_is_named(gbproxy: Command, upstream: Simulator) -> None:
    environment = {**upstream.environment(), "CONFIG_ID": "99999999-2222-4333-8444-555555555555"}

    failed = json.loads(gbproxy("doctor", "--deep", "--json", environment=environment).out)[
        "steps"
    ][2]

    assert (failed["step"], failed["causes"][0]["cause"]) == ("session", "config_id")


def test_where_nothing_answers_the_network_is_named(gbproxy: Command, upstream: Simulator) -> None:
    environment = {**upstream.environment(), "GEMINI_BUSINESS_URL": "http://127.0.0.1:9"}

    (failed,) = json.loads(gbproxy("doctor", "--deep", "--json", environment=environment).out)[
        "steps"
    ]

    assert [each["cause"] for each in failed["causes"]] == ["network"]
    assert failed["passed"] == failed["failed"] == []


def test_all_steps_are_shown_with_their_calls(gbproxy: Command, upstream: Simulator) -> None:
    ended = gbproxy("doctor", "--deep", environment=upstream.environment())

    account = upstream.account
    secrets = (account.secure_c_ses, account.host_c_oses, account.csesidx, account.config_id)
    assert (ended.status, ended.err) == (0, "")
    assert [line.split("  ")[0] for line in ended.out.splitlines()[1:] if line[0] != " "] == [
        "ok"
    ] * 6
    assert "One question of the day's quota is asked on the account default." in ended.out
    assert "GET 127.0.0.1" in ended.out
    assert "/auth/getoxsrf?csesidx=1000000001: 200 OK (application/json" in ended.out
    assert "widgetStreamAssist: 200 OK (application/json" in ended.out
    assert not [secret for secret in secrets if secret in ended.out]
    assert len(upstream.calls("widgetStreamAssist")) == 1


@pytest.mark.parametrize("configuration", ["absent", "403", "html", "garbage"])
def test_a_configuration_that_cannot_be_read_is_only_a_warning(
    gbproxy: Command, upstream: Simulator, configuration: str
) -> None:
    upstream.set(widget_config=configuration)

    ended = gbproxy("doctor", "--deep", environment=upstream.environment())

    assert ended.status == 1
    assert "warn  configuration" in ended.out
    assert "the built-in models hold" in ended.out


def test_a_failure_is_shown_with_what_was_said_and_what_to_do(
    gbproxy: Command, upstream: Simulator
) -> None:
    upstream.set(server_token="wanted", clock_skew_s=3600.0)
    began_at = time.monotonic()

    ended = gbproxy("doctor", "--deep", "default", environment=upstream.environment())

    took_s = time.monotonic() - began_at
    assert ended.status == 2
    told = re.findall(r"its clock is (\d+) s ahead of ours", ended.out)
    # Date has whole seconds, and is read a moment later; what is told is rounded
    assert told
    assert all(3598.5 - took_s <= int(each) <= 3600 for each in told)
    assert '"status":"PERMISSION_DENIED"' in ended.out.replace(" ", "")
    assert "passes with: a server token" in ended.out
    assert "1. The service wants the header x-server-token" in ended.out
    assert ended.out.count("→ Import a request of the page (copy as cURL)") == 1


def test_an_answer_that_takes_long_says_nothing_of_the_clock(
    gbproxy: Command, upstream: Simulator
) -> None:
    upstream.script(*answer("Well, ", "ok.", pause_s=CLOCK_TOLERANCE_S + 2))

    ended = gbproxy("doctor", "--deep", environment=upstream.environment())

    assert (ended.status, ended.err) == (0, "")
    assert "its clock agrees with ours" in ended.out
    assert "behind ours" not in ended.out


def test_an_account_that_is_not_there_is_told(gbproxy: Command, upstream: Simulator) -> None:
    ended = gbproxy("doctor", "--deep", "nobody", environment=upstream.environment())

    assert (ended.status, upstream.requests) == (2, [])
    assert "no account 'nobody'" in ended.err
