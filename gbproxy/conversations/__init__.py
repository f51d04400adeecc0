"""Finds the upstream session that continues a conversation; commits or rolls back its turn.

A session continues a request only if it holds exactly the request's history: its history digest
(domain/history.py) is that of the request's. Then only the new turns are sent. Anything else gets a
fresh session and the full history, which costs time and nothing more.

One request takes one `Turn`:

    with conversations.begin(key_digest, model.id, chat.messages, chat.conversation) as turn:
        session = turn.session or turn.record(account.account_key, upstream.open_session(account))
        messages = turn.messages
        turn.mark_sent()
        for event in upstream.stream(UpstreamRequest(messages, model), account, session.name): …
        turn.commit(text)  # whole, and before its last frame goes out
"""

from gbproxy.conversations.client_sessions import ClientSessions
from gbproxy.conversations.conversations import Conversations
from gbproxy.conversations.session_store import Outcomes, SessionStore
from gbproxy.conversations.turn import Turn

__all__ = ["ClientSessions", "Conversations", "Outcomes", "SessionStore", "Turn"]
