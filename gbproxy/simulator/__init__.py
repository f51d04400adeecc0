"""A stand-alone fake of the Gemini Business widget upstream, for tests, the demo and benchmarks.

    with Simulator() as upstream:
        upstream.set(layout="crlf", cuts="1")
        upstream.script(Text("Hel"), Pause(0.1), Text("lo"), Rst())

Every uncertain fact of docs/upstream.md is a switch; every byte, pause and end of an answer can be
scripted. Imports nothing else of gbproxy and works with plain threads as well as under gevent's
patching.
"""

from gbproxy.simulator.http.actions import (
    CutBytes,
    Element,
    End,
    Fin,
    Head,
    HoldHeaders,
    Pause,
    Raw,
    Rst,
    Stall,
    Write,
    empty_body,
    half_head,
    html_reply,
    json_reply,
)
from gbproxy.simulator.scripting.actions import (
    Action,
    ErrorElement,
    Failed,
    Fields,
    FileReply,
    Final,
    Skipped,
    Text,
    Thought,
    answer,
    banned_phrase,
    blocked,
    broken_chunk,
    connector_errors,
    cut_after,
    cut_bytes,
    empty_array,
    failed_alone,
    failed_precondition,
    image_reply,
    in_stream_error,
    not_seeking_assistance,
    policy_violation,
    prompt_too_large,
    quota_exceeded,
    thoughts_only,
    u_token_only,
    video_reply,
)
from gbproxy.simulator.scripting.control import script_from_json
from gbproxy.simulator.scripting.google_errors import (
    array_wrapped_error,
    denied,
    details_only_error,
    html_error,
    http_error,
    message_only_error,
    overloaded,
    quota,
    session_not_found,
)
from gbproxy.simulator.scripting.handler import RecordedRequest
from gbproxy.simulator.scripting.replay import Replay
from gbproxy.simulator.services import MAIN_FLOW_VALUES, SWITCH_VALUES, Switches
from gbproxy.simulator.simulator import Simulator
from gbproxy.simulator.widget.accounts import Account
from gbproxy.simulator.widget.model import ModelAnswer
from gbproxy.simulator.widget.sessions import Session, StoredFile, Turn
from gbproxy.simulator.widget.switches.stream import LIVING_MODELS, RETIRED_MODELS

__all__ = [
    "LIVING_MODELS",
    "MAIN_FLOW_VALUES",
    "RETIRED_MODELS",
    "SWITCH_VALUES",
    "Account",
    "Action",
    "CutBytes",
    "Element",
    "End",
    "ErrorElement",
    "Failed",
    "Fields",
    "FileReply",
    "Fin",
    "Final",
    "Head",
    "HoldHeaders",
    "ModelAnswer",
    "Pause",
    "Raw",
    "RecordedRequest",
    "Replay",
    "Rst",
    "Session",
    "Simulator",
    "Skipped",
    "Stall",
    "StoredFile",
    "Switches",
    "Text",
    "Thought",
    "Turn",
    "Write",
    "answer",
    "array_wrapped_error",
    "banned_phrase",
    "blocked",
    "broken_chunk",
    "connector_errors",
    "cut_after",
    "cut_bytes",
    "denied",
    "details_only_error",
    "empty_array",
    "empty_body",
    "failed_alone",
    "failed_precondition",
    "half_head",
    "html_error",
    "html_reply",
    "http_error",
    "image_reply",
    "in_stream_error",
    "json_reply",
    "message_only_error",
    "not_seeking_assistance",
    "overloaded",
    "policy_violation",
    "prompt_too_large",
    "quota",
    "quota_exceeded",
    "script_from_json",
    "session_not_found",
    "thoughts_only",
    "u_token_only",
    "video_reply",
]
