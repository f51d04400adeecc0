"""Suspicions are decided by a probe, aside, and by few of them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

import pytest

from gbproxy.background.account_probes import AccountProbes
from gbproxy.domain.account import Account
from gbproxy.errors import (
    ConfigRefused,
    CredentialRefused,
    GatewayError,
    UpstreamBroken,
    UpstreamOverloaded,
)
from tests.support.background import ManualExecutor, logged
from tests.support.clock import Clock
from tests.support.pools import A, B, account, pool


class Harness:
    """Looks at the accounts of a pool; a probe raises what is said of the account."""

    def __init__(self, **says: GatewayError) -> None:
        self.pool = pool(A, B)
        self.says = says
        self.probed: list[str] = []
        self.executor = ManualExecutor()
        self.rests: list[Callable[[], None]] = []
        self.probes = AccountProbes(
            self.pool,
            self._probe,
            submit=self.executor.submit,
            call_later=lambda seconds, job: self.rests.append(job),
        )

    def _probe(self, account: Account) -> None:
        self.probed.append(account.id)
        if account.id in self.says:
            raise self.says[account.id]

    def end_rests(self) -> None:
        rests, self.rests = self.rests, []
        for rested in rests:
            rested()

    @property
    def states(self) -> list[str]:
        return [view.state for view in self.pool.snapshot()]


def test_an_account_goes_on_until_the_probe_has_spoken() -> None:
    harness = Harness(a=CredentialRefused("Renew it."))

    harness.probes.request(A)
    before = ([*harness.probed], harness.states)
    harness.executor.run_all()

    assert before == ([], ["ready", "ready"])
    assert (harness.probed, harness.states) == (["a"], ["refused", "ready"])


@pytest.mark.parametrize(
    "error", [None, UpstreamBroken("reset"), UpstreamOverloaded("busy")], ids=str
)
def test_a_probe_that_refuses_nothing_costs_the_account_nothing(
    error: GatewayError | None, caplog: pytest.LogCaptureFixture
) -> None:
    harness = Harness(**({"a": error} if error else {}))

    with caplog.at_level(logging.INFO):
        harness.probes.request(A)
        harness.executor.run_all()

    assert harness.states == ["ready", "ready"]
    [record] = logged(caplog, "account.probed")
    assert (record.account, record.code) == ("a", error.code if error else None)  # type: ignore[attr-defined]


def test_a_thousand_suspicions_are_one_probe_and_after_a_rest_another() -> None:
    harness = Harness()

    for _ in range(1000):
        harness.probes.request(A)
    at_once = harness.executor.run_all()
    for _ in range(1000):
        harness.probes.request(A)
    while_it_rests = harness.executor.run_all()
    harness.end_rests()
    afterwards = harness.executor.run_all()
    harness.end_rests()

    assert (at_once, while_it_rests, afterwards, harness.executor.run_all()) == (1, 0, 1, 0)
    assert harness.probed == ["a", "a"]


def test_an_account_that_rests_and_is_suspected_no_more_is_left_alone() -> None:
    harness = Harness()
    harness.probes.request(A)
    harness.executor.run_all()
    harness.end_rests()

    assert harness.executor.run_all() == 0
    harness.probes.request(A)
    assert harness.executor.run_all() == 1


def test_what_is_forgotten_while_it_rests_is_not_looked_at_again() -> None:
    harness = Harness()
    harness.probes.request(A)
    harness.executor.run_all()
    harness.probes.request(A)

    harness.probes.forget()
    harness.end_rests()

    assert harness.executor.run_all() == 0
    harness.probes.request(A)
    assert harness.executor.run_all() == 1


def test_each_account_is_looked_at_by_itself_and_one_with_other_cookies_anew() -> None:
    harness = Harness()

    for each in (A, B, account("a", "CSE.other"), A):
        harness.probes.request(each)
    harness.executor.run_all()

    assert harness.probed == ["a", "b", "a"]


def test_what_was_not_accepted_may_be_requested_again() -> None:
    harness = Harness()
    harness.executor.capacity = 0
    harness.probes.request(A)
    harness.executor.capacity = 1
    harness.probes.request(A)

    assert harness.executor.run_all() == 1


def test_a_probe_that_began_before_the_account_was_found_good_teaches_nothing() -> None:
    clock, executor = Clock(), ManualExecutor()
    accounts = pool(A, clock=clock)

    def says_no_late(account: Account) -> None:
        clock.now += 5
        accounts.failed(account, "text", CredentialRefused("no"))
        accounts.accepted(account)
        raise ConfigRefused("no")

    probes = AccountProbes(
        accounts,
        says_no_late,
        submit=executor.submit,
        call_later=lambda seconds, job: None,
        clock=clock,
    )
    probes.request(A)
    executor.run_all()

    assert accounts.snapshot()[0].state == "ready"


def test_nobody_waits_for_a_probe_and_none_begins_once_it_is_over() -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slow(account: Account) -> None:
        del account
        begun.set()
        assert go_on.wait(10)
        raise CredentialRefused("no")

    accounts = pool(A, B)
    probes = AccountProbes(accounts, slow)
    probes.request(A)
    assert begun.wait(10)
    meanwhile = accounts.snapshot()[0].state
    go_on.set()
    probes.close(within_s=10)
    begun.clear()
    probes.request(B)

    assert (meanwhile, accounts.snapshot()[0].state) == ("ready", "refused")
    assert not begun.is_set()
