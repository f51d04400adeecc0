"""Sessions that clients open: they live from turn to turn, whatever these come to."""

from __future__ import annotations

from contextlib import suppress

import pytest

from gbproxy.conversations import ClientSessions, Conversations, Turn
from gbproxy.domain.chat import Message, TextPart
from gbproxy.domain.session import Session, belongs_to
from gbproxy.errors import ConversationBusy, ConversationNotFound
from tests.support.clock import Clock
from tests.support.memory_rows import MemoryRows

KEY, OTHER_KEY = b"k" * 32, b"o" * 32
HI = Message("user", (TextPart("Hi"),))


class Harness:
    def __init__(self, session_timeout_s: float) -> None:
        self.clock = Clock()
        self.rows = MemoryRows(self.clock)
        self.sessions = ClientSessions(
            self.rows, session_timeout_s=session_timeout_s, clock=self.clock
        )
        self.conversations = Conversations(
            self.rows,
            session_timeout_s=session_timeout_s,
            delete_unrecorded=lambda session: None,
            clock=self.clock,
        )
        self.id = self.sessions.open(KEY).id

    def begin(self, key_digest: bytes = KEY) -> Turn:
        return self.conversations.begin(key_digest, "gemini-auto", [HI], self.id)

    def say(self, *, name: str = "s/1") -> None:
        with self.begin() as turn:
            if turn.session is None:
                turn.record("one", name)
            turn.mark_sent()
            turn.mark_shown()
            turn.commit("Hello")

    @property
    def states(self) -> dict[str, str]:
        return {row.session.name: row.state for row in self.rows.rows.values()}


@pytest.fixture(params=[600.0, 0.0], ids=["kept", "SESSION_TIMEOUT=0"])
def harness(request: pytest.FixtureRequest) -> Harness:
    return Harness(request.param)


LIFE_S = {"kept": 600.0, "SESSION_TIMEOUT=0": 1800.0}


def life_s(request: pytest.FixtureRequest) -> float:
    return LIFE_S[request.node.callspec.id]


def test_its_id_says_whose_it_is_and_when_it_was_opened(harness: Harness) -> None:
    opened = harness.sessions.get(KEY, harness.id)

    assert opened.created_at == int(harness.clock())
    assert belongs_to(KEY, harness.id)
    assert not belongs_to(OTHER_KEY, harness.id)
    assert harness.sessions.list(OTHER_KEY) == []
    with pytest.raises(ConversationNotFound):
        harness.begin(OTHER_KEY)


def test_it_lives_on_from_its_last_turn(harness: Harness, request: pytest.FixtureRequest) -> None:
    for _ in range(3):
        harness.clock.now += life_s(request) - 1
        harness.say()

    harness.clock.now += life_s(request) + 1

    assert harness.sessions.list(KEY) == []
    with pytest.raises(ConversationNotFound):
        harness.begin()


def test_its_first_turn_is_asked_as_a_whole_and_the_next_in_its_session(harness: Harness) -> None:
    with harness.begin() as first:
        assert (first.session, first.can_restart, first.is_resumed) == (None, True, False)
        assert first.conversation == harness.id
        first.record("one", "s/1")
        first.mark_sent()
        first.commit("Hello")

    with harness.begin() as second:
        assert second.session is not None
        assert (second.session.name, second.can_restart) == ("s/1", False)


def test_its_first_turn_may_use_a_prewarmed_session(harness: Harness) -> None:
    prewarmed = harness.rows.add("one", "warm", prewarmed=True)

    with harness.begin() as turn:
        assert turn.can_use_prewarmed(id_was_sent=True)
        turn.use(prewarmed)
        turn.take_id()
        with pytest.raises(ConversationBusy):
            harness.begin()
        turn.mark_sent()
        turn.commit("Hello")

    assert turn.conversation == harness.id
    assert harness.states == {"": "deleting", "warm": "idle"}


def test_it_is_as_it_was_where_nothing_of_its_first_answer_was_shown(harness: Harness) -> None:
    with suppress(RuntimeError), harness.begin() as turn:
        turn.record("one", "s/1")
        turn.mark_sent()
        raise RuntimeError

    assert harness.states == {"": "idle", "s/1": "deleting"}
    harness.say(name="s/2")
    assert harness.states["s/2"] == "idle"


@pytest.mark.parametrize("turns_before", [0, 1])
def test_it_goes_on_from_an_answer_that_broke_off(harness: Harness, turns_before: int) -> None:
    for _ in range(turns_before):
        harness.say()

    with suppress(RuntimeError), harness.begin() as turn:
        if turn.session is None:
            turn.record("one", "s/1")
        turn.mark_sent()
        turn.mark_shown()
        raise RuntimeError

    with harness.begin() as after:
        assert after.session is not None
        assert after.session.name == "s/1"


def test_it_stays_where_the_last_frame_could_not_be_written(harness: Harness) -> None:
    with suppress(RuntimeError), harness.begin() as turn:
        turn.record("one", "s/1")
        turn.mark_sent()
        turn.mark_shown()
        turn.commit("Hello")
        raise RuntimeError

    assert harness.states["s/1"] == "idle"


def test_it_is_over_when_what_was_shown_is_lost(harness: Harness) -> None:
    with harness.begin() as turn:
        turn.record("one", "")  # the upstream has not told its name yet
        turn.mark_sent()
        turn.mark_shown()

    assert harness.sessions.list(KEY) == []
    with pytest.raises(ConversationNotFound):
        harness.begin()


def test_no_history_is_that_of_an_answer_that_broke_off(harness: Harness) -> None:
    with harness.begin() as turn:
        turn.record("one", "s/1")
        turn.mark_sent()
        turn.mark_shown()
    history = [HI, Message("assistant", (TextPart(""),)), HI]

    with harness.conversations.begin(KEY, "gemini-auto", history) as other:
        assert not other.is_resumed


def test_it_is_deleted_with_its_upstream_session(harness: Harness) -> None:
    harness.say()

    harness.sessions.delete(KEY, harness.id)

    assert harness.states["s/1"] == "deleting"
    for gone in (harness.sessions.get, harness.sessions.delete):
        with pytest.raises(ConversationNotFound):
            gone(KEY, harness.id)


def test_it_is_not_deleted_while_an_answer_runs(harness: Harness) -> None:
    harness.say()

    with harness.begin() as turn:
        with pytest.raises(ConversationBusy):
            harness.sessions.delete(KEY, harness.id)
        shown = harness.sessions.get(KEY, harness.id)
        turn.release()

    assert shown.id == harness.id
    harness.sessions.delete(KEY, harness.id)


def test_another_conversation_is_no_client_session(harness: Harness) -> None:
    with harness.conversations.begin(KEY, "gemini-auto", [HI]) as turn:
        session: Session = turn.record("one", "s/9")
        turn.mark_sent()
        turn.commit("Hello")

    assert [each.id for each in harness.sessions.list(KEY)] == [harness.id]
    with pytest.raises(ConversationNotFound):
        harness.sessions.get(KEY, session.conversation)
