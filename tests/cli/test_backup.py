"""`gbproxy export` and `gbproxy import`, between databases of both kinds."""

from __future__ import annotations

import getpass
import json
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from gbproxy.backup.envelope import unseal
from gbproxy.domain.principal import key_digest
from gbproxy.simulator import Simulator
from gbproxy.storage.accounts import StoredAccounts
from gbproxy.storage.api_keys import ApiKeyStore
from gbproxy.storage.credential_times import CredentialTimes
from gbproxy.storage.database import Database
from gbproxy.storage.encryption import Cipher
from tests.cli.conftest import Command, Ended
from tests.support.backups import KEPT, KEYS, PASSPHRASE, SECRETS_INSIDE
from tests.support.databases import PostgreSQL, stored_accounts
from tests.support.environments import entry
from tests.support.polling import until
from tests.support.serving import serving

SECRET_KEY = "k7Jq2mZ0vT9xWc4LbN8r"
OTHER_SECRET_KEY = "a-quite-different-secret-key"

Run = Callable[..., Ended]


@pytest.fixture
def run(gbproxy: Command, tmp_path: Path) -> Run:
    """A command on a database of its own, with the passphrase in the environment."""

    def run(*arguments: str, stdin: str = "", **variables: str) -> Ended:
        given = {
            "API_KEYS": "sk-9f2c41d07ab84e5e11",
            "SECRET_KEY": SECRET_KEY,
            "DATABASE_URL": f"sqlite:///{tmp_path}/x.db",
            "BACKUP_PASSPHRASE": PASSPHRASE,
        }
        kept = {name: value for name, value in {**given, **variables}.items() if value}
        return gbproxy(*arguments, environment=kept, stdin=stdin)

    return run


def accounts_in(url: str, secret_key: str) -> StoredAccounts:
    return stored_accounts(Database(url), Cipher([secret_key]), lambda: 0.0)


def results(ended: Ended) -> dict[str, str]:
    return {item["name"]: item["result"] for item in json.loads(ended.out)["items"]}


def test_a_backup_goes_from_sqlite_to_postgresql_and_back_under_other_secret_keys(
    run: Run, tmp_path: Path, server: PostgreSQL
) -> None:
    elsewhere = {"DATABASE_URL": server.new_database(), "SECRET_KEY": OTHER_SECRET_KEY}
    back = {"DATABASE_URL": f"sqlite:///{tmp_path}/back.db", "SECRET_KEY": "the-third-secret-key"}

    imported = run("import", str(KEPT))
    (anna, _) = accounts_in(f"sqlite:///{tmp_path}/x.db", SECRET_KEY).list()
    first_seen = (anna.account.account_key, anna.account.sign_in_fingerprint())
    CredentialTimes(Database(f"sqlite:///{tmp_path}/x.db"), lambda: 60.5).note(anna.account)
    exported = run("export", f"{tmp_path}/one")
    moved = run("import", f"{tmp_path}/one", **elsewhere)
    run("export", f"{tmp_path}/two", **elsewhere)
    returned = run("import", f"{tmp_path}/two", **back)
    compared = run("import", str(KEPT), "--json", **back)

    assert [each.status for each in (imported, exported, moved, returned)] == [0] * 4
    assert exported.err == f"Wrote 2 accounts and 2 client keys to {tmp_path}/one.\n"
    assert set(results(compared).values()) == {"same"}
    anna, ben = accounts_in(back["DATABASE_URL"], back["SECRET_KEY"]).list()
    times = CredentialTimes(Database(back["DATABASE_URL"]), lambda: 0.0).read()
    assert {key: (each.credential, each.given_at) for key, each in times.items()} == {
        first_seen[0]: (first_seen[1], 60.5)
    }
    assert (anna.account.name, anna.is_active, ben.is_active) == ("anna", True, False)
    assert ben.account.credential.public()["location"] == "eu"
    listed = json.loads(run("accounts", "list", "--json", **back).out)["accounts"]
    assert [account["state"] for account in listed] == ["ready", "disabled"]
    keys = ApiKeyStore(Database(back["DATABASE_URL"])).all()
    assert [key.digest for key in keys] == [key_digest(plain) for plain in KEYS.values()]
    assert str(keys[1].policy.rate_limit) == "60/hour"
    assert keys[1].policy.models == {"gemini-2.5-pro", "gemini-auto"}


@pytest.mark.slow
def test_a_gateway_that_runs_takes_over_accounts_and_keys_under_its_own_secret_key(
    run: Run, upstream: Simulator, tmp_path: Path
) -> None:
    addresses = {
        name: value for name, value in upstream.environment().items() if name.endswith("_URL")
    }
    there = {"DATABASE_URL": f"sqlite:///{tmp_path}/y.db", "SECRET_KEY": OTHER_SECRET_KEY}
    fields = ("secure_c_ses", "host_c_oses", "csesidx", "config_id")
    account = {"name": "anna", **{name: getattr(upstream.account, name) for name in fields}}
    run("accounts", "add", stdin=json.dumps(account))
    key = run("keys", "create", "--name", "carl", "--models", "gemini-auto").out.strip()
    run("export", f"{tmp_path}/backup")

    with serving(addresses | there) as gateway:
        headers = {"Authorization": f"Bearer {key}"}
        before = gateway.ask("Hello", headers=headers).status
        imported = run("import", f"{tmp_path}/backup", **there)
        until(lambda: gateway.ask("Hello", headers=headers).status == 200)
        other_model = gateway.ask("Hello", model="gemini-2.5-pro", headers=headers).status

    assert (before, imported.status, other_model) == (401, 0, 404)


def test_a_backup_is_for_its_owner_alone_and_shows_nothing(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "backup"
    before = os.umask(0)
    try:
        run("import", str(KEPT))
        run("export", str(file))
    finally:
        os.umask(before)

    written = file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [secret for secret in SECRETS_INSIDE if secret in written] == []
    assert json.loads(written.partition("\n")[0])["kdf"]["n"] >= 2**17


def test_what_is_there_is_never_overwritten_silently(run: Run) -> None:
    run("import", str(KEPT))
    run("accounts", "enable", "ben")
    run("keys", "revoke", "carl")

    dry = run("import", str(KEPT), "--dry-run")
    plain = run("import", str(KEPT), "--json")
    again = run("import", str(KEPT))
    replaced = run("import", str(KEPT), "--replace")

    rows = {row.split()[1]: " ".join(row.split()[3:]) for row in dry.out.splitlines()[1:5]}
    assert dry.status == 1
    assert rows == {
        "anna": "as it was -",
        "ben": "differs, and would be left as it is is_active",
        "carl": "would be added -",
        "dora": "as it was -",
    }
    assert "Nothing was changed." in dry.out
    assert results(plain) == {"anna": "same", "ben": "changed", "carl": "new", "dora": "same"}
    assert (again.status, "With --replace" in again.out) == (1, True)
    assert (replaced.status, "is_active" in replaced.out) == (0, True)
    assert set(results(run("import", str(KEPT), "--json")).values()) == {"same"}


def test_an_import_that_cannot_be_whole_changes_nothing(run: Run, tmp_path: Path) -> None:
    clash = json.dumps([entry(name="anna")])

    ended = run("import", str(KEPT), ACCOUNTS=clash)

    assert ended.status == 1
    assert "another account here has its name: rename that one first" in ended.out
    assert "Nothing was imported" in ended.out
    assert "There is no key yet." in run("keys", "list").out


def test_a_trial_makes_no_database(run: Run, tmp_path: Path) -> None:
    ended = run("import", str(KEPT), "--dry-run")

    assert (ended.status, ended.out.count("would be added")) == (0, 4)
    assert not (tmp_path / "x.db").exists()


def test_the_passphrase_may_come_by_a_file_descriptor(run: Run) -> None:
    reader, writer = os.pipe()
    os.write(writer, f"{PASSPHRASE}\n".encode())
    os.close(writer)
    try:
        ended = run("import", str(KEPT), "--passphrase-fd", str(reader), BACKUP_PASSPHRASE="")
    finally:
        os.close(reader)

    assert ended.status == 0


@pytest.mark.slow
def test_a_backup_may_go_through_a_pipe(run: Run, gbproxy: Command, tmp_path: Path) -> None:
    run("import", str(KEPT))

    exported = run("export", "-")
    imported = run("import", "-", stdin=exported.out, DATABASE_URL=f"sqlite:///{tmp_path}/y.db")

    assert (exported.status, imported.status) == (0, 0)
    assert exported.err == "Wrote 2 accounts and 2 client keys to standard output.\n"
    assert imported.out.count(" added ") == 4


def test_a_new_passphrase_is_typed_twice(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    typed = iter([" with spaces ", " with spaces ", "one passphrase", "and another"])
    monkeypatch.setattr(getpass, "getpass", lambda prompt: next(typed))
    run("import", str(KEPT))

    exported = run("export", f"{tmp_path}/one", BACKUP_PASSPHRASE="")
    differing = run("export", f"{tmp_path}/two", BACKUP_PASSPHRASE="")

    assert (exported.status, differing.status) == (0, 2)
    assert differing.err == "The two passphrases differ.\n"
    assert unseal((tmp_path / "one").read_bytes(), " with spaces ")


@pytest.mark.parametrize("ends", [EOFError, getpass.GetPassWarning])
def test_without_a_terminal_and_a_passphrase_the_ways_are_named(
    run: Run, monkeypatch: pytest.MonkeyPatch, ends: type[Exception]
) -> None:
    def prompt(text: str) -> str:
        raise ends

    monkeypatch.setattr(getpass, "getpass", prompt)

    ended = run("import", str(KEPT), BACKUP_PASSPHRASE="")

    assert (ended.status, "BACKUP_PASSPHRASE, or by --passphrase-fd" in ended.err) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "variables", "status", "told"),
    [
        (["import", "{kept}"], {"BACKUP_PASSPHRASE": "wrong"}, 1, "The passphrase is wrong"),
        (["import", "{cut}"], {}, 1, "The file is cut: its end is missing."),
        (["import", "{text}"], {}, 1, "This is no backup of gbproxy's"),
        (["import", "{none}"], {}, 2, "The backup cannot be read: No such file"),
        (["import", "{kept}"], {"DATABASE_URL": ""}, 2, "DATABASE_URL names no database"),
        (["import", "{kept}", "--passphrase-fd", "987"], {}, 2, "--passphrase-fd 987 cannot be"),
        (["export", "{new}"], {}, 1, "DATABASE_URL: there is nothing in this database yet."),
        (["export", "{new}"], {"DATABASE_URL": ""}, 2, "DATABASE_URL names no database"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(
    run: Run,
    tmp_path: Path,
    arguments: list[str],
    variables: dict[str, str],
    status: int,
    told: str,
) -> None:
    (tmp_path / "cut").write_bytes(KEPT.read_bytes()[:-200])
    (tmp_path / "text").write_text("Dear diary,\n")
    files = {name: str(tmp_path / name) for name in ("cut", "text", "none", "new")}

    ended = run(*(each.format(kept=KEPT, **files) for each in arguments), **variables)

    assert (ended.status, ended.err.startswith(told)) == (status, True), ended.err
    assert ended.err.count("\n") == 1


def test_an_export_never_takes_the_place_of_another_file(run: Run, tmp_path: Path) -> None:
    run("import", str(KEPT))
    (tmp_path / "there").write_text("kept")

    ended = run("export", f"{tmp_path}/there")
    short = run("export", f"{tmp_path}/new", BACKUP_PASSPHRASE="short")

    assert ended.status == 2
    assert (tmp_path / "there").read_text() == "kept"
    assert short.err == "The passphrase must have at least 8 characters.\n"


def test_another_secret_key_than_the_databases_ends_both(run: Run, tmp_path: Path) -> None:
    run("import", str(KEPT))

    ended = [
        run(*command, SECRET_KEY=OTHER_SECRET_KEY)
        for command in (["export", f"{tmp_path}/new"], ["import", str(KEPT)])
    ]

    assert [each.status for each in ended] == [1, 1]
    assert all(each.err.startswith("SECRET_KEY: none of its keys") for each in ended)


def test_keys_with_limits_that_would_not_be_counted_are_named(run: Run) -> None:
    ended = run("import", str(KEPT), WEB_CONCURRENCY="2")

    assert ended.status == 0
    assert "need REDIS_URL" in ended.err
    assert ended.err.endswith("these have some: dora.\n")
