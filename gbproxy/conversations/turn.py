"""One request's turn in a conversation, from the session that it takes up to the one that it leaves
behind.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from gbproxy.conversations.session_store import FailSafeSessions, Outcomes, SessionHandle
from gbproxy.domain import history
from gbproxy.domain.chat import Message
from gbproxy.domain.conversation_id import half_of, public_id
from gbproxy.domain.session import Session
from gbproxy.errors import ConversationNotFound
from gbproxy.observability import request_context


@dataclass(frozen=True, slots=True)
class TurnPlan:
    """What a turn is about: `before` is the head up to the new `turns`.

    `whole` is what a fresh session is sent, None where the client sent no history; `new` what the
    session is sent that holds the rest. `conversation` None: nothing is kept. `is_new`: nobody
    knows its id yet.
    """

    caller: bytes
    conversation: str | None
    before: bytes
    turns: tuple[Message, ...]
    whole: tuple[Message, ...] | None
    new: tuple[Message, ...]
    is_new: bool = False


class Turn:
    """The session of one request, if it has one yet, and what to send into it; for one thread at a
    time.

    Leaving the `with` block lets go of a session that was not kept: as it was if nothing was sent,
    else to be deleted. If an exception ends the block after `keep`, what was kept is withdrawn.
    """

    def __init__(
        self,
        matter: TurnPlan,
        claimed: Session | None,
        records: FailSafeSessions,
        counts: Outcomes,
        expires_at: Callable[[], float],
        on_end: Callable[[], None],
        on_rename: Callable[[str], None],
    ) -> None:
        self._matter = matter
        self._held = SessionHandle(claimed) if claimed else None
        self._left: SessionHandle | None = (
            None  # discarded, and recorded as in use until another is
        )
        self._claimed = claimed is not None
        self._sent = self._released = False
        self._kept: tuple[Session, bytes] | None = None
        self._records = records
        self._counts = counts
        self._expires_at = expires_at
        self._on_end = on_end
        self._on_rename = on_rename
        request_context.current().facts["continued"] = self._claimed

    def __enter__(self) -> Turn:
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        # First let go, then withdraw: a `keep` that was broken off may be written before the one or
        # the other.
        if self._sent:
            self.discard()
        else:
            self.release()
        self._doom_left()
        if error is not None:
            self.withdraw()
        self._end()

    def _end(self) -> None:
        on_end, self._on_end = self._on_end, _nothing
        on_end()

    @property
    def conversation(self) -> str | None:
        """The id under which this conversation can be continued after the answer; None where it
        cannot.
        """
        return self._matter.conversation

    @property
    def session(self) -> Session | None:
        """Where to send: the claimed session, or a fresh one that was taken up."""
        return self._held.session if self._held else None

    @property
    def continues(self) -> bool:
        """Whether `session` holds the history, so that only what is new is sent."""
        return self._claimed

    @property
    def wanted(self) -> str | None:
        """The seat that the claimed session belongs to: no other account can continue in it."""
        return self._held.session.account_key if self._claimed and self._held else None

    @property
    def may_start_afresh(self) -> bool:
        """Whether a fresh session will do; False: the history is in the claimed session only."""
        return self._matter.whole is not None

    @property
    def messages(self) -> tuple[Message, ...]:
        """What is to be sent: all, or what is new. Raises ConversationNotFound when there is
        neither any more.
        """
        if self._claimed:
            return self._matter.new
        if self._matter.whole is None:
            raise ConversationNotFound
        return self._matter.whole

    def use(self, session: Session) -> None:
        """Take up a fresh session that is recorded already."""
        self._take_up(SessionHandle(session))

    def record(self, account_key: str, name: str) -> Session:
        """Take up a session that was just made upstream, and record it. Without storage it serves
        this request only.
        """
        held = self._records.add(account_key, name, self._matter.conversation)
        if not held.recorded:
            # nobody can go on in it, nor wait for it
            self._matter = replace(self._matter, conversation=None)
            self._end()
        self._take_up(held)
        return held.session

    def name(self, name: str) -> None:
        """The upstream tells how it calls the session that it has made for what was sent."""
        if self._held is not None:
            self._held = self._records.name(self._held, name)

    @property
    def may_adopt_id(self) -> bool:
        """Whether the conversation is new, so that it may go by another id as long as nobody was
        told one.
        """
        return self._matter.is_new

    def adopt_id(self) -> None:
        """Call a new conversation by the id of its session's record, which tells every worker that
        it is in use.

        Not once the client has been told an id.
        """
        if (
            self._matter.is_new
            and self._matter.conversation
            and self._held is not None
            and self._held.recorded
        ):
            conversation = public_id(self._matter.caller, half_of(self._held.session.conversation))
            self._matter = replace(self._matter, conversation=conversation)
            self._on_rename(conversation)

    def send(self) -> None:
        """Note that `messages` are about to be sent: from now on the session counts as holding the
        new turns.
        """
        self._sent = True

    def forgo_session(self) -> None:
        """This answer comes from an upstream without sessions: nothing is recorded, and the
        conversation goes on by its full history alone.
        """
        self._matter = replace(self._matter, conversation=None)
        self._doom_left()
        self._end()

    def keep(self, answer: str | history.LongText) -> bool:
        """The answer is whole: let the session be continued from here. To be called before the last
        frame goes out.

        `answer` is the text as the client was shown it. One that was cut, filtered or shortened is
        never kept: leave the block without this. Returns whether the conversation can be continued.
        """
        if self._held is None:
            raise ValueError("there is no session to keep")
        held, matter = self._held, self._matter
        if matter.conversation is None or not held.session.name:
            self.discard()
            return False
        head = history.answered(matter.before, matter.turns, answer)
        self._kept = held.session, head
        kept = self._records.keep(
            held, head, matter.caller, matter.conversation, self._expires_at()
        )
        self._let_go()
        self._end()
        if not kept:
            self._kept = None
        return kept

    def delivered(self) -> None:
        """The last frame was written: whatever ends the rest of the request takes nothing back."""
        self._kept = None

    def withdraw(self) -> None:
        """The last frame could not be written: what was kept is deleted, unless a request has gone
        on from it.
        """
        if self._kept is not None:
            self._records.withdraw(*self._kept)
            self._kept = None

    def release(self) -> None:
        """Put a claimed session back as it was, as it holds nothing of this turn. A fresh one is
        deleted.
        """
        if not self._claimed:
            self.discard()
        elif self._held is not None:
            session = self._held.session
            self._let_go()
            self._released = True
            self._records.release(session)

    def discard(self) -> None:
        """Have the session deleted: it is gone, or may hold what the conversation does not. A fresh
        one may follow.

        The conversation keeps its id in that fresh session. Until that is recorded, or the turn
        ends, the record of this one tells other workers that a request is running in the
        conversation.
        """
        if self._held is None:
            return
        self._left = self._held
        if self._claimed:
            self._counts.add("lost")
        self._let_go()
        # it is over, or nobody knows of it
        if self._matter.whole is None or self._matter.conversation is None:
            self._doom_left()

    def _take_up(self, held: SessionHandle) -> None:
        # two sessions of one conversation would not hold the same
        if self._held is not None or self._released:
            raise ValueError("the turn has, or left behind, a session: discard it first")
        self._held = held
        self._doom_left()
        request_context.current().facts["continued"] = False

    def _doom_left(self) -> None:
        if self._left is not None:
            left, self._left = self._left, None
            self._records.doom(left)

    def _let_go(self) -> None:
        self._held, self._claimed, self._sent = None, False, False


def _nothing() -> None:
    """The end of a turn that has ended."""
