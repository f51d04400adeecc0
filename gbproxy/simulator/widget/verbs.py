"""The control verbs of the widget API, and the envelope and credentials that all verbs share.

Source: docs/upstream.md, sessions and files.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from gbproxy.simulator.http.actions import json_reply
from gbproxy.simulator.scripting.actions import Script
from gbproxy.simulator.scripting.google_errors import (
    INVALID,
    RefusedError,
    http_error,
    invalid,
    permission_denied,
)
from gbproxy.simulator.widget import files
from gbproxy.simulator.widget.accounts import Account, location_of
from gbproxy.simulator.widget.sessions import Session, Sessions, Turn, rfc3339
from gbproxy.simulator.widget.switches import WidgetSwitches

JsonObject = dict[str, Any]

REQUEST_KEYS: Mapping[str, str] = {
    "widgetCreateSession": "createSessionRequest",
    "widgetDeleteSession": "deleteSessionRequest",
    "widgetGetSession": "getSessionRequest",
    "widgetListSessions": "listSessionsRequest",
    "widgetAddContextFile": "addContextFileRequest",
    "widgetListSessionFileMetadata": "listSessionFileMetadataRequest",
    "widgetStreamAssist": "streamAssistRequest",
}
_ENVELOPE = ("configId", "additionalParams", "experimentIdsForLogging", "location")
_CREATE_REFUSALS: Mapping[str, Callable[[], RefusedError]] = {
    "400": lambda: invalid(INVALID),
    "403": permission_denied,
    "404": lambda: RefusedError(404, "NOT_FOUND", "Requested entity was not found."),
}
_MAX_PAGE = 200


def read_envelope(verb: str, body: bytes, account: Account, switches: WidgetSwitches) -> JsonObject:
    """The verb's own request out of the envelope. Raises RefusedError."""
    value = json_object(body)
    key = REQUEST_KEYS[verb]
    for name in value:
        if name not in (*_ENVELOPE, key):
            raise invalid(
                f'Invalid JSON payload received. Unknown name "{name}": Cannot find field.'
            )
    if not isinstance(value.get("configId"), str):
        raise invalid("config_id is required.")
    if not isinstance(value.get("additionalParams"), dict):
        raise invalid("additional_params is required.")
    if not isinstance(value.get(key), dict):
        raise invalid(f"{key} is required.")
    if value.get("location", location_of(account, switches)) != location_of(account, switches):
        raise invalid("Invalid value at 'location'.")
    if value["configId"] != account.config_id:
        if verb == "widgetCreateSession" and switches.unknown_config == 401:
            raise RefusedError(401, "UNAUTHENTICATED", "Widget config could not be authenticated.")
        raise permission_denied()
    request: JsonObject = value[key]
    return request


class ControlVerbs:
    """Answers every verb but the stream. Not locked: the caller is."""

    def __init__(self, sessions: Sessions) -> None:
        self.transient_failures = 0
        self._sessions = sessions
        self._verbs: Mapping[str, Callable[[JsonObject, Account, WidgetSwitches], Script]] = {
            "widgetCreateSession": self._create,
            "widgetDeleteSession": self._delete,
            "widgetGetSession": self._get,
            "widgetListSessions": self._list,
            "widgetAddContextFile": self._add_file,
            "widgetListSessionFileMetadata": self._list_files,
        }

    def answer(
        self, verb: str, wanted: JsonObject, account: Account, switches: WidgetSwitches
    ) -> Script:
        """Do what the verb says. Raises RefusedError."""
        return self._verbs[verb](wanted, account, switches)

    def _create(self, wanted: JsonObject, account: Account, switches: WidgetSwitches) -> Script:
        if self.transient_failures:
            self.transient_failures -= 1
            if switches.create_session_transient_status == 500:
                return http_error(500, "INTERNAL", "Internal error encountered.")
            raise invalid(INVALID)
        if switches.create_session != "ok":
            raise _CREATE_REFUSALS[switches.create_session]()
        described = wanted.get("session", {})
        if not isinstance(described, dict):
            raise invalid("Invalid value at 'create_session_request.session'.")
        for name in ("name", "displayName"):
            if not isinstance(described.get(name, ""), str):
                raise invalid(f"Invalid value at 'create_session_request.session.{name}'.")
        title = described.get("displayName", "")
        session = self._sessions.create(account, location_of(account, switches), display_name=title)
        return _reply({"session": _described(session, switches)}, switches)

    def _delete(self, wanted: JsonObject, account: Account, switches: WidgetSwitches) -> Script:
        session = self._sessions.find(wanted.get("name"), account.csesidx)
        session.deleted = True
        session.files.clear()
        return _reply({}, switches)

    def _get(self, wanted: JsonObject, account: Account, switches: WidgetSwitches) -> Script:
        session = self._sessions.find_by_id(wanted.get("name"), account.csesidx)
        described = _described(session, switches)
        described["turns"] = [_turn(number, turn) for number, turn in enumerate(session.turns, 1)]
        return _reply({"session": described}, switches)

    def _list(self, wanted: JsonObject, account: Account, switches: WidgetSwitches) -> Script:
        size, token = wanted.get("pageSize", 50), wanted.get("pageToken", "")
        if type(size) is not int or not size >= 0:
            raise invalid("page_size must not be negative.")
        if token and not str(token).isdecimal():
            raise invalid("Invalid page token.")
        found = self._sessions.alive(account.csesidx)
        if "display_name != " in str(wanted.get("filter", "")):
            found = [session for session in found if session.display_name]
        first = int(token or 0)
        last = first + min(size or 50, _MAX_PAGE)
        answer: JsonObject = {"sessions": [_described(s, switches) for s in found[first:last]]}
        if last < len(found):
            answer["nextPageToken"] = str(last)
        return _reply({"listSessionsResponse": answer}, switches)

    def _add_file(self, wanted: JsonObject, account: Account, switches: WidgetSwitches) -> Script:
        session = self._sessions.find(wanted.get("name"), account.csesidx)
        return files.upload(self._sessions, session, wanted, switches)

    def _list_files(self, wanted: JsonObject, account: Account, switches: WidgetSwitches) -> Script:
        name, taken = wanted.get("name"), switches.list_session_name
        if taken == "id":
            session = self._sessions.find_by_id(name, account.csesidx)
        else:
            session = self._sessions.find(name, account.csesidx, project_required=taken == "full")
        return files.listing(session, str(wanted.get("filter", "")), switches)


def json_object(body: bytes) -> JsonObject:
    """The body as an object. Raises RefusedError."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise invalid("Invalid JSON payload received. Unexpected token.") from error
    if not isinstance(value, dict):
        raise invalid("Invalid JSON payload received. Root element must be a message.")
    return value


def _described(session: Session, switches: WidgetSwitches) -> JsonObject:
    full = switches.session_name == "full"
    return {
        "name": session.full_name if full else session.short_name,
        "state": "IN_PROGRESS",
        "displayName": session.display_name,
        "userPseudoId": session.owner,
        "startTime": rfc3339(session.created_at),
        "endTime": rfc3339(session.created_at),
        "labels": [],
    }


def _turn(number: int, turn: Turn) -> JsonObject:
    content = {"content": {"role": "model", "text": turn.answer}}
    return {
        "turnId": str(number),
        "query": {
            "parts": [{"text": turn.query}],
            "contextFiles": [{"sessionContextFileId": file_id} for file_id in turn.file_ids],
        },
        "detailedAssistAnswer": {
            "state": "SUCCEEDED" if turn.complete else "IN_PROGRESS",
            "replies": [{"groundedContent": content}],
        },
    }


def _reply(value: JsonObject, switches: WidgetSwitches) -> Script:
    if switches.extra_fields:
        value = {"futureField": {"name": "not for you", "n": "9" * 19}, **value}
    return json_reply(200, value)
