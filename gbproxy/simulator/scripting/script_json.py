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

from gbproxy.simulator.scripting import actions as script
from gbproxy.simulator.scripting import failures
from gbproxy.simulator.scripting.actions import Action

_CLASSES: tuple[type, ...] = (
    script.Head,
    script.Write,
    script.Raw,
    script.Element,
    script.Fields,
    script.Text,
    script.Thought,
    script.FileReply,
    script.Skipped,
    script.Failed,
    script.ErrorElement,
    script.Final,
    script.Pause,
    script.HoldHeaders,
    script.Stall,
    script.CutBytes,
    script.Fin,
    script.Rst,
    script.End,
)
_READY_MADE: tuple[Callable[..., tuple[Action, ...]], ...] = (
    script.answer,
    failures.json_reply,
    failures.html_reply,
    failures.http_error,
    failures.overloaded,
    failures.quota,
    failures.denied,
    failures.session_not_found,
    failures.failed_alone,
    failures.quota_exceeded,
    failures.prompt_too_large,
    failures.in_stream_error,
    failures.failed_precondition,
    failures.policy_violation,
    failures.banned_phrase,
    failures.blocked,
    failures.connector_errors,
    failures.not_seeking_assistance,
    failures.thoughts_only,
    failures.array_wrapped_error,
    failures.html_error,
    failures.u_token_only,
    failures.message_only_error,
    failures.details_only_error,
    failures.empty_array,
    failures.empty_body,
    failures.broken_chunk,
    failures.half_head,
    failures.cut_after,
    failures.cut_bytes,
    failures.image_reply,
    failures.video_reply,
)


def script_from_json(value: Any) -> tuple[Action, ...]:
    """Read one answer. Raises ValueError that names the bad action."""
    if not isinstance(value, list):
        raise ValueError("a script is a list of actions")
    actions: list[Action] = []
    for item in value:
        actions += _actions(item)
    return tuple(actions)


def action_names() -> list[str]:
    """Every name that `action` may have."""
    return sorted([*_BY_CLASS, *_BY_FUNCTION])


def _actions(item: Any) -> tuple[Action, ...]:
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


def _called(
    function: Callable[..., tuple[Action, ...]], given: Mapping[str, Any]
) -> tuple[Action, ...]:
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
