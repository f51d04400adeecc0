"""Find the upstream session that continues a request, and begin the request's turn in it."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence

from gbproxy.conversations.client_sessions import lifetime_s
from gbproxy.conversations.session_store import FailSafeSessions, Outcomes, SessionStore
from gbproxy.conversations.turn import Turn
from gbproxy.conversations.turn_plan import TurnPlan
from gbproxy.domain import history
from gbproxy.domain.chat import Message
from gbproxy.domain.session import (
    Claimed,
    NoClaim,
    Session,
    belongs_to,
    is_client_session,
    public_id,
    random_prefix,
)
from gbproxy.errors import ConversationBusy, ConversationNotFound
from gbproxy.observability.meter import SILENT, Meter


class Conversations:
    """Begins the turns of all requests; safe for use by many threads at once."""

    def __init__(
        self,
        store: SessionStore,
        *,
        session_timeout_s: float,
        delete_unrecorded: Callable[[Session], None],
        clock: Callable[[], float] = time.time,
        meter: Meter = SILENT,
    ) -> None:
        """`session_timeout_s` 0: nothing but client sessions is continued, every other session is
        deleted after its answer.

        `delete_unrecorded` deletes a session whose row cannot be marked for deletion: it has none,
        or the storage is away.
        """
        self.outcomes = Outcomes(_meter=meter)
        self._sessions = FailSafeSessions(store, delete_unrecorded, self.outcomes)
        self._session_timeout_s = session_timeout_s
        self._lifetime_s = lifetime_s(session_timeout_s)
        self._clock = clock
        # Key digest and id of what runs in this process: a fresh session's row does not have them.
        self._running: set[tuple[bytes, str]] = set()

    def flush(self) -> None:
        """Roll back what had to wait for the storage. Raises StorageUnavailable."""
        self._sessions.flush()

    def begin(
        self,
        key_digest: bytes,
        model_id: str,
        messages: Sequence[Message],
        conversation: str | None = None,
        *,
        form: bytes = b"",
        avoided: Callable[[], Collection[str]] = tuple,
    ) -> Turn:
        """Begin one request's turn.

        `form`: the digest of what the request says of tools and of its answer's form.
        `key_digest`: of the client's API key; b"" without one, and then nothing is kept.
        `conversation`: the id that the client sent. `avoided`: account keys that cannot answer at
        the moment; of several sessions with the same history, another account's is claimed.

        With a history in `messages`, the session must hold it, and be of that conversation if one
        is named; else a fresh one gets it, and a new id, as the named conversation may be going on
        elsewhere. Without a history the named conversation is continued whatever it holds: raises
        ConversationNotFound, ConversationBusy or StorageUnavailable.
        """
        parts = history.split(messages)
        if conversation is not None and not parts.past:
            claimed = self._claim_named(key_digest, conversation)
            if not claimed.session.is_opened:
                return self._first(key_digest, model_id, tuple(messages), parts, claimed, form)
            return self._named(key_digest, tuple(messages), parts, claimed, form)
        keeps = self._keeps(key_digest)
        digest = b""
        if keeps:
            digest = history.digest(key_digest, model_id, parts.system, parts.past, form)
        can_resume = keeps and parts.past and parts.turns
        session = self._claim(key_digest, digest, conversation, avoided()) if can_resume else None
        own = session.conversation if session else public_id(key_digest, random_prefix())
        self.outcomes.add("continued" if session else "fresh")
        if parts.past and not session:
            self.outcomes.add("miss")
        return self._turn(
            TurnPlan(
                key_digest,
                own if keeps else None,
                digest,
                parts.turns,
                full_messages=tuple(messages),
                delta_messages=parts.turns,
                is_new=session is None,
            ),
            session,
        )

    def _keeps(self, key_digest: bytes) -> bool:
        return bool(key_digest) and self._session_timeout_s > 0

    def _claim(
        self,
        key_digest: bytes,
        history_digest: bytes,
        conversation: str | None,
        avoided: Collection[str],
    ) -> Session | None:
        if conversation is not None and not belongs_to(key_digest, conversation):
            return None
        return self._sessions.claim_history(history_digest, conversation, avoided)

    def _first(
        self,
        key_digest: bytes,
        model_id: str,
        messages: tuple[Message, ...],
        parts: history.History,
        claimed: Claimed,
        form: bytes,
    ) -> Turn:
        """The first turn of a client session: in any upstream session, on any account."""
        self.outcomes.add("fresh")
        plan = TurnPlan(
            key_digest,
            claimed.session.conversation,
            history.start(key_digest, model_id, parts.system, form),
            parts.turns,
            full_messages=messages,
            delta_messages=parts.turns,
        )
        return self._turn(plan, None, unopened=claimed.session)

    def _named(
        self,
        key_digest: bytes,
        messages: tuple[Message, ...],
        parts: history.History,
        claimed: Claimed,
        form: bytes,
    ) -> Turn:
        digest, delta = claimed.history_digest, parts.turns
        is_told = history.has_instructions(digest, key_digest, parts.system, form)
        if not (delta and is_told):
            digest, delta = history.with_system(digest, key_digest, parts.system, form), messages
        self.outcomes.add("continued")
        plan = TurnPlan(
            key_digest,
            claimed.session.conversation,
            digest,
            parts.turns,
            full_messages=None,
            delta_messages=delta,
            is_told=is_told,
        )
        return self._turn(plan, claimed.session)

    def _claim_named(self, key_digest: bytes, conversation: str) -> Claimed:
        keeps = self._keeps(key_digest) or (bool(key_digest) and is_client_session(conversation))
        if not keeps or not belongs_to(key_digest, conversation):
            raise ConversationNotFound
        if (key_digest, conversation) in self._running:
            self.outcomes.add("contended")
            raise ConversationBusy
        match self._sessions.claim_conversation(conversation, key_digest):
            case Claimed() as claimed:
                return claimed
            case NoClaim.UNKNOWN:
                raise ConversationNotFound
            case NoClaim.BUSY:
                raise ConversationBusy

    def _turn(
        self, plan: TurnPlan, session: Session | None, unopened: Session | None = None
    ) -> Turn:
        key_digest = plan.key_digest
        names = {(key_digest, plan.conversation)} if plan.conversation is not None else set()
        self._running |= names

        def rename(conversation: str) -> None:
            self._running -= names
            names.clear()
            names.add((key_digest, conversation))
            self._running |= names

        return Turn(
            plan,
            session,
            self._sessions,
            self.outcomes,
            expires_at=lambda: self._clock() + self._lifetime_s,
            on_end=lambda: self._running.difference_update(names),
            on_rename=rename,
            unopened=unopened,
        )
