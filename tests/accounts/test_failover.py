"""One request's way through the accounts: where it goes after each failure, and what its client
hears in the end.
"""

from __future__ import annotations

import gc
import weakref
from dataclasses import dataclass, field, replace

import pytest

from gbproxy.accounts.failover import Failover, Next
from gbproxy.accounts.model_fallbacks import RequestedModel
from gbproxy.accounts.model_support import ModelSupport
from gbproxy.accounts.pool import Pool
from gbproxy.domain.account import WIDGET, Account
from gbproxy.domain.catalogue import Catalogue
from gbproxy.domain.models import ALL_TOOLS, AccountCapabilities, Model
from gbproxy.errors import (
    AccountSuspected,
    ContextLengthExceeded,
    CredentialRefused,
    GatewayError,
    NoAccountAvailable,
    Overloaded,
    QuotaExhausted,
    RequestRefused,
    SessionDenied,
    SessionGone,
    TokenRefused,
    UpstreamBroken,
    UpstreamError,
    UpstreamOverloaded,
    UpstreamProtocolError,
    UpstreamTimeout,
    UpstreamUnclear,
)
from tests.support.clock import NOON, Clock
from tests.support.pools import MIDNIGHT, A, B, C, account, in_flight, pool

CATALOGUE = Catalogue()
PLAIN, RETIRED = CATALOGUE.get("gemini-auto"), CATALOGUE.get("gemini-3-pro-preview")
FALLBACK = CATALOGUE.get("gemini-3.1-pro-preview")
D = account("d")

BROKEN, CUT, SILENT = (
    UpstreamBroken("reset"),
    UpstreamProtocolError("cut off"),
    UpstreamTimeout("silent"),
)
BUSY, EMPTY, DEAD = (
    UpstreamOverloaded("busy", retry_after=8.0),
    QuotaExhausted("empty"),
    CredentialRefused("Renew it."),
)
UNCLEAR, MALFORMED = UpstreamUnclear("failed"), RequestRefused("malformed")


@dataclass
class Journey:
    """What a request did whose upstream fails in this way on each try, and then answers."""

    pool: Pool
    failures: list[GatewayError]
    attempts: Failover
    tried: list[str] = field(default_factory=list)
    error: GatewayError | None = None

    def run(self) -> Journey:
        try:
            while True:
                with self.attempts.lease() as mine:
                    if self._ask(mine):
                        return self
        except GatewayError as error:
            self.error = error
        return self

    def _ask(self, mine: Account) -> bool:
        while True:
            self.tried.append(mine.id)
            if not self.failures:
                self.pool.succeeded(mine, "text")
                return True
            if self.attempts.failed(self.failures.pop(0)) is Next.OTHER:
                return False

    @property
    def states(self) -> list[str]:
        return [view.state for view in self.pool.snapshot()]


def attempts(
    accounts: Pool, *, limit: int = 3, model: Model = PLAIN, pauses: list[float] | None = None
) -> Failover:
    pauses = [] if pauses is None else pauses
    requested = RequestedModel(CATALOGUE.chain(model), with_all_tools(accounts))
    return Failover(accounts, requested, limit=limit, pause=pauses.append)


def with_all_tools(accounts: Pool) -> ModelSupport:
    """What is known of accounts whose configuration leaves every tool on: no refusal is put down to
    one.
    """
    support = ModelSupport()
    for each in accounts.accounts():
        support.note_capabilities(each, AccountCapabilities(tools_on=frozenset(ALL_TOOLS)))
    return support


def journey(
    accounts: Pool, *failures: GatewayError, limit: int = 3, pauses: list[float] | None = None
) -> Journey:
    return Journey(
        accounts, [*map(fresh, failures)], attempts(accounts, limit=limit, pauses=pauses)
    ).run()


def fresh(error: GatewayError) -> GatewayError:
    """An error of its own for each test, as they are raised and changed."""
    if isinstance(error, UpstreamOverloaded):
        return UpstreamOverloaded(error.message, retry_after=error.named_s)
    if isinstance(error, QuotaExhausted):
        named = error.named_s, error.is_daily, error.media
        return QuotaExhausted(
            error.message, retry_after=named[0], is_daily=named[1], media=named[2]
        )
    return type(error)(error.message)


# Where it goes

ANSWERED: list[tuple[str, int, list[GatewayError], list[str], list[str]]] = [
    ("answered at once", 2, [], ["a"], ["ready", "ready"]),
    ("overload: the next account", 2, [BUSY], ["a", "b"], ["cooling", "ready"]),
    ("quota: the next account", 2, [EMPTY], ["a", "b"], ["cooling", "ready"]),
    ("refused: the next account", 2, [DEAD], ["a", "b"], ["refused", "ready"]),
    ("reset: the next account, nobody is blamed", 2, [BROKEN], ["a", "b"], ["ready", "ready"]),
    ("silence: the next account, nobody is blamed", 2, [SILENT], ["a", "b"], ["ready", "ready"]),
    ("unclear: the next account, nobody is blamed", 2, [UNCLEAR], ["a", "b"], ["ready", "ready"]),
    ("a refused token: the next account", 2, [TokenRefused("no")], ["a", "b"], ["ready", "ready"]),
    ("two different ones", 3, [EMPTY, BROKEN], ["a", "b", "c"], ["cooling", "ready", "ready"]),
    (
        "unclear, then something else",
        3,
        [UNCLEAR, BUSY],
        ["a", "b", "c"],
        ["ready", "cooling", "ready"],
    ),
    ("reset on all: the last one once more", 2, [BROKEN, CUT], ["a", "b", "b"], ["ready", "ready"]),
    (
        "reset, and the other is busy: the same once more",
        2,
        [BROKEN, BUSY],
        ["a", "b", "a"],
        ["ready", "cooling"],
    ),
    ("reset, alone: the same once more", 1, [BROKEN], ["a", "a"], ["ready"]),
    ("cut off, alone: the same once more", 1, [CUT], ["a", "a"], ["ready"]),
    ("a lost session: a fresh one", 2, [SessionGone("gone")], ["a", "a"], ["ready", "ready"]),
    (
        "lost twice: another account",
        2,
        [SessionGone("gone")] * 2,
        ["a", "a", "b"],
        ["ready", "ready"],
    ),
]


@pytest.mark.parametrize(
    ("count", "failures", "tried", "states"),
    [r[1:] for r in ANSWERED],
    ids=[r[0] for r in ANSWERED],
)
def test_a_failure_is_not_seen_when_another_try_succeeds(
    count: int, failures: list[GatewayError], tried: list[str], states: list[str]
) -> None:
    found = journey(pool(*[A, B, C][:count]), *failures)

    assert found.error is None
    assert (found.tried, found.states) == (tried, states)
    assert in_flight(found.pool) == 0


# What is heard

FAILED: list[tuple[str, int, list[GatewayError], list[str], type[GatewayError], float | None]] = [
    ("the request's own fault", 2, [MALFORMED], ["a"], RequestRefused, None),
    ("too long", 2, [ContextLengthExceeded("long")], ["a"], ContextLengthExceeded, None),
    ("overload everywhere", 2, [BUSY, BUSY], ["a", "b"], UpstreamOverloaded, 8),
    ("overload before quota", 2, [BUSY, EMPTY], ["a", "b"], UpstreamOverloaded, 8),
    ("quota before refusal", 2, [EMPTY, DEAD], ["a", "b"], QuotaExhausted, 60),
    ("refusal before the last", 2, [DEAD, SILENT], ["a", "b"], CredentialRefused, None),
    ("refused everywhere", 2, [DEAD, DEAD], ["a", "b"], CredentialRefused, None),
    ("else the last", 2, [SILENT, UNCLEAR], ["a", "b"], UpstreamUnclear, None),
    ("silence, alone", 1, [SILENT], ["a"], UpstreamTimeout, None),
    ("unclear, alone", 1, [UNCLEAR], ["a"], UpstreamUnclear, None),
    ("no known kind, alone", 1, [UpstreamError("hm")], ["a"], UpstreamError, None),
    ("overload, alone", 1, [BUSY], ["a"], UpstreamOverloaded, 8),
    ("reset all the time", 2, [BROKEN] * 3, ["a", "b", "b"], UpstreamBroken, None),
    ("reset all the time, alone", 1, [BROKEN] * 2, ["a", "a"], UpstreamBroken, None),
    ("unclear on two alike", 3, [UNCLEAR, UpstreamError("hm")], ["a", "b"], UpstreamUnclear, None),
    ("unclear on two, with another failure between", 3, [UNCLEAR, SILENT, UNCLEAR], ["a", "b", "c"], UpstreamUnclear, None),
    ("no more accounts than allowed", 4, [SILENT] * 4, ["a", "b", "c"], UpstreamTimeout, None),
    ("an account that is free tells when to come back", 4, [EMPTY] * 4, ["a", "b", "c"], QuotaExhausted, 1),
]  # fmt: skip


@pytest.mark.parametrize(
    ("count", "failures", "tried", "kind", "retry_after"),
    [r[1:] for r in FAILED],
    ids=[r[0] for r in FAILED],
)
def test_when_failing_over_runs_dry_the_client_hears_the_mildest_that_was_met(
    count: int,
    failures: list[GatewayError],
    tried: list[str],
    kind: type[GatewayError],
    retry_after: float | None,
) -> None:
    found = journey(pool(*[A, B, C, D][:count]), *failures)

    assert found.error is not None
    assert (found.tried, type(found.error), found.error.retry_after) == (tried, kind, retry_after)
    assert in_flight(found.pool) == 0


def test_the_hint_is_the_earliest_recovery_of_all_accounts() -> None:
    clock = Clock()
    accounts = pool(A, B, clock=clock)

    found = journey(
        accounts, QuotaExhausted("empty", is_daily=True), QuotaExhausted("empty", retry_after=90)
    )
    alone = journey(pool(A), QuotaExhausted("empty", is_daily=True))

    assert found.error is not None
    assert alone.error is not None
    assert (found.error.retry_after, alone.error.retry_after) == (90, MIDNIGHT - NOON)


def test_two_accounts_that_fail_alike_are_not_asked_again_nor_blamed() -> None:
    found = journey(pool(A, B, C), UNCLEAR, UNCLEAR)

    assert found.error is not None
    assert (found.error.status, found.error.code, found.error.should_retry) == (
        502,
        "upstream_error",
        False,
    )
    assert "two accounts" in found.error.message
    assert found.states == ["ready"] * 3


def test_one_account_that_fails_twice_in_an_unclear_way_is_one_account() -> None:
    accounts = pool(A, B)
    request = attempts(accounts)
    with request.lease():
        assert request.failed(SessionGone("gone")) is Next.SAME
        assert request.failed(SessionGone("gone")) is Next.OTHER

    with request.lease() as second:
        pass

    assert second == B


@pytest.mark.parametrize(
    ("limit", "tried"), [(1, ["a", "a"]), (2, ["a", "b", "b"]), (9, ["a", "b", "c", "d", "d"])]
)
def test_at_most_so_many_accounts_are_tried(limit: int, tried: list[str]) -> None:
    assert journey(pool(A, B, C, D), *[BROKEN] * 9, limit=limit).tried == tried


def test_without_any_try_the_pool_s_own_error_is_heard() -> None:
    accounts = pool(A, B)
    accounts.failed(A, "text", fresh(EMPTY))
    accounts.failed(B, "text", fresh(DEAD))

    assert [type(journey(given).error) for given in (accounts, pool())] == [
        QuotaExhausted,
        NoAccountAvailable,
    ]


def test_who_finds_all_others_busy_after_a_try_hears_what_that_met() -> None:
    accounts = pool(A, B, concurrency=1)

    with accounts.lease(required=B.account_key):
        found = journey(accounts, SILENT)

    assert isinstance(found.error, UpstreamTimeout)


def test_who_never_gets_a_slot_hears_that() -> None:
    accounts = pool(A, concurrency=1)

    with accounts.lease():
        found = journey(accounts)

    assert isinstance(found.error, Overloaded)


def test_the_same_account_is_asked_again_after_a_short_pause_that_varies() -> None:
    pauses: list[float] = []

    for _ in range(50):
        journey(pool(A), BROKEN, pauses=pauses)
        journey(pool(A, B), BROKEN, pauses=[])

    assert len(pauses) == 50
    assert all(0.1 <= pause <= 0.4 for pause in pauses)
    assert len(set(pauses)) > 25


def test_another_account_is_asked_without_a_pause() -> None:
    pauses: list[float] = []

    journey(pool(A, B), BROKEN, pauses=pauses)

    assert pauses == []


# After content, and without history


@pytest.mark.parametrize(
    "error", [BROKEN, BUSY, EMPTY, DEAD, UNCLEAR, SessionGone("gone"), MALFORMED], ids=repr
)
def test_after_content_nothing_is_tried_but_the_pool_learns(error: GatewayError) -> None:
    accounts = pool(A, B)
    request = attempts(accounts, model=RETIRED)

    with request.lease(), pytest.raises(GatewayError) as caught:
        request.failed(error, output_started=True)

    assert caught.value is error
    learnt = {
        UpstreamOverloaded: "cooling",
        QuotaExhausted: "cooling",
        CredentialRefused: "refused",
    }
    assert accounts.snapshot()[0].state == learnt.get(type(error), "ready")


@pytest.mark.parametrize(
    "error", [BROKEN, BUSY, EMPTY, UNCLEAR, SessionGone("gone"), SessionDenied("no")], ids=repr
)
def test_without_its_history_a_request_goes_nowhere_else(error: GatewayError) -> None:
    accounts = pool(A, B)
    request = attempts(accounts)

    with request.lease(required=A.account_key), pytest.raises(GatewayError) as caught:
        request.failed(error, reused_session=True, can_restart=False)

    assert caught.value is error
    # a denial is about the session
    learnt = {UpstreamOverloaded: "cooling", QuotaExhausted: "cooling"}
    assert accounts.snapshot()[0].state == learnt.get(type(error), "ready")


def test_a_required_account_that_cannot_answer_gives_its_own_error() -> None:
    accounts = pool(A, B)
    accounts.failed(A, "text", fresh(EMPTY))

    with pytest.raises(QuotaExhausted), attempts(accounts).lease(required=A.account_key):
        pass


def test_a_preferred_account_that_cannot_answer_is_replaced_by_another() -> None:
    accounts = pool(A, B)
    accounts.failed(B, "text", fresh(EMPTY))

    with attempts(accounts).lease(preferred=B.account_key) as mine:
        assert mine == A


# The meanings of 403


def test_a_denial_in_a_continued_session_is_about_the_session_first() -> None:
    accounts = pool(A, B)
    request = attempts(accounts)

    with request.lease():
        step = request.failed(SessionDenied("no"), reused_session=True)
        state = accounts.snapshot()[0].state
        step_then = request.failed(SessionDenied("no"))

    assert (step, state) == (Next.SAME, "ready")
    assert (step_then, accounts.snapshot()[0].state) == (Next.OTHER, "ready")


# Suspicions

DENIED, TOKEN = SessionDenied("denied"), AccountSuspected("refused")


def suspecting(accounts: Pool) -> tuple[Failover, list[str]]:
    request, suspected = attempts(accounts), []
    request.suspect = lambda mine: suspected.append(mine.id)
    return request, suspected


@pytest.mark.parametrize("error", [DENIED, TOKEN], ids=["403", "401"])
def test_what_one_question_says_of_an_account_has_it_looked_at_and_costs_it_nothing(
    error: GatewayError,
) -> None:
    accounts = pool(A, B)
    request, suspected = suspecting(accounts)

    found = Journey(accounts, [fresh(error)], request).run()

    assert found.error is None
    assert (found.tried, found.states, suspected) == (["a", "b"], ["ready", "ready"], ["a"])


def test_a_second_account_that_says_the_same_puts_it_down_to_the_request() -> None:
    accounts = pool(A, B, C)
    request, suspected = suspecting(accounts)

    found = Journey(accounts, [fresh(DENIED), fresh(TOKEN)], request).run()

    assert isinstance(found.error, UpstreamUnclear)
    assert "put down to the request" in found.error.message
    assert (found.tried, found.states) == (["a", "b"], ["ready"] * 3)
    assert suspected == ["a", "b"]


@pytest.mark.parametrize(("first", "second"), [(DENIED, UNCLEAR), (UNCLEAR, DENIED)])
def test_a_suspicion_and_a_failure_without_a_word_are_not_the_same(
    first: GatewayError, second: GatewayError
) -> None:
    found = journey(pool(A, B, C), first, second)

    assert found.error is None
    assert (found.tried, found.states) == (["a", "b", "c"], ["ready"] * 3)


def test_with_one_account_the_suspicion_is_what_is_heard() -> None:
    found = journey(pool(A), DENIED)

    assert isinstance(found.error, SessionDenied)
    assert (found.tried, found.states) == (["a"], ["ready"])


def test_what_the_sign_in_says_counts_as_ever() -> None:
    accounts = pool(A, B)
    request, suspected = suspecting(accounts)

    found = Journey(accounts, [fresh(DEAD)], request).run()

    assert (found.states, suspected) == (["refused", "ready"], [])


def test_a_denial_in_a_second_session_is_a_suspicion_also_if_that_was_made_ahead() -> None:
    request, suspected = suspecting(pool(A, B))

    with request.lease():
        steps = [request.failed(fresh(DENIED), reused_session=True) for _ in range(2)]

    assert (steps, suspected) == ([Next.SAME, Next.OTHER], ["a"])


def test_a_denial_in_a_session_that_cannot_be_begun_anew_is_about_that_session() -> None:
    request, suspected = suspecting(pool(A))

    with request.lease(), pytest.raises(SessionDenied):
        request.failed(fresh(DENIED), reused_session=True, can_restart=False)

    assert suspected == []


# The quota of a tool

PICTURES = QuotaExhausted("no pictures left", is_daily=True, media=("images",))
WITHOUT_PICTURES = ("webGroundingSpec", "toolRegistry", "videoGenerationSpec")


def test_a_question_that_meets_the_quota_of_pictures_goes_to_an_account_that_has_some_left() -> (
    None
):
    found = journey(pool(A, B), PICTURES)

    assert found.error is None
    assert (found.tried, found.attempts.model.tools) == (["a", "b"], PLAIN.tools)
    states = [view.states for view in found.pool.snapshot()]
    assert states[0] == {"text": "ready", "images": "cooling", "videos": "ready"}
    assert set(states[1].values()) == {"ready"}


@pytest.mark.parametrize(("count", "tried"), [(1, ["a", "a"]), (2, ["a", "b", "b"])])
def test_where_no_account_has_pictures_left_it_does_without_the_tool(
    count: int, tried: list[str]
) -> None:
    found = journey(pool(*[A, B][:count]), *[PICTURES] * count)

    assert found.error is None
    assert (found.tried, found.attempts.model.tools) == (tried, WITHOUT_PICTURES)
    assert found.attempts.model.id == PLAIN.id


def test_while_pictures_rest_text_is_asked_without_the_tool_from_the_start() -> None:
    accounts = pool(A)
    accounts.failed(A, "text", fresh(PICTURES))

    found = journey(accounts)

    assert (found.error, found.tried, found.attempts.model.tools) == (None, ["a"], WITHOUT_PICTURES)


def test_who_says_so_without_the_tool_too_is_not_asked_again_and_no_quota_of_text_is_blamed() -> (
    None
):
    both = QuotaExhausted("no pictures left", is_daily=True, media=("images",))

    found = journey(pool(A), PICTURES, both, UNCLEAR)
    mixed = journey(pool(A, B), PICTURES, SILENT)

    assert isinstance(found.error, QuotaExhausted)
    assert (found.tried, found.error.message) == (["a", "a"], "no pictures left")
    assert found.error.retry_after == MIDNIGHT - NOON
    assert found.pool.is_ready("a", "text")
    assert isinstance(mixed.error, UpstreamTimeout)


def test_a_request_for_pictures_that_meets_their_quota_goes_on_as_with_any_quota() -> None:
    drawing = replace(PLAIN, quota="images", tools=("imageGenerationSpec",))
    accounts = pool(A, B)

    found = Journey(
        accounts, [fresh(PICTURES), fresh(PICTURES)], attempts(accounts, model=drawing)
    ).run()

    assert isinstance(found.error, QuotaExhausted)
    assert (found.tried, found.error.retry_after) == (["a", "b"], MIDNIGHT - NOON)


# Retired models


def test_a_model_that_is_refused_is_replaced_by_its_fallback_on_the_same_account() -> None:
    request = attempts(pool(A, B), model=RETIRED)

    with request.lease():
        step = request.failed(fresh(MALFORMED))

    assert (step, request.model) == (Next.SAME, FALLBACK)


def test_a_lost_session_is_made_good_before_the_model_is_suspected() -> None:
    request = attempts(pool(A), model=RETIRED)

    with request.lease():
        steps = [(request.failed(SessionGone("gone")), request.model) for _ in range(2)]

    assert steps == [(Next.SAME, RETIRED), (Next.SAME, FALLBACK)]


def test_when_all_that_stands_in_for_it_is_refused_too_the_first_refusal_is_heard() -> None:
    request = attempts(pool(A, B), model=RETIRED)
    first = RequestRefused("the first")
    asked = []

    with request.lease():
        asked.append(request.model)
        for error in (first, RequestRefused("the second")):
            request.failed(error)
            asked.append(request.model)
        with pytest.raises(RequestRefused) as caught:
            request.failed(RequestRefused("the third"))

    assert asked == [RETIRED, FALLBACK, PLAIN]
    assert caught.value is first


def test_each_remedy_is_tried_once() -> None:
    """A lost session, a broken connection, retired models: all of these may be met by one request,
    none twice.
    """
    request = attempts(pool(A), model=RETIRED)
    met = (SessionGone("gone"), fresh(BROKEN), fresh(MALFORMED), fresh(MALFORMED))

    with request.lease():
        steps = [request.failed(error) for error in met]
        with pytest.raises(RequestRefused):
            request.failed(fresh(MALFORMED))

    assert steps == [Next.SAME] * 4


def test_the_next_account_is_asked_for_its_own_model_first() -> None:
    support = ModelSupport()
    support.model_refused(B, RETIRED.name_at(WIDGET), is_named=True)
    request = Failover(
        pool(A, B), RequestedModel(CATALOGUE.chain(RETIRED), support), pause=lambda _: None
    )

    asked = []
    with request.lease():
        asked.append(request.model)
        request.failed(fresh(BUSY))
    with request.lease():
        asked.append(request.model)

    assert asked == [RETIRED, FALLBACK]


def test_what_failed_is_not_kept_alive_by_what_is_remembered_of_it() -> None:
    class Connection:
        pass

    def attempt() -> weakref.ref[Connection]:
        connection = Connection()
        known = weakref.ref(connection)
        try:
            try:
                raise OSError(connection)
            except OSError as error:
                raise UpstreamBroken("reset") from error
        except UpstreamBroken as error:
            request.failed(error)
        return known

    request = attempts(pool(A, B))
    gc.disable()
    try:
        with request.lease():
            known = attempt()

        assert known() is None
    finally:
        gc.enable()


def test_a_thousand_poisoned_requests_then_a_good_one() -> None:
    accounts = pool(A, B, C)
    poison: list[GatewayError] = [
        MALFORMED,
        UNCLEAR,
        UpstreamError("418"),
        BROKEN,
        SILENT,
        SessionGone("gone"),
    ]

    for number in range(1000):
        journey(accounts, *[poison[number % len(poison)]] * 9)
    good = journey(accounts)

    assert (good.tried, good.states) == (["a"], ["ready"] * 3)


def test_an_outage_of_the_whole_upstream_blames_nobody_and_is_over_when_it_is_over() -> None:
    accounts = pool(A, B, C)

    during = [journey(accounts, *[BROKEN] * 9) for _ in range(20)]
    after = journey(accounts)

    assert {type(found.error) for found in during} == {UpstreamBroken}
    assert (after.error, after.tried) == (None, ["a"])


def test_an_outage_by_overload_is_over_within_seconds() -> None:
    clock = Clock()
    accounts = pool(A, B, C, clock=clock)

    during = [journey(accounts, *[UpstreamOverloaded("busy")] * 9) for _ in range(20)]
    hints = [found.error.retry_after for found in during if found.error is not None]
    clock.now += max(hint for hint in hints if hint is not None)
    after = journey(accounts)

    assert len(hints) == 20
    assert all(hint is not None and 1 <= hint <= 15 for hint in hints)
    assert after.error is None
