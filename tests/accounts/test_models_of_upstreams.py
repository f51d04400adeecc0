"""Models that several kinds of upstream serve: what may be chosen, and which accounts may answer."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gbproxy.accounts.available_models import AvailableModels
from gbproxy.accounts.model_support import ModelSupport
from gbproxy.domain.account import WIDGET, Account
from gbproxy.domain.catalogue import Catalogue
from gbproxy.domain.models import AccountCapabilities, Model
from gbproxy.domain.principal import ANONYMOUS
from tests.support.pools import A

OTHER = "other"
B = replace(A, id="b", name="b", upstream=OTHER)
RETIRED = "gemini-2.5-pro"
BOTH = Model("of-both", {WIDGET: "w-1", OTHER: "o-1"})


class Harness:
    """An account of each kind, and what their configurations list."""

    def __init__(self, **listed: tuple[str, ...]) -> None:
        self.support = ModelSupport()
        for account in (A, B):
            if account.id in listed:
                known = AccountCapabilities(listed=listed[account.id])
                self.support.note_capabilities(account, known)
        accounts: tuple[Account, ...] = (A, B)
        catalogue = Catalogue(configured=[BOTH])
        self.models = AvailableModels(catalogue, self.support, lambda: accounts, {WIDGET, OTHER})

    def ids(self) -> list[str]:
        return [model.id for model in self.models.all()]


def test_a_model_that_one_kind_lists_is_served_by_that_kind() -> None:
    harness = Harness(b=("o-new",))

    assert harness.models.resolve("o-new") == Model("o-new", {OTHER: "o-new"})
    assert harness.models.all()[-1] == Model("o-new", {OTHER: "o-new"})


def test_a_model_that_both_kinds_list_is_served_by_both() -> None:
    harness = Harness(a=("new",), b=("new",))

    assert harness.models.all()[-1] == Model("new", {WIDGET: "new", OTHER: "new"})


def test_a_built_in_model_that_its_kind_does_not_list_is_left_out_whatever_others_list() -> None:
    assert RETIRED not in Harness(a=("gemini-3.8-flash",), b=(RETIRED,)).ids()
    assert RETIRED in Harness(b=("o-1",)).ids()


@pytest.mark.parametrize(
    ("model", "able", "unserved"),
    [
        (BOTH, (WIDGET, OTHER), []),
        (BOTH, (OTHER,), ["a"]),
        (Catalogue().default, (WIDGET,), ["b"]),
    ],
    ids=["both", "one takes the prompt", "one serves it"],
)
def test_only_accounts_of_kinds_that_can_answer_may_be_asked(
    model: Model, able: tuple[str, ...], unserved: list[str]
) -> None:
    assert Harness().models.requested(model, ANONYMOUS, able).unserved() == unserved


def test_what_an_account_of_one_kind_lacks_says_nothing_of_the_other_kind() -> None:
    harness = Harness(a=("w-1",), b=("something else",))
    requested = harness.models.requested(BOTH, ANONYMOUS, (WIDGET, OTHER))

    harness.support.model_refused(A, "w-1", is_named=True)

    assert set(requested.averse()) == {"a"}
