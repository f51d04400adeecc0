"""The session that an attempt asks in: the turn's own, or a fresh one."""

from __future__ import annotations

from gbproxy.conversations import Turn
from gbproxy.domain.account import Account
from gbproxy.gateway.request_state import RequestState
from gbproxy.observability import request_context
from gbproxy.sessions.prewarmed import SessionPool
from gbproxy.upstreams.base import Capabilities


def session_for(
    state: RequestState,
    turn: Turn,
    account: Account,
    capabilities: Capabilities,
    sessions: SessionPool,
) -> str:
    """The session's name, which is empty without one, and where the answer brings it."""
    if turn.session is not None:
        return turn.session.name
    context = request_context.current()
    state.has_opened = False
    name = ""
    if not capabilities.sessions:
        turn.forgo_session()
        state.has_opened = True
    else:
        can_use = turn.can_use_prewarmed(id_was_sent=context.conversation_sent)
        session = sessions.take(account) if can_use else None
        if session is None:
            for_files = state.size.has_file or state.files.are_in(turn.messages)
            opened = sessions.open(account, for_files=for_files)
            session = turn.record(account.account_key, opened)
            state.has_opened = True
        else:
            turn.use(session)
            turn.take_id()
        name = session.name
    if not context.conversation_sent:
        context.conversation = turn.conversation
    return name
