"""The endpoint by which a test controls a simulator in another process; for loopback only."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Callable, Mapping
from typing import Any

from gbproxy.simulator.http.actions import HttpScript, html_reply, json_reply
from gbproxy.simulator.http.connection import Request
from gbproxy.simulator.scripting.script_json import script_from_json

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
