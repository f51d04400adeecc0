"""Lets the console's own pages use the APIs: their session's cookie, with its CSRF token in a
header, in place of a key.
"""

from __future__ import annotations

from flask import Response, after_this_request, request

from gbproxy.console.access import SESSION_COOKIE
from gbproxy.console.pages import set_cookie
from gbproxy.console.sessions import IDLE_S, ConsoleSessions, Session
from gbproxy.domain.principal import CONSOLE
from gbproxy.errors import Unauthenticated
from gbproxy.observability import request_context

HEADER = "X-CSRF-Token"
_PATHS = frozenset({"/v1/chat/completions", "/v1/models"})  # of clients' APIs


class ApiAccess:
    """Asked only of requests without a key."""

    def __init__(self, sessions: ConsoleSessions) -> None:
        self._sessions = sessions

    def admits(self) -> bool:
        """True if a request to a client's API comes from a page of the console. Raises as
        `admits_operator` does.
        """
        return request.path in _PATHS and self.admits_operator()

    def admits_operator(self) -> bool:
        """True if a request comes from a page of the console; False if it does not claim to.

        Raises Unauthenticated where the claim is wrong, and StorageUnavailable.
        """
        # A browser sends the cookie by itself, whoever has made it ask. The header can only be set
        # by a script, and its value only be known by one of the console's pages.
        token, cookie = request.headers.get(HEADER), request.cookies.get(SESSION_COOKIE)
        if not token or not cookie:
            return False
        if not _is_same_origin():
            raise Unauthenticated("the console's session is of use to its own pages alone")
        session = self._sessions.find(cookie)
        if session is None or not session.has_token(token):
            raise Unauthenticated("the console's session has ended: sign in again")
        self._keep_up(session)
        request_context.current().log_fields["key"] = CONSOLE.key_id
        return True

    def _keep_up(self, session: Session) -> None:
        """A question in the playground is a deed of the session's user."""
        renewed = self._sessions.renewed(session)
        if renewed is None:
            return

        @after_this_request
        def give(answer: Response) -> Response:
            set_cookie(answer, SESSION_COOKIE, self._sessions.cookie(renewed), max_age=IDLE_S)
            return answer


def _is_same_origin() -> bool:
    """True unless the browser says that another origin's page asks.

    Browsers leave `Sec-Fetch-Site` out on plain HTTP, and `Origin` where they send none.
    """
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site == "same-origin"
    origin = request.headers.get("Origin")
    # The scheme is what a proxy decides.
    return origin in (None, f"http://{request.host}", f"https://{request.host}")
