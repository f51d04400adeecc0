"""The widget's credential: the digests that stored rows know an account by, and its JSON."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from gbproxy.domain.account import Account, identity_of
from gbproxy.upstreams.widget.credential import WidgetCredential, credential_of, with_values
from tests.support.accounts import widget_account

PLAIN = widget_account(
    "anna", "Anna", "548217093", "5c1e7f0a-3b5d-4c8e-9f60-1a2b3c4d5e6f", "CSE.first", "COS.second"
)
WHOLE = widget_account(
    "5b3f",
    "Ben",
    secure_c_ses="CSE.x",
    edition="enterprise",
    location="eu",
    cookies="NID=1; A=2",
    server_token="CAMS1",
    user_agent="Mozilla/5.0 (X)",
)


@pytest.mark.parametrize(
    ("account", "account_key", "fingerprint", "sign_in"),
    [
        (
            PLAIN,
            "2bf5e31460991c09:anna",
            "60284a08bbcfcec8f8bdb94d2665ed0d7cba1e89f40474ca85388046ea77c4d9",
            "60284a08bbcfcec8f8bdb94d2665ed0d7cba1e89f40474ca85388046ea77c4d9",
        ),
        (
            WHOLE,
            "993e5b272e0e035f:5b3f",
            "917965775f6db260a1804bbb18fecc3f64b6dcdcd22ad954b0e48130ce17a614",
            "929b3ba7d542c7275b7eca20c7a3f1fdfcdbf484faf487088f5c820b596eadd9",
        ),
    ],
    ids=["ids and cookies", "all values"],
)
def test_what_stored_rows_stand_under_stays_as_every_version_has_written_it(
    account: Account, account_key: str, fingerprint: str, sign_in: str
) -> None:
    assert account.account_key == account_key
    assert account.fingerprint() == fingerprint
    assert credential_of(account).sign_in_fingerprint() == sign_in


def test_each_further_value_changes_the_fingerprint_and_none_the_account_key() -> None:
    changed = [
        with_values(PLAIN, edition="enterprise"),
        with_values(PLAIN, location="eu"),
        with_values(PLAIN, cookies="NID=1"),
        with_values(PLAIN, server_token="CAMS1"),
        with_values(PLAIN, user_agent="NID=1"),
    ]

    assert len({account.fingerprint() for account in (PLAIN, *changed)}) == 6
    assert {account.account_key for account in changed} == {PLAIN.account_key}
    assert {credential_of(each).sign_in_fingerprint() for each in changed} == {PLAIN.fingerprint()}


def test_an_account_under_another_id_is_of_the_same_identity() -> None:
    again = replace(PLAIN, id="again")

    assert again.account_key != PLAIN.account_key
    assert identity_of(again.account_key) == identity_of(PLAIN.account_key)


@pytest.mark.parametrize("account", [PLAIN, WHOLE], ids=["ids and cookies", "all values"])
def test_its_json_gives_the_credential_back_also_with_values_of_another_version(
    account: Account,
) -> None:
    stored = account.credential.to_json()

    assert WidgetCredential.from_json(stored) == account.credential
    assert WidgetCredential.from_json({**stored, "newer": 1}) == account.credential


def test_json_without_an_id_is_refused() -> None:
    with pytest.raises(ValueError, match="are missing"):
        WidgetCredential.from_json({"secure_c_ses": "CSE.1", "csesidx": "1"})


def test_no_secret_is_in_a_repr_nor_in_what_administrators_are_shown() -> None:
    secrets = ("CSE.x", "NID", "CAMS1")

    shown = f"{WHOLE!r} {WHOLE.credential.public()}"

    assert not any(secret in shown for secret in secrets)
    assert "enterprise" in shown


def test_an_account_of_another_upstream_is_not_opened() -> None:
    @dataclass(frozen=True)
    class Other:
        identity: str = "0123456789abcdef"

    with pytest.raises(TypeError, match="no account of the widget"):
        credential_of(Account("one", "one", "other", Other()))  # type: ignore[arg-type]
