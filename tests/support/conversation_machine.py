"""Clients, failures and workers in any order, against a model of what each upstream session was
really sent.

`ConversationMachine` drives `Conversations` over any `SessionStore`: a subclass says which by `open_rows`.
It asserts that

* no session ever holds a turn that its conversation does not: before each send and after, what the
  session was sent is
  what the client has said and heard, but for the white space, line ends, parts and reasoning blocks
  that it was dressed in;
* no two requests run in one session at once, and none in one that was deleted;
* two keys never share a session;
* what has expired is deleted and never continued;
* a session that could be continued is, and a conversation without history is continued, busy or not
  found: never fresh.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from gbproxy.conversations import Conversations, SessionStore, Turn
from gbproxy.domain.chat import Message, Role, TextPart, ToolResultPart
from gbproxy.domain.session import Session, belongs_to
from gbproxy.errors import ConversationBusy, ConversationNotFound, GatewayError, StorageUnavailable
from tests.support.clock import Clock
from tests.support.memory_rows import MemoryRows

# Making a failing example small takes minutes, in which pytest-timeout would end the whole process
# and nothing be told.
REPORTED_IN_TIME = settings(
    phases=[phase for phase in Phase if phase not in (Phase.shrink, Phase.explain)]
)

TIMEOUT_S = 1800.0
KEYS = (b"1" * 32, b"2" * 32)
MODELS = ("gemini-auto", "gemini-2.5-pro")
TEXTS = ("a", "b", "c\nd")

_CHANGES = ("none", "key", "model", "system", "edit", "edit", "regenerate", "window", "id")

Said = tuple[str, str]  # role and text, plain: what a client means, however it writes it
Outcome = type[GatewayError] | Literal["continued"]


class ExpiringRows(SessionStore, Protocol):
    """With what the background calls."""

    def mark_expired(self, now: float) -> int: ...


class Switchable:
    """Rows that can be away: then every call fails before it has done anything."""

    def __init__(self, rows: SessionStore) -> None:
        self.away = False
        self._rows = rows

    def __getattr__(self, name: str) -> Any:
        if self.away:
            raise StorageUnavailable("away")
        return getattr(self._rows, name)


@dataclass
class Chat:
    """A conversation as one client has it; `conversation` is the id that it was told last."""

    key_digest: bytes
    model: str
    system: tuple[str, ...]
    turns: list[Said]
    conversation: str | None = None


@dataclass
class Upstream:
    """The messages that one session was really sent and has answered."""

    key_digest: bytes
    heard: list[Said] = field(default_factory=list)
    running: Request | None = None
    deleted: bool = False


@dataclass
class StoredSession:
    """A session that may be continued, as the model knows it."""

    name: str
    key_digest: bytes
    model: str
    system: tuple[str, ...]
    told: tuple[str, ...]
    turns: list[Said]
    conversation: str
    expires_at: float
    kept_by: Request
    state: Literal["free", "taken", "gone"] = "free"


@dataclass(eq=False)
class Request:
    """One request that runs: what a session must hold once its messages were sent, without and with
    its system texts.
    """

    chat: Chat
    worker: int
    turn: Turn
    new: list[Said]
    before: list[Said]
    system: tuple[str, ...]
    told: tuple[str, ...]
    by_id: bool
    stored: StoredSession | None
    sent: bool = False
    has_row: bool = True  # its session of now; `recorded`: each that it has had
    recorded: bool = True


class ConversationMachine(RuleBasedStateMachine):
    """Two workers over one storage."""

    def open_rows(
        self, clock: Callable[[], float]
    ) -> AbstractContextManager[Sequence[ExpiringRows]]:
        """The rows as each of two workers sees them."""
        rows = MemoryRows(clock)
        return nullcontext([rows, rows])

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self._opened = self.open_rows(self.clock)
        self.rows = [Switchable(rows) for rows in self._opened.__enter__()]
        self.workers = [
            Conversations(
                rows,
                session_timeout_s=TIMEOUT_S,
                delete_unrecorded=self._discarded,
                clock=self.clock,
            )  # type: ignore[arg-type]
            for rows in self.rows
        ]
        self.chats: list[Chat] = []
        self.requests: list[Request] = []
        self.done: list[Request] = []
        self.stored_sessions: list[StoredSession] = []
        # conversations with a row that could not be let go
        self.stuck: set[tuple[bytes, str | None]] = set()
        self.sessions: dict[str, Upstream] = {}
        self.meant: dict[Message, Said] = {}

    def teardown(self) -> None:
        self._opened.__exit__(None, None, None)

    # What clients do

    @initialize(data=st.data())
    def first_chats(self, data: st.DataObject) -> None:
        self.chats = [Chat(key, MODELS[0], (), []) for key in KEYS]
        self.talk(data, 0, False, ["a"])

    @rule(
        key_digest=st.sampled_from(KEYS),
        model=st.sampled_from(MODELS),
        system=st.sampled_from([(), ("a",), ("a", "b")]),
    )
    def new_chat(self, key_digest: bytes, model: str, system: tuple[str, ...]) -> None:
        self.chats.append(Chat(key_digest, model, system, []))

    @rule(
        data=st.data(),
        change=st.sampled_from(_CHANGES),
        worker=st.integers(0, 1),
        with_id=st.booleans(),
    )
    def ask_with_another_history(
        self, data: st.DataObject, change: str, worker: int, with_id: bool
    ) -> None:
        """A copy of a conversation, what somebody makes of it, and a request with it."""
        chat = self._chat(data)
        chat = replace(chat, turns=list(chat.turns))
        self.chats.append(chat)
        match change:
            case "key":
                chat.key_digest = KEYS[1 - KEYS.index(chat.key_digest)]
            case "model":
                chat.model = MODELS[1 - MODELS.index(chat.model)]
            case "system":
                chat.system = (*chat.system, "b")
            case "edit" if chat.turns:
                place = data.draw(st.integers(0, len(chat.turns) - 1))
                chat.turns[place] = (chat.turns[place][0], data.draw(st.sampled_from(TEXTS)))
            case "regenerate":
                del chat.turns[-2:]
            case "window":
                del chat.turns[:2]
            case "id":
                chat.conversation = data.draw(
                    st.sampled_from([chat.conversation for chat in self.chats])
                )
        self._ask(data, chat, worker, with_id)

    @rule(data=st.data(), worker=st.integers(0, 1), with_id=st.booleans())
    def ask(self, data: st.DataObject, worker: int, with_id: bool) -> None:
        self._ask(data, self._chat(data), worker, with_id)

    @rule(
        data=st.data(),
        worker=st.integers(0, 1),
        with_id=st.booleans(),
        answers=st.lists(st.sampled_from(TEXTS), min_size=1, max_size=2),
    )
    def talk(self, data: st.DataObject, worker: int, with_id: bool, answers: list[str]) -> None:
        """Run whole requests that go well, one after the other, so that there are sessions to go on
        from.
        """
        chat = self._chat(data)
        for answer in answers:
            request = self._ask(data, chat, worker, with_id)
            self._send(request)
            self._finish(request, answer, "{}")

    @rule(
        data=st.data(),
        worker=st.integers(0, 1),
        foreign=st.sampled_from([False, False, False, True]),
        system=st.sampled_from([None, (), ("b",)]),
        goes_well=st.booleans(),
    )
    def ask_by_id(
        self,
        data: st.DataObject,
        worker: int,
        foreign: bool,
        system: tuple[str, ...] | None,
        goes_well: bool,
    ) -> None:
        chat = self._chat(data)
        key_digest = KEYS[1 - KEYS.index(chat.key_digest)] if foreign else chat.key_digest
        wanted = chat.conversation or "0" * 32
        new = data.draw(_NEW)
        texts = chat.system if system is None else system
        expected = self._expected(key_digest, wanted, worker)
        messages = self._dressed(data, texts, new)

        outcome, turn = self._begin_by_id(
            worker, key_digest, data.draw(st.sampled_from(MODELS)), messages, wanted
        )

        assert outcome in expected
        if turn is None:
            return
        assert not turn.can_restart
        assert turn.conversation == wanted
        stored = self._claimed(
            turn,
            [
                stored
                for stored in self.stored_sessions
                if stored.conversation == wanted and self._is_free(stored)
            ],
        )
        assert stored is not None
        before, told = list(stored.turns), stored.told
        if texts and texts != told:
            before += [("system", text) for text in texts]
            told = texts
        talk = Chat(key_digest, stored.model, stored.system, before)
        request = self._note(
            Request(talk, worker, turn, new, before, stored.system, told, True, stored)
        )
        if goes_well:
            self._send(request)
            self._finish(request, "a", "{}")

    # What becomes of requests

    @precondition(lambda self: self.requests)
    @rule(data=st.data())
    def send(self, data: st.DataObject) -> None:
        request = data.draw(st.sampled_from(self.requests))
        if not request.sent and (request.turn.is_resumed or not request.by_id):
            self._send(request)

    @precondition(lambda self: any(request.sent for request in self.requests))
    @rule(
        data=st.data(),
        answer=st.sampled_from(TEXTS),
        raw=st.sampled_from(["{}", " {}\r\n", "<think>a</think>{}"]),
    )
    def finish(self, data: st.DataObject, answer: str, raw: str) -> None:
        request = data.draw(st.sampled_from([request for request in self.requests if request.sent]))
        self._finish(request, answer, raw)

    @precondition(lambda self: self.requests)
    @rule(data=st.data(), upstream_refused=st.booleans(), again=st.booleans())
    def break_off(self, data: st.DataObject, upstream_refused: bool, again: bool) -> None:
        """The client leaves, the answer is cut or filtered; or the upstream refused it, and the
        session has nothing.
        """
        request = data.draw(st.sampled_from(self.requests))
        intact = not request.sent or upstream_refused
        if request.sent:
            self._leave_session(request, intact)
        is_stuck = self._note_stuck(request)

        with request.turn as turn:
            if intact:
                turn.release()

        self._end(request, "free" if intact and not is_stuck else "gone")
        if again and not request.by_id:
            self._ask(data, request.chat, request.worker, with_id=False)

    @precondition(lambda self: self.requests)
    @rule(data=st.data())
    def fail_over(self, data: st.DataObject) -> None:
        request = data.draw(st.sampled_from(self.requests))
        if request.sent:
            self._leave_session(request, intact=False)
        self._note_stuck(request)
        self._set_stored(request, "gone")
        request.sent = False

        request.turn.invalidate_session()

        assert request.turn.session is None
        if request.by_id:
            outcome = self._outcome(lambda: request.turn.messages)
            assert outcome is ConversationNotFound

    @precondition(lambda self: self.done)
    @rule(data=st.data())
    def fail_to_write_the_last_frame(self, data: st.DataObject) -> None:
        request = data.draw(st.sampled_from(self.done))
        self.done.remove(request)
        away = self.rows[request.worker].away

        request.turn.rollback()

        for stored in self.stored_sessions:
            if stored.kept_by is request and stored.state == "free" and not away:
                stored.state = "gone"

    # The steps of a request

    def _ask(self, data: st.DataObject, chat: Chat, worker: int, with_id: bool) -> Request:
        said = [*chat.turns, *data.draw(_NEW)]
        past_end = max(
            (i + 1 for i, (role, _) in enumerate(said) if role == "assistant"), default=0
        )
        named = chat.conversation if with_id and past_end else None
        fitting = [
            stored
            for stored in self.stored_sessions
            if self._is_free(stored)
            and (stored.key_digest, stored.model, stored.system)
            == (chat.key_digest, chat.model, chat.system)
            and stored.turns == said[:past_end]
            and named in (None, stored.conversation)
        ]
        messages = self._dressed(data, chat.system, said)

        turn = self.workers[worker].begin(chat.key_digest, chat.model, messages, named)

        assert turn.can_restart
        assert turn.is_resumed == bool(fitting and not self.rows[worker].away)
        stored = self._claimed(turn, fitting)
        assert turn.conversation is not None
        running = {request.turn.conversation for request in self.requests}
        assert turn.conversation not in running
        assert (stored is None) == (
            turn.conversation not in {stored.conversation for stored in self.stored_sessions}
        )
        return self._note(
            Request(
                chat,
                worker,
                turn,
                said[past_end:],
                said[:past_end],
                chat.system,
                chat.system,
                False,
                stored,
            )
        )

    def _send(self, request: Request) -> None:
        turn = request.turn
        if turn.session is None:
            # One session without a record, and nothing of this turn is kept: nobody could have
            # found it meanwhile.
            away = self._note_stuck(request)
            request.has_row = not away
            request.recorded = request.recorded and request.has_row
            turn.record("account", f"s/{len(self.sessions)}")
            assert turn.session is not None
            self.sessions[turn.session.name] = Upstream(request.chat.key_digest)
        session = self.sessions[turn.session.name]
        assert not session.deleted
        assert session.running is None
        assert session.key_digest == request.chat.key_digest

        messages = turn.messages
        turn.mark_sent()

        session.running, request.sent = request, True
        meant = [self.meant[message] for message in messages]
        session.heard += sorted(meant, key=lambda said: said[0] != "system")
        system = [("system", text) for text in request.system]
        assert session.heard == [*system, *request.before, *request.new]

    def _finish(self, request: Request, answer: str, raw: str) -> None:
        assert request.turn.session is not None
        name = request.turn.session.name
        session = self.sessions[name]
        session.heard.append(("assistant", answer))
        session.running = None
        away = self._note_stuck(request)

        with request.turn as turn:
            kept = turn.commit(raw.format(answer))

        self._end(request, "gone")
        assert kept == (request.recorded and not away)
        assert session.deleted == (away or not request.has_row)  # or its row tells that it is to be
        if kept:
            self._keep(request, name, answer)

    # What happens to everybody

    @rule(
        what=st.sampled_from(
            ["a minute", "a minute", "half the time", "storage away", *["storage back"] * 3]
        ),
        worker=st.integers(0, 1),
    )
    def something_happens(self, what: str, worker: int) -> None:
        self.clock.now += {"a minute": 60.0, "half the time": TIMEOUT_S / 2}.get(what, 0.0)
        if what.startswith("storage"):
            self.rows[worker].away = what.endswith("away")

    @rule(worker=st.integers(0, 1), waits=st.booleans())
    def delete_expired(self, worker: int, waits: bool) -> None:
        """Delete upstream what has expired; questions after that find none of it."""
        self.clock.now += TIMEOUT_S if waits else 0.0
        if self.rows[worker].away:
            return

        self.rows[worker].mark_expired(self.clock.now)

        for stored in self.stored_sessions:
            if stored.state == "free" and not self._is_free(stored):
                stored.state = "gone"
                session = self.sessions[stored.name]
                assert session.running is None
                session.deleted = True

    # The model

    def _chat(self, data: st.DataObject) -> Chat:
        return data.draw(st.sampled_from(self.chats[-4:]))

    def _is_free(self, stored: StoredSession) -> bool:
        return stored.state == "free" and stored.expires_at > self.clock.now

    def _expected(self, key_digest: bytes, wanted: str, worker: int) -> set[Outcome]:
        """The possible outcomes of asking for a conversation by its id alone."""
        if not belongs_to(key_digest, wanted):
            return {ConversationNotFound}
        running = [
            r
            for r in self.requests
            if (r.chat.key_digest, r.turn.conversation) == (key_digest, wanted)
        ]
        if any(request.worker == worker for request in running):
            return {ConversationBusy}
        if self.rows[worker].away:
            return {StorageUnavailable}
        own = [
            stored
            for stored in self.stored_sessions
            if (stored.key_digest, stored.conversation) == (key_digest, wanted)
        ]
        if any(self._is_free(stored) for stored in own):
            return {"continued"}
        if any(request.turn.is_resumed or not request.by_id for request in running):
            return {ConversationBusy}
        # Of a row that could not be let go nobody else can tell that its request is over.
        return {
            ConversationNotFound,
            *([ConversationBusy] if (key_digest, wanted) in self.stuck else []),
        }

    def _begin_by_id(
        self, worker: int, key_digest: bytes, model: str, messages: list[Message], wanted: str
    ) -> tuple[Outcome, Turn | None]:
        try:
            return "continued", self.workers[worker].begin(key_digest, model, messages, wanted)
        except GatewayError as error:
            return type(error), None

    def _outcome(self, act: Callable[[], object]) -> object:
        try:
            return act()
        except GatewayError as error:
            return type(error)

    def _claimed(self, turn: Turn, fitting: list[StoredSession]) -> StoredSession | None:
        if turn.session is None:
            return None
        name = turn.session.name
        (stored,) = [stored for stored in fitting if stored.name == name]
        assert turn.conversation == stored.conversation
        stored.state = "taken"
        return stored

    def _note(self, request: Request) -> Request:
        request.turn.__enter__()
        self.requests.append(request)
        return request

    def _keep(self, request: Request, name: str, answer: str) -> None:
        conversation = request.turn.conversation
        assert conversation is not None
        turns = [*request.before, *request.new, ("assistant", answer)]
        self.stored_sessions.append(
            StoredSession(
                name,
                request.chat.key_digest,
                request.chat.model,
                request.system,
                request.told,
                turns,
                conversation,
                self.clock.now + TIMEOUT_S,
                request,
            )
        )
        free = [
            stored
            for stored in self.stored_sessions
            if stored.conversation == conversation and stored.state in ("free", "contended")
        ]
        assert len(free) == 1
        self.done.append(request)
        if request.by_id:  # somebody may have kept the history all the same
            request.chat.turns = [said for said in turns if said[0] != "system"]
            self.chats.append(request.chat)
        else:
            request.chat.turns = list(turns)
        request.chat.conversation = conversation

    def _leave_session(self, request: Request, intact: bool) -> None:
        assert request.turn.session is not None
        session = self.sessions[request.turn.session.name]
        session.running = None
        if intact:
            count = sum(1 for _ in request.turn.messages)
            del session.heard[-count:]
        else:
            session.heard.append(("assistant", "cut"))

    def _note_stuck(self, request: Request) -> bool:
        """A row is about to be let go: whether it cannot be, as the storage is away."""
        away = self.rows[request.worker].away
        if away:
            self.stuck.add((request.chat.key_digest, request.turn.conversation))
        return away

    def _set_stored(self, request: Request, state: Literal["free", "gone"]) -> None:
        if request.stored is not None:
            request.stored.state = state
            request.stored = None

    def _end(self, request: Request, state: Literal["free", "gone"]) -> None:
        self._set_stored(request, state)
        self.requests.remove(request)

    def _discarded(self, session: Session) -> None:
        upstream = self.sessions[session.name]
        assert upstream.running is None
        upstream.deleted = True

    def _dressed(
        self, data: st.DataObject, system: Sequence[str], turns: Sequence[Said]
    ) -> list[Message]:
        """Each in one of the forms in which clients send the same; `meant` tells what it is."""
        chance = random.Random(data.draw(st.integers(0, 99)))
        messages = []
        for said in (*(("system", text) for text in system), *turns):
            message = chance.choice(_forms(*said))
            self.meant[message] = said
            messages.append(message)
        return messages


def _forms(role: str, text: str) -> list[Message]:
    if role == "tool":
        return [Message("tool", (ToolResultPart("call", form),)) for form in (text, f" {text}\r\n")]
    known: Role = role  # type: ignore[assignment]
    written = [text, f" {text}\n\n", text.replace("\n", "\r\n")]
    if role == "assistant":
        written += [
            f"<think>Hm\n</think>\n{text}",
            f'<details type="reasoning">Hm</details>\r\n{text}',
        ]
    split = Message(known, tuple(TextPart(line) for line in text.split("\n")))
    return [*(Message(known, (TextPart(form),)) for form in written), split]


_NEW = st.lists(
    st.tuples(st.sampled_from(["user", "user", "tool"]), st.sampled_from(TEXTS)),
    min_size=1,
    max_size=2,
)
