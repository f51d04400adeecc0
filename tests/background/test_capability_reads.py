"""When live configurations are read: once an account is in use, then rarely, and never twice at
once.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

import pytest

from gbproxy.accounts.model_support import ModelSupport
from gbproxy.background.capability_reads import AFTER_FAILURE_S, PERIOD_S, CapabilityReads
from gbproxy.domain.account import Account
from gbproxy.domain.clock import SET_BACK_S
from gbproxy.domain.models import AccountCapabilities
from gbproxy.errors import GatewayError, UpstreamError
from gbproxy.upstreams.widget.credential import with_values
from tests.support.background import ONE, TWO, ManualExecutor
from tests.support.clock import Clock

KNOWN = AccountCapabilities(listed=("a",))


@dataclass
class Harness:
    """Lookups whose jobs wait for the test, and an upstream that answers or fails."""

    answers: AccountCapabilities | GatewayError = KNOWN
    executor: ManualExecutor = field(default_factory=ManualExecutor)
    clock: Clock = field(default_factory=Clock)
    asked: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.support = ModelSupport(clock=self.clock)
        self.reads = CapabilityReads(
            self.support,
            self._look_up,
            submit=self.executor.submit,
            uniform=lambda least, most: most,
        )

    def _look_up(self, account: Account) -> AccountCapabilities:
        self.asked.append(account.id)
        if isinstance(self.answers, GatewayError):
            raise self.answers
        return self.answers

    def maintain(self, *accounts: Account) -> None:
        self.reads.read_due(accounts or (ONE,), self.clock.now)
        self.executor.run_all()


def test_an_account_in_use_is_read_once_and_again_after_an_hour_or_so() -> None:
    harness = Harness()

    harness.maintain(ONE, TWO)
    harness.maintain(ONE, TWO)
    harness.clock.now += PERIOD_S[1] - 1
    harness.maintain(ONE, TWO)
    assert harness.asked == ["one", "two"]
    harness.clock.now += 1
    harness.maintain(ONE)

    assert harness.asked == ["one", "two", "one"]
    assert harness.support.capabilities([ONE]) == [KNOWN]


def test_no_account_is_read_twice_at_once() -> None:
    harness = Harness()

    for _ in range(3):
        harness.reads.read_due([ONE], harness.clock.now)

    assert len(harness.executor.waiting) == 1


def test_what_cannot_be_read_is_tried_again_sooner(caplog: pytest.LogCaptureFixture) -> None:
    harness = Harness(UpstreamError("no"))

    with caplog.at_level(logging.INFO, "gbproxy"):
        harness.maintain()
        harness.maintain()
    assert [(r.account, r.code, r.models) for r in caplog.records] == [("one", "upstream_error", 0)]
    harness.clock.now += AFTER_FAILURE_S[1]
    harness.answers = KNOWN
    harness.maintain()

    assert harness.support.capabilities([ONE]) == [KNOWN]


def test_changed_credentials_are_read_anew() -> None:
    harness = Harness()
    harness.maintain()

    harness.maintain(with_values(ONE, secure_c_ses="CSE.other"))

    assert harness.asked == ["one", "one"]


def test_a_clock_that_was_set_back_delays_nothing() -> None:
    harness = Harness()
    harness.maintain()

    harness.clock.now -= SET_BACK_S + 1
    harness.maintain()

    assert harness.asked == ["one", "one"]


def test_where_there_is_no_room_for_a_job_it_is_tried_in_the_next_round() -> None:
    harness = Harness(executor=ManualExecutor(capacity=0))
    harness.maintain()

    harness.executor.capacity = 1
    harness.maintain()

    assert harness.asked == ["one"]
