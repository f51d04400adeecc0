"""The leader runs for all workers what is to be run once, and takes no living worker for dead."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import pytest
from sqlalchemy import select

from gbproxy.background.leader import LeaderTasks
from gbproxy.domain.account import Account, identity_of
from gbproxy.errors import CredentialRefused, StorageUnavailable, UpstreamBroken, UpstreamError
from gbproxy.sessions.cleanup import SessionCleanup
from gbproxy.storage.account_health import AccountUse
from gbproxy.storage.credential_times import CredentialTimes
from gbproxy.storage.sessions import SessionRows
from gbproxy.storage.tables import leases
from gbproxy.storage.workers import LeaderLeases, WorkerRegistry
from gbproxy.upstreams.widget.credential import with_values
from tests.support.background import (
    HEAD,
    ONE,
    THEM,
    TWO,
    US,
    FragileDatabase,
    ManualExecutor,
    Upstream,
    kept,
    logged,
    marked,
    prewarmed,
    session_rows,
)
from tests.support.clock import Clock
from tests.support.pools import disable_only, pool

ROUND_S = 0.5


class Worker:
    """One process: its leader tasks over the records that all share. Its jobs run in the test's thread."""

    def __init__(
        self, database: FragileDatabase, clock: Clock, name: str = US, duty: str = "alerts"
    ) -> None:
        self.clock = clock
        self.upstream = Upstream()
        self.executor = ManualExecutor()
        self.refreshed: list[tuple[str, float]] = []
        self.signs_in = False
        self.probed: list[str] = []
        self.trimmed = 0
        self.rounds = 0  # of its duty
        self.looked_for: list[list[str]] = []  # owners of whom something may have been left
        self.refusing: dict[str, UpstreamError] = {}  # what signing in or a probe meets
        self.pool = pool(ONE, TWO, clock=clock)  # type: ignore[arg-type]
        self.rows: SessionRows = session_rows(database, clock, name)
        self.workers = WorkerRegistry(database, clock, lambda: name)
        self.leases = LeaderLeases(database, clock, lambda: name)
        self.times = CredentialTimes(database, clock)
        for account in (ONE, TWO):
            self.times.note(account)
        cleanup = SessionCleanup(
            self.rows,
            self.upstream.delete_session,
            self.pool.accounts,
            self.executor,
            clock=clock,
        )
        self.leader = LeaderTasks(
            self.leases,
            self.workers,
            self.rows,
            self.pool,
            cleanup,
            self.executor,
            refresh_token=self._refresh,
            probe=self._probe,
            claim_probe=self.times.claim_probe,
            trims=(self._trim,),
            duties={duty: self._do},
            reclaim_abandoned=lambda identities: self.looked_for.append(sorted(identities)),
            clock=clock,
            monotonic=clock,
        )

    def have(self, *accounts: Account) -> None:
        self.pool.replace(accounts)

    def round(self, uses: Mapping[str, AccountUse] | None = None) -> None:
        self.workers.heartbeat()
        self.leader.run(uses or {})
        self.executor.run_all()

    def go_on(self, seconds: float, uses: Mapping[str, AccountUse] | None = None) -> None:
        """Run for so long."""
        for _ in range(round(seconds / ROUND_S)):
            self.clock.now += ROUND_S
            self.round(uses)

    def used(self, *account_ids: str) -> dict[str, AccountUse]:
        """These accounts were used just now; "" stands for any request."""
        return {account_id: AccountUse(self.clock.now, None, None) for account_id in account_ids}

    def refuse(self, account: Account) -> None:
        self.pool.failed(account, "text", CredentialRefused("Renew it."))

    def _refresh(self, account: Account, age_s: float) -> bool:
        self.refreshed.append((account.id, age_s))
        self._fail(account)
        return self.signs_in

    def _do(self, uses: Mapping[str, AccountUse], now: float) -> None:
        del uses, now
        self.rounds += 1

    def _trim(self) -> None:
        self.trimmed += 1

    def _probe(self, account: Account) -> None:
        self.probed.append(account.id)
        self._fail(account)

    def _fail(self, account: Account) -> None:
        if account.id in self.refusing:
            raise self.refusing[account.id]


@pytest.fixture
def ours(database: FragileDatabase, clock: Clock) -> Worker:
    return Worker(database, clock, US)


@pytest.fixture
def theirs(database: FragileDatabase, clock: Clock) -> Worker:
    return Worker(database, clock, THEM)


# Taken and lost


def test_one_worker_leads_and_runs_its_tasks(ours: Worker, theirs: Worker) -> None:
    marked(ours.rows, "s/1")

    ours.round(ours.used("one"))
    theirs.round(theirs.used("one"))

    assert (ours.upstream.deleted, theirs.upstream.deleted) == (["s/1"], [])
    assert ([name for name, _ in ours.refreshed], theirs.refreshed) == (["one"], [])


def test_the_lease_is_renewed_each_second_not_in_each_round(
    ours: Worker, database: FragileDatabase, clock: Clock
) -> None:
    ends: list[float] = []

    for _ in range(4):
        ours.round()
        ends += [row.expires_at for row in database.fetch(select(leases))]
        clock.now += ROUND_S

    assert ends[0] == ends[1]
    assert ends[2] == ends[3] == ends[0] + 2 * ROUND_S


def test_stored_responses_are_looked_through_now_and_then_by_one_worker(
    ours: Worker, theirs: Worker
) -> None:
    ours.round()
    theirs.round()
    for _ in range(120):
        ours.go_on(ROUND_S)
        theirs.round()

    assert (ours.trimmed, theirs.trimmed) == (3, 0)


def test_gateways_with_other_accounts_on_the_same_database_each_do_their_own_work(
    ours: Worker, theirs: Worker
) -> None:
    other = with_values(ONE, csesidx="2")
    theirs.have(other)
    marked(ours.rows, "s/1")
    marked(theirs.rows, "s/2", other)

    ours.round(ours.used("one"))
    theirs.round(theirs.used("one"))

    assert (ours.upstream.deleted, theirs.upstream.deleted) == (["s/1"], ["s/2"])
    assert ([name for name, _ in ours.refreshed], [name for name, _ in theirs.refreshed]) == (
        ["one"],
        ["one"],
    )


def test_a_duty_is_done_by_one_of_the_gateways_whose_settings_ask_for_it(
    ours: Worker, theirs: Worker, database: FragileDatabase, clock: Clock
) -> None:
    without = Worker(database, clock, "without", duty="checks")

    for worker in (without, ours, theirs):
        worker.round()

    assert (without.rounds, ours.rounds, theirs.rounds) == (1, 1, 0)


def test_another_worker_leads_within_seconds_when_the_leader_is_silent(
    ours: Worker, theirs: Worker, clock: Clock
) -> None:
    ours.round()
    marked(ours.rows, "s/1")

    clock.now += 4
    theirs.round()
    still = list(theirs.upstream.deleted)
    clock.now += 1
    theirs.round()

    assert (still, theirs.upstream.deleted) == ([], ["s/1"])


def test_a_lease_that_was_released_is_acquired_at_once(ours: Worker, theirs: Worker) -> None:
    ours.round()
    marked(ours.rows, "s/1")

    ours.leader.resign()
    theirs.round()

    assert theirs.upstream.deleted == ["s/1"]


def test_a_worker_that_has_lost_the_lease_does_nothing_more(
    ours: Worker, theirs: Worker, clock: Clock
) -> None:
    ours.round()
    clock.now += 6
    theirs.round()
    marked(ours.rows, "s/1")

    ours.round(ours.used("one", "two"))

    assert (ours.upstream.deleted, ours.refreshed) == ([], [])


def test_without_storage_no_worker_leads(ours: Worker, database: FragileDatabase) -> None:
    database.away = True

    with pytest.raises(StorageUnavailable):
        ours.leader.run(ours.used("one"))

    assert not ours.executor.waiting


# Sessions


def test_the_leader_looks_from_time_to_time_for_what_killed_servers_have_left(
    ours: Worker, theirs: Worker, clock: Clock
) -> None:
    for _ in range(50):
        ours.round()
        theirs.round()
        clock.now += ROUND_S

    assert ours.looked_for == [[identity_of(ONE.account_key)]] * 3  # both accounts are of one owner
    assert theirs.looked_for == []


def test_sessions_that_nobody_may_continue_any_more_are_deleted(ours: Worker, clock: Clock) -> None:
    kept(ours.rows, "s/1", expires_at=clock.now + 10)
    kept(ours.rows, "s/2", expires_at=clock.now + 100)

    ours.round()
    before = list(ours.upstream.deleted)
    clock.now += 10
    ours.round()

    assert (before, ours.upstream.deleted) == ([], ["s/1"])


def test_the_sessions_of_a_dead_worker_are_deleted(ours: Worker, theirs: Worker) -> None:
    theirs.workers.heartbeat()
    theirs.rows.add(ONE.account_key, "s/unused", prewarmed=True)
    theirs.rows.add(ONE.account_key, "s/running", prewarmed=False)

    ours.go_on(14)
    before = list(ours.upstream.deleted)
    ours.go_on(2)

    assert (before, sorted(ours.upstream.deleted)) == ([], ["s/running", "s/unused"])


def test_the_sessions_of_a_living_worker_are_left_alone(
    ours: Worker, theirs: Worker, database: FragileDatabase
) -> None:
    mine = ours.rows.add(ONE.account_key, "s/1", prewarmed=True)
    others = theirs.rows.add(ONE.account_key, "s/2", prewarmed=True)
    kept(theirs.rows, "s/3", expires_at=ours.clock.now + 1000)

    for _ in range(30):
        theirs.workers.heartbeat()
        ours.go_on(2)

    assert ours.upstream.deleted == []
    assert prewarmed(database, US) == [mine.name]
    assert prewarmed(database, THEM) == [others.name]


def test_the_sessions_of_a_worker_that_has_signed_off_are_deleted(
    ours: Worker, theirs: Worker
) -> None:
    theirs.workers.heartbeat()
    theirs.rows.add(ONE.account_key, "s/1", prewarmed=True)
    ours.round()

    theirs.workers.deregister()
    ours.go_on(16)

    assert ours.upstream.deleted == ["s/1"]


def test_a_new_leader_gives_everybody_time_to_report(ours: Worker, theirs: Worker) -> None:
    """As at the start of several gateways, or when the database was away: nobody has been seen for
    long.
    """
    session = theirs.rows.add(ONE.account_key, "s/1", prewarmed=False)

    ours.go_on(10)
    theirs.workers.heartbeat()
    ours.go_on(10)

    assert ours.upstream.deleted == []
    assert theirs.rows.commit(
        session,
        history_digest=HEAD,
        key_digest=b"k",
        conversation="c",
        expires_at=ours.clock.now + 1,
    )


def test_a_worker_that_leads_again_gives_everybody_time_to_report(
    ours: Worker, theirs: Worker, clock: Clock
) -> None:
    ours.go_on(20)
    session = theirs.rows.add(ONE.account_key, "s/1", prewarmed=False)
    clock.now += 60
    theirs.round()
    ours.round()
    clock.now += 20

    ours.go_on(5)

    assert ours.upstream.deleted == []
    assert theirs.rows.commit(
        session, history_digest=HEAD, key_digest=b"k", conversation="c", expires_at=clock.now + 1
    )


def test_after_an_outage_of_the_database_the_leader_gives_everybody_time_to_report(
    ours: Worker, theirs: Worker, database: FragileDatabase, clock: Clock
) -> None:
    ours.go_on(20)
    theirs.workers.heartbeat()
    session = theirs.rows.add(ONE.account_key, "s/1", prewarmed=False)
    ours.round()
    database.away = True
    for _ in range(60):
        clock.now += ROUND_S
        with pytest.raises(StorageUnavailable):
            ours.leader.run({})

    database.away = False
    ours.round()
    theirs.workers.heartbeat()
    ours.go_on(5)

    assert ours.upstream.deleted == []
    assert theirs.rows.commit(
        session, history_digest=HEAD, key_digest=b"k", conversation="c", expires_at=clock.now + 1
    )


def test_after_a_machine_slept_the_leader_gives_everybody_time_to_report(
    ours: Worker, theirs: Worker, clock: Clock
) -> None:
    ours.go_on(20)
    theirs.workers.heartbeat()
    theirs.rows.add(ONE.account_key, "s/1", prewarmed=False)
    ours.round()

    clock.now += 3600
    ours.round()
    theirs.workers.heartbeat()
    ours.go_on(5)

    assert ours.upstream.deleted == []


def test_workers_that_have_died_are_forgotten(ours: Worker, theirs: Worker) -> None:
    theirs.workers.heartbeat()

    ours.go_on(20)

    assert ours.workers.heartbeats().keys() == {US}


@pytest.mark.parametrize("off_s", [-7200, 7200])
def test_a_worker_whose_clock_is_wrong_is_alive_as_long_as_it_reports(
    ours: Worker, database: FragileDatabase, off_s: float
) -> None:
    other = Worker(database, Clock(ours.clock.now + off_s), THEM)
    session = other.rows.add(ONE.account_key, "s/1", prewarmed=True)

    for _ in range(40):
        other.clock.now += ROUND_S
        other.workers.heartbeat()
        ours.go_on(ROUND_S)

    assert ours.upstream.deleted == []
    assert prewarmed(database, THEM) == [session.name]


# Tokens


def test_tokens_are_refreshed_ahead_for_accounts_in_use_only(ours: Worker, clock: Clock) -> None:
    uses = ours.used("one", "unknown", "")

    ours.round(uses)

    assert [name for name, _ in ours.refreshed] == ["one"]
    assert all(190 <= age_s <= 220 for _, age_s in ours.refreshed)


def test_the_age_at_which_a_token_is_refreshed_is_drawn_once_for_each_token(ours: Worker) -> None:
    ours.go_on(20, ours.used("one"))
    first = {age_s for _, age_s in ours.refreshed}
    ours.signs_in = True
    ours.go_on(20, ours.used("one"))

    assert len(first) == 1
    assert len({age_s for _, age_s in ours.refreshed}) > 20


def test_a_disabled_account_is_not_maintained(ours: Worker) -> None:
    disable_only(ours.pool, "one")

    ours.round(ours.used("one", "two"))

    assert [name for name, _ in ours.refreshed] == ["two"]


def test_an_account_is_maintained_until_ten_minutes_after_its_last_use(
    ours: Worker, clock: Clock
) -> None:
    uses = ours.used("one")

    clock.now += 599
    ours.round(uses)
    within = len(ours.refreshed)
    clock.now += 1
    ours.round(uses)

    assert (within, len(ours.refreshed)) == (1, 1)


def test_an_account_that_was_never_used_is_not_maintained(ours: Worker) -> None:
    ours.round({"one": AccountUse(None, "broken", ours.clock.now)})

    assert ours.refreshed == []


def test_no_token_is_asked_for_a_refused_account(ours: Worker) -> None:
    ours.refuse(ONE)

    ours.round(ours.used("one", "two"))

    assert [name for name, _ in ours.refreshed] == ["two"]


def test_an_account_whose_sign_in_is_refused_is_set_aside(ours: Worker) -> None:
    ours.refusing["one"] = CredentialRefused("Renew it.")

    ours.round(ours.used("one", "two"))

    assert [account.id for account in ours.pool.rejected()] == ["one"]
    assert [name for name, _ in ours.refreshed] == ["one", "two"]


def test_a_sign_in_that_fails_otherwise_is_logged_and_tried_again(
    ours: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    ours.refusing["one"] = UpstreamBroken("reset")

    with caplog.at_level(logging.WARNING, "gbproxy"):
        ours.round(ours.used("one"))
    del ours.refusing["one"]
    ours.clock.now += 60
    ours.round(ours.used("one"))

    [record] = logged(caplog, "token.not_refreshed")
    assert (record.account, record.code) == ("one", "upstream_error")
    assert len(ours.refreshed) == 2
    assert not ours.pool.rejected()


def test_a_sign_in_that_fails_is_not_tried_again_at_once(ours: Worker) -> None:
    ours.refusing["one"] = UpstreamBroken("reset")

    ours.go_on(10, ours.used("one"))

    assert len(ours.refreshed) <= 4


def test_while_an_account_is_being_maintained_no_more_is_submitted_for_it(ours: Worker) -> None:
    for _ in range(5):
        ours.leader.run(ours.used("one"))

    assert ours.executor.run_all() == 1
    assert len(ours.refreshed) == 1


def test_what_the_executor_does_not_accept_is_submitted_again(ours: Worker) -> None:
    ours.executor.capacity = 0
    ours.round(ours.used("one"))
    ours.executor.capacity = 10

    ours.round(ours.used("one"))

    assert len(ours.refreshed) == 1


# Refused accounts


def test_a_refused_account_is_probed_every_few_minutes_while_requests_arrive(
    ours: Worker, clock: Clock
) -> None:
    ours.refusing["one"] = CredentialRefused("Renew it.")
    ours.refuse(ONE)
    started, moments = clock.now, []

    while clock.now < started + 1800:
        clock.now += ROUND_S
        ours.round(ours.used(""))
        if len(ours.probed) > len(moments):
            moments.append(clock.now)

    pauses = [after - before for before, after in zip([started, *moments], moments, strict=False)]
    assert 6 <= len(pauses) <= 12
    assert all(150 <= pause <= 241 for pause in pauses)
    assert len({*pauses}) > 1
    assert set(ours.probed) == {"one"}


def test_a_refused_account_is_probed_by_one_of_several_leaders(
    ours: Worker, theirs: Worker, clock: Clock
) -> None:
    theirs.have(ONE)  # another set of accounts, so a leader of its own
    for worker in (ours, theirs):
        worker.refusing["one"] = CredentialRefused("Renew it.")
        worker.refuse(ONE)
        worker.round(worker.used(""))

    clock.now += 241
    for worker in (ours, theirs):
        worker.round(worker.used(""))

    assert ours.probed + theirs.probed == ["one"]


def test_a_probe_that_was_not_accepted_is_not_counted(ours: Worker, clock: Clock) -> None:
    ours.refuse(ONE)
    ours.round(ours.used(""))
    clock.now += 241
    ours.executor.capacity = 0
    ours.round(ours.used(""))

    assert ours.probed == []
    assert ours.times.claim_probe(ONE.account_key, 150)  # nobody has it


def test_a_refused_account_that_was_just_checked_is_not_probed(ours: Worker, clock: Clock) -> None:
    ours.refuse(ONE)
    ours.round(ours.used(""))
    clock.now += 240
    ours.times.note_probe(ONE.account_key)

    clock.now += 1
    ours.round(ours.used(""))

    assert ours.probed == []


def test_a_refused_account_is_not_probed_when_no_request_arrives(
    ours: Worker, clock: Clock
) -> None:
    ours.refuse(ONE)
    last = ours.used("")

    clock.now += 600
    ours.go_on(600, last)

    assert ours.probed == []


def test_after_a_silence_a_refused_account_is_probed_at_once(ours: Worker, clock: Clock) -> None:
    ours.refuse(ONE)
    ours.round(ours.used(""))
    clock.now += 3600
    ours.round()
    silent = list(ours.probed)

    ours.round(ours.used(""))

    assert (silent, ours.probed) == ([], ["one"])


def test_an_account_that_a_probe_finds_good_is_asked_again(
    ours: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    ours.refuse(ONE)

    with caplog.at_level(logging.INFO, "gbproxy"):
        ours.round(ours.used(""))
        ours.clock.now += 241
        ours.round(ours.used(""))

    assert (ours.probed, list(ours.pool.rejected())) == (["one"], [])
    [record] = logged(caplog, "account.probed")
    assert (record.account, record.code) == ("one", None)


@pytest.mark.parametrize(
    "error", [CredentialRefused("Renew it."), UpstreamBroken("reset")], ids=repr
)
def test_an_account_whose_probe_fails_stays_refused(ours: Worker, error: UpstreamError) -> None:
    ours.refusing["one"] = error
    ours.refuse(ONE)

    ours.round(ours.used(""))
    ours.clock.now += 241
    ours.round(ours.used(""))

    assert ours.probed == ["one"]
    assert [account.id for account in ours.pool.rejected()] == ["one"]


def test_accounts_that_are_not_refused_are_never_probed(ours: Worker, clock: Clock) -> None:
    for _ in range(10):
        clock.now += 250
        ours.round(ours.used("", "one", "two"))

    assert ours.probed == []


def test_an_account_that_is_refused_again_later_is_not_probed_at_once(
    ours: Worker, clock: Clock
) -> None:
    ours.refuse(ONE)
    ours.round(ours.used(""))
    ours.pool.accepted(ONE)
    clock.now += 1000
    ours.round(ours.used(""))

    ours.refuse(ONE)
    ours.round(ours.used(""))

    assert ours.probed == []
