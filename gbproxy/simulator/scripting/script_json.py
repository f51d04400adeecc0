"""Scripts as JSON: a list of objects, each an action or a ready-made failure by its name.

`[{"action": "text", "text": "Hi"}, {"action": "pause", "seconds": 1}, {"action": "rst"}]`; names
are the Python ones in snake_case; bytes are a string or `{"base64": "…"}`.
"""

from __future__ import annotations

import base64
import dataclasses
import inspect
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from gbproxy.simulator.http import actions as http_actions
from gbproxy.simulator.scripting import actions, google_errors, ready_made
from gbproxy.simulator.scripting.actions import Action, Script

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
    ready_made.failed_alone,
    ready_made.quota_exceeded,
    ready_made.prompt_too_large,
    ready_made.in_stream_error,
    ready_made.failed_precondition,
    ready_made.policy_violation,
    ready_made.banned_phrase,
    ready_made.blocked,
    ready_made.connector_errors,
    ready_made.not_seeking_assistance,
    ready_made.thoughts_only,
    google_errors.array_wrapped_error,
    google_errors.html_error,
    ready_made.u_token_only,
    google_errors.message_only_error,
    google_errors.details_only_error,
    ready_made.empty_array,
    http_actions.empty_body,
    ready_made.broken_chunk,
    http_actions.half_head,
    ready_made.cut_after,
    ready_made.cut_bytes,
    ready_made.image_reply,
    ready_made.video_reply,
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
