"""Three gateways of two workers each on one PostgreSQL and one Redis behind nginx, under a load of
all surfaces, while each is restarted, one is killed, and both stores begin anew.
"""

from __future__ import annotations

import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import pytest

from gbproxy.simulator import Session
from tests.conftest import MEASURED
from tests.support.chats import STREAM, one_at_a_time, text_of
from tests.support.cluster import Cluster, cluster
from tests.support.databases import PostgreSQL
from tests.support.mixed_load import WORD_S, Limited, Load, Program, Request, Token, echo, tokens
from tests.support.nginx import needs_nginx
from tests.support.polling import until
from tests.support.serving import KEY, SharedUpstream

PROGRAMS = 14
RATE = 25  # an hour
SLOTS = 3
SLOT_WORDS = 30
RATE_PROGRAM, SLOT_PROGRAMS = 900, range(901, 907)
DAY_S = 86_400.0
# as the surfaces call it that only the database can answer
NEEDS_DATABASE = {"storage_unavailable", "UNAVAILABLE", "overloaded_error", "api_error"}
# A conversation whose last turn could not be written is in use until it is deleted, then unknown.
LOST = {409, 404}
OPENING_S = 2.0  # a session takes no longer to be opened and recorded
BACK_S = 5.0  # within which all workers have found a store that is back

Record = Callable[[str, object], None]
pytestmark = [
    pytest.mark.slow,
    needs_nginx,
    pytest.mark.skipif(sys.platform != "linux", reason="workers are told apart by /proc"),
]


@dataclass
class Event:
    """Something that was done to the gateways; monotonic seconds."""

    name: str
    began_at: float
    ended_at: float = 0.0

    def touches(self, request: Request, more_s: float = 0.0) -> bool:
        return request.begun_at <= self.ended_at + more_s and request.ended_at >= self.began_at

    @property
    def took_s(self) -> float:
        return self.ended_at - self.began_at


@dataclass
class Run:
    """The load and all that was done meanwhile."""

    cluster: Cluster
    load: Load
    events: list[Event] = field(default_factory=list)
    killed_address: str = ""
    killed_at: float = 0.0  # Unix seconds

    @contextmanager
    def event(self, name: str) -> Iterator[None]:
        """What happens meanwhile, until answers come as before."""
        event = Event(name, time.monotonic())
        yield
        self.load.wait_for_more(30)
        event.ended_at = time.monotonic()
        self.events.append(event)

    def named(self, name: str) -> Event:
        return next(each for each in self.events if each.name == name)


def everything_happens(run: Run) -> None:
    machines = run.cluster.machines
    run.load.wait_for_more(60)
    for number, machine in enumerate(machines, 1):
        with run.event(f"restart of gateway {number}"):
            assert machine.stop() == 0
            machine.start()
            run.cluster.wait_until_asked(machine)
    with run.event("rolling update of one"):
        assert run.cluster.replace(machines[0]) == 0
    with run.event("kill"):
        run.killed_address = ":".join(map(str, machines[1].address))
        run.killed_at = time.time()
        machines[1].kill()
    with run.event("start of the killed"):
        machines[1].start()
        run.cluster.wait_until_asked(machines[1])
    with run.event("PostgreSQL"):
        run.cluster.database.stop()
        run.load.wait_for_more(10)
        run.cluster.database.start()
    with run.event("Redis"):
        run.cluster.redis.stop()
        run.load.wait_for_more(10)
        run.cluster.redis.start()
    until(lambda: any(is_refused(each) for each in asked_after(run)), 60)


def test_nothing_is_lost_or_crossed_while_gateways_and_stores_come_and_go(
    server: PostgreSQL, tmp_path: Path, record_property: Record
) -> None:
    with (
        SharedUpstream() as upstream,
        one_at_a_time(upstream),
        cluster(tmp_path, upstream, server, 3) as made,
    ):
        upstream.model = echo
        upstream.set(word_delay_s=WORD_S)
        load = Load(made.front.port, made.front.trust)
        run = Run(made, load)
        rated, slotted = (
            made.new_key(rate_limit=f"{RATE}/hour"),
            made.new_key(concurrent_streams=SLOTS),
        )
        load.start(
            *(Program(number, load.door, KEY) for number in range(PROGRAMS)),
            Limited(RATE_PROGRAM, load.door, rated, words=4, stream=False),
            *(
                Limited(number, load.door, slotted, words=SLOT_WORDS, stream=True)
                for number in SLOT_PROGRAMS
            ),
        )
        try:
            everything_happens(run)
        finally:
            requests = load.stop()
        tell(run, requests, record_property)

        every_answer_is_its_own(requests)
        errors_have_their_reasons(run, requests)
        nobody_was_asked_twice_or_among_others(list(upstream.sessions.values()))
        conversations_went_on(run, requests)
        the_rate_held(run, requests)
        the_slots_held(run)
        everything_is_cleaned_up(run, record_property)
    assert made.events("request.crashed") == []


def every_answer_is_its_own(requests: Sequence[Request]) -> None:
    assert [each for each in requests if not each.is_true] == []
    assert {each.surface for each in requests if each.outcome == "whole" and each.streamed} == {
        each.surface for each in requests if each.outcome == "whole" and not each.streamed
    }


def errors_have_their_reasons(run: Run, requests: Sequence[Request]) -> None:
    """A refusal by a limit; a question to the gateway that was killed; one that only the database
    could have answered.
    """
    asked_of = run.cluster.served_by()
    killed, away = run.named("kill"), run.named("PostgreSQL")
    unexplained, cut = [], 0
    for each in requests:
        is_limit = each.status == 429 and each.token.program >= RATE_PROGRAM
        at_the_killed = killed.touches(each) and run.killed_address in asked_of.get(each.id, ())
        needs_database = each.by_id and (each.said in NEEDS_DATABASE or each.status in LOST)
        without_database = away.touches(each, BACK_S) and needs_database
        cut += at_the_killed and each.outcome != "whole"
        if each.outcome != "whole" and not (is_limit or at_the_killed or without_database):
            unexplained.append((each, asked_of.get(each.id)))
    told = run.cluster.events("database.unavailable") if unexplained else []
    assert unexplained == [], "\n".join(map(str, [*unexplained, *told]))
    assert cut > 0  # the kill met answers


def nobody_was_asked_twice_or_among_others(sessions: Sequence[Session]) -> None:
    """Each question came once, and each session holds one conversation."""
    asked: Counter[Token] = Counter()
    for session in sessions:
        of_session = [tokens(query) for query in session.queries]
        asked.update(found[-1] for found in of_session)
        assert len({(t.program, t.conversation) for found in of_session for t in found}) <= 1
    assert {token: count for token, count in asked.items() if count > 1} == {}


def conversations_went_on(run: Run, requests: Sequence[Request]) -> None:
    """Each turn is in the session of the one before, by its words alone, but where the database was
    away for either.
    """
    session_of = {
        tokens(query)[-1]: (session.id, query)
        for session in run.cluster.upstream.sessions.values()
        for query in session.queries
    }
    talks: dict[tuple[int, int], list[Request]] = defaultdict(list)
    for each in requests:
        if each.outcome == "whole":
            talks[each.token.program, each.token.conversation].append(each)
    away = run.named("PostgreSQL")
    begun_anew, continued = [], 0
    for talk in talks.values():
        talk.sort(key=lambda each: each.token.turn)
        for before, now in pairwise(talk):
            session, query = session_of[now.token]
            if session == session_of[before.token][0] and query == now.token.question:
                continued += 1
            elif not any(away.touches(each, BACK_S) for each in (before, now)):
                begun_anew.append((before, now, query))
    assert begun_anew == []
    assert continued > 50


def the_rate_held(run: Run, requests: Sequence[Request]) -> None:
    """Until Redis forgot all, exactly so many were let in; and so many after it."""
    redis = run.named("Redis")
    of_key = [each for each in requests if each.token.program == RATE_PROGRAM]
    before = [each for each in of_key if each.ended_at < redis.began_at]
    assert sum(each.outcome == "whole" for each in before) == RATE
    assert any(map(is_refused, before))
    assert 0 < sum(each.outcome == "whole" for each in asked_after(run)) <= RATE


def asked_after(run: Run) -> list[Request]:
    """With the key that has a rate, once Redis was back."""
    redis = run.named("Redis")
    of_key = [each for each in run.load.requests if each.token.program == RATE_PROGRAM]
    return [each for each in of_key if each.begun_at > redis.ended_at + BACK_S]


def is_refused(request: Request) -> bool:
    return request.status == 429


def the_slots_held(run: Run) -> None:
    """Never were more answers under way for the key than it may have, and often as many."""
    redis = run.named("Redis")
    begun = [
        call.time
        for call in run.cluster.upstream.calls(STREAM)
        if call.csesidx is not None and tokens(text_of(call))[-1].program in SLOT_PROGRAMS
    ]
    least_s = SLOT_WORDS * WORD_S
    at_once = [
        sum(at - least_s < other <= at for other in begun)
        for at in begun
        if not redis.began_at <= at <= redis.ended_at + BACK_S
    ]
    assert max(at_once) == SLOTS


def everything_is_cleaned_up(run: Run, record_property: Record) -> None:
    """Once every conversation has expired; prewarmed sessions when the gateways end."""
    made = run.cluster
    made.expire_sessions(DAY_S)
    took_s = until(lambda: not made.used_and_alive(), 90, message=made.used_and_alive)
    for machine in made.machines:
        assert machine.stop() == 0
    left = made.alive()
    record_property(
        MEASURED,
        f"many machines: all used sessions deleted {took_s:.1f} s after they expired; left that was"
        f" being opened at the kill: {len(left)}",
    )
    # The upstream had opened it, and its gateway had no time to say so in the database.
    assert [s for s in left if s.asked or abs(s.created_at - run.killed_at) > OPENING_S] == []
    assert made.events("session.left") == []


def tell(run: Run, requests: Sequence[Request], record_property: Record) -> None:
    whole = [each for each in requests if each.outcome == "whole"]
    kinds = Counter(f"{each.surface}{' streamed' if each.streamed else ''}" for each in whole)
    record_property(
        MEASURED,
        f"many machines: {len(requests)} requests, {len(whole)} answered:"
        f" {', '.join(f'{kind} {count}' for kind, count in sorted(kinds.items()))}",
    )
    for event in run.events:
        touched = [each for each in requests if event.touches(each) and each.status != 429]
        waits = [
            each.first_at - each.begun_at for each in touched if each.streamed and each.first_at
        ]
        ended = [each for each in touched if each.ended_at <= event.ended_at]
        errors = Counter(each.said for each in ended if each.outcome != "whole")
        told = ", ".join(f"{said} {count}" for said, count in errors.items()) or "no error"
        record_property(
            MEASURED,
            f"many machines, {event.name} ({event.took_s:.1f} s): {len(touched)} requests, {told};"
            f" first bytes after {max(waits, default=0):.2f} s at most",
        )
