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
from tests.support.memory_rows import MemoryRows

KEY, OTHER_KEY = b"k" * 32, b"o" * 32
MODEL = "gemini-auto"
TIMEOUT_S = 1800.0


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


class House:
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
            discard=lambda session: self.discarded.append(session.name),
            clock=self.clock,
        )
        self._opened = 0

    def begin(
        self,
        *messages: Message,
        conversation: str | None = None,
        caller: bytes = KEY,
        model: str = MODEL,
    ) -> Turn:
        return self.conversations.begin(caller, model, messages, conversation)

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
def house() -> House:
    return House()


def says(role: Role, text: str) -> Message:
    return Message(role, (TextPart(text),))


SYSTEM = says("system", "Be brief.")
HI, HELLO, WHY, SO, AND = (says(role, text) for role, text in [
    ("user", "Hi"), ("assistant", "Hello"), ("user", "Why?"), ("assistant", "So."), ("user", "And?")
])  # fmt: skip


def begun(house: House, *messages: Message) -> str:
    """A conversation of one question and its answer `Hello`; its id."""
    conversation = house.ask(*(messages or [HI])).conversation
    assert conversation is not None
    return conversation


# With a history


def test_a_first_request_reads_nothing_and_writes_the_head_once(house: House) -> None:
    stock = house.rows.add("one", "stocked", stock=True)
    house.rows.calls.clear()

    with house.begin(SYSTEM, HI) as turn:
        turn.use(stock)
        turn.mark_sent()
        turn.commit("Hello")

    assert house.rows.calls == ["commit"]


def test_a_history_goes_on_in_the_session_that_holds_it_with_the_new_turn_alone(
    house: House,
) -> None:
    first = house.ask(SYSTEM, HI)

    with house.begin(SYSTEM, HI, HELLO, WHY) as turn:
        assert (turn.is_resumed, turn.account_key, turn.can_restart) == (True, "one", True)
        assert turn.session is not None
        assert turn.session.name == "s/1"
        assert turn.messages == (WHY,)
        assert turn.conversation == first.conversation


def test_a_conversation_goes_on_turn_after_turn(house: House) -> None:
    house.ask(SYSTEM, HI)
    house.ask(SYSTEM, HI, HELLO, WHY, answer="So.")

    turn = house.begin(SYSTEM, HI, HELLO, WHY, SO, AND)

    assert turn.is_resumed
    assert house.conversations.outcomes.continued == 2


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
    house: House, messages: Sequence[Message]
) -> None:
    first = house.ask(SYSTEM, HI)

    turn = house.begin(*messages)

    assert (turn.is_resumed, turn.session, turn.account_key) == (False, None, None)
    assert turn.messages == tuple(messages)
    assert turn.conversation not in (None, first.conversation)


@pytest.mark.parametrize(
    "other", [{"caller": OTHER_KEY}, {"model": "gemini-2.5-pro"}, {"caller": b""}]
)
def test_another_key_or_model_never_goes_on(house: House, other: dict[str, str]) -> None:
    house.ask(HI)

    assert not house.begin(HI, HELLO, WHY, **other).is_resumed  # type: ignore[arg-type]


def test_of_several_sessions_with_one_history_each_request_gets_its_own(house: House) -> None:
    house.ask(HI)
    house.ask(HI)

    turns = [house.begin(HI, HELLO, WHY) for _ in range(3)]

    assert [turn.is_resumed for turn in turns] == [True, True, False]
    assert len({turn.session.name for turn in turns if turn.session}) == 2


def test_an_answer_is_known_by_the_text_that_the_client_saw(house: House) -> None:
    house.ask(HI, answer="Line\r\n\nmore \n")

    assert house.begin(HI, says("assistant", "<think>Hm</think>\nLine\n\nmore"), WHY).is_resumed


def test_a_history_goes_on_until_its_time_is_over(house: House) -> None:
    house.ask(HI)
    house.clock.now += TIMEOUT_S

    assert not house.begin(HI, HELLO, WHY).is_resumed


def test_the_time_begins_anew_with_each_turn(house: House) -> None:
    house.ask(HI)
    house.clock.now += TIMEOUT_S - 1
    house.ask(HI, HELLO, WHY, answer="So.")
    house.clock.now += TIMEOUT_S - 1

    assert house.begin(HI, HELLO, WHY, SO, AND).is_resumed


# With a history and an id


def test_with_an_id_the_session_of_that_conversation_is_taken(house: House) -> None:
    ids = [begun(house), begun(house)]

    turn = house.begin(HI, HELLO, WHY, conversation=ids[1])

    assert (turn.is_resumed, turn.conversation) == (True, ids[1])


@pytest.mark.parametrize(
    "which", [lambda own: "0" * 32, lambda own: "no id", lambda own: own.upper() + " "]
)
def test_a_history_under_another_id_is_fresh_and_gets_a_new_one(
    house: House, which: Callable[[str], str]
) -> None:
    asked = which(begun(house))

    turn = house.begin(HI, HELLO, WHY, conversation=asked)

    assert not turn.is_resumed
    assert turn.conversation not in (None, asked)


def test_another_history_under_an_id_leaves_that_conversation_as_it_is(house: House) -> None:
    conversation = begun(house)

    branch = house.ask(WHY, SO, AND, conversation=conversation)

    assert branch.conversation != conversation
    assert house.begin(AND, conversation=conversation).is_resumed


# With an id alone


def test_with_an_id_alone_the_new_message_goes_on_in_that_conversation(house: House) -> None:
    conversation = begun(house)

    with house.begin(WHY, conversation=conversation) as turn:
        assert (turn.is_resumed, turn.account_key, turn.can_restart) == (True, "one", False)
        assert (turn.conversation, turn.messages) == (conversation, (WHY,))


def test_what_went_on_without_a_history_is_found_by_its_history_later(house: House) -> None:
    conversation = begun(house, SYSTEM, HI)
    house.ask(WHY, conversation=conversation, answer="So.")

    turn = house.begin(SYSTEM, HI, HELLO, WHY, SO, AND)

    assert (turn.is_resumed, turn.conversation) == (True, conversation)


def test_several_new_messages_go_on_together(house: House) -> None:
    conversation = begun(house)
    result = Message("tool", (ToolResultPart("1", "4 °C"),))

    turn = house.begin(result, WHY, conversation=conversation)

    assert turn.messages == (result, WHY)


def test_system_texts_that_the_conversation_has_are_not_sent_again(house: House) -> None:
    conversation = begun(house, SYSTEM, HI)
    again = house.ask(SYSTEM, WHY, conversation=conversation, answer="So.")

    assert again.conversation == conversation
    assert house.begin(SYSTEM, HI, HELLO, WHY, SO, AND).is_resumed


def test_other_system_texts_are_sent_along_once(house: House) -> None:
    conversation, kind = begun(house, SYSTEM, HI), says("system", "Be kind.")

    with house.begin(kind, WHY, conversation=conversation) as turn:
        assert turn.messages == (kind, WHY)
        turn.mark_sent()
        turn.commit("So.")

    assert house.begin(kind, AND, conversation=conversation).messages == (AND,)


def test_the_first_system_texts_are_sent_again_after_others(house: House) -> None:
    conversation, kind = begun(house, SYSTEM, HI), says("system", "Be kind.")
    house.ask(kind, WHY, conversation=conversation, answer="So.")

    assert house.begin(SYSTEM, AND, conversation=conversation).messages == (SYSTEM, AND)


def test_what_got_other_system_texts_on_its_way_matches_no_history(house: House) -> None:
    conversation, kind = begun(house, SYSTEM, HI), says("system", "Be kind.")
    house.ask(kind, WHY, conversation=conversation, answer="So.")

    for system in ([SYSTEM], [kind], [SYSTEM, kind]):
        assert not house.begin(*system, HI, HELLO, WHY, SO, AND).is_resumed


def test_a_system_text_alone_is_sent(house: House) -> None:
    conversation = begun(house, SYSTEM, HI)

    assert house.begin(SYSTEM, conversation=conversation).messages == (SYSTEM,)


def _expired(house: House, conversation: str) -> str:
    house.clock.now += TIMEOUT_S
    return conversation


@pytest.mark.parametrize(
    "which",
    [
        lambda house, own: "0" * 32,
        lambda house, own: "no id",
        lambda house, own: own + "0",
        _expired,
    ],
)
def test_an_id_that_leads_nowhere_is_not_found(
    house: House, which: Callable[[House, str], str]
) -> None:
    asked = which(house, begun(house))

    with pytest.raises(ConversationNotFound):
        house.begin(WHY, conversation=asked)


def test_another_keys_conversation_cannot_be_told_from_none(house: House) -> None:
    conversation = begun(house)
    messages = set()

    for caller, asked in (
        (OTHER_KEY, conversation),
        (KEY, "0" * 32),
        (KEY, "no id"),
        (b"", conversation),
    ):
        with pytest.raises(GatewayError) as caught:
            house.begin(WHY, conversation=asked, caller=caller)
        messages.add((type(caught.value), caught.value.message, caught.value.retry_after))

    assert len(messages) == 1
    assert house.begin(WHY, conversation=conversation).is_resumed


def test_a_conversation_in_which_a_request_runs_is_busy(house: House) -> None:
    conversation = begun(house)
    house.begin(WHY, conversation=conversation)

    with pytest.raises(ConversationBusy):
        house.begin(AND, conversation=conversation)


def test_a_conversation_whose_first_answer_is_running_is_busy_to_its_own_key_only(
    house: House,
) -> None:
    first = house.begin(HI)

    with pytest.raises(ConversationBusy):
        house.begin(WHY, conversation=first.conversation)
    with pytest.raises(ConversationNotFound):
        house.begin(WHY, conversation=first.conversation, caller=OTHER_KEY)


def test_a_conversation_that_another_worker_answers_is_busy(house: House) -> None:
    conversation = begun(house)
    other = Conversations(
        house.rows, session_timeout_s=TIMEOUT_S, discard=lambda _: None, clock=house.clock
    )
    house.begin(WHY, conversation=conversation)

    with pytest.raises(ConversationBusy):
        other.begin(KEY, MODEL, [AND], conversation)


def test_a_new_conversation_whose_first_answer_another_worker_gives_is_busy(house: House) -> None:
    other = Conversations(
        house.rows, session_timeout_s=TIMEOUT_S, discard=lambda _: None, clock=house.clock
    )
    first = house.begin(HI)
    house.open(first)

    first.take_id()

    assert first.conversation is not None
    with pytest.raises(ConversationBusy):
        other.begin(KEY, MODEL, [WHY], first.conversation)
    with pytest.raises(ConversationBusy):
        house.begin(WHY, conversation=first.conversation)


def test_a_conversation_that_is_known_keeps_its_id_in_a_fresh_session(house: House) -> None:
    conversation = begun(house)
    turn = house.begin(HI, HELLO, WHY)
    turn.discard()
    house.open(turn)

    turn.take_id()

    assert turn.conversation == conversation


def test_a_conversation_on_its_way_into_another_session_is_busy_for_other_workers(
    house: House,
) -> None:
    conversation = begun(house)
    other = Conversations(
        house.rows, session_timeout_s=TIMEOUT_S, discard=lambda _: None, clock=house.clock
    )
    with house.begin(HI, HELLO, WHY) as turn:
        for old, new in [("s/1", "s/2"), ("s/2", "s/3")]:
            turn.mark_sent()
            turn.discard()
            with pytest.raises(ConversationBusy):
                other.begin(KEY, MODEL, [AND], conversation)
            house.open(turn)
            with pytest.raises(ConversationBusy):
                other.begin(KEY, MODEL, [AND], conversation)
            assert [house.rows.state(name) for name in (old, new)] == ["doomed", "running"]
        turn.discard()

    assert house.rows.state("s/3") == "doomed"
    with pytest.raises(ConversationNotFound):
        other.begin(KEY, MODEL, [AND], conversation)


def test_a_session_that_is_gone_takes_the_conversation_with_it(house: House) -> None:
    conversation = begun(house)

    with house.begin(WHY, conversation=conversation) as turn:
        turn.mark_sent()
        turn.discard()
        with pytest.raises(ConversationNotFound):
            _ = turn.messages

    with pytest.raises(ConversationNotFound):
        house.begin(WHY, conversation=conversation)


# What may be kept


def test_an_answer_that_was_not_kept_leaves_no_session_behind(house: House) -> None:
    house.ask(HI)

    with house.begin(HI, HELLO, WHY) as turn:
        turn.mark_sent()

    assert house.rows.state("s/1") == "doomed"
    assert not house.begin(HI, HELLO, WHY).is_resumed


def test_a_request_that_ended_before_anything_was_sent_leaves_the_session_as_it_was(
    house: House,
) -> None:
    conversation = begun(house)

    with pytest.raises(KeyboardInterrupt), house.begin(HI, HELLO, WHY):
        raise KeyboardInterrupt

    again = house.begin(HI, HELLO, WHY)
    assert (again.is_resumed, again.conversation) == (True, conversation)


def test_a_session_may_be_put_back_after_sending_by_who_knows_that_it_holds_nothing_new(
    house: House,
) -> None:
    conversation = begun(house)

    with house.begin(WHY, conversation=conversation) as turn:
        turn.mark_sent()
        turn.release()

    assert house.begin(WHY, conversation=conversation).is_resumed


def test_a_fresh_session_that_was_never_used_is_not_kept(house: House) -> None:
    with house.begin(HI) as turn:
        house.open(turn)

    assert house.rows.state("s/1") == "doomed"


def test_a_turn_that_put_its_session_back_takes_no_other(house: House) -> None:
    begun(house)
    turn = house.begin(HI, HELLO, WHY)
    turn.release()

    with pytest.raises(ValueError, match="discard"):
        house.open(turn)


def test_a_turn_has_one_session_at_a_time(house: House) -> None:
    turn = house.begin(HI)
    house.open(turn)

    with pytest.raises(ValueError, match="discard"):
        house.open(turn)


def test_nothing_is_kept_without_a_session(house: House) -> None:
    with pytest.raises(ValueError, match="no session"):
        house.begin(HI).commit("Hello")


def test_after_a_failure_a_fresh_session_gets_everything_and_the_conversation_keeps_its_id(
    house: House,
) -> None:
    conversation = begun(house)

    with house.begin(HI, HELLO, WHY) as turn:
        turn.mark_sent()
        turn.discard()
        house.open(turn)
        assert (turn.is_resumed, turn.account_key, turn.messages) == (False, None, (HI, HELLO, WHY))
        turn.mark_sent()
        turn.commit("So.")

    assert [house.rows.state(name) for name in ("s/1", "s/2")] == ["doomed", "idle"]
    again = house.begin(HI, HELLO, WHY, SO, AND)
    assert (again.is_resumed, again.conversation) == (True, conversation)
    assert house.conversations.outcomes.lost == 1


def test_what_was_kept_is_withdrawn_when_its_last_frame_cannot_be_written(house: House) -> None:
    turn = house.ask(HI)

    turn.rollback()

    assert house.rows.state("s/1") == "doomed"
    with pytest.raises(ConversationNotFound):
        house.begin(WHY, conversation=turn.conversation)


def test_nothing_is_withdrawn_from_a_request_that_has_gone_on_since(house: House) -> None:
    turn = house.ask(HI)
    next_turn = house.begin(HI, HELLO, WHY)

    turn.rollback()
    running = house.rows.state("s/1")
    next_turn.mark_sent()
    next_turn.commit("So.")
    turn.rollback()

    assert (running, house.rows.state("s/1")) == ("running", "idle")


def test_leaving_by_an_exception_withdraws_what_was_kept(house: House) -> None:
    with suppress(GeneratorExit), house.begin(HI) as turn:
        house.open(turn)
        turn.mark_sent()
        turn.commit("Hello")
        raise GeneratorExit

    assert house.rows.state("s/1") == "doomed"


class BreakingRows(MemoryRows):
    """The request's greenlet is killed in the write, once that has been done."""

    def commit(
        self,
        session: Session,
        *,
        history_digest: bytes,
        caller: bytes,
        conversation: str,
        expires_at: float,
    ) -> bool:
        super().commit(
            session,
            history_digest=history_digest,
            caller=caller,
            conversation=conversation,
            expires_at=expires_at,
        )
        raise KeyboardInterrupt


def test_a_write_that_was_broken_off_leaves_nothing_to_go_on_from() -> None:
    house = House(rows=BreakingRows)

    with suppress(KeyboardInterrupt):
        house.ask(HI)

    assert house.rows.state("s/1") == "doomed"


# Off


def test_without_a_session_timeout_every_session_is_deleted_after_its_answer() -> None:
    house = House(session_timeout_s=0)

    turn = house.ask(HI)

    assert turn.conversation is None
    assert house.rows.state("s/1") == "doomed"
    assert house.rows.calls == ["add", "doom"]
    assert house.begin(HI, HELLO, WHY).messages == (HI, HELLO, WHY)
    assert house.rows.calls == ["add", "doom"]


def test_without_a_session_timeout_no_id_is_known() -> None:
    with pytest.raises(ConversationNotFound):
        House(session_timeout_s=0).begin(HI, conversation="0" * 32)


def test_nothing_is_kept_for_nobody_in_particular(house: House) -> None:
    turn = house.ask(HI, caller=b"")  # type: ignore[arg-type]

    assert (turn.conversation, house.rows.state("s/1")) == (None, "doomed")


# Storage away


def test_without_storage_a_history_is_fresh_logged_and_counted(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    begun(house)
    house.rows.away = True

    with caplog.at_level(logging.WARNING):
        turn = house.begin(HI, HELLO, WHY)

    assert turn.messages == (HI, HELLO, WHY)
    assert [(r.getMessage(), r.__dict__["during"]) for r in caplog.records] == [
        ("conversation.unavailable", "begin")
    ]
    assert house.conversations.outcomes.unavailable == 1


def test_without_storage_a_conversation_without_history_is_refused_and_not_forgotten(
    house: House,
) -> None:
    conversation = begun(house)
    house.rows.away = True

    with pytest.raises(StorageUnavailable):
        house.begin(WHY, conversation=conversation)

    house.rows.away = False
    assert house.begin(WHY, conversation=conversation).is_resumed


def test_without_storage_a_request_is_answered_in_a_session_that_is_deleted(house: House) -> None:
    house.rows.away = True

    house.ask(HI)

    assert house.discarded == ["s/1"]


def test_a_session_whose_row_was_never_written_is_not_kept_when_storage_is_back(
    house: House,
) -> None:
    house.rows.away = True
    with house.begin(HI) as turn:
        house.open(turn)
        house.rows.away = False
        turn.mark_sent()
        assert not turn.commit("Hello")

    assert house.discarded == ["s/1"]
    assert "commit" not in house.rows.calls


def test_what_has_lost_its_session_without_storage_is_over_and_nobody_is_told_to_wait_for_it(
    house: House,
) -> None:
    conversation = begun(house)
    with house.begin(HI, HELLO, WHY) as turn:
        lost = turn.session
        assert lost is not None
        turn.discard()
        house.rows.away = True
        house.open(turn)
        turn.mark_sent()

        with pytest.raises(StorageUnavailable):
            house.begin(AND, conversation=conversation)
        house.rows.away = False
        house.rows.doom(lost)  # as the sweeper does with what could not be let go
        with pytest.raises(ConversationNotFound):
            house.begin(AND, conversation=conversation)

        turn.discard()
        house.open(turn)
        turn.mark_sent()
        assert not turn.commit("So.")

    assert [house.rows.state("s/1"), house.discarded, house.rows.state("s/3")] == [
        "doomed",
        ["s/1", "s/2"],
        "doomed",
    ]


@pytest.mark.parametrize("sends", [True, False])
def test_a_claimed_session_that_cannot_be_let_go_is_deleted(house: House, sends: bool) -> None:
    begun(house)

    with house.begin(HI, HELLO, WHY) as turn:
        house.rows.away = True
        if sends:
            turn.mark_sent()

    assert house.discarded == ["s/1"]


def test_what_cannot_be_withdrawn_is_left_alone(house: House) -> None:
    turn = house.ask(HI)
    house.rows.away = True

    turn.rollback()

    assert house.discarded == []
    assert house.conversations.outcomes.unavailable == 1


def test_a_session_that_is_not_ours_any_more_is_not_kept(house: House) -> None:
    with house.begin(HI) as turn:
        session = house.open(turn)
        house.rows.doom(session)  # the worker was taken for dead
        turn.mark_sent()
        assert not turn.commit("Hello")

    assert house.rows.state("s/1") == "doomed"


# Figures


def test_how_requests_found_their_sessions_is_counted(house: House) -> None:
    house.ask(HI)
    house.ask(HI, HELLO, WHY)
    house.ask(says("user", "Other"), HELLO, WHY)

    outcomes = house.conversations.outcomes
    assert (outcomes.continued, outcomes.fresh, outcomes.miss, outcomes.lost) == (1, 2, 1, 0)


def test_who_finds_another_request_in_its_session_is_counted(house: House) -> None:
    first = house.ask(HI)
    before = house.conversations.outcomes.contended
    with house.begin(HI, HELLO, WHY):
        assert not house.begin(HI, HELLO, WHY).is_resumed
        with pytest.raises(ConversationBusy):
            house.begin(WHY, conversation=first.conversation)

    assert (before, house.conversations.outcomes.contended) == (0, 2)


def test_the_log_of_a_request_says_whether_it_continued(house: House) -> None:
    begun(house)
    facts = request_context.begin("-").log_fields

    with house.begin(HI, HELLO, WHY) as turn:
        continued = facts["continued"]
        turn.discard()
        house.open(turn)

    assert (continued, facts["continued"]) == (True, False)
