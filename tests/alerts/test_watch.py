"""Each change is told once, by whichever leader meets it first; none is repeated too soon."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path

import pytest

from gbproxy.accounts.health import UNPROBED_S
from gbproxy.alerts.alert import DATABASE, Alert, no_account_key, redis_key
from gbproxy.alerts.conditions import LASTS_S, Conditions
from gbproxy.alerts.delivery import Delivery
from gbproxy.alerts.watch import LEFT_S, LOOK_S, LOST_S, AlertWatch
from gbproxy.domain.account import Account
from gbproxy.errors import CredentialRefused, QuotaExhausted, StorageUnavailable, UpstreamOverloaded
from gbproxy.storage.alerts import AlertKey, AlertRows
from gbproxy.storage.credential_times import CredentialTimes
from gbproxy.storage.database import Database
from gbproxy.storage.migrate import migrate
from gbproxy.storage.tokens_cookies import CookieRows, RenewedCookies
from tests.support.accounts import widget_account
from tests.support.background import ONE, TWO, ManualExecutor
from tests.support.clock import Clock
from tests.support.databases import CIPHER
from tests.support.pools import disable_only, pool

SILENCE_S = 3600.0
HOUR_S = 3600.0
NONE_LEFT = "No account is left that can answer"
RENEWED = widget_account(  # ONE, signed in anew under another csesidx
    id=ONE.id, name=ONE.name, csesidx="3", config_id="c", secure_c_ses="CSE.new"
)
REFUSED = CredentialRefused("its cookies have expired")


class Leader:
    """One leader's watch over a pool; its jobs run in the test's thread."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        *accounts: Account,
        redis: str | None = "redis://:password@localhost/0",
        configured: Collection[str] = (),  # ids of the settings' accounts
    ) -> None:
        self.clock = clock
        accounts = accounts or (ONE, TWO)
        self.pool = pool(*accounts, clock=clock)  # type: ignore[arg-type]
        self.times = CredentialTimes(database, clock)
        self.redis_is_up = True
        self.while_looking = lambda: None
        self.sent: list[Alert] = []
        self.is_killed = False  # while it sends
        self.delivery = Delivery(self._send, AlertRows(database, clock))
        executor = ManualExecutor()
        conditions = Conditions(
            self.pool,
            self.times,
            self._ask_redis,
            no_account=no_account_key(accounts),
            redis=redis_key(redis) if redis else None,
            max_age_s=20 * HOUR_S,
            clock=clock,
            monotonic=clock,
        )
        self.watch = AlertWatch(
            self.pool,
            conditions,
            AlertRows(database, clock),
            self.delivery,
            silence_s=SILENCE_S,
            configured=configured,
            submit=executor.submit,
            clock=clock,
            monotonic=clock,
        )
        self.executor = executor

    def _ask_redis(self) -> bool:
        self.while_looking()
        return self.redis_is_up

    def _send(self, alert: Alert, on_end: Callable[[bool], None]) -> None:
        if not self.is_killed:
            self.sent.append(alert)
            on_end(True)

    def look(self, after_s: float = LOOK_S) -> list[str]:
        """What this look tells: titles."""
        self.clock.now += after_s
        self.sent.clear()
        self.watch.run_due({}, self.clock.now)
        self.executor.run_all()
        self.delivery.note_sent()
        return [alert.title for alert in self.sent]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def database(tmp_path: Path) -> Database:
    made = Database(f"sqlite:///{tmp_path}/alerts.db", request_timeout_s=10.0)
    migrate(made, CIPHER)
    return made


@pytest.fixture
def leader(database: Database, clock: Clock) -> Leader:
    return Leader(database, clock)


def refused(account: Account) -> str:
    return f"The sign-in of account {account.name} is refused"


def test_nothing_is_told_while_all_is_well(leader: Leader) -> None:
    assert leader.look() == []


def test_a_refused_account_is_told_once_and_that_it_is_over(leader: Leader) -> None:
    leader.pool.failed(ONE, "text", REFUSED)

    assert leader.look() == [refused(ONE)]
    assert "Its cookies have expired." in leader.sent[0].text
    assert "copy its cookies anew" in leader.sent[0].text
    assert [leader.look(), leader.look(9 * SILENCE_S)] == [[], []]

    leader.pool.accepted(ONE)
    assert leader.look() == [f"Over: {refused(ONE)}"]
    assert leader.look() == []


def test_two_leaders_tell_each_change_once(database: Database, clock: Clock) -> None:
    leaders = Leader(database, clock, ONE), Leader(database, clock, ONE, TWO)
    for each in leaders:
        each.pool.failed(ONE, "text", REFUSED)
        each.pool.failed(TWO, "text", REFUSED)
    began = [title for each in leaders for title in each.look(LOOK_S)]
    for each in leaders:
        each.pool.accepted(ONE)
    ended = [title for each in leaders for title in each.look(LOOK_S)]

    assert began.count(refused(ONE)) == began.count(refused(TWO)) == 1
    assert ended.count(f"Over: {refused(ONE)}") == 1


def test_a_new_leader_repeats_nothing(database: Database, clock: Clock, leader: Leader) -> None:
    leader.pool.failed(ONE, "text", REFUSED)
    leader.look()

    successor = Leader(database, clock)
    successor.pool.failed(ONE, "text", REFUSED)

    assert successor.look() == []


def test_what_comes_back_within_the_silence_is_told_after_it_if_it_lasts(leader: Leader) -> None:
    leader.pool.failed(ONE, "text", REFUSED)
    leader.look()
    leader.pool.accepted(ONE)
    assert leader.look() == [f"Over: {refused(ONE)}"]

    leader.pool.failed(ONE, "text", REFUSED)
    assert [leader.look(), leader.look(SILENCE_S / 2)] == [[], []]
    assert leader.look(SILENCE_S / 2) == [refused(ONE)]


def test_what_comes_and_goes_within_the_silence_is_not_told_again(leader: Leader) -> None:
    said = []
    for _ in range(5):
        leader.pool.failed(ONE, "text", REFUSED)
        said += leader.look()
        leader.pool.accepted(ONE)
        said += leader.look()

    assert said == [refused(ONE), f"Over: {refused(ONE)}"]


def test_a_disabled_account_is_no_more_told_of(leader: Leader) -> None:
    leader.pool.failed(ONE, "text", REFUSED)
    leader.look()

    disable_only(leader.pool, ONE.id)

    assert [leader.look(), leader.look()] == [[], []]


def test_a_quota_is_told_by_kind_until_its_end(leader: Leader, clock: Clock) -> None:
    leader.pool.failed(ONE, "images", QuotaExhausted("used up", retry_after=2 * HOUR_S))

    assert leader.look() == [f"The quota of account {ONE.name} for images is used up"]
    assert "until about" in leader.sent[0].text
    assert leader.look(2 * HOUR_S) == []  # no request has tried it yet
    leader.pool.succeeded(ONE, "images")
    assert leader.look() == [f"Over: The quota of account {ONE.name} for images is used up"]


def test_the_quota_of_a_model_with_a_fallback_is_told_by_the_models_name(leader: Leader) -> None:
    about = f"The quota of account {ONE.name} for best is used up"
    for account in (ONE, TWO):  # others of its kind can be asked, so one is left
        leader.pool.failed(account, "text:best", QuotaExhausted("empty", retry_after=HOUR_S))

    assert about in leader.look()
    assert NONE_LEFT not in [alert.title for alert in leader.sent]
    assert {(each.key.quota, each.key.model) for each in leader.sent} == {("text", "best")}
    leader.clock.now += HOUR_S
    leader.pool.succeeded(ONE, "text:best")
    assert leader.look() == [f"Over: {about}"]


def test_a_quota_that_no_request_tries_again_is_over_some_time_after_its_end(
    leader: Leader,
) -> None:
    leader.pool.failed(ONE, "text", QuotaExhausted("used up", retry_after=HOUR_S))
    leader.look()

    assert [leader.look(HOUR_S), len(leader.look(UNPROBED_S))] == [[], 1]
    assert leader.sent[0].is_over


def test_old_cookies_are_told_and_that_they_were_renewed(
    leader: Leader, database: Database, clock: Clock
) -> None:
    leader.times.note(ONE)
    assert leader.look(19.9 * HOUR_S) == []

    assert leader.look(0.2 * HOUR_S) == [f"The cookies of account {ONE.name} grow old"]
    assert "20 hours ago" in leader.sent[0].text

    renewed = RenewedCookies("digest", "CSE.new", None, renewed_at=clock.now)
    CookieRows(database, CIPHER).keep(ONE.account_key, renewed)
    assert leader.look() == [f"Over: The cookies of account {ONE.name} grow old"]


def test_no_account_left_is_told_at_once_when_none_recovers_soon(leader: Leader) -> None:
    leader.pool.failed(ONE, "text", REFUSED)
    leader.pool.failed(TWO, "text", REFUSED)

    assert "No account is left that can answer" in leader.look()

    leader.pool.accepted(TWO)
    assert "Over: No account is left that can answer" in leader.look()


def test_a_short_overload_of_all_accounts_is_no_news_and_a_long_one_is(leader: Leader) -> None:
    busy = UpstreamOverloaded("busy", retry_after=10 * LASTS_S)
    for account in (ONE, TWO):
        leader.pool.failed(account, "text", busy)

    assert leader.look() == []
    assert leader.look(LASTS_S) == [NONE_LEFT]


def test_accounts_that_can_only_make_pictures_are_none_that_can_answer(leader: Leader) -> None:
    for account in (ONE, TWO):
        leader.pool.failed(account, "text", QuotaExhausted("empty", retry_after=HOUR_S))

    assert NONE_LEFT in leader.look()
    leader.pool.clear_cooldown(TWO.id)
    assert f"Over: {NONE_LEFT}" in leader.look()


def test_an_account_that_a_request_is_probing_may_answer(database: Database, clock: Clock) -> None:
    leader = Leader(database, clock, ONE)
    leader.pool.failed(ONE, "text", QuotaExhausted("empty", retry_after=SILENCE_S))
    assert NONE_LEFT in leader.look()
    assert leader.look(SILENCE_S) == [f"Over: {NONE_LEFT}"]

    with leader.pool.lease():
        assert leader.look() == []


def test_accounts_that_can_make_no_pictures_are_left_for_text(leader: Leader) -> None:
    for account in (ONE, TWO):
        for quota in ("images", "videos"):
            leader.pool.failed(account, quota, QuotaExhausted("empty", retry_after=HOUR_S))

    assert NONE_LEFT not in leader.look()


@pytest.mark.parametrize("used_up", ["images", "text:best"])
def test_another_quota_does_not_make_an_overload_of_all_lasting(
    leader: Leader, used_up: str
) -> None:
    for account in (ONE, TWO):
        leader.pool.failed(account, used_up, QuotaExhausted("empty", retry_after=HOUR_S))
        leader.pool.failed(account, "text", UpstreamOverloaded("busy", retry_after=30.0))

    assert NONE_LEFT not in leader.look()


def test_a_gateway_without_accounts_has_nothing_to_tell(leader: Leader) -> None:
    leader.pool.replace([])

    assert [leader.look(), leader.look(LASTS_S)] == [[], []]


def test_redis_away_is_told_when_it_lasts_and_that_it_is_back(leader: Leader) -> None:
    leader.redis_is_up = False
    assert leader.look() == []
    assert leader.look(LASTS_S) == ["Redis is away"]

    leader.redis_is_up = True
    assert leader.look() == ["Over: Redis is away"]


def test_a_new_leader_does_not_take_for_over_what_it_has_not_watched_long_enough(
    database: Database, clock: Clock, leader: Leader
) -> None:
    leader.redis_is_up = False
    leader.look()
    leader.look(LASTS_S)

    successor = Leader(database, clock)
    successor.redis_is_up = False
    assert [successor.look(), successor.look(LASTS_S)] == [[], []]

    successor.redis_is_up = True
    assert successor.look() == ["Over: Redis is away"]


def test_that_all_accounts_were_disabled_by_hand_is_no_end_of_having_none(leader: Leader) -> None:
    for account in (ONE, TWO):
        leader.pool.failed(account, "text", REFUSED)
    assert "No account is left that can answer" in leader.look()

    leader.pool.replace([ONE, TWO], disabled=[ONE.id, TWO.id])

    assert leader.look() == []


def test_what_a_killed_leader_was_sending_is_sent_by_the_next(
    database: Database, clock: Clock, leader: Leader
) -> None:
    leader.is_killed = True
    for each in (leader, successor := Leader(database, clock)):
        each.pool.failed(ONE, "text", REFUSED)
    leader.look()

    assert [successor.look(), successor.look(LOST_S), successor.look(LOST_S)] == [
        [],
        [refused(ONE)],
        [],
    ]
    leader.pool.accepted(ONE)
    successor.pool.accepted(ONE)
    leader.look()
    assert successor.look(LOST_S) == [f"Over: {refused(ONE)}"]
    assert successor.look(LOST_S) == []


def test_the_end_of_an_outage_that_a_killed_worker_was_sending_is_sent_by_the_leader(
    database: Database, clock: Clock, leader: Leader
) -> None:
    rows = AlertRows(database, clock)
    assert rows.open(DATABASE, 0)
    rows.told(DATABASE, is_open=True, is_taken=True)
    assert rows.close(DATABASE)

    said = [leader.look(), leader.look(LOST_S), leader.look(LOST_S)]

    assert said == [[], ["Over: The database is away"], []]


def test_what_still_waits_for_a_webhook_is_not_sent_twice(leader: Leader) -> None:
    leader.is_killed = True  # no: it takes long
    leader.pool.failed(ONE, "text", REFUSED)
    leader.look()
    leader.is_killed = False

    assert leader.look(LOST_S) == []


def test_gateways_with_other_accounts_each_tell_that_none_is_left(
    database: Database, clock: Clock
) -> None:
    one, other, alike = (Leader(database, clock, *each) for each in ((ONE,), (TWO,), (ONE,)))
    for each in (one, alike):
        each.pool.failed(ONE, "text", REFUSED)
    assert NONE_LEFT in one.look()
    assert [other.look(), other.look(LEFT_S / 2), alike.look(), one.look()] == [[], [], [], []]

    other.pool.failed(TWO, "text", REFUSED)
    assert NONE_LEFT in other.look()
    one.pool.accepted(ONE)
    assert [f"Over: {NONE_LEFT}" in each.look() for each in (one, other)] == [True, False]


def test_a_gateway_with_another_redis_or_none_does_not_end_what_is_told_of_ours(
    database: Database, clock: Clock
) -> None:
    ours = Leader(database, clock, redis="redis://one/0")
    others = [Leader(database, clock, redis=url) for url in (None, "redis://two/0")]
    ours.redis_is_up = others[0].redis_is_up = False
    for each in (ours, *others):
        each.look()
    told = [each.look(LASTS_S) for each in (ours, *others)]
    for _ in range(12):  # it is watched all the time
        told += [each.look(LEFT_S / 6) for each in (ours, *others)]

    assert [each for each in told if each] == [["Redis is away"]]
    ours.redis_is_up = True
    assert ours.look() == ["Over: Redis is away"]


def test_a_password_is_no_part_of_what_names_a_redis() -> None:
    assert redis_key("redis://:one@host:1/0") == redis_key("rediss://user:two@host:1/0")
    assert redis_key("redis://host:1/0") != redis_key("redis://host:1/1")


def test_that_none_is_left_is_over_for_the_gateway_that_has_got_other_accounts(
    database: Database, clock: Clock
) -> None:
    before = Leader(database, clock, ONE, redis="redis://one/0")
    before.pool.failed(ONE, "text", REFUSED)
    before.redis_is_up = False
    before.look()
    assert "Redis is away" in before.look(LASTS_S)

    after = Leader(database, clock, TWO, redis=None)
    clock.now += LEFT_S  # also by an outage of the database: who watches it may come back
    said = [after.look(60.0) for _ in range(4)]
    assert said == [[], [], [f"Over: {NONE_LEFT}"], []]
    assert not [
        each
        for each in AlertRows(database, clock).read()
        if each.is_open and not each.key.account_key
    ]


def test_a_look_that_cannot_reach_the_database_is_made_again(
    database: Database, leader: Leader
) -> None:
    leader.pool.failed(ONE, "text", REFUSED)
    find = leader.times.read

    def away() -> object:
        raise StorageUnavailable("away")

    leader.times.read = away  # type: ignore[method-assign,assignment]
    assert leader.look() == []
    leader.times.read = find  # type: ignore[method-assign]

    assert leader.look() == [refused(ONE)]


def test_what_is_told_of_an_account_ends_when_it_gets_another_identity(
    leader: Leader, database: Database, clock: Clock
) -> None:
    leader.times.note(ONE)
    clock.now += 21 * HOUR_S
    leader.pool.failed(ONE, "text", REFUSED)
    leader.pool.failed(ONE, "images", QuotaExhausted("empty", retry_after=HOUR_S))
    began = leader.look()

    leader.pool.replace([RENEWED, TWO])

    assert len(began) == 3
    assert sorted(leader.look()) == sorted(f"Over: {title}" for title in began)
    assert not [each for each in AlertRows(database, clock).read() if each.is_open]


def test_an_account_that_is_refused_under_its_new_identity_too_is_not_told_to_be_good(
    leader: Leader,
) -> None:
    leader.pool.failed(ONE, "text", REFUSED)
    leader.look()

    leader.pool.replace([RENEWED, TWO])
    leader.pool.failed(RENEWED, "text", REFUSED)
    assert leader.look() == [refused(ONE)]

    leader.pool.accepted(RENEWED)
    assert [leader.look(), leader.look()] == [[f"Over: {refused(ONE)}"], []]


def test_an_account_of_the_settings_may_be_another_gateways_under_the_same_name(
    database: Database, clock: Clock
) -> None:
    theirs, ours = (
        Leader(database, clock, each, TWO, configured=(ONE.id,)) for each in (ONE, RENEWED)
    )
    theirs.pool.failed(ONE, "text", REFUSED)
    said = [theirs.look()]
    for _ in range(30):  # it is watched all the time
        said += [each.look(LEFT_S / 24) for each in (theirs, ours)]
    assert [each for each in said if each] == [[refused(ONE)]]

    after = [ours.look(LEFT_S / 11) for _ in range(12)]  # they are gone: it was renewed
    assert [each for each in after if each] == [[f"Over: {refused(ONE)}"]]


def test_an_account_that_was_taken_out_while_refused_is_told_anew_when_it_comes_back(
    database: Database, clock: Clock, leader: Leader
) -> None:
    leader.pool.failed(ONE, "text", REFUSED)
    leader.look()

    after = Leader(database, clock, TWO)
    assert [each for _ in range(12) if (each := after.look(LEFT_S / 10))] == []

    assert leader.look(SILENCE_S) == [refused(ONE)]


def test_what_another_leader_tells_while_we_look_is_not_over(
    database: Database, clock: Clock
) -> None:
    ours, theirs = Leader(database, clock), Leader(database, clock, ONE)
    ours.look()
    theirs.pool.failed(ONE, "text", REFUSED)
    ours.while_looking = lambda: theirs.look(0.0)
    assert ours.look() == []  # Redis lets it wait

    ours.while_looking = lambda: None
    ours.pool.failed(ONE, "text", REFUSED)  # it has learnt of that meanwhile
    assert [ours.look(), theirs.look()] == [[], []]


def test_what_is_told_before_our_pool_knows_of_it_is_not_over(
    database: Database, clock: Clock
) -> None:
    ours, theirs = Leader(database, clock), Leader(database, clock, ONE)
    theirs.pool.failed(ONE, "text", REFUSED)
    assert refused(ONE) in theirs.look()

    assert ours.look() == []
    ours.pool.failed(ONE, "text", REFUSED)
    assert [ours.look(), theirs.look()] == [[], []]


def test_the_end_of_what_was_lost_before_it_was_told_is_not_told(
    database: Database, clock: Clock, leader: Leader
) -> None:
    leader.is_killed = True
    leader.pool.failed(ONE, "text", REFUSED)
    leader.look()

    successor = Leader(database, clock)  # finds the account good
    said = [*successor.look(), *successor.look(), *successor.look(LOST_S), *successor.look(LOST_S)]

    assert said == []
    assert not [each for each in AlertRows(database, clock).read() if each.is_open]


def test_the_end_of_what_another_worker_still_sends_is_told_after_it(
    database: Database, clock: Clock, leader: Leader
) -> None:
    leader.is_killed = True  # no: it takes long
    leader.pool.failed(ONE, "text", REFUSED)
    leader.look()

    successor = Leader(database, clock)
    assert [successor.look(), successor.look()] == [[], []]
    began = AlertKey("account_refused", ONE.account_key)
    AlertRows(database, clock).told(began, is_open=True, is_taken=True)
    assert successor.look() == [f"Over: {refused(ONE)}"]
