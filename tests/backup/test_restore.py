"""What an import adds, changes and leaves: a backup beside what is stored, without a database."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from gbproxy.backup import content
from gbproxy.backup.envelope import BackupError, unseal
from gbproxy.backup.restore import Plan, exported, plan
from gbproxy.domain.account import WIDGET, Account
from gbproxy.storage.backup import BackupRows
from gbproxy.upstreams.widget.credential import WidgetCredential
from tests.support.backups import KEPT, PASSPHRASE

BACKUP = content.read(unseal(KEPT.read_bytes(), PASSPHRASE))
ANNA, BEN = BACKUP.accounts
NOTHING = BackupRows()


def planned(
    here: BackupRows, *environment: Account, backup: BackupRows = BACKUP, replacing: bool = False
) -> Plan:
    readers = {WIDGET: WidgetCredential.from_json}
    return plan(backup, here, environment, readers, replace_changed=replacing)


def results(plan: Plan) -> dict[str, str]:
    return {item.name: item.result for item in plan.items}


def changed(row: Mapping[str, Any], **values: Any) -> dict[str, Any]:
    secrets = {name: values.pop(name) for name in list(values) if name in row["credential"]}
    return {**row, **values, "credential": {**row["credential"], **secrets}}


def test_everything_is_new_in_an_empty_database() -> None:
    made = planned(NOTHING)

    assert results(made) == dict.fromkeys(("anna", "ben", "carl", "dora"), "new")
    assert made.rows == BACKUP


def test_what_is_the_same_is_not_written() -> None:
    made = planned(BACKUP)

    assert set(results(made).values()) == {"same"}
    assert made.rows == NOTHING


def test_what_differs_is_named_without_its_value_and_left_unless_it_is_to_be_replaced() -> None:
    here = replace(
        BACKUP,
        accounts=(changed(ANNA, secure_c_ses="CSE.other", is_active=False), BEN),
        keys=({**BACKUP.keys[0], "tokens_per_day": 5}, BACKUP.keys[1]),
    )

    left, replaced = planned(here), planned(here, replacing=True)

    assert {item.name: item.differs for item in left.changed} == {
        "anna": ("is_active", "secure_c_ses"),
        "carl": ("tokens_per_day",),
    }
    assert "CSE." not in repr(left)
    assert left.rows == NOTHING
    assert (replaced.rows.accounts, replaced.rows.keys) == ((ANNA,), (BACKUP.keys[0],))
    assert (replaced.rows.cookies, replaced.rows.states) == (BACKUP.cookies, ())


def test_cookies_that_the_backup_has_newer_make_a_difference() -> None:
    older = tuple({**row, "renewed_at": row["renewed_at"] - 60} for row in BACKUP.cookies)
    newer = tuple({**row, "renewed_at": row["renewed_at"] + 60} for row in BACKUP.cookies)

    (item,) = planned(replace(BACKUP, cookies=older)).changed

    assert (item.name, item.differs) == ("anna", ("renewed cookies",))
    assert planned(replace(BACKUP, cookies=newer)).changed == ()


def test_the_same_account_under_another_id_keeps_the_id_that_it_has_here() -> None:
    here = BackupRows(accounts=(changed(ANNA, id="e" * 32, host_c_oses="COS.other"),))

    made = planned(here, replacing=True)

    assert [row["id"] for row in made.rows.accounts] == ["e" * 32, BEN["id"]]
    (cookies,) = made.rows.cookies
    assert cookies["account_key"].endswith(":" + "e" * 32)
    assert cookies["account_key"][:16] == BACKUP.cookies[0]["account_key"][:16]


def test_the_age_of_its_cookies_goes_with_an_account() -> None:
    given = {"account_key": BACKUP.cookies[0]["account_key"], "credential": "f" * 64}
    aged = replace(BACKUP, times=({**given, "given_at": 60.5, "probed_at": None},))

    backup = content.read(content.write(exported(aged)[0]))
    here = BackupRows(accounts=(changed(ANNA, id="e" * 32, host_c_oses="COS.other"),))
    made = planned(here, backup=backup, replacing=True)

    assert backup == aged
    (row,) = made.rows.times
    assert row["account_key"] == f"{given['account_key'][:16]}:{'e' * 32}"
    assert (row["credential"], row["given_at"]) == ("f" * 64, 60.5)
    assert exported(replace(aged, accounts=(BEN,)))[0].times == ()


def test_an_account_of_the_environment_is_left_there() -> None:
    credential = WidgetCredential.from_json(ANNA["credential"])

    made = planned(NOTHING, Account("default", "default", WIDGET, credential))

    assert results(made)["anna"] == "environment"
    assert [row["name"] for row in made.rows.accounts] == ["ben"]
    assert made.conflicts == ()


@pytest.mark.parametrize("is_stored", [True, False])
def test_a_name_that_another_account_has_is_a_conflict(is_stored: bool) -> None:
    foreign = changed(BEN, id="e" * 32, name="anna", csesidx="7", secure_c_ses="CSE.foreign")
    credential = WidgetCredential.from_json(foreign["credential"])
    environment = [] if is_stored else [Account("anna", "anna", WIDGET, credential)]

    made = planned(BackupRows(accounts=(foreign,) if is_stored else ()), *environment)

    (conflict,) = made.conflicts
    assert (conflict.name, conflict.reason) == (
        "anna",
        "another account here has its name: rename that one first",
    )


def test_names_that_were_exchanged_are_exchanged_back() -> None:
    here = replace(BACKUP, accounts=(changed(ANNA, name="ben"), changed(BEN, name="anna")))

    made = planned(here, replacing=True)

    assert made.conflicts == ()
    assert [row["name"] for row in made.rows.accounts] == ["anna", "ben"]


def test_a_name_that_is_only_free_once_an_account_is_replaced_is_a_conflict_without_it() -> None:
    here = BackupRows(accounts=(changed(ANNA, name="ben"),))

    assert [item.name for item in planned(here).conflicts] == ["ben"]
    assert planned(here, replacing=True).conflicts == ()


def test_the_sign_in_of_another_account_is_a_conflict() -> None:
    sign_in = {name: ANNA["credential"][name] for name in ("csesidx", "secure_c_ses")}
    here = BackupRows(
        accounts=(
            changed(ANNA, secure_c_ses="CSE.old"),
            changed(BEN, id="e" * 32, name="x", **sign_in),
        )
    )

    (conflict,) = planned(here, replacing=True).conflicts

    assert conflict.reason == "it is the account x, which is here under another id"


def test_an_account_here_that_no_key_can_decrypt_is_replaced() -> None:
    here = BackupRows(accounts=({**ANNA, "credential": None}, BEN))

    made = planned(here, replacing=True)

    assert made.changed[0].differs[0] == "credential"
    assert made.rows.accounts == (ANNA,)


def test_a_key_whose_id_is_another_ones_gets_a_new_id() -> None:
    here = BackupRows(keys=({**BACKUP.keys[0], "digest": "00" * 32},))

    carl = planned(here).rows.keys[0]

    assert carl["digest"] == BACKUP.keys[0]["digest"]
    assert carl["id"] != BACKUP.keys[0]["id"]


def test_an_account_that_cannot_be_decrypted_is_not_exported() -> None:
    rows, unreadable = exported(replace(BACKUP, accounts=({**ANNA, "credential": None}, BEN)))

    assert unreadable == ("anna",)
    assert [row["name"] for row in rows.accounts] == ["ben"]
    assert (rows.cookies, rows.states) == ((), BACKUP.states)


def test_nothing_of_accounts_that_are_not_stored_is_exported() -> None:
    rows, _ = exported(replace(BACKUP, accounts=()))

    assert (rows.cookies, rows.states, rows.checks) == ((), (), ())


# Reading


def written(**tables: object) -> bytes:
    return json.dumps(json.loads(content.write(BACKUP)) | tables).encode()


def test_a_column_that_was_added_since_is_empty() -> None:
    older = [{name: each for name, each in row.items() if name != "models"} for row in BACKUP.keys]

    assert [row["models"] for row in content.read(written(keys=older)).keys] == [None, None]


def test_a_column_that_is_not_known_here_is_refused() -> None:
    newer = [{**row, "weekdays": "1"} for row in BACKUP.keys]

    with pytest.raises(BackupError, match="has weekdays of keys, which this gbproxy does not know"):
        content.read(written(keys=newer))


@pytest.mark.parametrize("tables", [{"keys": 1}, {"keys": [{}]}, {"accounts": [None]}])
def test_a_content_that_is_none_is_refused(tables: dict[str, object]) -> None:
    with pytest.raises(BackupError, match="is none of a backup"):
        content.read(written(**tables))


def test_an_account_of_an_unknown_upstream_is_refused() -> None:
    with pytest.raises(BackupError, match="'anna' of the file is none that this gbproxy can use"):
        planned(NOTHING, backup=BackupRows(accounts=({**ANNA, "upstream": "abacus"},)))


@pytest.mark.parametrize(
    "change",
    [
        {"rate_limit": "60/month"},
        {"models": "all"},
        {"allowed_addresses": '["office"]'},
        {"allowed_addresses": 5},
        {"digest": "none"},
        {"id": "a/b"},
    ],
)
def test_a_key_that_could_not_be_read_again_is_refused(change: dict[str, object]) -> None:
    carl = {**BACKUP.keys[0], **change}

    with pytest.raises(BackupError, match="'carl' of the file is none that this gbproxy can use"):
        planned(NOTHING, backup=BackupRows(keys=(carl,)))
