"""The commands through a running gateway: `--url`, with the key for it in the environment."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from gbproxy.simulator import Rst, Simulator, Skipped, Stall, Text, answer, quota
from tests.cli.conftest import Command, Ended
from tests.support.serving import KEY, Served, serving

pytestmark = pytest.mark.slow

ADMIN_KEY = "adm-3f0c72d19be64a58"
PRO = {"id": "gemini-3.1-pro-preview", "fallback": "gemini-3.8-flash"}


@dataclass(frozen=True)
class Running:
    upstream: Simulator
    gateway: Served


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    with (
        Simulator(seed=1) as simulator,
        serving(
            simulator.environment(),
            ADMIN_KEY=ADMIN_KEY,
            READ_TIMEOUT_S="3",  # of every answer, on a busy machine too
            MAX_ATTEMPTS="1",
            MODELS=json.dumps([PRO]),
        ) as served,
    ):
        yield Running(simulator, served)


@pytest.fixture
def upstream(running: Running) -> Iterator[Simulator]:
    yield running.upstream
    running.upstream.clear_scripts()


Ask = Callable[..., Ended]


@pytest.fixture
def ask(gbproxy: Command, running: Running) -> Ask:
    """A command at this gateway, with both keys."""

    def run(*arguments: str, stdin: str = "", **variables: str) -> Ended:
        keys = {"API_KEY": KEY, "ADMIN_KEY": ADMIN_KEY, **variables}
        return gbproxy(*arguments, "--url", running.gateway.url, stdin=stdin, environment=keys)

    return run


def test_a_chat_is_streamed(ask: Ask, upstream: Simulator) -> None:
    upstream.script(*answer("One, ", "two."))

    ended = ask("chat", "Count")

    assert (ended.status, ended.out, ended.err) == (0, "One, two.\n", "")


def test_the_address_may_be_the_one_that_chat_programs_take(
    gbproxy: Command, running: Running
) -> None:
    ended = gbproxy(
        "chat", "Hi", "--url", f"{running.gateway.url}/v1/", API_KEYS=f"{KEY},another-key"
    )

    assert ended.status == 0


def test_thoughts_and_model_are_asked_for(ask: Ask, upstream: Simulator) -> None:
    upstream.script(*answer("Yes.", thoughts=("Let me see.",)))

    ended = ask("chat", "Hm?", "--thoughts", "--model", "gemini-3.8-flash")

    assert (ended.status, ended.out, ended.err.strip()) == (0, "Yes.\n", "Let me see.")
    assert upstream.calls("widgetStreamAssist")[-1].body["streamAssistRequest"][
        "assistGenerationConfig"
    ] == {"modelId": "gemini-3.8-flash"}


@pytest.mark.parametrize(
    ("script", "out", "err"),
    [
        ((Text("Half a"), Stall()), "Half a\n", "The upstream was silent for 3 s.\n"),
        (
            (Text("Half a"), Rst()),
            "Half a\n",
            "The connection to the upstream broke (Connection reset by peer).\n",
        ),
    ],
)
def test_an_answer_that_breaks_off_is_told_in_the_gateway_s_words(
    ask: Ask, upstream: Simulator, script: tuple[Text | Stall | Rst, ...], out: str, err: str
) -> None:
    upstream.script(*script)

    ended = ask("chat", "Hi")

    assert (ended.status, ended.out, ended.err) == (1, out, err)


def test_a_blocked_answer_ends_with_1(ask: Ask, upstream: Simulator) -> None:
    upstream.script(Skipped("CUSTOMER_POLICY_VIOLATION"))

    ended = ask("chat", "Hi")

    assert (ended.status, ended.err) == (1, "The upstream's policy has blocked the answer.\n")


@pytest.mark.parametrize("command", [("chat", "Hi"), ("accounts", "list")])
def test_a_wrong_key_is_told(ask: Ask, command: tuple[str, ...]) -> None:
    ended = ask(*command, API_KEY="sk-not-this-one-at-all", ADMIN_KEY="not-this-one-at-all")

    assert (ended.status, ended.out, ended.err.count("\n")) == (1, "", 1)
    assert "key" in ended.err


def test_what_is_no_gateway_is_told_as_such(gbproxy: Command, upstream: Simulator) -> None:
    ended = gbproxy("accounts", "list", "--url", upstream.url, ADMIN_KEY=ADMIN_KEY)

    assert (ended.status, ended.err.count("\n")) == (1, 1)
    assert ended.err.startswith(
        f"{upstream.url} offers no /api/admin/accounts: it runs without ADMIN_KEY"
    )


def test_accounts_are_administered(ask: Ask, upstream: Simulator) -> None:
    account = upstream.add_account()
    values = {
        name: getattr(account, name)
        for name in ("secure_c_ses", "host_c_oses", "csesidx", "config_id")
    }

    added = ask("accounts", "add", "--name", "anna / b", stdin=json.dumps(values))
    checked = ask("accounts", "check")
    disabled = ask("accounts", "disable", "anna / b", "default")
    listed = json.loads(ask("accounts", "list", "--json").out)["accounts"]
    enabled, removed = ask("accounts", "enable", "default"), ask("accounts", "remove", "anna / b")

    assert [ended.status for ended in (added, checked, disabled, enabled, removed)] == [0] * 5
    assert {account["name"]: account["state"] for account in listed} == {
        "default": "disabled",
        "anna / b": "disabled",
    }
    assert account.secure_c_ses not in added.out + checked.out + json.dumps(listed)


def test_a_model_whose_quota_is_used_up_is_listed(ask: Ask, upstream: Simulator) -> None:
    upstream.script(*quota(daily=True))
    ask("chat", "--model", PRO["id"], "Hi")

    listed = ask("accounts", "list").out

    assert "models cooling until" in listed
    assert re.search(rf" {PRO['id']} \d{{4}}-\d\d-\d\d", listed)


def test_a_key_is_made_used_changed_and_revoked(ask: Ask, running: Running) -> None:
    key = ask("keys", "create", "--name", "anna", "--expires", "1d").out.strip()

    used = ask("chat", "Hi", API_KEY=key)
    closed = ask("keys", "change", "anna", "--addresses", "192.0.2.0/24")
    elsewhere = ask("chat", "Hi", API_KEY=key)
    listed, revoked = ask("keys", "list"), ask("keys", "revoke", "anna")
    refused = ask("chat", "Hi", API_KEY=key)

    assert [ended.status for ended in (used, closed, listed, revoked)] == [0] * 4
    assert (elsewhere.status, refused.status) == (1, 1)
    assert "127.0.0.1" in elsewhere.err
    assert "anna" in listed.out
    assert key not in listed.out + revoked.out + refused.err
