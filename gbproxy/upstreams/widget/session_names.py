"""Names of sessions that no call opened: the upstream makes them with their first question.

Source: docs/upstream.md, sessions, forms of a name.
"""

from __future__ import annotations

import re
import secrets
from typing import Literal

from gbproxy.errors import GatewayError, RequestRefused, SessionGone, UpstreamError

SessionForm = Literal["create", "dash", "own"]

UNNAMED = ""
"""A session that the upstream is to make and to name with the next answer."""

_SESSIONS = "collections/default_collection/engines/agentspace-engine/sessions"
_FULL = re.compile(r"projects(?:/[A-Za-z0-9_-]+)+")
_MAKE_ONE = f"{_SESSIONS}/-"


def random_name() -> str:
    """A random name of the gateway's own. It begins with a letter: the upstream's are digits
    alone.
    """
    return f"{_SESSIONS}/s{secrets.token_hex(8)}-{secrets.token_hex(4)}"


def sent_as(session: str) -> str:
    """The name by which a question asks for this session."""
    return _MAKE_ONE if session == UNNAMED else session


def short(session: str) -> str:
    """The name without the project and location that a full one begins with."""
    return session[max(0, session.find("collections/")) :]


def id_of(session: str) -> str:
    """The last part of a name: digits, where the upstream has made the session."""
    return session.rpartition("/")[2]


def location(session: str) -> str:
    """The project and location that a full name begins with, up to its short form; of other names
    "".
    """
    return session.removesuffix(short(session)) if is_full(session) else ""


def is_full(session: str) -> bool:
    """True for a name with its project, as downloads need it."""
    return bool(_FULL.fullmatch(session))


def blame_form(error: GatewayError, session: str, form: SessionForm) -> GatewayError:
    """The error of a refused question; one that names UPSTREAM_SESSION where the form of the
    session's name may be the reason.

    The client did not choose that form, so its refusal is the upstream's error.
    """
    if form == "create":
        return error
    id_ = id_of(sent_as(session))
    names_it = isinstance(error, RequestRefused) and f"sessions/{id_}" in error.message
    if names_it or (isinstance(error, SessionGone) and session == UNNAMED):
        refusal = UpstreamError(
            f"the upstream makes no session by UPSTREAM_SESSION={form}: set it to create"
        )
        refusal.was_taken = error.was_taken
        if error.said is not None:
            refusal.said = error.said
        return refusal
    if isinstance(error, SessionGone):  # it may be one that was asked before
        error.message += (
            f", or the upstream makes none by UPSTREAM_SESSION={form}: then set it to create"
        )
    return error
