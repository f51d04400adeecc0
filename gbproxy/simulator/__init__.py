"""A stand-alone fake of the Gemini Business widget upstream, for tests, the demo and benchmarks.

    with Simulator() as upstream:
        upstream.set(layout="crlf", cuts="1")
        upstream.script(Text("Hel"), Pause(0.1), Text("lo"), Rst())

Every uncertain fact of docs/upstream.md is a switch; every byte, pause and end of an answer can be scripted.
Imports nothing else of gbproxy and works with plain threads as well as under gevent's patching.
"""

from gbproxy.simulator.accounts import Account
from gbproxy.simulator.failures import (
    array_wrapped_error,
    banned_phrase,
    broken_chunk,
    cut_after,
    cut_bytes,
    details_only_error,
    empty_array,
    empty_body,
    failed_precondition,
    half_head,
    html_error,
    html_reply,
    http_error,
    image_reply,
    in_stream_error,
    json_reply,
    message_only_error,
    not_seeking_assistance,
    overloaded,
    policy_violation,
    quota,
    thoughts_only,
    u_token_only,
    video_reply,
)
from gbproxy.simulator.observation import RecordedRequest
from gbproxy.simulator.script import (
    Action,
    CutBytes,
    Element,
    End,
    ErrorElement,
    Failed,
    FileReply,
    Fin,
    Final,
    Head,
    HoldHeaders,
    Pause,
    Raw,
    Rst,
    Skipped,
    Stall,
    Text,
    Thought,
    Write,
    answer,
)
from gbproxy.simulator.script_json import script_from_json
from gbproxy.simulator.sessions import Session, StoredFile, Turn
from gbproxy.simulator.simulator import Simulator
from gbproxy.simulator.speech import Speech
from gbproxy.simulator.switches import MAIN_FLOW_VALUES, SWITCH_VALUES, Switches

__all__ = [
    "MAIN_FLOW_VALUES",
    "SWITCH_VALUES",
    "Account",
    "Action",
    "CutBytes",
    "Element",
    "End",
    "ErrorElement",
    "Failed",
    "FileReply",
    "Fin",
    "Final",
    "Head",
    "HoldHeaders",
    "Pause",
    "Raw",
    "RecordedRequest",
    "Rst",
    "Session",
    "Simulator",
    "Skipped",
    "Speech",
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
    "broken_chunk",
    "cut_after",
    "cut_bytes",
    "details_only_error",
    "empty_array",
    "empty_body",
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
    "quota",
    "script_from_json",
    "thoughts_only",
    "u_token_only",
    "video_reply",
]
