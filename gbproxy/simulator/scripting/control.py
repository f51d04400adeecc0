"""The endpoint by which a test controls a simulator in another process, and scripts as JSON.

A script is a list of objects, each an action or a ready-made failure by its name:
`[{"action": "text", "text": "Hi"}, {"action": "pause", "seconds": 1}, {"action": "rst"}]`; names
are the Python ones in snake_case; bytes are a string or `{"base64": "…"}`.
"""

from __future__ import annotations

import base64
import dataclasses
import inspect
import ipaddress
import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from gbproxy.simulator.http import actions as http_actions
from gbproxy.simulator.http.actions import HttpScript, html_reply, json_reply
from gbproxy.simulator.http.connection import Request
from gbproxy.simulator.scripting import actions, google_errors
from gbproxy.simulator.scripting.actions import Action, Script

PREFIX = "/_simulator/"


class ControlEndpoint:
    """Answers `GET /_simulator/<name>` with what its reader returns, and `POST` by its writer.

    A writer takes the JSON of the body and returns that of the answer; its ValueError or TypeError
    is a 400.
    """

    def __init__(
        self,
        *,
        readers: Mapping[str, Callable[[], object]],
        writers: Mapping[str, Callable[[Any], object]],
    ) -> None:
        self._readers = readers
        self._writers = writers

    def answer(self, request: Request, peer_host: str) -> HttpScript:
        """The answer to a request under PREFIX."""
        if not ipaddress.ip_address(peer_host.partition("%")[0]).is_loopback:
            return html_reply(403, "Loopback only")
        name = request.path.removeprefix(PREFIX)
        try:
            if request.method == "GET" and name in self._readers:
                return json_reply(200, self._readers[name]())
            if request.method == "POST" and name in self._writers:
                return json_reply(200, self._writers[name](json.loads(request.body)))
        except (ValueError, TypeError) as error:
            return json_reply(400, {"error": {"message": str(error)}})
        return html_reply(404, "Not found")


def set_switches(change: Callable[..., None], value: Any) -> dict[str, Any]:
    """Change switches as an object names them. Raises ValueError."""
    if not isinstance(value, dict):
        raise ValueError("not the right kind of JSON value")
    change(**value)
    return {}


def queue_scripts(queue: Callable[..., None], value: Any) -> dict[str, Any]:
    """Queue one answer, an object, or a list of them. Raises ValueError before any is queued.

    An object has `script` (a list of actions) and perhaps `path`, `times`, `csesidx`; in a list an
    answer may also be its list of actions alone.
    """
    if not isinstance(value, dict | list):
        raise ValueError("not the right kind of JSON value")
    entries = value if isinstance(value, list) else [value]
    read = []
    for entry in entries:
        described = entry if isinstance(entry, dict) else {"script": entry}
        unknown = set(described) - {"script", "path", "times", "csesidx"}
        if unknown:
            raise ValueError(f"unknown: {', '.join(sorted(unknown))}")
        options = {name: value for name, value in described.items() if name != "script"}
        read.append((script_from_json(described.get("script")), options))
    for script, options in read:
        queue(*script, **options)
    return {"queued": len(entries)}


_CLASSES: tuple[type, ...] = (
    http_actions.Head,
    http_actions.Write,
    http_actions.Raw,
    http_actions.Element,
    http_actions.Pause,
    http_actions.HoldHeaders,
    http_actions.Stall,
    http_actions.CutBytes,
    http_actions.Fin,
    http_actions.Rst,
    http_actions.End,
    *actions.ANSWER_ACTIONS,
)
_READY_MADE: tuple[Callable[..., Script], ...] = (
    actions.answer,
    http_actions.json_reply,
    http_actions.html_reply,
    google_errors.http_error,
    google_errors.overloaded,
    google_errors.quota,
    google_errors.denied,
    google_errors.session_not_found,
    actions.failed_alone,
    actions.quota_exceeded,
    actions.prompt_too_large,
    actions.in_stream_error,
    actions.failed_precondition,
    actions.policy_violation,
    actions.banned_phrase,
    actions.blocked,
    actions.connector_errors,
    actions.not_seeking_assistance,
    actions.thoughts_only,
    google_errors.array_wrapped_error,
    google_errors.html_error,
    actions.u_token_only,
    google_errors.message_only_error,
    google_errors.details_only_error,
    actions.empty_array,
    http_actions.empty_body,
    actions.broken_chunk,
    http_actions.half_head,
    actions.cut_after,
    actions.cut_bytes,
    actions.image_reply,
    actions.video_reply,
)


def script_from_json(value: Any) -> Script:
    """Read one answer. Raises ValueError that names the bad action."""
    if not isinstance(value, list):
        raise ValueError("a script is a list of actions")
    script: list[Action] = []
    for item in value:
        script += _actions(item)
    return tuple(script)


def action_names() -> list[str]:
    """Every name that `action` may have."""
    return sorted([*_BY_CLASS, *_BY_FUNCTION])


def _actions(item: Any) -> Script:
    if not isinstance(item, dict) or not isinstance(item.get("action"), str):
        raise ValueError(f"an action is an object with 'action', not {item!r}")
    name = item["action"]
    given = {key: value for key, value in item.items() if key != "action"}
    try:
        if name in _BY_CLASS:
            return (_made(_BY_CLASS[name], given),)
        if name in _BY_FUNCTION:
            return _called(_BY_FUNCTION[name], given)
    except (TypeError, ValueError) as error:
        raise ValueError(f"action {name!r}: {error}") from error
    raise ValueError(f"no action is called {name!r}; there are {', '.join(action_names())}")


def _made(kind: type, given: Mapping[str, Any]) -> Action:
    types = {spec.name: str(spec.type) for spec in dataclasses.fields(kind)}
    values = {key: _value(value, types.get(key, "")) for key, value in given.items()}
    action: Action = kind(**values)
    return action


def _called(function: Callable[..., Script], given: Mapping[str, Any]) -> Script:
    """Call with keywords; the function's `*args` are given as a list under their own name."""
    parameters = inspect.signature(function).parameters
    positional: list[Any] = []
    keywords: dict[str, Any] = {}
    for key, value in given.items():
        parameter = parameters.get(key)
        if parameter is not None and parameter.kind is parameter.VAR_POSITIONAL:
            positional = list(value)
        elif key == "script":
            keywords[key] = script_from_json(value)
        else:
            keywords[key] = _value(value, str(parameter.annotation) if parameter else "")
    return function(*positional, **keywords)


def _value(value: Any, kind: str) -> Any:
    if kind == "bytes":
        return base64.b64decode(value["base64"]) if isinstance(value, dict) else value.encode()
    if kind == "float":
        return math.inf if value == "forever" else float(value)
    return tuple(value) if kind.startswith("tuple") else value


def _snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


_BY_CLASS = {_snake(kind.__name__): kind for kind in _CLASSES}
_BY_FUNCTION = {function.__name__: function for function in _READY_MADE}
