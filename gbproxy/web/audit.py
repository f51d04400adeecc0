"""Who administers in a request, and a line for each of its changes: also for a route whose author
has not thought of one.
"""

from __future__ import annotations

from urllib.parse import unquote

from flask import Blueprint, Response, current_app, request

from gbproxy.observability import audit, request_context
from gbproxy.observability.audit import USER_HEADER, Actor
from gbproxy.web.operations import is_told_elsewhere

_MOST_CHARS = 128
_READING = frozenset({"GET", "HEAD", "OPTIONS"})


def begin_api(key: str) -> None:
    """The request has shown an administrator's key, of which this is the fingerprint."""
    user = unquote(request.headers.get(USER_HEADER, ""))[:_MOST_CHARS]
    if user and user.isprintable():
        # Which user that is, only the command says. One on the database has made up its key.
        is_here = request.remote_addr is None
        _begin(Actor("cli", user if is_here else f"{user}, key {key}", _address()))
    else:
        _begin(Actor("api", f"key {key}", _address()))


def begin_console(session: str) -> None:
    """The request belongs to a session of the console, of which this is the fingerprint."""
    _begin(Actor("console", f"session {session}", _address()))


def install(bp: Blueprint) -> None:
    """Have each change by the routes of this blueprint told."""
    bp.after_request(_tell)


def _tell(response: Response) -> Response:
    actor = request_context.current().actor
    if (
        actor is not None
        and not actor.has_told
        and request.method not in _READING
        and response.status_code < 400
        and not is_told_elsewhere(current_app.view_functions[request.endpoint or ""])
    ):
        item = next(iter((request.view_args or {}).values()), None)
        audit.did(request.endpoint or "", item)
    return response


def _begin(actor: Actor) -> None:
    request_context.current().actor = actor


def _address() -> str:
    return request.remote_addr or "local"
