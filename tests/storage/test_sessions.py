"""Upstream sessions: each history is claimed once, by the one that has it; one that has lost a session
changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from gbproxy.domain.session import Claimed, NoClaim, Session
from gbproxy.storage.database import Database
from gbproxy.storage.sessions import SessionRows
from tests.support.background import prewarmed
from tests.support.clock import Clock

HEAD, NEXT_HEAD, OTHER_HEAD = b"\x01" * 32, b"\x02" * 32, b"\x03" * 32
ALICE, BOB = b"\xaa" * 32, b"\xbb" * 32
LIFE_S = 1800.0

Keep = Callable[..., Session]


@pytest.fixture
def rows(database: Database, clock: Clock) -> SessionRows:
    return SessionRows(database, clock, lambda: "worker-1")


@pytest.fixture
def others(database: Database, clock: Clock) -> SessionRows:
    """The same rows as another worker sees them."""
    return SessionRows(database, clock, lambda: "worker-2")


def kept(
    rows: SessionRows,
    clock: Clock,
    head: bytes = HEAD,
    name: str = "sessions/1",
    key_digest: bytes = ALICE,
) -> Session:
    """A session that was made, used and given back."""
    session = rows.add("anna", name, prewarmed=False)
    assert commit(rows, clock, session, head, key_digest)
    return session


def commit(
    rows: SessionRows,
    clock: Clock,
    session: Session,
    head: bytes = NEXT_HEAD,
    key_digest: bytes = ALICE,
) -> bool:
    until = clock() + LIFE_S
    return rows.commit(
        session,
        history_digest=head,
        key_digest=key_digest,
        conversation=session.conversation,
        expires_at=until,
    )


# Files


def test_the_files_of_a_session_are_kept_with_it_and_known_to_who_claims_it(
    rows: SessionRows, others: SessionRows, clock: Clock
) -> None:
    fresh = rows.add("anna", "sessions/1", prewarmed=False)
    assert commit(rows, clock, replace(fresh, files='{"d1":["f1","fox.png"]}'), HEAD)

    claimed = others.claim_history(HEAD)
    assert claimed is not None
    assert claimed.files == '{"d1":["f1","fox.png"]}'
    others.release(claimed)
    named = rows.claim_conversation(fresh.conversation, ALICE)

    assert isinstance(named, Claimed)
    assert named.session == claimed
    assert commit(rows, clock, replace(claimed, files="{}"))
    again = rows.claim_history(NEXT_HEAD)
    assert again is not None
    assert again.files == "{}"


def test_a_session_without_files_has_none(rows: SessionRows, clock: Clock) -> None:
    kept(rows, clock)

    claimed = rows.claim_history(HEAD)

    assert claimed is not None
    assert claimed.files == ""


# Claims


def test_a_kept_session_is_claimed_by_its_history_from_any_worker(
    rows: SessionRows, others: SessionRows, clock: Clock
) -> None:
    session = kept(rows, clock)

    claimed = others.claim_history(HEAD)

    assert claimed == session


def test_a_session_is_claimed_once(rows: SessionRows, others: SessionRows, clock: Clock) -> None:
    kept(rows, clock)
    rows.claim_history(HEAD)

    assert rows.claim_history(HEAD) is None
    assert others.claim_history(HEAD) is None


def test_a_history_is_taken_while_a_request_runs_in_its_session(
    rows: SessionRows, others: SessionRows, clock: Clock
) -> None:
    session = kept(rows, clock)
    before = others.is_taken(HEAD)
    rows.claim_history(HEAD)
    during = others.is_taken(HEAD)
    commit(rows, clock, session)

    assert (before, during, others.is_taken(HEAD), others.is_taken(NEXT_HEAD)) == (
        False,
        True,
        False,
        False,
    )


def test_sessions_with_the_same_history_go_to_different_requests_the_latest_first(
    rows: SessionRows, clock: Clock
) -> None:
    older = kept(rows, clock, name="sessions/1")
    clock.now += 1
    newer = kept(rows, clock, name="sessions/2")

    assert [rows.claim_history(HEAD), rows.claim_history(HEAD), rows.claim_history(HEAD)] == [
        newer,
        older,
        None,
    ]


def test_a_history_moves_on_with_each_turn(rows: SessionRows, clock: Clock) -> None:
    session = kept(rows, clock)
    rows.claim_history(HEAD)

    assert commit(rows, clock, session, NEXT_HEAD)

    assert rows.claim_history(HEAD) is None
    assert rows.claim_history(NEXT_HEAD) == session


def test_an_expired_session_is_not_claimed(rows: SessionRows, clock: Clock) -> None:
    session = kept(rows, clock)

    clock.now += LIFE_S

    assert rows.claim_history(HEAD) is None
    assert rows.claim_conversation(session.conversation, ALICE) is NoClaim.UNKNOWN


def test_a_history_may_be_asked_for_in_one_conversation(rows: SessionRows, clock: Clock) -> None:
    one = kept(rows, clock, name="sessions/1")
    clock.now += 1
    kept(rows, clock, name="sessions/2")

    assert rows.claim_history(HEAD, "f" * 32) is None
    assert rows.claim_history(HEAD, one.conversation) == one


def test_a_conversation_is_claimed_by_its_own_caller_only(rows: SessionRows, clock: Clock) -> None:
    session = kept(rows, clock)

    assert rows.claim_conversation(session.conversation, BOB) is NoClaim.UNKNOWN
    assert rows.claim_conversation("0" * 32, ALICE) is NoClaim.UNKNOWN
    assert rows.claim_conversation(session.conversation, ALICE) == Claimed(session, HEAD)


def test_a_conversation_with_a_running_request_is_busy_for_its_caller_and_unknown_to_others(
    rows: SessionRows, others: SessionRows, clock: Clock
) -> None:
    session = kept(rows, clock)
    rows.claim_history(HEAD)

    assert others.claim_conversation(session.conversation, ALICE) is NoClaim.BUSY
    assert others.claim_conversation(session.conversation, BOB) is NoClaim.UNKNOWN


def test_of_several_sessions_that_of_an_account_that_can_answer_is_claimed(
    rows: SessionRows, clock: Clock
) -> None:
    ready = kept(rows, clock)
    clock.now += 1
    avoided = rows.add("ben", "sessions/2", prewarmed=False)
    commit(rows, clock, avoided, HEAD)

    assert [rows.claim_history(HEAD, avoided=["ben", "gone"]) for _ in range(2)] == [ready, avoided]


@pytest.mark.parametrize("prewarmed", [False, True])
def test_a_conversation_is_busy_while_its_first_answer_runs(
    rows: SessionRows, others: SessionRows, prewarmed: bool
) -> None:
    session = rows.add("anna", "sessions/1", prewarmed=prewarmed)

    assert others.claim_conversation(session.conversation, ALICE) is NoClaim.BUSY


def test_a_conversation_that_has_moved_is_found_in_its_new_session(
    rows: SessionRows, clock: Clock
) -> None:
    old = kept(rows, clock)
    rows.claim_history(HEAD)
    new = rows.add("ben", "sessions/2", prewarmed=False)

    rows.commit(
        new,
        history_digest=NEXT_HEAD,
        key_digest=ALICE,
        conversation=old.conversation,
        expires_at=clock() + LIFE_S,
    )
    rows.mark_for_deletion(old)

    claimed = rows.claim_conversation(old.conversation, ALICE)
    assert isinstance(claimed, Claimed)
    assert (claimed.session.account_key, claimed.session.name) == ("ben", "sessions/2")


# Giving back


def test_a_prewarmed_session_is_committed_with_one_write(rows: SessionRows, clock: Clock) -> None:
    session = rows.add("anna", "sessions/1", prewarmed=True)

    assert commit(rows, clock, session, HEAD)

    assert rows.claim_history(HEAD) == session


def test_a_released_session_is_as_it_was(rows: SessionRows, clock: Clock) -> None:
    session = kept(rows, clock)
    rows.claim_history(HEAD)

    rows.release(session)

    assert rows.claim_history(HEAD) == session


def test_a_session_that_holds_nothing_cannot_be_released(rows: SessionRows) -> None:
    session = rows.add("anna", "sessions/1", prewarmed=False)

    rows.release(session)

    assert rows.reclaim_orphans(rows.holders()) == 1


def test_a_session_that_was_lost_to_others_is_neither_committed_nor_released_nor_deleted(
    rows: SessionRows, others: SessionRows, clock: Clock
) -> None:
    session = kept(rows, clock)
    rows.claim_history(HEAD)
    others.reclaim_orphans({"worker-1"})

    kept_anyway = commit(rows, clock, session)
    rows.release(session)
    rows.mark_for_deletion(session)

    assert not kept_anyway
    assert rows.claim_history(HEAD) is None
    assert [found.id for found in others.due_deletions(10, ["anna", "ben"])] == [session.id]


def test_a_withdrawn_session_is_deleted_unless_somebody_has_it(
    rows: SessionRows, others: SessionRows, clock: Clock
) -> None:
    free, taken = kept(rows, clock, HEAD), kept(rows, clock, OTHER_HEAD, "sessions/2")
    others.claim_history(OTHER_HEAD)

    rows.rollback(free, HEAD)
    rows.rollback(taken, OTHER_HEAD)

    assert [session.id for session in rows.due_deletions(10, ["anna", "ben"])] == [free.id]


def test_a_session_that_has_moved_on_is_not_withdrawn(
    rows: SessionRows, others: SessionRows, clock: Clock
) -> None:
    session = kept(rows, clock)
    others.claim_history(HEAD)
    commit(others, clock, session, NEXT_HEAD)

    rows.rollback(session, HEAD)

    assert rows.claim_history(NEXT_HEAD) == session


# Deletion


def test_what_has_expired_is_marked_and_deleted_once(rows: SessionRows, clock: Clock) -> None:
    session = kept(rows, clock)
    fresh = rows.add("anna", "sessions/2", prewarmed=True)
    clock.now += LIFE_S

    assert rows.mark_expired(clock()) == 1
    (marked,) = rows.due_deletions(10, ["anna", "ben"])
    rows.remove(marked)

    assert (marked.id, marked.attempts) == (session.id, 0)
    assert rows.all_sessions(10) == [fresh]
    assert rows.mark_expired(clock()) == 0


def test_a_deletion_that_failed_comes_again_later(rows: SessionRows, clock: Clock) -> None:
    session = kept(rows, clock)
    rows.rollback(session, HEAD)
    (marked,) = rows.due_deletions(10, ["anna", "ben"])

    rows.reschedule(marked, clock() + 60)

    assert rows.due_deletions(10, ["anna", "ben"]) == []
    clock.now += 60
    assert [again.attempts for again in rows.due_deletions(10, ["anna", "ben"])] == [1]


def test_the_longest_due_are_deleted_first_and_not_too_many_at_once(
    rows: SessionRows, clock: Clock
) -> None:
    made = [rows.add("anna", f"sessions/{n}", prewarmed=False) for n in range(3)]
    for session in reversed(made):
        clock.now += 1
        rows.mark_for_deletion(session)

    assert [found.name for found in rows.due_deletions(2, ["anna", "ben"])] == [
        "sessions/2",
        "sessions/1",
    ]


def test_what_dead_workers_held_is_deleted_and_nothing_else(
    rows: SessionRows, others: SessionRows, clock: Clock, database: Database
) -> None:
    running = rows.add("anna", "sessions/1", prewarmed=False)
    unused = rows.add("anna", "sessions/2", prewarmed=True)
    theirs = others.add("anna", "sessions/3", prewarmed=True)
    idle = kept(rows, clock, name="sessions/4")

    assert others.holders() == {"worker-1", "worker-2"}
    assert others.reclaim_orphans({"worker-1"}) == 2

    assert {found.id for found in others.due_deletions(10, ["anna", "ben"])} == {
        running.id,
        unused.id,
    }
    assert prewarmed(database, "worker-2") == [theirs.name]
    assert others.claim_history(HEAD) == idle


def test_without_a_living_worker_everything_held_is_orphaned(
    rows: SessionRows, others: SessionRows
) -> None:
    rows.add("anna", "sessions/1", prewarmed=True)

    assert others.reclaim_orphans(others.holders()) == 1


def test_what_a_worker_holds_without_knowing_is_deleted_after_a_while(
    database: Database, clock: Clock
) -> None:
    """As after a request that was ended while its claim was on the way: the row is ours, and nobody
    has it.
    """
    before, now = (SessionRows(database, clock, lambda: "worker-1") for _ in range(2))
    lost = kept(before, clock)
    before.claim_history(HEAD)
    known = now.add("anna", "sessions/2", prewarmed=True)

    assert now.reclaim_leaked(after_s=60) == 0
    clock.now += 61

    assert now.reclaim_leaked(after_s=60) == 1
    assert [found.id for found in now.due_deletions(10, ["anna", "ben"])] == [lost.id]
    assert prewarmed(database, "worker-1") == [known.name]


def test_every_session_is_told_at_the_end(rows: SessionRows, clock: Clock) -> None:
    idle = kept(rows, clock)
    unused = rows.add("ben", "sessions/2", prewarmed=True)
    marked = rows.add("ben", "sessions/3", prewarmed=False)
    rows.mark_for_deletion(marked)

    assert {found.id for found in rows.all_sessions(10)} == {idle.id, unused.id, marked.id}
    assert len(rows.all_sessions(2)) == 2


@pytest.mark.parametrize("kind", ["sqlite"])
@pytest.mark.parametrize("column", ["history_digest", "conversation"])
def test_a_claim_looks_at_its_own_sessions_only(database: Database, column: str) -> None:
    """SQLite decides by itself which index to use; the wrong one walks through every idle
    session.
    """
    plan = database.transact(
        lambda connection: connection.exec_driver_sql(
            f"EXPLAIN QUERY PLAN SELECT id FROM sessions WHERE {column} = ? AND state = ? AND"
            " expires_at > ? ORDER BY last_turn_at DESC LIMIT 1",
            (b"", "idle", ""),
        ).all()
    )

    assert f"ix_sessions_{column}_state_expires_at" in str(plan)


# Names that come late


def test_a_name_that_the_upstream_tells_late_is_recorded_for_all(
    rows: SessionRows, others: SessionRows, clock: Clock
) -> None:
    session = rows.add("anna", "", prewarmed=False)
    named = replace(session, name="sessions/9")

    assert rows.name(named)
    assert commit(rows, clock, named, HEAD)

    claimed = others.claim_history(HEAD)
    assert claimed is not None
    assert claimed.name == "sessions/9"


def test_who_has_lost_a_session_cannot_name_it(rows: SessionRows, others: SessionRows) -> None:
    session = rows.add("anna", "", prewarmed=False)
    others.reclaim_orphans(["worker-1"])

    assert not rows.name(replace(session, name="sessions/9"))
    assert [marked.name for marked in others.due_deletions(10, ["anna"])] == [""]


# Sessions that clients open

SOMEBODYS = "sess_" + "0" * 40
SOMEBODYS_NEXT = "sess_" + "1" * 40


def test_an_unopened_session_is_listed_claimed_and_listed_while_it_is_used(
    rows: SessionRows, others: SessionRows, clock: Clock
) -> None:
    rows.add_unopened(SOMEBODYS, ALICE, clock() + LIFE_S)
    rows.add_unopened(SOMEBODYS_NEXT, ALICE, clock() + LIFE_S)
    kept(rows, clock)
    before = rows.client_sessions(ALICE)

    claimed = others.claim_conversation(SOMEBODYS, ALICE)

    assert [each.id for each in before] == [SOMEBODYS_NEXT, SOMEBODYS]
    assert before[0].expires_at == clock() + LIFE_S
    assert before[0].last_turn_at is None
    assert isinstance(claimed, Claimed)
    assert not claimed.session.is_opened
    assert rows.claim_conversation(SOMEBODYS, ALICE) is NoClaim.BUSY
    assert rows.client_sessions(ALICE) == before
    assert rows.client_sessions(ALICE, SOMEBODYS) == before[1:]
    assert rows.client_sessions(BOB) == rows.client_sessions(BOB, SOMEBODYS) == []


def test_the_record_with_an_answer_stands_for_a_client_session(
    rows: SessionRows, clock: Clock
) -> None:
    rows.add_unopened(SOMEBODYS, ALICE, clock() + LIFE_S)
    claimed = rows.claim_conversation(SOMEBODYS, ALICE)
    assert isinstance(claimed, Claimed)
    session = rows.add("anna", "sessions/1", prewarmed=False, conversation=SOMEBODYS)
    clock.now += 5
    commit(rows, clock, session)

    (listed,) = rows.client_sessions(ALICE)
    rows.mark_for_deletion(claimed.session)

    assert listed.last_turn_at == clock()
    assert rows.client_sessions(ALICE) == [listed]
    assert isinstance(rows.claim_conversation(SOMEBODYS, ALICE), Claimed)


def test_an_unopened_session_that_has_expired_is_removed_by_whoever_deletes(
    rows: SessionRows, clock: Clock
) -> None:
    rows.add_unopened(SOMEBODYS, ALICE, clock() + LIFE_S)
    clock.now += LIFE_S + 1

    marked = rows.mark_expired(clock())
    due = rows.due_deletions(10, [])

    assert (marked, [(each.account_key, each.name) for each in due]) == (1, [("", "")])
    assert rows.client_sessions(ALICE) == []
    assert rows.abandon([], 0) == 0


def test_an_unopened_session_is_released_as_it_was(rows: SessionRows, clock: Clock) -> None:
    rows.add_unopened(SOMEBODYS, ALICE, clock() + LIFE_S)
    before = rows.client_sessions(ALICE)
    claimed = rows.claim_conversation(SOMEBODYS, ALICE)
    assert isinstance(claimed, Claimed)

    rows.release(claimed.session)

    assert rows.client_sessions(ALICE) == before
    assert isinstance(rows.claim_conversation(SOMEBODYS, ALICE), Claimed)


# Links to a session's files


def ends_by_expiry(rows: SessionRows, clock: Clock, session: Session) -> None:
    commit(rows, clock, session)
    clock.now += LIFE_S + 1
    assert rows.mark_expired(clock()) == 1


def ends_at_once(rows: SessionRows, clock: Clock, session: Session) -> None:
    rows.mark_for_deletion(session)


def ends_by_rollback(rows: SessionRows, clock: Clock, session: Session) -> None:
    commit(rows, clock, session)
    rows.rollback(session, NEXT_HEAD)


def ends_with_its_worker(rows: SessionRows, clock: Clock, session: Session) -> None:
    assert rows.reclaim_orphans(["worker-1"]) == 1


@pytest.mark.parametrize(
    "end", [ends_by_expiry, ends_at_once, ends_by_rollback, ends_with_its_worker]
)
def test_a_session_is_not_deleted_while_links_lead_into_it(
    rows: SessionRows, clock: Clock, end: Callable[[SessionRows, Clock, Session], None]
) -> None:
    session = rows.add("anna", "sessions/1", prewarmed=False)
    assert rows.keep_files(session, clock() + 86_400)
    until = clock() + 86_400

    end(rows, clock, session)

    clock.now = until - 1
    assert rows.due_deletions(9, ["anna"]) == []
    assert rows.find(session.id) is not None
    clock.now = until
    [due] = rows.due_deletions(9, ["anna"])
    assert due.name == "sessions/1"


def test_a_link_that_has_expired_holds_no_session_up(rows: SessionRows, clock: Clock) -> None:
    session = rows.add("anna", "sessions/1", prewarmed=False)
    rows.keep_files(session, clock() + 60)
    commit(rows, clock, session)

    clock.now += LIFE_S + 1
    rows.mark_expired(clock())

    assert len(rows.due_deletions(9, ["anna"])) == 1


def test_a_session_with_links_is_continued_no_longer_than_others(
    rows: SessionRows, clock: Clock
) -> None:
    session = rows.add("anna", "sessions/1", prewarmed=False)
    rows.keep_files(session, clock() + 86_400)
    commit(rows, clock, session)

    clock.now += LIFE_S + 1

    assert rows.claim_history(NEXT_HEAD) is None


def test_a_session_is_found_by_its_id_from_any_worker(
    rows: SessionRows, others: SessionRows
) -> None:
    session = rows.add("anna", "sessions/1", prewarmed=False)

    assert others.find(session.id) == session
    assert others.find("unknown") is None
    assert not others.keep_files(session, 1.0)
    rows.remove(session)
    assert others.find(session.id) is None
