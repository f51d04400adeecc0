"""What an account shows of its credential, and what may be changed of an old one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gbproxy.account_admin.account_input import AccountInput
from gbproxy.domain.account import Account
from gbproxy.errors import BadRequest
from tests.support.accounts import widget_account
from tests.support.native_upstream import NATIVE, NativeCredential
from tests.support.pools import A


def test_an_account_does_not_show_its_cookies() -> None:
    assert "secret" not in repr(A)
    assert "secret" not in f"{[A]}"


def test_an_account_that_older_rules_let_in_can_still_be_changed() -> None:
    old = widget_account(
        id="old", name="old", csesidx="1", config_id="c-1", secure_c_ses="CSE.old value"
    )

    renamed = AccountInput.parse({"name": "new", "config_id": "c-1", "csesidx": "1"}, old).account(
        "old"
    )

    assert renamed == replace(old, name="new")
    with pytest.raises(BadRequest, match="config_id: must be"):
        AccountInput.parse({"config_id": "c-2"}, old)


def test_an_account_of_another_upstream_can_be_renamed_and_disabled_without_being_opened() -> None:
    native = Account("one", "one", NATIVE, NativeCredential("a secret"))

    given = AccountInput.parse({"name": "new", "is_active": False}, native)

    assert given.account("one") == replace(native, name="new")
    assert given.is_active is False
