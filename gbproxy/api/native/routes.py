"""The paths of sessions: open, list, show and delete them, and chat in one."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from flask import Blueprint, Response, jsonify, request
from flask.typing import ResponseReturnValue

from gbproxy.api import unknown_parameters
from gbproxy.api.format import CONVERSATION, Surface, answer
from gbproxy.api.native.answers import ChatAnswer, ChatEvent, SessionEntry, SessionList
from gbproxy.api.native.encoder import SessionEncoder
from gbproxy.api.native.request import ChatBody, parse
from gbproxy.domain.session import ClientSession
from gbproxy.observability import request_context
from gbproxy.web import auth
from gbproxy.web.body import json_body
from gbproxy.web.operations import Operation, described

CHAT_PATH = "/gemini/chat"
SESSIONS_PATHS = ("/gemini/sessions", "/sessions")


def blueprints(surface: Surface) -> Iterator[Blueprint]:
    """One for each label by which metrics and dashboards know the routes."""
    yield _chat(surface)
    yield _sessions(surface)


def _chat(surface: Surface) -> Blueprint:
    bp = Blueprint("native_chat", __name__)
    bp.before_request(surface.check_limits)

    @bp.post(CHAT_PATH)
    @described(
        Operation(
            tag="Sessions",
            summary="Send a message in a session, or in one for this message only",
            request=ChatBody,
            answers={200: (ChatAnswer,)},
            events=ChatEvent,
            parameters=(CONVERSATION,),
        )
    )
    def create() -> Response:
        return answer(
            surface,
            lambda body, principal: parse(body, principal, surface.max_file_bytes),
            SessionEncoder,
        )

    return bp


def _sessions(surface: Surface) -> Blueprint:
    bp = Blueprint("native_sessions", __name__)
    bp.before_request(surface.check_key)
    sessions = surface.client_sessions

    @described(Operation(tag="Sessions", summary="Open a session", answers={201: (SessionEntry,)}))
    def open_one() -> ResponseReturnValue:
        if request.content_length:  # a body has nothing to say yet, but must be one
            unknown = unknown_parameters.named(json_body(), frozenset())
            if unknown:
                request_context.current().log_fields["ignored"] = unknown
        return jsonify(_entry(sessions.open(_key()))), 201

    @described(
        Operation(tag="Sessions", summary="The sessions of this key", answers={200: (SessionList,)})
    )
    def list_all() -> Response:
        return jsonify(sessions=[_entry(session) for session in sessions.list(_key())])

    @described(Operation(tag="Sessions", summary="One session", answers={200: (SessionEntry,)}))
    def show(session_id: str) -> Response:
        return jsonify(_entry(sessions.get(_key(), session_id)))

    @described(
        Operation(tag="Sessions", summary="Delete a session, upstream too", answers={204: ()})
    )
    def delete(session_id: str) -> ResponseReturnValue:
        sessions.delete(_key(), session_id)
        return "", 204

    for path in SESSIONS_PATHS:
        bp.post(path)(open_one)
        bp.get(path)(list_all)
        bp.get(f"{path}/<session_id>")(show)
        bp.delete(f"{path}/<session_id>")(delete)
    return bp


def _key() -> bytes:
    return auth.principal().key_digest


def _entry(session: ClientSession) -> dict[str, Any]:
    """Times are Unix seconds."""
    last = session.last_turn_at
    return {
        "session_id": session.id,
        "created_at": session.created_at,
        "expires_at": math.ceil(session.expires_at),
        "last_used_at": None if last is None else int(last),
    }
