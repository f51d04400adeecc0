"""The endpoint by which a test governs a simulator in another process; for loopback only."""

from __future__ import annotations

import ipaddress
import json
from typing import Any, Protocol

from gbproxy.simulator.http.connection import Request
from gbproxy.simulator.scripting.actions import Action
from gbproxy.simulator.scripting.failures import Script, html_reply, json_reply
from gbproxy.simulator.scripting.script_json import script_from_json


class Governed(Protocol):
    """What is governed of a simulator."""

    def set(self, **changes: object) -> None: ...
    def script(
        self, *actions: Action, path: str = ..., times: float = ..., csesidx: str | None = ...
    ) -> None: ...
    def state(self) -> dict[str, Any]: ...
    def session_states(self) -> list[dict[str, Any]]: ...


def answer(simulator: Governed, request: Request, peer_host: str) -> Script:
    """Answer `GET /_simulator/state` and `/_simulator/sessions`, `POST /_simulator/switches` and
    `POST /_simulator/script`.
    """
    if not ipaddress.ip_address(peer_host.partition("%")[0]).is_loopback:
        return html_reply(403, "Loopback only")
    try:
        match request.method, request.path.removeprefix("/_simulator/"):
            case "GET", "state":
                return json_reply(200, simulator.state())
            case "GET", "sessions":
                return json_reply(200, simulator.session_states())
            case "POST", "switches":
                simulator.set(**_json(request, dict))
                return json_reply(200, {})
            case "POST", "script":
                return _queue(simulator, request)
            case _:
                return html_reply(404, "Not found")
    except (ValueError, TypeError) as error:
        return json_reply(400, {"error": {"message": str(error)}})


def _queue(simulator: Governed, request: Request) -> Script:
    """A list of answers; or an object with `script` (one answer), `path`, `times`, `csesidx`."""
    value = _json(request, dict | list)
    entries = value if isinstance(value, list) else [value]
    queue_all(simulator, entries)
    return json_reply(200, {"queued": len(entries)})


def queue_all(simulator: Governed, entries: list[Any]) -> None:
    """Queue answers in their JSON form. Raises ValueError before any of them is queued."""
    read = []
    for entry in entries:
        described = entry if isinstance(entry, dict) else {"script": entry}
        unknown = set(described) - {"script", "path", "times", "csesidx"}
        if unknown:
            raise ValueError(f"unknown: {', '.join(sorted(unknown))}")
        options = {name: value for name, value in described.items() if name != "script"}
        read.append((script_from_json(described.get("script")), options))
    for script, options in read:
        simulator.script(*script, **options)


def _json(request: Request, kind: Any) -> Any:
    value = json.loads(request.body)
    if not isinstance(value, kind):
        raise ValueError("not the right kind of JSON value")
    return value
