"""Frames -> a streamed Response. Source: https://html.spec.whatwg.org/multipage/server-sent-events.html"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Generator
from contextlib import closing

from flask import Response

from gbproxy.errors import GatewayError
from gbproxy.observability import trace

log = logging.getLogger(__name__)

_HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}

# JSON leaves these as they are, but readers that split text, not bytes, into lines take them for ends of lines.
_LINE_ENDS = re.compile("[\x85\u2028\u2029]")

Frames = Generator[bytes]


def response(frames: Frames, on_error: Callable[[GatewayError], bytes]) -> Response:
    """Stream `frames`. An error before the first frame is raised and gets a real status; a later one becomes a frame."""
    first = next(frames)
    return Response(_body(first, frames, on_error), mimetype="text/event-stream", headers=_HEADERS)


def quote(text: str) -> str:
    """A JSON string that no client splits: characters stay as they are but for those that somebody takes for a line end."""
    quoted = json.dumps(text, ensure_ascii=False)
    return _LINE_ENDS.sub(_escaped, quoted) if _LINE_ENDS.search(quoted) else quoted


def _escaped(character: re.Match[str]) -> str:
    return f"\\u{ord(character[0]):04x}"


def _body(first: bytes, frames: Frames, on_error: Callable[[GatewayError], bytes]) -> Frames:
    measured = trace.current()
    sent = len(first)
    try:
        with closing(frames):
            yield first
            for frame in frames:
                sent += len(frame)
                yield frame
    except GeneratorExit:
        measured.facts["client_gone"] = True
        raise
    except GatewayError as error:
        measured.facts["code"] = error.code
        yield on_error(error)
    except Exception:  # the WSGI error handler's place once the status is out
        log.exception("request.crashed")
        measured.facts["code"] = GatewayError.code
        yield on_error(GatewayError("the gateway met an error of its own"))
    finally:
        measured.facts["response_bytes"] = sent
