"""The record of a client session for which no upstream session stands yet."""

from __future__ import annotations

from gbproxy.conversations.session_store import FailSafeSessions, SessionHandle
from gbproxy.domain.session import Session


class UnopenedRecord:
    """The record that one turn has claimed, until it is left; `session` None: it has claimed
    none.
    """

    __slots__ = ("_session", "_sessions", "_shown")

    def __init__(self, session: Session | None, sessions: FailSafeSessions) -> None:
        self._session = session
        self._sessions = sessions
        self._shown = False

    @property
    def is_claimed(self) -> bool:
        return self._session is not None

    @property
    def may_begin_anew(self) -> bool:
        """True while nothing was shown, so that the record is still as it was."""
        return self._session is not None and not self._shown

    def mark_shown(self) -> None:
        self._shown = True

    def leave(self) -> None:
        """Give the record back, or have it removed: another stands for it now, or it was lost with
        what the client was shown.
        """
        if self._session is not None:
            session, self._session = self._session, None
            if self._shown:
                self._sessions.mark_for_deletion(SessionHandle(session))
            else:
                self._sessions.release(session)
