"""What an account shows of its credential, and what may be changed of an old one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gbproxy.account_admin import account_input as given
from gbproxy.errors import BadRequest
from tests.support.accounts import widget_account
from tests.support.pools import A


def test_an_account_does_not_show_its_cookies() -> None:
    assert "secret" not in repr(A)
    assert "secret" not in f"{[A]}"


def test_an_account_that_older_rules_let_in_can_still_be_changed() -> None:
    old = widget_account(
        id="old", name="old", csesidx="1", config_id="c-1", secure_c_ses="CSE.old value"
    )

    renamed = given.read({"name": "new", "config_id": "c-1", "csesidx": "1"}, old).account("old")

    assert renamed == replace(old, name="new")
    with pytest.raises(BadRequest, match="config_id: must be"):
        given.read({"config_id": "c-2"}, old)
