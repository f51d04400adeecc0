"""One request's turn in a conversation, from the session that it claims to the one that it leaves
behind.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from gbproxy.conversations.session_store import FailSafeSessions, Outcomes, SessionHandle
from gbproxy.conversations.turn_plan import TurnPlan
from gbproxy.conversations.unopened import UnopenedRecord
from gbproxy.domain import history, session_files
from gbproxy.domain.chat import Message, ToolCallPart
from gbproxy.domain.session import Session, id_prefix, is_client_session, public_id
from gbproxy.domain.session_files import SessionFiles
from gbproxy.errors import ConversationNotFound
from gbproxy.observability import request_context


class Turn:
    """The session of one request, if it has one yet, and what to send into it; for one thread at a
    time.

    Leaving the `with` block releases a session that was not committed if nothing was sent, and
    marks it for deletion otherwise. An exception that ends the block after `commit` rolls it back.
    A client session stays, whatever it holds: its client has nothing else.
    """

    def __init__(
        self,
        plan: TurnPlan,
        claimed: Session | None,
        sessions: FailSafeSessions,
        outcomes: Outcomes,
        expires_at: Callable[[], float],
        on_end: Callable[[], None],
        on_rename: Callable[[str], None],
        unopened: Session | None = None,
    ) -> None:
        """`unopened`: the record, claimed for this turn, of a client session for which no upstream
        session stands yet.
        """
        self._plan = plan
        self._unopened = UnopenedRecord(unopened, sessions)
        self._handle = SessionHandle(claimed) if claimed else None
        # Invalidated, and recorded as in use until another is.
        self._superseded: SessionHandle | None = None
        self._claimed = claimed is not None
        self._sent = self._released = False
        self._committed: tuple[Session, bytes] | None = None
        self._sessions = sessions
        self._outcomes = outcomes
        self._expires_at = expires_at
        self._on_end = on_end
        self._on_rename = on_rename
        request_context.current().log_fields["continued"] = self._claimed

    def __enter__(self) -> Turn:
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        # Roll back last: a commit that was interrupted may still be written before that.
        if not self._sent:
            self.release()
        elif not self.commit_as_is():
            self.invalidate_session()
        self._delete_superseded()
        self._unopened.leave()
        if error is not None:
            self.rollback()
        self._end()

    def _end(self) -> None:
        on_end, self._on_end = self._on_end, _nothing
        on_end()

    @property
    def conversation(self) -> str | None:
        """The id by which the client can continue after the answer; None if it cannot."""
        return self._plan.conversation

    @property
    def session(self) -> Session | None:
        """The session to send to: the claimed one, or a fresh one. None before that is there."""
        return self._handle.session if self._handle else None

    @property
    def is_resumed(self) -> bool:
        """True while `session` holds the history, so that only the delta is sent."""
        return self._claimed

    @property
    def is_told(self) -> bool:
        """False while `session` is one that was told otherwise, or nothing, of tools and of the
        answer's form.
        """
        return not self._claimed or self._plan.is_told

    @property
    def account_key(self) -> str | None:
        """The account of the claimed session: no other can continue in it. None without one."""
        return self._handle.session.account_key if self._claimed and self._handle else None

    @property
    def can_restart(self) -> bool:
        """True if a fresh session will do; else the history is in the claimed session only."""
        return self._plan.full_messages is not None

    @property
    def messages(self) -> tuple[Message, ...]:
        """The messages to send: the full history, or the delta. Raises ConversationNotFound when
        the claimed session is lost and the client sent no history.
        """
        if self._claimed:
            return self._plan.delta_messages
        if self._plan.full_messages is None:
            raise ConversationNotFound
        return self._plan.full_messages

    def use(self, session: Session) -> None:
        """Use a fresh session that is recorded already."""
        self._attach(SessionHandle(session))

    def record(self, account_key: str, name: str) -> Session:
        """Use a session that was just opened upstream, and record it. Without storage it serves
        this request only.
        """
        handle = self._sessions.add(account_key, name, self._plan.conversation)
        if not handle.recorded:
            # No later request can continue in it, nor has to wait for it.
            self._plan = replace(self._plan, conversation=None)
            self._end()
        self._attach(handle)
        return handle.session

    def name(self, name: str) -> None:
        """Record the upstream's name of the session that it has made for this request."""
        if self._handle is not None:
            self._handle = self._sessions.name(self._handle, name)

    def forgo_session(self) -> None:
        """Answer from an upstream without sessions: nothing is recorded, and the conversation
        continues by its full history alone.
        """
        self.invalidate_session()
        self._plan = replace(self._plan, conversation=None)
        self._delete_superseded()
        self._end()

    def can_use_prewarmed(self, *, id_was_sent: bool) -> bool:
        """True if other workers see that the conversation is in use although a prewarmed session's
        record has an id of its own: by the record of an unopened one, or as the conversation may
        take that id, which its client has not been sent yet.
        """
        return self._unopened.is_claimed or (self._plan.is_new and not id_was_sent)

    def take_id(self) -> None:
        """Give a new conversation the id of its session's record, which tells every worker that it
        is in use. A conversation whose id the client knows keeps that.
        """
        if (
            self._plan.is_new
            and self._plan.conversation
            and self._handle is not None
            and self._handle.recorded
        ):
            prefix = id_prefix(self._handle.session.conversation)
            conversation = public_id(self._plan.key_digest, prefix)
            self._plan = replace(self._plan, conversation=conversation)
            self._on_rename(conversation)

    @property
    def files(self) -> SessionFiles:
        """The files that the session holds."""
        return session_files.decode(self._handle.session.files) if self._handle else {}

    def note_files(self, files: SessionFiles) -> None:
        """Record, with the commit, that the session holds these files."""
        if self._handle is not None:
            session = replace(self._handle.session, files=session_files.encode(files))
            self._handle = replace(self._handle, session=session)

    def mark_sent(self) -> None:
        """Call before `messages` are sent: from now on the session counts as holding them."""
        self._sent = True

    def mark_shown(self) -> None:
        """Call when the client is shown something of the answer: from now on an unopened session is
        no longer as it was.
        """
        self._unopened.mark_shown()

    def commit(self, answer: str | history.LongText, calls: Sequence[ToolCallPart] = ()) -> bool:
        """Let the session be continued from this answer. Call it before the last frame goes out.

        `answer` is the text as the client was shown it, `calls` the tool calls behind it. One that
        was cut, filtered or shortened is never committed: leave the block without this. Returns
        False if the conversation cannot be continued.
        """
        plan = self._plan
        return self._commit(history.answered(plan.base_digest, plan.new_turns, answer, calls))

    def commit_as_is(self) -> bool:
        """Let a client session be continued from whatever it holds now, which no history tells.
        False if it cannot be, or is none.
        """
        is_theirs = is_client_session(self._plan.conversation) and self._handle is not None
        # What failed before anything was shown may begin anew, on another account too.
        if not is_theirs or self._unopened.may_begin_anew:
            return False
        # A commit that was interrupted may be written: then this session is no longer ours.
        if self._committed is not None:
            return False
        return self._commit(history.unknown(self._plan.base_digest))

    def _commit(self, digest: bytes) -> bool:
        if self._handle is None:
            raise ValueError("there is no session to commit")
        handle, plan = self._handle, self._plan
        if plan.conversation is None or not handle.session.name:
            self.invalidate_session()
            return False
        self._committed = handle.session, digest
        committed = self._sessions.commit(
            handle, digest, plan.key_digest, plan.conversation, self._expires_at()
        )
        self._detach()
        self._unopened.mark_shown()
        self._unopened.leave()
        self._end()
        if not committed:
            self._committed = None
        return committed

    def keep_files(self, until: float) -> bool:
        """Let the session live until then (Unix seconds), as links to its files are handed out.
        False: it will not.
        """
        return self._handle is not None and self._sessions.keep_files(self._handle, until)

    def confirm_delivery(self) -> None:
        """The last frame was written: from now on the commit is not rolled back."""
        self._committed = None

    def rollback(self) -> None:
        """The last frame could not be written: delete the session that was committed, unless
        another request has continued it, or its client has nothing else.
        """
        if self._committed is not None and not is_client_session(self._plan.conversation):
            self._sessions.rollback(*self._committed)
        self._committed = None

    def release(self) -> None:
        """Put a claimed session back as it was, as it holds nothing of this turn. A fresh one is
        deleted.
        """
        if not self._claimed:
            self.invalidate_session()
        elif self._handle is not None:
            session = self._handle.session
            self._detach()
            self._released = True
            self._sessions.release(session)

    def invalidate_session(self) -> None:
        """Mark the session for deletion: it is gone, or may hold what the conversation does not. A
        fresh one may follow, in which the conversation keeps its id.
        """
        if self._handle is None:
            return
        # Marked once the fresh one is recorded, or the turn ends: until then this record tells
        # other workers that a request is running in the conversation.
        self._superseded = self._handle
        if self._claimed:
            self._outcomes.add("lost")
        self._detach()
        # The conversation is over, or no client knows of it.
        if self._plan.full_messages is None or self._plan.conversation is None:
            self._delete_superseded()

    def _attach(self, handle: SessionHandle) -> None:
        # Two sessions of one conversation would not hold the same.
        if self._handle is not None or self._released:
            raise ValueError("the turn has, or left behind, a session: invalidate it first")
        self._handle = handle
        self._delete_superseded()
        request_context.current().log_fields["continued"] = False

    def _delete_superseded(self) -> None:
        if self._superseded is not None:
            superseded, self._superseded = self._superseded, None
            self._sessions.mark_for_deletion(superseded)

    def _detach(self) -> None:
        self._handle, self._claimed, self._sent = None, False, False


def _nothing() -> None:
    """The end of a turn that has ended."""
