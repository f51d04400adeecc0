"""`gbproxy accounts`, on a database directly; tests/cli/test_running_gateway.py has it through a
gateway.
"""

from __future__ import annotations

import getpass
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from gbproxy.cli import main
from gbproxy.simulator import Simulator
from tests.cli.conftest import Command, Ended
from tests.support.importing import captures

pytestmark = pytest.mark.slow

SECRETS = {"API_KEYS": "sk-9f2c41d07ab84e5e11", "SECRET_KEY": "k7Jq2mZ0vT9xWc4LbN8r"}

Accounts = Callable[..., Ended]


@pytest.fixture
def accounts(gbproxy: Command, upstream: Simulator, tmp_path: Path) -> Accounts:
    """`gbproxy accounts …` on a database of its own, beside one account of the environment."""
    given = {**upstream.environment(), **SECRETS, "DATABASE_URL": f"sqlite:///{tmp_path}/x.db"}

    def run(*arguments: str, stdin: str | bytes = "") -> Ended:
        return gbproxy("accounts", *arguments, environment=given, stdin=stdin)

    return run


def second(upstream: Simulator, **changes: str) -> str:
    """A further account of the upstream's, as one gives it on standard input."""
    account = upstream.add_account()
    values = {
        name: getattr(account, name)
        for name in ("secure_c_ses", "host_c_oses", "csesidx", "config_id")
    }
    return json.dumps({"name": "anna", **values, **changes})


def names(ended: Ended) -> dict[str, str]:
    """The listed accounts by name, with their states."""
    return {row.split()[0]: row.split()[4] for row in ended.out.splitlines()[1:]}


def test_an_account_is_added_used_and_removed(accounts: Accounts, upstream: Simulator) -> None:
    added = accounts("add", stdin=second(upstream))
    listed, checked = accounts("list"), accounts("check")
    removed = accounts("remove", "anna")

    assert (added.status, added.err) == (0, "")
    assert added.out.startswith("Added anna with the id ")
    assert names(listed) == {"default": "ready", "anna": "ready"}
    assert (checked.status, checked.out.count("valid")) == (0, 2)
    assert removed.out == "Removed anna.\n"
    assert names(accounts("list")) == {"default": "ready"}


def test_an_account_is_disabled_and_enabled_by_name_or_id(
    accounts: Accounts, upstream: Simulator
) -> None:
    added = json.loads(accounts("add", "--json", stdin=second(upstream)).out)

    disabled = accounts("disable", "default", added["id"])
    states = names(accounts("list"))
    enabled = accounts("enable", "anna")

    assert (disabled.out, enabled.out) == ("Disabled default, anna.\n", "Enabled anna.\n")
    assert states == {"default": "disabled", "anna": "disabled"}
    assert names(accounts("list")) == {"default": "disabled", "anna": "ready"}


def test_a_refused_credential_is_shown_by_a_check_with_the_reason(
    accounts: Accounts, upstream: Simulator
) -> None:
    accounts("add", stdin=second(upstream, secure_c_ses="CSE.wrong", host_c_oses=""))

    both, one = accounts("check"), accounts("check", "default")

    assert (both.status, one.status) == (1, 0)
    assert "Sign in to business.gemini.google again" in both.out
    assert "anna" not in one.out


def test_a_stored_account_answers_in_chat(
    gbproxy: Command, upstream: Simulator, tmp_path: Path
) -> None:
    addresses = {
        name: value for name, value in upstream.environment().items() if name.endswith("_URL")
    }
    given = {**addresses, **SECRETS, "DATABASE_URL": f"sqlite:///{tmp_path}/x.db"}
    gbproxy("accounts", "add", environment=given, stdin=second(upstream))

    ended = gbproxy("chat", "Hi", environment=given)

    assert (ended.status, ended.err) == (0, "")
    # One that is deleted late is not waited for by the command.
    assert upstream.wait_for(lambda: [s.deleted for s in upstream.sessions.values()] == [True])


def test_what_is_typed_at_a_terminal_makes_an_account_and_secrets_are_not_echoed(
    accounts: Accounts,
    upstream: Simulator,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    accounts("list")  # makes the environment
    account = upstream.add_account()
    typed = _Terminal(f"anna\n{account.csesidx}\n")
    monkeypatch.setattr(sys, "stdin", typed)
    unseen = {"__Secure-C_SES": account.secure_c_ses, "__Host-C_OSES": account.host_c_oses}
    monkeypatch.setattr(
        getpass, "getpass", lambda prompt: unseen[prompt.partition(" ")[0].rstrip(":")]
    )

    status = main(["accounts", "add", "--config-id", account.config_id])

    written = capsys.readouterr()
    assert (status, written.out.startswith("Added anna")) == (0, True)
    assert written.err == "name: csesidx (in the page's address): "


def test_the_page_s_address_tells_the_rest_and_further_secrets_are_asked_for(
    accounts: Accounts,
    upstream: Simulator,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    accounts("list")  # makes the environment
    account = upstream.add_account()
    page = f"https://vertexaisearch.cloud.google/eu/home/cid/{account.config_id}?csesidx={account.csesidx}"
    monkeypatch.setattr(sys, "stdin", _Terminal(f"{page}\n"))
    unseen = iter([account.secure_c_ses, "", "__Secure-C_AUX=aux-secret", "CAMSsecret"])
    monkeypatch.setattr(getpass, "getpass", lambda prompt: next(unseen))

    status = main(
        [
            "accounts",
            "add",
            "--name",
            "anna",
            "--user-agent",
            "Mozilla/5.0 (X)",
            "--further",
            "--json",
        ]
    )

    written = capsys.readouterr()
    added = json.loads(written.out)
    told = [added[name] for name in ("csesidx", "edition", "location", "user_agent")]
    assert (status, told) == (0, [account.csesidx, "enterprise", "eu", "Mozilla/5.0 (X)"])
    assert written.err == "config id (after /cid/), or the page's address: "
    assert next(unseen, None) is None
    assert [
        secret for secret in ("aux-secret", "CAMSsecret") if secret in written.out + written.err
    ] == []


def test_what_is_wrong_with_an_account_is_told_by_field_in_one_sentence(accounts: Accounts) -> None:
    ended = accounts(
        "add", "--name", "ben", stdin='{"secure_c_ses": "CSE.hunter2;x", "csesidx": "no"}'
    )

    assert (ended.status, ended.out, ended.err.count("\n")) == (1, "", 1)
    assert [
        field in ended.err for field in ("secure_c_ses", "csesidx", "config_id", "hunter2")
    ] == [True] * 3 + [False]


@pytest.mark.parametrize("stdin", ["", "secret-cookie", "[]", '"secret-cookie"', "[" * 100_000])
def test_standard_input_must_be_an_account_in_json(accounts: Accounts, stdin: str) -> None:
    ended = accounts("add", stdin=stdin)

    assert (ended.status, ended.out, ended.err.count("\n")) == (2, "", 1)
    assert ended.err.startswith("Standard input must be a JSON object such as")
    assert "secret-cookie" not in ended.err


def test_an_account_that_is_not_there_changes_nothing(accounts: Accounts) -> None:
    ended = accounts("disable", "default", "nobody")

    assert (ended.status, ended.err) == (1, "There is no account called nobody.\n")
    assert names(accounts("list")) == {"default": "ready"}


def test_an_account_of_the_environment_is_not_removed(accounts: Accounts) -> None:
    ended = accounts("remove", "default")

    assert (ended.status, ended.err.count("\n")) == (1, 1)
    assert "environment" in ended.err


def test_secrets_are_shown_nowhere(accounts: Accounts, upstream: Simulator) -> None:
    given = second(upstream)
    commands = (
        ("add", "--json"),
        ("list",),
        ("list", "--json"),
        ("check", "--json"),
        ("disable", "anna", "--json"),
    )

    written = "".join(
        ended.out + ended.err for ended in (accounts(*command, stdin=given) for command in commands)
    )

    secrets = [
        value
        for account in upstream.accounts.values()
        for value in (account.secure_c_ses, account.host_c_oses)
    ]
    assert len(secrets) == 4
    assert [secret for secret in (*secrets, *SECRETS.values()) if secret in written] == []


@pytest.mark.parametrize("family", ["accounts", "keys"])
@pytest.mark.parametrize(
    ("arguments", "variables", "said"),
    [
        ((), {}, "There is nothing to administer: set DATABASE_URL"),
        ((), {"DATABASE_URL": "sqlite:///"}, "There is nothing to administer: set DATABASE_URL"),
        (("--url", "http://127.0.0.1:1"), {}, "ADMIN_KEY is not set"),
        (
            ("--url", "localhost:8080"),
            {"ADMIN_KEY": "x"},
            "--url must be an address such as http://",
        ),
        (
            ("--url", "http://127.0.0.1:1"),
            {"ADMIN_KEY": "x"},
            "http://127.0.0.1:1 cannot be asked: the connection to",
        ),
    ],
)
def test_without_a_place_to_administer_it_says_what_to_give(
    gbproxy: Command, family: str, arguments: tuple[str, ...], variables: dict[str, str], said: str
) -> None:
    ended = gbproxy(family, "list", *arguments, environment=variables)

    assert (ended.status, ended.out, ended.err.count("\n")) == (1 if "cannot" in said else 2, "", 1)
    assert ended.err.startswith(said)


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


# Import


def test_a_paste_is_imported_from_standard_input_or_files(
    accounts: Accounts, tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_text(captures.text("chrome-bash-all.txt"))

    tried = accounts("import", "--dry-run", str(tmp_path / "a.txt"))
    before = names(accounts("list"))
    pasted = accounts("import", stdin=captures.text("chrome-bash-all.txt"))
    again = accounts("import", str(tmp_path / "a.txt"))

    name = f"account-{captures.IDS['csesidx']}"
    assert [ended.status for ended in (tried, pasted, again)] == [0, 0, 0]
    assert (tried.out, before) == (f"{name}: would be added\n", {"default": "ready"})
    assert (pasted.out, again.out) == (f"{name}: added\n", f"{name}: as it was\n")
    assert names(accounts("list")) == {"default": "ready", name: "ready"}


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le"])
def test_a_paste_may_come_from_an_editor_of_windows(
    accounts: Accounts, tmp_path: Path, encoding: str
) -> None:
    content = captures.text("chrome-bash-all.txt").encode(encoding)
    (tmp_path / "a.txt").write_bytes(content)

    tried = [
        accounts("import", "--dry-run", stdin=content),
        accounts("import", "--dry-run", str(tmp_path / "a.txt")),
    ]

    assert [ended.out for ended in tried] == [
        f"account-{captures.IDS['csesidx']}: would be added\n"
    ] * 2


def test_what_is_missing_is_told_with_where_it_is_found(accounts: Accounts) -> None:
    page = "https://business.gemini.google/home/cid/7c1e9a52-4b0d-4f8e-9a63-2d5b8e71c094?csesidx=548217093"

    ended = accounts("import", "--page", page, stdin="")

    assert ended.status == 1
    assert ended.out.startswith("csesidx 548217093: not whole yet\n  secure_c_ses is missing: ")
    assert "host_c_oses is missing (it may have none): " in ended.out


@pytest.mark.parametrize("arguments", [("import",), ("import", "/no/such/file")])
def test_nothing_to_import_is_told(accounts: Accounts, arguments: tuple[str, ...]) -> None:
    ended = accounts(*arguments, stdin="secret-cookie")

    assert (ended.status, ended.out, ended.err.count("\n")) == (
        1 if len(arguments) == 1 else 2,
        "",
        1,
    )
    assert "secret-cookie" not in ended.err


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le"])
def test_a_file_is_read_in_the_encodings_that_programs_write(
    accounts: Accounts, tmp_path: Path, encoding: str
) -> None:
    content = ("\ufeff" if encoding == "utf-16-le" else "") + captures.text("account.json")
    (tmp_path / "a.txt").write_bytes(content.encode(encoding))

    assert accounts("import", str(tmp_path / "a.txt")).out == "team@example.com: added\n"


def test_a_paste_whose_cookies_could_not_be_read_is_no_success(accounts: Accounts) -> None:
    whole = captures.text("account.json")
    bare = f'fetch("{captures.PAGE}", {{"credentials": "include"}});'
    accounts("import", stdin=whole)

    told = accounts("import", stdin=bare)
    as_json = accounts("import", "--json", stdin=bare)
    beside = accounts("import", stdin=f'{whole.replace("548217093", "77")}\n[{{"broken": 1}},\n{{')

    assert told.status == 1
    assert told.out.startswith(
        "team@example.com: as it was\nWarning: line 1: no __Secure-C_SES stands there"
    )
    assert [warning[:6] for warning in json.loads(as_json.out)["warnings"]] == ["line 1"]
    assert (beside.status, beside.out.splitlines()[0]) == (0, "team@example.com: renewed")
    assert "the JSON that begins in line" in beside.out


def test_a_new_first_cookie_without_its_second_is_told(accounts: Accounts) -> None:
    accounts("import", stdin=captures.text("account.json"))

    ended = accounts("import", stdin=f"__Secure-C_SES=CSE.new\n{captures.PAGE}")

    assert (ended.status, ended.out.splitlines()[0]) == (0, "team@example.com: renewed")
    assert (
        "Warning: team@example.com has the new __Secure-C_SES without a __Host-C_OSES" in ended.out
    )
