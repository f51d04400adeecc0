"""What administrators are told of each account's models."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gbproxy.account_admin.model_reports import AccountModel, ModelReports
from gbproxy.accounts.available_models import AvailableModels
from gbproxy.accounts.model_support import ModelSupport
from gbproxy.domain.account import Account
from gbproxy.domain.catalogue import Catalogue
from gbproxy.domain.models import AccountCapabilities
from gbproxy.errors import StorageUnavailable
from tests.support.accounts import widget_account
from tests.support.clock import Clock

ONE, TWO = widget_account("one", "anna"), widget_account("two", "ben")
ELSEWHERE = replace(widget_account("three", "carl"), upstream="native")
FLASH, PRO = "gemini-3.8-flash", "gemini-3.1-pro-preview"
HOUR_S = 3600.0


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def support(clock: Clock) -> ModelSupport:
    return ModelSupport(clock=clock)


def reports(support: ModelSupport, *accounts: Account) -> ModelReports:
    catalogue = Catalogue()
    available = AvailableModels(catalogue, support, lambda: accounts)
    return ModelReports(catalogue, available, support, lambda: accounts)


def told(support: ModelSupport, model_id: str, *accounts: Account) -> list[AccountModel]:
    [found] = [
        report.accounts
        for report in reports(support, *accounts).models()
        if report.model.id == model_id
    ]
    return list(found)


def test_each_account_has_a_state_of_its_own(support: ModelSupport, clock: Clock) -> None:
    support.model_accepted(ONE, FLASH)
    support.model_refused(TWO, FLASH, is_named=False)

    assert told(support, FLASH, ONE, TWO, ELSEWHERE) == [
        AccountModel("one", "anna", "taken", clock.now),
        AccountModel("two", "ben", "refused", clock.now),
        AccountModel("three", "carl", "unserved"),
    ]


def test_a_refusal_counts_for_an_hour_and_may_be_doubted(
    support: ModelSupport, clock: Clock
) -> None:
    support.model_accepted(ONE, FLASH)
    support.model_refused(ONE, FLASH, is_named=False)
    support.model_refused(ONE, PRO, is_named=True)

    before = [told(support, id_, ONE)[0].state for id_ in (FLASH, PRO)]
    clock.now += HOUR_S
    after = [told(support, id_, ONE)[0].state for id_ in (FLASH, PRO)]

    assert (before, after) == (["doubted", "refused"], ["unknown", "unknown"])


def test_what_an_account_was_made_to_forget_is_unknown(support: ModelSupport) -> None:
    support.model_accepted(ONE, FLASH)
    support.model_accepted(ONE, "gemini-9")

    support.forget(ONE)

    assert told(support, FLASH, ONE) == [AccountModel("one", "anna", "unknown")]
    assert "gemini-9" not in {report.model.id for report in reports(support, ONE).models()}


def test_what_the_configuration_disables_is_off_whatever_was_taken(support: ModelSupport) -> None:
    support.model_accepted(ONE, FLASH)
    support.note_capabilities(ONE, AccountCapabilities(disabled=frozenset({FLASH})))

    assert told(support, FLASH, ONE) == [AccountModel("one", "anna", "off")]


def test_a_name_that_several_accounts_were_asked_for_stands_once(support: ModelSupport) -> None:
    for account in (ONE, TWO):
        support.model_refused(account, "gemini-9", is_named=True)

    assert [account.state for account in told(support, "gemini-9", ONE, TWO)] == ["refused"] * 2


def test_tools_that_are_left_out_are_told_of_every_account(support: ModelSupport) -> None:
    support.tool_refused(ONE, "webGroundingSpec", is_named=True)

    found = reports(support, ONE, TWO).tools()

    assert [(each.name, each.tools_off) for each in found] == [
        ("anna", ("webGroundingSpec",)),
        ("ben", ()),
    ]


def test_nothing_stale_is_told_while_the_database_is_away(support: ModelSupport) -> None:
    def away() -> None:
        raise StorageUnavailable("the database is away")

    catalogue = Catalogue()
    available = AvailableModels(catalogue, support, lambda: (ONE,))
    asked = ModelReports(catalogue, available, support, lambda: (ONE,), sync=(away,))

    with pytest.raises(StorageUnavailable):
        asked.models()
