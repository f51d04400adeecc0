"""What an account shows of its credential, and what may be changed of an old one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gbproxy.account_admin import account_input as given
from gbproxy.domain.account import Account
from gbproxy.errors import BadRequest
from tests.support.pools import A


def test_an_account_does_not_show_its_cookies() -> None:
    assert "secret" not in repr(A)
    assert "secret" not in f"{[A]}"


def test_each_further_value_makes_another_credential_and_none_keeps_the_one_that_is_stored() -> (
    None
):
    plain = Account("a", "a", "1", "c", "ses", "oses")
    further = [
        replace(plain, edition="enterprise"),
        replace(plain, location="eu"),
        replace(plain, cookies="NID=1"),
        replace(plain, server_token="CAMS1"),
        replace(plain, user_agent="NID=1"),
    ]

    digests = {account.credential() for account in (plain, *further)}

    assert len(digests) == 6
    assert plain.credential() == "586e1ef2bf6259c76dd06abcbfd36bf1bc6efde9cb151192bbf205c983e456cf"


def test_an_account_that_older_rules_let_in_can_still_be_changed() -> None:
    old = Account(id="old", name="old", csesidx="1", config_id="c-1", secure_c_ses="CSE.old value")

    renamed = given.read({"name": "new", "config_id": "c-1", "csesidx": "1"}, old).account("old")

    assert renamed == replace(old, name="new")
    with pytest.raises(BadRequest, match="config_id: must be"):
        given.read({"config_id": "c-2"}, old)
