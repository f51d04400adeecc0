"""`gbproxy chat`, from the accounts themselves; tests/cli/test_running_gateway.py has it from a
gateway.
"""

from __future__ import annotations

import signal
import sys

import pytest

from gbproxy.simulator import Simulator, Skipped, Stall, Text, answer
from tests.cli.conftest import Command
from tests.support.serving import process


def test_the_answer_goes_to_stdout_and_nothing_else(gbproxy: Command, upstream: Simulator) -> None:
    upstream.script(*answer("One, ", "two."))

    ended = gbproxy("chat", "Count", environment=upstream.environment())

    assert (ended.status, ended.out, ended.err) == (0, "One, two.\n", "")
    # One that is deleted late is not waited for.
    assert upstream.wait_for(lambda: [s.deleted for s in upstream.sessions.values()] == [True])


def test_the_question_may_come_from_standard_input(gbproxy: Command, upstream: Simulator) -> None:
    for arguments in (("chat",), ("chat", "-")):
        assert (
            gbproxy(
                *arguments, stdin="Why is\nthe sky blue?", environment=upstream.environment()
            ).status
            == 0
        )

    asked = [
        call.body["streamAssistRequest"]["query"] for call in upstream.calls("widgetStreamAssist")
    ]
    assert asked == [{"parts": [{"text": "Why is\nthe sky blue?"}]}] * 2


def test_thoughts_are_shown_on_stderr_and_only_when_asked_for(
    gbproxy: Command, upstream: Simulator
) -> None:
    upstream.script(*answer("Yes.", thoughts=("Let me see.",)), times=2)

    plain, with_thoughts = (
        gbproxy("chat", "Hm?", *options, environment=upstream.environment(), THOUGHTS="show")
        for options in ((), ("--thoughts",))
    )

    assert (plain.out, plain.err) == ("Yes.\n", "")
    assert (with_thoughts.out, with_thoughts.err.strip()) == ("Yes.\n", "Let me see.")


def test_the_model_is_asked_for_by_name(gbproxy: Command, upstream: Simulator) -> None:
    ended = gbproxy("chat", "Hi", "--model", "gemini-3.8-flash", environment=upstream.environment())

    (call,) = upstream.calls("widgetStreamAssist")
    assert ended.status == 0
    assert call.body["streamAssistRequest"]["assistGenerationConfig"] == {
        "modelId": "gemini-3.8-flash"
    }


def test_another_account_answers_when_the_first_cannot(
    gbproxy: Command, upstream: Simulator
) -> None:
    good = upstream.environment()
    accounts = (
        '[{"name": "old", "secure_c_ses": "CSE.gone", "csesidx": "1", "config_id":'
        ' "c0000000-0000-4000-8000-000000000001"}, {"name": "new", "secure_c_ses":'
        f' "{good["SECURE_C_SES"]}", "csesidx": "{good["CSESIDX"]}", "config_id":'
        f' "{good["CONFIG_ID"]}"}}]'
    )
    urls = {name: value for name, value in good.items() if name.endswith("_URL")}

    ended = gbproxy("chat", "Hi", environment=urls, ACCOUNTS=accounts, ACCOUNT_ORDER="first")

    assert (ended.status, ended.err) == (0, "")
    assert "CSE." not in ended.out


def test_what_goes_wrong_is_one_sentence(gbproxy: Command, upstream: Simulator) -> None:
    upstream.set(getoxsrf="login")

    ended = gbproxy("chat", "Hi", environment=upstream.environment())

    assert (ended.status, ended.out) == (1, "")
    assert ended.err.startswith(
        "The account's cookies were refused (redirected to a sign-in page). Sign in to"
    )
    assert ended.err.count("\n") == 1


def test_an_answer_that_breaks_off_ends_its_line_and_with_1(
    gbproxy: Command, upstream: Simulator
) -> None:
    upstream.script(Text("Half a"), Stall(), times=3)

    ended = gbproxy("chat", "Hi", environment=upstream.environment(), READ_TIMEOUT_S="3")

    assert (ended.status, ended.out) == (1, "Half a\n")
    assert ended.err == "The upstream was silent for 3 s.\n"
    # One that is deleted late is not waited for.
    assert upstream.wait_for(lambda: [s.deleted for s in upstream.sessions.values()] == [True])


def test_an_answer_that_a_policy_has_blocked_ends_with_1(
    gbproxy: Command, upstream: Simulator
) -> None:
    upstream.script(Skipped("CUSTOMER_POLICY_VIOLATION"))

    ended = gbproxy("chat", "Hi", environment=upstream.environment())

    assert (ended.status, ended.err) == (1, "The upstream's policy has blocked the answer.\n")
    assert ended.out.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("chat", "Hi"), "There is no account to answer with"),
        (("chat", "Hi", "--url", "http://127.0.0.1:1"), "API_KEY is not set"),
    ],
)
def test_what_is_missing_to_begin_with_is_named(
    gbproxy: Command, arguments: tuple[str, ...], said: str
) -> None:
    ended = gbproxy(*arguments)

    assert (ended.status, ended.out, ended.err.count("\n")) == (2, "", 1)
    assert ended.err.startswith(said)


def test_an_empty_question_is_none(gbproxy: Command, upstream: Simulator) -> None:
    ended = gbproxy("chat", stdin=" \n", environment=upstream.environment())

    assert (ended.status, upstream.requests) == (2, [])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_answer_in_order(upstream: Simulator, number: signal.Signals) -> None:
    # a line that is read while the answer goes on
    upstream.script(Text("One,\n"), Text("two, "), Stall())
    command = (sys.executable, "-m", "gbproxy", "chat", "Count")

    with process(command, upstream.environment()) as running:
        running.wait_for(lambda: running.stdout or None)
        running.signal(number)
        status = running.wait()

    assert (status, running.stderr) == (130, "")
    assert running.stdout.endswith("\n")
    assert running.stdout.startswith("One,\n")
    # One that is deleted late is not waited for.
    assert upstream.wait_for(lambda: [s.deleted for s in upstream.sessions.values()] == [True])
