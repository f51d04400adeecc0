"""Which session a request gets, and what becomes of that session: nothing is continued that is not
exactly the same.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress

import pytest

from gbproxy.conversations import Conversations, Turn
from gbproxy.domain.chat import Message, Role, TextPart, ToolResultPart
from gbproxy.domain.session import Session
from gbproxy.errors import ConversationBusy, ConversationNotFound, GatewayError, StorageUnavailable
from gbproxy.observability import request_context
from tests.support.clock import Clock
from tests.support.memory_rows import MemoryRows

KEY, OTHER_KEY = b"k" * 32, b"o" * 32
MODEL = "gemini-auto"
TIMEOUT_S = 1800.0


class Harness:
    """Conversations over rows in memory; a session that is discarded without them is listed."""

    def __init__(
        self, session_timeout_s: float = TIMEOUT_S, rows: type[MemoryRows] = MemoryRows
    ) -> None:
        self.clock = Clock()
        self.rows = rows(self.clock)
        self.discarded: list[str] = []
        self.conversations = Conversations(
            self.rows,
            session_timeout_s=session_timeout_s,
            delete_unrecorded=lambda session: self.discarded.append(session.name),
            clock=self.clock,
        )
        self._opened = 0

    def begin(
        self,
        *messages: Message,
        conversation: str | None = None,
        key_digest: bytes = KEY,
        model: str = MODEL,
    ) -> Turn:
        return self.conversations.begin(key_digest, model, messages, conversation)

    def open(self, turn: Turn) -> Session:
        self._opened += 1
        return turn.record("one", f"s/{self._opened}")

    def ask(
        self,
        *messages: Message,
        answer: str = "Hello",
        conversation: str | None = None,
        **more: str,
    ) -> Turn:
        """A whole request that went well."""
        with self.begin(*messages, conversation=conversation, **more) as turn:  # type: ignore[arg-type]
            if turn.session is None:
                self.open(turn)
            turn.mark_sent()
            turn.commit(answer)
        return turn


@pytest.fixture
def harness() -> Harness:
    return Harness()


def says(role: Role, text: str) -> Message:
    return Message(role, (TextPart(text),))


SYSTEM = says("system", "Be brief.")
HI, HELLO, WHY, SO, AND = (says(role, text) for role, text in [
    ("user", "Hi"), ("assistant", "Hello"), ("user", "Why?"), ("assistant", "So."), ("user", "And?")
])  # fmt: skip


def begun(harness: Harness, *messages: Message) -> str:
    """A conversation of one question and its answer `Hello`; its id."""
    conversation = harness.ask(*(messages or [HI])).conversation
    assert conversation is not None
    return conversation


# With a history


def test_a_first_request_reads_nothing_and_writes_the_head_once(harness: Harness) -> None:
    session = harness.rows.add("one", "prewarmed", prewarmed=True)
    harness.rows.calls.clear()

    with harness.begin(SYSTEM, HI) as turn:
        turn.use(session)
        turn.mark_sent()
        turn.commit("Hello")

    assert harness.rows.calls == ["commit"]


def test_a_history_goes_on_in_the_session_that_holds_it_with_the_new_turn_alone(
    harness: Harness,
) -> None:
    first = harness.ask(SYSTEM, HI)

    with harness.begin(SYSTEM, HI, HELLO, WHY) as turn:
        assert (turn.is_resumed, turn.account_key, turn.can_restart) == (True, "one", True)
        assert turn.session is not None
        assert turn.session.name == "s/1"
        assert turn.messages == (WHY,)
        assert turn.conversation == first.conversation


def test_a_conversation_goes_on_turn_after_turn(harness: Harness) -> None:
    harness.ask(SYSTEM, HI)
    harness.ask(SYSTEM, HI, HELLO, WHY, answer="So.")

    turn = harness.begin(SYSTEM, HI, HELLO, WHY, SO, AND)

    assert turn.is_resumed
    assert harness.conversations.outcomes.continued == 2


@pytest.mark.parametrize(
    "messages",
    [
        (HI, HELLO, WHY),
        (SYSTEM, says("user", "hi"), HELLO, WHY),
        (SYSTEM, HI, says("assistant", "Hello!"), WHY),
        (SYSTEM, HI, HELLO, WHY, SO, AND),
        (SYSTEM, HELLO, WHY),
        (SYSTEM, WHY, HELLO, WHY),
        (SYSTEM, HI, HELLO, says("system", "Be kind."), WHY),
        (SYSTEM, HI, HELLO),
    ],
)
def test_any_other_history_gets_a_fresh_session_a_new_id_and_all_of_it(
    harness: Harness, messages: Sequence[Message]
) -> None:
    first = harness.ask(SYSTEM, HI)

    turn = harness.begin(*messages)

    assert (turn.is_resumed, turn.session, turn.account_key) == (False, None, None)
    assert turn.messages == tuple(messages)
    assert turn.conversation not in (None, first.conversation)


@pytest.mark.parametrize(
    "other", [{"key_digest": OTHER_KEY}, {"model": "gemini-2.5-pro"}, {"key_digest": b""}]
)
def test_another_key_or_model_never_goes_on(harness: Harness, other: dict[str, str]) -> None:
    harness.ask(HI)

    assert not harness.begin(HI, HELLO, WHY, **other).is_resumed  # type: ignore[arg-type]


def test_of_several_sessions_with_one_history_each_request_gets_its_own(harness: Harness) -> None:
    harness.ask(HI)
    harness.ask(HI)

    turns = [harness.begin(HI, HELLO, WHY) for _ in range(3)]

    assert [turn.is_resumed for turn in turns] == [True, True, False]
    assert len({turn.session.name for turn in turns if turn.session}) == 2


def test_an_answer_is_known_by_the_text_that_the_client_saw(harness: Harness) -> None:
    harness.ask(HI, answer="Line\r\n\nmore \n")

    assert harness.begin(HI, says("assistant", "<think>Hm</think>\nLine\n\nmore"), WHY).is_resumed


def test_a_history_goes_on_until_its_time_is_over(harness: Harness) -> None:
    harness.ask(HI)
    harness.clock.now += TIMEOUT_S

    assert not harness.begin(HI, HELLO, WHY).is_resumed


def test_the_time_begins_anew_with_each_turn(harness: Harness) -> None:
    harness.ask(HI)
    harness.clock.now += TIMEOUT_S - 1
    harness.ask(HI, HELLO, WHY, answer="So.")
    harness.clock.now += TIMEOUT_S - 1

    assert harness.begin(HI, HELLO, WHY, SO, AND).is_resumed


# With a history and an id


def test_with_an_id_the_session_of_that_conversation_is_taken(harness: Harness) -> None:
    ids = [begun(harness), begun(harness)]

    turn = harness.begin(HI, HELLO, WHY, conversation=ids[1])

    assert (turn.is_resumed, turn.conversation) == (True, ids[1])


@pytest.mark.parametrize(
    "which", [lambda own: "0" * 32, lambda own: "no id", lambda own: own.upper() + " "]
)
def test_a_history_under_another_id_is_fresh_and_gets_a_new_one(
    harness: Harness, which: Callable[[str], str]
) -> None:
    asked = which(begun(harness))

    turn = harness.begin(HI, HELLO, WHY, conversation=asked)

    assert not turn.is_resumed
    assert turn.conversation not in (None, asked)


def test_another_history_under_an_id_leaves_that_conversation_as_it_is(harness: Harness) -> None:
    conversation = begun(harness)

    branch = harness.ask(WHY, SO, AND, conversation=conversation)

    assert branch.conversation != conversation
    assert harness.begin(AND, conversation=conversation).is_resumed


# With an id alone


def test_with_an_id_alone_the_new_message_goes_on_in_that_conversation(harness: Harness) -> None:
    conversation = begun(harness)

    with harness.begin(WHY, conversation=conversation) as turn:
        assert (turn.is_resumed, turn.account_key, turn.can_restart) == (True, "one", False)
        assert (turn.conversation, turn.messages) == (conversation, (WHY,))


def test_what_went_on_without_a_history_is_found_by_its_history_later(harness: Harness) -> None:
    conversation = begun(harness, SYSTEM, HI)
    harness.ask(WHY, conversation=conversation, answer="So.")

    turn = harness.begin(SYSTEM, HI, HELLO, WHY, SO, AND)

    assert (turn.is_resumed, turn.conversation) == (True, conversation)


def test_several_new_messages_go_on_together(harness: Harness) -> None:
    conversation = begun(harness)
    result = Message("tool", (ToolResultPart("1", "4 °C"),))

    turn = harness.begin(result, WHY, conversation=conversation)

    assert turn.messages == (result, WHY)


def test_system_texts_that_the_conversation_has_are_not_sent_again(harness: Harness) -> None:
    conversation = begun(harness, SYSTEM, HI)
    again = harness.ask(SYSTEM, WHY, conversation=conversation, answer="So.")

    assert again.conversation == conversation
    assert harness.begin(SYSTEM, HI, HELLO, WHY, SO, AND).is_resumed


def test_other_system_texts_are_sent_along_once(harness: Harness) -> None:
    conversation, kind = begun(harness, SYSTEM, HI), says("system", "Be kind.")

    with harness.begin(kind, WHY, conversation=conversation) as turn:
        assert turn.messages == (kind, WHY)
        turn.mark_sent()
        turn.commit("So.")

    assert harness.begin(kind, AND, conversation=conversation).messages == (AND,)


def test_the_first_system_texts_are_sent_again_after_others(harness: Harness) -> None:
    conversation, kind = begun(harness, SYSTEM, HI), says("system", "Be kind.")
    harness.ask(kind, WHY, conversation=conversation, answer="So.")

    assert harness.begin(SYSTEM, AND, conversation=conversation).messages == (SYSTEM, AND)


def test_what_got_other_system_texts_on_its_way_matches_no_history(harness: Harness) -> None:
    conversation, kind = begun(harness, SYSTEM, HI), says("system", "Be kind.")
    harness.ask(kind, WHY, conversation=conversation, answer="So.")

    for system in ([SYSTEM], [kind], [SYSTEM, kind]):
        assert not harness.begin(*system, HI, HELLO, WHY, SO, AND).is_resumed


def test_a_system_text_alone_is_sent(harness: Harness) -> None:
    conversation = begun(harness, SYSTEM, HI)

    assert harness.begin(SYSTEM, conversation=conversation).messages == (SYSTEM,)


def _expired(harness: Harness, conversation: str) -> str:
    harness.clock.now += TIMEOUT_S
    return conversation


@pytest.mark.parametrize(
    "which",
    [
        lambda harness, own: "0" * 32,
        lambda harness, own: "no id",
        lambda harness, own: own + "0",
        _expired,
    ],
)
def test_an_id_that_leads_nowhere_is_not_found(
    harness: Harness, which: Callable[[Harness, str], str]
) -> None:
    asked = which(harness, begun(harness))

    with pytest.raises(ConversationNotFound):
        harness.begin(WHY, conversation=asked)


def test_another_keys_conversation_cannot_be_told_from_none(harness: Harness) -> None:
    conversation = begun(harness)
    messages = set()

    for key_digest, asked in (
        (OTHER_KEY, conversation),
        (KEY, "0" * 32),
        (KEY, "no id"),
        (b"", conversation),
    ):
        with pytest.raises(GatewayError) as caught:
            harness.begin(WHY, conversation=asked, key_digest=key_digest)
        messages.add((type(caught.value), caught.value.message, caught.value.retry_after))

    assert len(messages) == 1
    assert harness.begin(WHY, conversation=conversation).is_resumed


def test_a_conversation_in_which_a_request_runs_is_busy(harness: Harness) -> None:
    conversation = begun(harness)
    harness.begin(WHY, conversation=conversation)

    with pytest.raises(ConversationBusy):
        harness.begin(AND, conversation=conversation)


def test_a_conversation_whose_first_answer_is_running_is_busy_to_its_own_key_only(
    harness: Harness,
) -> None:
    first = harness.begin(HI)

    with pytest.raises(ConversationBusy):
        harness.begin(WHY, conversation=first.conversation)
    with pytest.raises(ConversationNotFound):
        harness.begin(WHY, conversation=first.conversation, key_digest=OTHER_KEY)


def test_a_conversation_that_another_worker_answers_is_busy(harness: Harness) -> None:
    conversation = begun(harness)
    other = Conversations(
        harness.rows,
        session_timeout_s=TIMEOUT_S,
        delete_unrecorded=lambda _: None,
        clock=harness.clock,
    )
    harness.begin(WHY, conversation=conversation)

    with pytest.raises(ConversationBusy):
        other.begin(KEY, MODEL, [AND], conversation)


def test_a_new_conversation_whose_first_answer_another_worker_gives_is_busy(
    harness: Harness,
) -> None:
    other = Conversations(
        harness.rows,
        session_timeout_s=TIMEOUT_S,
        delete_unrecorded=lambda _: None,
        clock=harness.clock,
    )
    first = harness.begin(HI)
    harness.open(first)

    first.take_id()

    assert first.conversation is not None
    with pytest.raises(ConversationBusy):
        other.begin(KEY, MODEL, [WHY], first.conversation)
    with pytest.raises(ConversationBusy):
        harness.begin(WHY, conversation=first.conversation)


def test_a_conversation_that_is_known_keeps_its_id_in_a_fresh_session(harness: Harness) -> None:
    conversation = begun(harness)
    turn = harness.begin(HI, HELLO, WHY)
    turn.invalidate_session()
    harness.open(turn)

    turn.take_id()

    assert turn.conversation == conversation


def test_a_conversation_on_its_way_into_another_session_is_busy_for_other_workers(
    harness: Harness,
) -> None:
    conversation = begun(harness)
    other = Conversations(
        harness.rows,
        session_timeout_s=TIMEOUT_S,
        delete_unrecorded=lambda _: None,
        clock=harness.clock,
    )
    with harness.begin(HI, HELLO, WHY) as turn:
        for old, new in [("s/1", "s/2"), ("s/2", "s/3")]:
            turn.mark_sent()
            turn.invalidate_session()
            with pytest.raises(ConversationBusy):
                other.begin(KEY, MODEL, [AND], conversation)
            harness.open(turn)
            with pytest.raises(ConversationBusy):
                other.begin(KEY, MODEL, [AND], conversation)
            assert [harness.rows.state(name) for name in (old, new)] == ["deleting", "running"]
        turn.invalidate_session()

    assert harness.rows.state("s/3") == "deleting"
    with pytest.raises(ConversationNotFound):
        other.begin(KEY, MODEL, [AND], conversation)


def test_a_session_that_is_gone_takes_the_conversation_with_it(harness: Harness) -> None:
    conversation = begun(harness)

    with harness.begin(WHY, conversation=conversation) as turn:
        turn.mark_sent()
        turn.invalidate_session()
        with pytest.raises(ConversationNotFound):
            _ = turn.messages

    with pytest.raises(ConversationNotFound):
        harness.begin(WHY, conversation=conversation)


# What may be kept


def test_an_answer_that_was_not_kept_leaves_no_session_behind(harness: Harness) -> None:
    harness.ask(HI)

    with harness.begin(HI, HELLO, WHY) as turn:
        turn.mark_sent()

    assert harness.rows.state("s/1") == "deleting"
    assert not harness.begin(HI, HELLO, WHY).is_resumed


def test_a_request_that_ended_before_anything_was_sent_leaves_the_session_as_it_was(
    harness: Harness,
) -> None:
    conversation = begun(harness)

    with pytest.raises(KeyboardInterrupt), harness.begin(HI, HELLO, WHY):
        raise KeyboardInterrupt

    again = harness.begin(HI, HELLO, WHY)
    assert (again.is_resumed, again.conversation) == (True, conversation)


def test_a_session_may_be_put_back_after_sending_by_who_knows_that_it_holds_nothing_new(
    harness: Harness,
) -> None:
    conversation = begun(harness)

    with harness.begin(WHY, conversation=conversation) as turn:
        turn.mark_sent()
        turn.release()

    assert harness.begin(WHY, conversation=conversation).is_resumed


def test_a_fresh_session_that_was_never_used_is_not_kept(harness: Harness) -> None:
    with harness.begin(HI) as turn:
        harness.open(turn)

    assert harness.rows.state("s/1") == "deleting"


def test_a_turn_that_put_its_session_back_takes_no_other(harness: Harness) -> None:
    begun(harness)
    turn = harness.begin(HI, HELLO, WHY)
    turn.release()

    with pytest.raises(ValueError, match="invalidate it"):
        harness.open(turn)


def test_a_turn_has_one_session_at_a_time(harness: Harness) -> None:
    turn = harness.begin(HI)
    harness.open(turn)

    with pytest.raises(ValueError, match="invalidate it"):
        harness.open(turn)


def test_nothing_is_kept_without_a_session(harness: Harness) -> None:
    with pytest.raises(ValueError, match="no session"):
        harness.begin(HI).commit("Hello")


def test_after_a_failure_a_fresh_session_gets_everything_and_the_conversation_keeps_its_id(
    harness: Harness,
) -> None:
    conversation = begun(harness)

    with harness.begin(HI, HELLO, WHY) as turn:
        turn.mark_sent()
        turn.invalidate_session()
        harness.open(turn)
        assert (turn.is_resumed, turn.account_key, turn.messages) == (False, None, (HI, HELLO, WHY))
        turn.mark_sent()
        turn.commit("So.")

    assert [harness.rows.state(name) for name in ("s/1", "s/2")] == ["deleting", "idle"]
    again = harness.begin(HI, HELLO, WHY, SO, AND)
    assert (again.is_resumed, again.conversation) == (True, conversation)
    assert harness.conversations.outcomes.lost == 1


def test_what_was_kept_is_withdrawn_when_its_last_frame_cannot_be_written(harness: Harness) -> None:
    turn = harness.ask(HI)

    turn.rollback()

    assert harness.rows.state("s/1") == "deleting"
    with pytest.raises(ConversationNotFound):
        harness.begin(WHY, conversation=turn.conversation)


def test_nothing_is_withdrawn_from_a_request_that_has_gone_on_since(harness: Harness) -> None:
    turn = harness.ask(HI)
    next_turn = harness.begin(HI, HELLO, WHY)

    turn.rollback()
    running = harness.rows.state("s/1")
    next_turn.mark_sent()
    next_turn.commit("So.")
    turn.rollback()

    assert (running, harness.rows.state("s/1")) == ("running", "idle")


def test_leaving_by_an_exception_withdraws_what_was_kept(harness: Harness) -> None:
    with suppress(GeneratorExit), harness.begin(HI) as turn:
        harness.open(turn)
        turn.mark_sent()
        turn.commit("Hello")
        raise GeneratorExit

    assert harness.rows.state("s/1") == "deleting"


class BreakingRows(MemoryRows):
    """The request's greenlet is killed in the write, once that has been done."""

    def commit(
        self,
        session: Session,
        *,
        history_digest: bytes,
        key_digest: bytes,
        conversation: str,
        expires_at: float,
    ) -> bool:
        super().commit(
            session,
            history_digest=history_digest,
            key_digest=key_digest,
            conversation=conversation,
            expires_at=expires_at,
        )
        raise KeyboardInterrupt


def test_a_write_that_was_broken_off_leaves_nothing_to_go_on_from() -> None:
    harness = Harness(rows=BreakingRows)

    with suppress(KeyboardInterrupt):
        harness.ask(HI)

    assert harness.rows.state("s/1") == "deleting"


# Off


def test_without_a_session_timeout_every_session_is_deleted_after_its_answer() -> None:
    harness = Harness(session_timeout_s=0)

    turn = harness.ask(HI)

    assert turn.conversation is None
    assert harness.rows.state("s/1") == "deleting"
    assert harness.rows.calls == ["add", "mark_for_deletion"]
    assert harness.begin(HI, HELLO, WHY).messages == (HI, HELLO, WHY)
    assert harness.rows.calls == ["add", "mark_for_deletion"]


def test_without_a_session_timeout_no_id_is_known() -> None:
    with pytest.raises(ConversationNotFound):
        Harness(session_timeout_s=0).begin(HI, conversation="0" * 32)


def test_nothing_is_kept_for_nobody_in_particular(harness: Harness) -> None:
    turn = harness.ask(HI, key_digest=b"")  # type: ignore[arg-type]

    assert (turn.conversation, harness.rows.state("s/1")) == (None, "deleting")


# Storage away


def test_without_storage_a_history_is_fresh_logged_and_counted(
    harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    begun(harness)
    harness.rows.away = True

    with caplog.at_level(logging.WARNING):
        turn = harness.begin(HI, HELLO, WHY)

    assert turn.messages == (HI, HELLO, WHY)
    assert [(r.getMessage(), r.__dict__["during"]) for r in caplog.records] == [
        ("conversation.unavailable", "begin")
    ]
    assert harness.conversations.outcomes.unavailable == 1


def test_without_storage_a_conversation_without_history_is_refused_and_not_forgotten(
    harness: Harness,
) -> None:
    conversation = begun(harness)
    harness.rows.away = True

    with pytest.raises(StorageUnavailable):
        harness.begin(WHY, conversation=conversation)

    harness.rows.away = False
    assert harness.begin(WHY, conversation=conversation).is_resumed


def test_without_storage_a_request_is_answered_in_a_session_that_is_deleted(
    harness: Harness,
) -> None:
    harness.rows.away = True

    harness.ask(HI)

    assert harness.discarded == ["s/1"]


def test_a_session_whose_row_was_never_written_is_not_kept_when_storage_is_back(
    harness: Harness,
) -> None:
    harness.rows.away = True
    with harness.begin(HI) as turn:
        harness.open(turn)
        harness.rows.away = False
        turn.mark_sent()
        assert not turn.commit("Hello")

    assert harness.discarded == ["s/1"]
    assert "commit" not in harness.rows.calls


def test_what_has_lost_its_session_without_storage_is_over_and_nobody_is_told_to_wait_for_it(
    harness: Harness,
) -> None:
    conversation = begun(harness)
    with harness.begin(HI, HELLO, WHY) as turn:
        lost = turn.session
        assert lost is not None
        turn.invalidate_session()
        harness.rows.away = True
        harness.open(turn)
        turn.mark_sent()

        with pytest.raises(StorageUnavailable):
            harness.begin(AND, conversation=conversation)
        harness.rows.away = False
        harness.rows.mark_for_deletion(lost)  # as the leader does with what could not be let go
        with pytest.raises(ConversationNotFound):
            harness.begin(AND, conversation=conversation)

        turn.invalidate_session()
        harness.open(turn)
        turn.mark_sent()
        assert not turn.commit("So.")

    assert [harness.rows.state("s/1"), harness.discarded, harness.rows.state("s/3")] == [
        "deleting",
        ["s/1", "s/2"],
        "deleting",
    ]


@pytest.mark.parametrize("sends", [True, False])
def test_a_claimed_session_that_cannot_be_let_go_is_deleted(harness: Harness, sends: bool) -> None:
    begun(harness)

    with harness.begin(HI, HELLO, WHY) as turn:
        harness.rows.away = True
        if sends:
            turn.mark_sent()

    assert harness.discarded == ["s/1"]


def test_what_cannot_be_withdrawn_is_left_alone(harness: Harness) -> None:
    turn = harness.ask(HI)
    harness.rows.away = True

    turn.rollback()

    assert harness.discarded == []
    assert harness.conversations.outcomes.unavailable == 1


def test_a_session_that_is_not_ours_any_more_is_not_kept(harness: Harness) -> None:
    with harness.begin(HI) as turn:
        session = harness.open(turn)
        harness.rows.mark_for_deletion(session)  # the worker was taken for dead
        turn.mark_sent()
        assert not turn.commit("Hello")

    assert harness.rows.state("s/1") == "deleting"


# Figures


def test_how_requests_found_their_sessions_is_counted(harness: Harness) -> None:
    harness.ask(HI)
    harness.ask(HI, HELLO, WHY)
    harness.ask(says("user", "Other"), HELLO, WHY)

    outcomes = harness.conversations.outcomes
    assert (outcomes.continued, outcomes.fresh, outcomes.miss, outcomes.lost) == (1, 2, 1, 0)


def test_who_finds_another_request_in_its_session_is_counted(harness: Harness) -> None:
    first = harness.ask(HI)
    before = harness.conversations.outcomes.contended
    with harness.begin(HI, HELLO, WHY):
        assert not harness.begin(HI, HELLO, WHY).is_resumed
        with pytest.raises(ConversationBusy):
            harness.begin(WHY, conversation=first.conversation)

    assert (before, harness.conversations.outcomes.contended) == (0, 2)


def test_the_log_of_a_request_says_whether_it_continued(harness: Harness) -> None:
    begun(harness)
    facts = request_context.begin("-").log_fields

    with harness.begin(HI, HELLO, WHY) as turn:
        continued = facts["continued"]
        turn.invalidate_session()
        harness.open(turn)

    assert (continued, facts["continued"]) == (True, False)
