"""Which upstream session continues a conversation, and what it may be used for once the answer is
there.

A session continues a request only if it holds exactly the request's history: its head, the digest
of all that it holds (domain/history.py), is that of the history. Then only the new turns are sent.
Anything else gets a fresh session and the whole history, which costs time and nothing more.

One request takes one `Turn`:

    with conversations.begin(caller, model.id, chat.messages, chat.conversation) as turn:
        session = turn.session or turn.record(account.account_key, upstream.open_session(account))
        for event in upstream.stream(turn.send(), model, account, session.name): …
        turn.keep(text)  # whole, and before its last frame goes out
"""

from gbproxy.conversations.ahead import SessionSource
from gbproxy.conversations.conversations import Conversations
from gbproxy.conversations.session_store import Outcomes, SessionStore
from gbproxy.conversations.turn import Turn

__all__ = ["Conversations", "Outcomes", "SessionSource", "SessionStore", "Turn"]
