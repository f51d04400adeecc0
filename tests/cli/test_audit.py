"""Audit lines of commands: of those on the database too, in the log of the next gateway on it."""

from __future__ import annotations

import argparse
import json
import logging
import re
from pathlib import Path
from typing import Any

import pytest

from gbproxy.app import EXTENSION
from gbproxy.cli import COMMANDS, command_parser
from gbproxy.simulator import Simulator
from gbproxy.storage.audit import UntoldChanges
from gbproxy.storage.database import Database
from gbproxy.storage.tables import REVISION
from tests.admin.conftest import ANNA, BEN, SECRET_KEY, Probed
from tests.cli.conftest import Command
from tests.support.backups import KEPT, KEYS, PASSPHRASE, SECRETS_INSIDE
from tests.support.serving import in_process

# By command: its arguments, what stands on its standard input, and what is told.
CHANGES: dict[str, tuple[list[str], str, list[str]]] = {
    "migrate": ([], "", ["database.migrated"]),
    "accounts add": ([], json.dumps(ANNA), ["account.added"]),
    "accounts import": ([], json.dumps([BEN]), ["account.added"]),
    "accounts disable": (["anna"], "", ["account.changed"]),
    "accounts enable": (["anna"], "", ["account.changed"]),
    "accounts check": (["ben"], "", ["account.checked"]),
    "accounts remove": (["anna", "ben"], "", ["account.removed", "account.removed"]),
    "keys create": (["--name", "laptop"], "", ["key.created"]),
    "keys change": (["laptop", "--addresses", "192.0.2.0/24"], "", ["key.changed"]),
    "keys revoke": (["laptop"], "", ["key.revoked"]),
    "alerts test": ([], "", ["alerts.tested"]),
}
APART = {"doctor", "export", "import"}  # in tests of their own
# They administer nothing; a gateway that starts has its own log.
OTHERS = {
    "accounts list", "alerts list", "capture", "chat", "connect", "demo", "keys list", "models",
    "serve", "simulate",
}  # fmt: skip


def subcommands(name: str) -> set[str]:
    """`name` with each of its subcommands, or alone."""

    def choices(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
        actions = [each for each in parser._actions if isinstance(each, argparse._SubParsersAction)]
        return dict(actions[0].choices) if actions else {}

    if name == "simulate":  # parses its options itself
        return {name}
    return {f"{name} {each}" for each in choices(choices(command_parser(name))[name])} or {name}


def test_every_command_that_changes_something_is_known_here() -> None:
    commands = {each for name in COMMANDS for each in subcommands(name)}

    assert commands == set(CHANGES) | APART | OTHERS


def test_what_commands_change_on_the_database_stands_in_a_gateways_log_once(
    gbproxy: Command, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stored = {"DATABASE_URL": f"sqlite:///{tmp_path}/x.db", "SECRET_KEY": SECRET_KEY}
    wanted: list[str] = []
    for command, (arguments, stdin, told) in CHANGES.items():
        ended = gbproxy(*command.split(), *arguments, stdin=stdin, environment={
            **stored, "PROXY": "http://127.0.0.1:9", "CONNECT_TIMEOUT_S": "1",
            "ALERT_WEBHOOK": "https://127.0.0.1:9/hook",
        })  # fmt: skip
        assert ended.status == 0 or command in ("accounts check", "alerts test"), ended.err
        wanted += told
    caplog.set_level(logging.INFO, "gbproxy")

    for _ in range(2):
        with in_process({}, upstream=Probed(), **stored) as app:
            app.app.extensions[EXTENSION].services.background.run_once()

    lines: list[dict[str, Any]] = [
        vars(each) for each in caplog.records if each.getMessage() == "admin.did"
    ]
    assert [line["did"] for line in lines] == wanted
    assert {(line["by"], line["address"]) for line in lines} == {("cli", "local")}
    assert all(re.fullmatch(r"[^@,]+@[^@,]+", line["who"]) and line["at"] for line in lines)
    secret = [ANNA["secure_c_ses"], ANNA["host_c_oses"], BEN["secure_c_ses"], "sk-gbproxy-"]
    assert not any(each in str(lines) for each in secret)


@pytest.mark.parametrize("command", [["migrate"], ["keys", "list"]])
def test_a_command_that_makes_the_tables_tells_it_once(
    gbproxy: Command, tmp_path: Path, command: list[str]
) -> None:
    stored = {"DATABASE_URL": f"sqlite:///{tmp_path}/x.db", "SECRET_KEY": SECRET_KEY}
    told: list[dict[str, Any]] = []

    for _ in range(2):
        assert gbproxy(*command, environment=stored).status == 0

    database = Database(stored["DATABASE_URL"])
    UntoldChanges(database, lambda: 0.0).tell(lambda _, facts: told.append(facts))
    database.close()
    (line,) = told
    assert (line["did"], line["by"]) == ("database.migrated", "cli")
    assert line["details"] == {"before": None, "after": REVISION}


def test_the_doctor_tells_each_account_that_it_has_checked(
    gbproxy: Command, upstream: Simulator, tmp_path: Path
) -> None:
    stored = {"DATABASE_URL": f"sqlite:///{tmp_path}/x.db", "SECRET_KEY": SECRET_KEY}
    good = {"name": "good", **upstream.described(upstream.add_account())}
    refused = {"name": "refused", **upstream.described(upstream.add_account())}
    accounts = json.dumps([good, refused | {"secure_c_ses": "CSE.wrong"}])
    environment = {**upstream.environment(), **stored, "ACCOUNTS": accounts}
    for arguments in (["migrate"], ["doctor"]):
        gbproxy(*arguments, environment=environment)

    database = Database(stored["DATABASE_URL"])
    told: list[dict[str, Any]] = []
    UntoldChanges(database, lambda: 0.0).tell(lambda _, facts: told.append(facts))
    database.close()
    _, *checked = told
    assert {line["object"]: line["details"] for line in checked} == {
        "good": {"status": "valid"},
        "refused": {"status": "refused"},
        "default": {"status": "valid"},
    }
    assert {(line["did"], line["by"]) for line in checked} == {("account.checked", "cli")}


def test_backups_are_told_and_each_account_and_key_that_they_bring(
    gbproxy: Command, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stored = {"DATABASE_URL": f"sqlite:///{tmp_path}/x.db", "SECRET_KEY": SECRET_KEY}
    environment = {**stored, "BACKUP_PASSPHRASE": PASSPHRASE}
    for arguments in (
        ["import", "--dry-run", str(KEPT)],
        ["import", str(KEPT)],
        ["import", str(KEPT)],  # all as it was: nothing is told
        ["export", f"{tmp_path}/backup"],
    ):
        ended = gbproxy(*arguments, environment=environment)
        assert ended.status == 0, ended.err
    caplog.set_level(logging.INFO, "gbproxy")

    with in_process({}, upstream=Probed(), **stored) as app:
        services = app.app.extensions[EXTENSION].services
        services.background.run_once()
        ids = [each.id for each in (*services.registry.list(), *services.api_keys.list())]

    lines = [vars(each) for each in caplog.records if each.getMessage() == "admin.did"]
    made, *brought, exported = lines
    assert made["did"] == "database.migrated"
    assert sorted(line["object"] for line in brought) == sorted(ids)
    assert {line["did"] for line in brought} == {"account.added", "key.created"}
    assert (exported["did"], exported["details"]["keys"]) == ("backup.exported", len(KEYS))
    assert {(line["by"], line["address"]) for line in lines} == {("cli", "local")}
    assert not any(secret in str(lines) for secret in SECRETS_INSIDE)
