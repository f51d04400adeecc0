"""Which upstream session continues a request."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence

from gbproxy.conversations.session_store import FailSafeSessions, Outcomes, SessionStore
from gbproxy.conversations.turn import Turn, TurnPlan
from gbproxy.domain import history
from gbproxy.domain.chat import Message
from gbproxy.domain.session import Claimed, NoClaim, Session, belongs_to, public_id, random_prefix
from gbproxy.errors import ConversationBusy, ConversationNotFound
from gbproxy.observability.meter import SILENT, Meter


class Conversations:
    """Begins the turns of all requests; safe for use by many threads at once."""

    def __init__(
        self,
        store: SessionStore,
        *,
        session_timeout_s: float,
        discard: Callable[[Session], None],
        clock: Callable[[], float] = time.time,
        meter: Meter = SILENT,
    ) -> None:
        """`session_timeout_s` 0: nothing is continued, every session is deleted after its answer.

        `discard` has a session deleted whose row cannot say so: it has none, or the storage is away
        and the row must be seen to later.
        """
        self.outcomes = Outcomes(_meter=meter)
        self._sessions = FailSafeSessions(store, discard, self.outcomes)
        self._session_timeout_s = session_timeout_s
        self._clock = clock
        # Caller and id of what runs in this process: a fresh session's row does not tell it.
        self._running: set[tuple[bytes, str]] = set()

    def flush(self) -> None:
        """Roll back what had to wait for the storage. Raises StorageUnavailable."""
        self._sessions.flush()

    def begin(
        self,
        caller: bytes,
        model_id: str,
        messages: Sequence[Message],
        conversation: str | None = None,
        *,
        avoided: Callable[[], Collection[str]] = tuple,
    ) -> Turn:
        """Begin one request's turn; `conversation` is the id that the client sent, `caller` b"" an
        anonymous one, for whom nothing is kept.

        `avoided`: account keys that cannot answer at the moment; of several sessions that hold the
        same, another's is taken.

        With a history in `messages`, the session must hold it, and be of that conversation if one
        is named; else a fresh one gets it, and a new id, as the named conversation may be going on
        elsewhere. Without a history the named conversation is continued whatever it holds: raises
        ConversationNotFound, ConversationBusy or StorageUnavailable.
        """
        parts = history.split(messages)
        if conversation is not None and not parts.past:
            return self._named(caller, tuple(messages), parts, conversation)
        keeps = self._keeps(caller)
        digest = history.digest(caller, model_id, parts.system, parts.past) if keeps else b""
        can_resume = keeps and parts.past and parts.turns
        session = self._claim(caller, digest, conversation, avoided()) if can_resume else None
        own = session.conversation if session else public_id(caller, random_prefix())
        self.outcomes.add("continued" if session else "fresh")
        if parts.past and not session:
            self.outcomes.add("miss")
        return self._turn(
            TurnPlan(
                caller,
                own if keeps else None,
                digest,
                parts.turns,
                full_messages=tuple(messages),
                delta_messages=parts.turns,
                is_new=session is None,
            ),
            session,
        )

    def _keeps(self, caller: bytes) -> bool:
        return bool(caller) and self._session_timeout_s > 0

    def _claim(
        self,
        caller: bytes,
        history_digest: bytes,
        conversation: str | None,
        avoided: Collection[str],
    ) -> Session | None:
        if conversation is not None and not belongs_to(caller, conversation):
            return None
        return self._sessions.claim_history(history_digest, conversation, avoided)

    def _named(
        self,
        caller: bytes,
        messages: tuple[Message, ...],
        parts: history.History,
        conversation: str,
    ) -> Turn:
        claimed = self._claim_named(caller, conversation)
        digest, delta = claimed.history_digest, parts.turns
        if not (delta and history.has_instructions(digest, caller, parts.system)):
            digest, delta = history.with_system(digest, caller, parts.system), messages
        self.outcomes.add("continued")
        plan = TurnPlan(
            caller, conversation, digest, parts.turns, full_messages=None, delta_messages=delta
        )
        return self._turn(plan, claimed.session)

    def _claim_named(self, caller: bytes, conversation: str) -> Claimed:
        if not self._keeps(caller) or not belongs_to(caller, conversation):
            raise ConversationNotFound
        if (caller, conversation) in self._running:
            self.outcomes.add("contended")
            raise ConversationBusy
        match self._sessions.claim_conversation(conversation, caller):
            case Claimed() as claimed:
                return claimed
            case NoClaim.UNKNOWN:
                raise ConversationNotFound
            case NoClaim.BUSY:
                raise ConversationBusy

    def _turn(self, plan: TurnPlan, session: Session | None) -> Turn:
        caller = plan.caller
        names = {(caller, plan.conversation)} if plan.conversation is not None else set()
        self._running |= names

        def rename(conversation: str) -> None:
            self._running -= names
            names.clear()
            names.add((caller, conversation))
            self._running |= names

        return Turn(
            plan,
            session,
            self._sessions,
            self.outcomes,
            expires_at=lambda: self._clock() + self._session_timeout_s,
            on_end=lambda: self._running.difference_update(names),
            on_rename=rename,
        )
