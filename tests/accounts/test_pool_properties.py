"""What holds of the pool whatever comes, in whatever order."""

from __future__ import annotations

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gbproxy.accounts.failover import Failover, Next
from gbproxy.accounts.model_fallbacks import RequestedModel
from gbproxy.accounts.pool import Pool
from gbproxy.domain.account import QUOTA_CLASSES, QuotaClass
from gbproxy.domain.catalogue import Catalogue
from gbproxy.errors import (
    ContextLengthExceeded,
    CredentialRefused,
    GatewayError,
    QuotaExhausted,
    RequestRefused,
    SessionGone,
    UpstreamBroken,
    UpstreamOverloaded,
    UpstreamTimeout,
    UpstreamUnclear,
)
from tests.support.clock import Clock
from tests.support.polling import until
from tests.support.pools import A, B, C, Request, account, disable_only, in_flight, pool, refusal

ACCOUNTS = (A, B, C)
CONCURRENCY = 2
accounts = st.sampled_from(ACCOUNTS)
names = st.sampled_from([mine.id for mine in ACCOUNTS])
quotas = st.sampled_from(QUOTA_CLASSES)
of_the_request = st.sampled_from([RequestRefused, ContextLengthExceeded]).map(
    lambda kind: kind("no")
)
of_nobody = st.sampled_from([UpstreamBroken, UpstreamTimeout, UpstreamUnclear, SessionGone]).map(
    lambda kind: kind("no")
)
times = st.none() | st.floats(0.01, 1e6)
of_the_account = (
    st.builds(lambda named_s: UpstreamOverloaded("busy", retry_after=named_s), times)
    | st.builds(
        lambda named_s, daily: QuotaExhausted("empty", retry_after=named_s, is_daily=daily),
        times,
        st.booleans(),
    )
    | st.just(CredentialRefused("no"))
)
errors = of_the_request | of_nobody | of_the_account


class Queue(RuleBasedStateMachine):
    """Requests come and go, each with needs of its own, while accounts fail, recover and are
    disabled.
    """

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.pool = pool(*ACCOUNTS, clock=self.clock, concurrency=CONCURRENCY, wait_s=60)
        self.running: list[Asking] = []
        self.waiting: list[Asking] = []

    @rule(quota=quotas, required=st.none() | names, excluded=st.frozensets(names, max_size=2))
    def a_request_comes(
        self, quota: QuotaClass, required: str | None, excluded: frozenset[str]
    ) -> None:
        if len(self.waiting) < 6:
            self.waiting.append(Asking(self.pool, quota, required, excluded))

    @precondition(lambda self: self.running)
    @rule(which=st.randoms(use_true_random=False))
    def a_request_ends(self, which: random.Random) -> None:
        ended = self.running.pop(which.randrange(len(self.running)))
        ended.request.end()

    @rule(account=accounts, quota=quotas, error=errors)
    def an_account_fails(self, account: object, quota: QuotaClass, error: GatewayError) -> None:
        self.pool.failed(account, quota, error)  # type: ignore[arg-type]

    @rule(account=accounts, quota=quotas)
    def an_account_succeeds(self, account: object, quota: QuotaClass) -> None:
        self.pool.succeeded(account, quota)  # type: ignore[arg-type]
        self.pool.accepted(account)  # type: ignore[arg-type]

    @rule(ids=st.frozensets(names, max_size=2))
    def accounts_are_disabled(self, ids: frozenset[str]) -> None:
        disable_only(self.pool, *ids)

    @rule(seconds=st.sampled_from([0.5, 31.0, 61.0, 90_000.0]))
    def time_goes_by(self, seconds: float) -> None:
        self.clock.now += seconds
        self.pool.replace(
            self.pool.accounts(),
            disabled=[v.id for v in self.pool.snapshot() if v.state == "disabled"],
        )

    @invariant()
    def everyone_is_served_as_soon_as_can_be_and_in_order(self) -> None:
        until(self._everyone_has_heard)
        before, self.waiting = (
            self.waiting,
            [asking for asking in self.waiting if not asking.request.served],
        )
        served = [asking for asking in before if asking.request.account]
        self.running += served
        for asking in self.waiting:
            assert not [name for name in asking.admitted() if self._is_open(name, asking.quota)]
            passed_by = [other for other in served if before.index(other) > before.index(asking)]
            assert not [
                o
                for o in passed_by
                if o.quota == asking.quota and o.request.account in asking.admitted()
            ]

    @invariant()
    def no_account_has_more_answers_than_slots(self) -> None:
        held = [asking.request.account for asking in self.running]

        assert all(
            view.in_flight == held.count(view.id) <= CONCURRENCY for view in self.pool.snapshot()
        )

    def _everyone_has_heard(self) -> bool:
        """True when every thread whose request is served knows it."""
        waiting = [asking for asking in self.waiting if not asking.request.served]
        held = [a for a in self.waiting if a.request.served and a.request.account]
        are_leased = in_flight(self.pool) == len(self.running) + len(held)
        return are_leased and all(asking.may_be_served() for asking in waiting)

    def _is_open(self, name: str, quota: QuotaClass) -> bool:
        has_slot = self.pool.running().get(name, 0) < CONCURRENCY
        return has_slot and self.pool.is_ready(name, quota)

    def teardown(self) -> None:
        for asking in self.running:
            asking.request.end()
        disable_only(self.pool, *(mine.id for mine in ACCOUNTS))
        for asking in self.waiting:
            asking.request.end()
        assert in_flight(self.pool) == 0


class Asking:
    """A request under way, and what it asked for."""

    def __init__(
        self, accounts: Pool, quota: QuotaClass, required: str | None, excluded: frozenset[str]
    ) -> None:
        self.quota = quota
        self._accounts = accounts
        self._required = required
        self._excluded = excluded
        self.request = Request(
            accounts,
            hold=True,
            quota=quota,
            required=required and account(required).account_key,
            excluded=excluded,
        )

    def admitted(self) -> list[str]:
        return [
            m.id for m in ACCOUNTS if m.id not in self._excluded and self._required in (None, m.id)
        ]

    def may_be_served(self) -> bool:
        """False when it has been told so."""
        required = self._required and account(self._required).account_key
        return self._accounts.any_available(self.quota, required=required, excluded=self._excluded)


TestQueue = Queue.TestCase
TestQueue.settings = settings(
    max_examples=60, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)


happenings = st.lists(st.tuples(accounts, quotas, errors, st.floats(0, 4000)), max_size=30)


@given(happenings, quotas, of_the_request | of_nobody)
def test_what_is_not_the_account_s_fault_changes_no_state(
    before: list[tuple[object, QuotaClass, GatewayError, float]],
    quota: QuotaClass,
    error: GatewayError,
) -> None:
    clock = Clock()
    given = pool(*ACCOUNTS, clock=clock)
    for their_account, their_quota, their_error, seconds in before:
        given.failed(their_account, their_quota, their_error)  # type: ignore[arg-type]
        clock.now += seconds
    known = [(view.state, view.states, view.cooling_until) for view in given.snapshot()]

    for mine in ACCOUNTS:
        given.failed(mine, quota, error)

    assert [(view.state, view.states, view.cooling_until) for view in given.snapshot()] == known


@given(happenings)
def test_a_success_after_the_cooldown_forgets_all_failures(
    before: list[tuple[object, QuotaClass, GatewayError, float]],
) -> None:
    clock = Clock()
    given = pool(*ACCOUNTS, clock=clock)
    for mine, quota, error, seconds in before:
        given.failed(mine, quota, error)  # type: ignore[arg-type]
        clock.now += seconds
    clock.now += 90_000

    given.accepted(A)
    given.succeeded(A, "text")
    given.failed(A, "text", QuotaExhausted("empty"))

    assert refusal(given, required=A.account_key).retry_after == 60


@given(st.lists(errors, min_size=40, max_size=40), st.integers(1, 5), st.integers(1, 3))
def test_every_request_comes_to_an_end_within_its_limit(
    failures: list[GatewayError], limit: int, count: int
) -> None:
    given = pool(*ACCOUNTS[:count])
    catalogue = Catalogue()
    requested = RequestedModel(catalogue.chain(catalogue.get("gemini-auto")))
    request = Failover(given, requested, limit=limit, pause=lambda _: None)
    tried: list[str] = []
    left = iter(failures)

    def go_on() -> None:
        while True:
            with request.lease() as mine:
                tried.append(mine.id)
                while request.failed(next(left)) is Next.SAME:
                    tried.append(mine.id)

    with pytest.raises(GatewayError) as caught:
        go_on()

    assert caught.value.status in (400, 429, 502, 503, 504)
    assert len(set(tried)) <= min(limit, count)
    # a fresh session on each, one once more, and one without the tools that may be off
    assert len(tried) <= 2 * len(set(tried)) + 2
    assert in_flight(given) == 0
