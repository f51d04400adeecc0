"""An account that no request uses is probed once in each interval, whoever leads; its state is left
as it is unless its credential is refused.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import update

from gbproxy.account_admin.credential_checks import CredentialChecks
from gbproxy.account_admin.views import AccountStore
from gbproxy.accounts.health import AccountHealth
from gbproxy.background.scheduled_checks import LOOK_S, ScheduledChecks
from gbproxy.domain.account import WIDGET, Account
from gbproxy.errors import CredentialRefused, GatewayError, QuotaExhausted, UpstreamError
from gbproxy.storage.account_health import AccountHealthRows, AccountUse, CheckStore
from gbproxy.storage.accounts import EnabledOverrides, StoredAccounts
from gbproxy.storage.credential_times import CredentialTimes
from gbproxy.storage.database import Database
from gbproxy.storage.migrate import migrate
from gbproxy.storage.tables import credential_times
from gbproxy.storage.workers import ChangeCounter, WorkerRegistry
from gbproxy.upstreams.widget.credential import WidgetCredential, with_values
from tests.support.background import ONE, TWO, ManualExecutor
from tests.support.clock import Clock
from tests.support.databases import CIPHER
from tests.support.pools import disable_only, pool

EVERY_S = 1800.0


class Leader:
    """The schedule of one leader; its jobs run in the test's thread."""

    def __init__(self, database: Database, clock: Clock, *accounts: Account) -> None:
        self.clock = clock
        self.asked: list[str] = []
        self.trouble: GatewayError | None = None
        self.executor = ManualExecutor()
        self.pool = pool(*(accounts or (ONE, TWO)), clock=clock)  # type: ignore[arg-type]
        self.store = AccountStore(
            StoredAccounts(database, CIPHER, clock, {WIDGET: WidgetCredential.from_json}),
            EnabledOverrides(database),
            ChangeCounter(database),
            CheckStore(database, clock),
            AccountHealthRows(database, clock, AccountHealth),
            WorkerRegistry(database, clock, lambda: "us"),
            CredentialTimes(database, clock),
        )
        self.checks = CredentialChecks(self.pool, self.store, self._ask)
        self.schedule = self.made(EVERY_S)

    def made(self, interval_s: float) -> ScheduledChecks:
        return ScheduledChecks(
            self.pool,
            self.store.times,
            self.checks.run,
            interval_s=interval_s,
            submit=self.executor.submit,
            monotonic=self.clock,
            uniform=lambda least, most: most,
        )

    def _ask(self, account: Account) -> None:
        self.asked.append(account.id)
        if self.trouble is not None:
            raise self.trouble

    def look(self, after_s: float = LOOK_S, **used_at: float) -> None:
        self.clock.now += after_s
        uses = {id_: AccountUse(at, None, None) for id_, at in used_at.items()}
        self.schedule.run_due(uses, self.clock.now)

    def run(self, after_s: float = LOOK_S, **used_at: float) -> None:
        self.look(after_s, **used_at)
        self.executor.run_all()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def database(tmp_path: Path) -> Database:
    made = Database(f"sqlite:///{tmp_path}/checks.db", request_timeout_s=10.0)
    migrate(made, CIPHER)
    return made


@pytest.fixture
def leader(database: Database, clock: Clock) -> Leader:
    made = Leader(database, clock)
    made.run()  # notes when the credentials were given
    return made


def test_an_account_that_is_not_used_is_probed_once_in_each_interval(leader: Leader) -> None:
    leader.run(EVERY_S)
    assert leader.asked == []  # drawn a tenth longer

    leader.run(EVERY_S / 10)
    assert leader.asked == [ONE.id, TWO.id]
    for _ in range(5):
        leader.run(EVERY_S / 5)
    assert leader.asked == [ONE.id, TWO.id]

    leader.run(EVERY_S / 5)
    assert leader.asked == [ONE.id, TWO.id] * 2


def test_an_account_that_was_used_meanwhile_is_not_probed(leader: Leader) -> None:
    leader.run(2 * EVERY_S, **{ONE.id: leader.clock.now + EVERY_S})

    assert leader.asked == [TWO.id]


def test_a_check_by_hand_counts_as_the_probe(leader: Leader) -> None:
    leader.clock.now += EVERY_S
    leader.checks.run(ONE)
    leader.asked.clear()

    leader.run(EVERY_S / 2)

    assert leader.asked == [TWO.id]


def test_a_probe_for_another_cause_that_comes_first_takes_its_place(
    database: Database, clock: Clock, leader: Leader
) -> None:
    other = Leader(database, clock)  # another replica, where a request was refused

    leader.look(2 * EVERY_S)
    other.checks.probe(ONE)
    leader.executor.run_all()

    assert (other.asked, leader.asked) == ([ONE.id], [TWO.id])
    assert leader.checks.moments([ONE])[ONE.id].checked_at == clock.now


def test_two_leaders_on_one_database_probe_an_account_once(
    database: Database, clock: Clock
) -> None:
    ours, theirs = Leader(database, clock, ONE), Leader(database, clock, ONE, TWO)
    for each in (ours, theirs):
        each.run()

    ours.look(2 * EVERY_S)
    theirs.look(0.0)
    for each in (ours, theirs):  # both had found it due before either asked
        each.executor.run_all()

    assert sorted(ours.asked + theirs.asked) == [ONE.id, TWO.id]


def test_the_first_look_of_a_new_leader_goes_by_the_stored_times(
    database: Database, clock: Clock, leader: Leader
) -> None:
    leader.run(2 * EVERY_S)

    successor = Leader(database, clock)
    successor.run(EVERY_S / 2)

    assert (leader.asked, successor.asked) == ([ONE.id, TWO.id], [])


def test_a_refused_credential_sets_its_account_aside(leader: Leader) -> None:
    leader.trouble = CredentialRefused("its cookies have expired")

    leader.run(2 * EVERY_S)

    assert list(leader.pool.rejected()) == [ONE, TWO]
    status = leader.checks.statuses([ONE])[0]
    assert (status.status, status.checked_at) == ("refused", leader.clock.now)


@pytest.mark.parametrize("trouble", [None, UpstreamError("it is down")])
def test_a_probe_changes_nothing_of_a_cooldown(
    leader: Leader, trouble: GatewayError | None
) -> None:
    leader.pool.failed(ONE, "text", QuotaExhausted("used up", retry_after=9 * EVERY_S))
    before, leader.trouble = leader.pool.snapshot(), trouble

    leader.run(2 * EVERY_S)

    assert leader.asked == [ONE.id, TWO.id]
    assert leader.pool.snapshot() == before
    assert before[0].state == "cooling"


def test_a_disabled_account_is_not_probed(leader: Leader) -> None:
    disable_only(leader.pool, ONE.id)

    leader.run(2 * EVERY_S)

    assert leader.asked == [TWO.id]


def test_an_interval_of_zero_probes_nothing_and_still_notes_the_ages(
    database: Database, clock: Clock
) -> None:
    leader = Leader(database, clock)
    leader.schedule = leader.made(0.0)

    leader.run()
    given_at = clock.now
    leader.run(EVERY_S * 9)

    assert leader.asked == []
    assert leader.checks.moments([ONE])[ONE.id].cookies_at == given_at


@pytest.mark.parametrize(
    "given",
    [
        {"user_agent": "Mozilla/5.0 (X)"},
        {"server_token": "CAMS1"},
        {"edition": "enterprise"},
        {"location": "eu"},
        {"cookies": "NID=1"},
    ],
    ids=lambda given: next(iter(given)),
)
def test_cookies_grow_no_younger_by_what_else_is_given(
    leader: Leader, given: dict[str, str]
) -> None:
    changed, given_at = with_values(ONE, **given), leader.clock.now
    leader.pool.replace([changed, TWO])

    leader.run()

    assert leader.checks.moments([changed])[ONE.id].cookies_at == given_at


def test_an_age_that_was_noted_under_all_values_is_kept(
    database: Database, clock: Clock, leader: Leader
) -> None:
    given_at = clock.now
    full = with_values(ONE, user_agent="Mozilla/5.0 (X)")
    database.change(
        update(credential_times)
        .where(credential_times.c.account_key == ONE.account_key)
        .values(credential=full.fingerprint())
    )
    leader.pool.replace([full, TWO])

    before = leader.checks.moments([full])
    leader.run()
    leader.pool.replace([ONE, TWO])
    leader.run()

    assert before[ONE.id].cookies_at == given_at
    assert leader.checks.moments([ONE])[ONE.id].cookies_at == given_at


def test_new_cookies_are_young_again(leader: Leader) -> None:
    replaced = with_values(ONE, secure_c_ses="CSE.another")
    leader.pool.replace([replaced, TWO])

    leader.run(EVERY_S)

    moments = leader.checks.moments([replaced, TWO])
    assert moments[ONE.id].cookies_at == leader.clock.now
    assert moments[TWO.id].cookies_at == leader.clock.now - EVERY_S
