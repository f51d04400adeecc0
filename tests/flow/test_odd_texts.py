"""A hostile upstream says what is no text, wherever it may say something: no answer and no log line
breaks of it.

Source: docs/upstream.md, characters.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from gbproxy.simulator import Action, End, Head, Write
from tests.support.serving import Front, SharedUpstream, fronting

pytestmark = pytest.mark.slow

HALF = b"\\ud83d"
JSON = {"Content-Type": "application/json; charset=UTF-8"}
STREAM, CREATE, SIGN_IN = "widgetStreamAssist", "widgetCreateSession", "getoxsrf"


@dataclass(frozen=True)
class Odd:
    """What is sent in answer to a call, and what the client gets: a status, or None for a whole
    answer.
    """

    status: int
    body: bytes
    client: int | None = 502
    path: str = STREAM


def error(code: int, word: str, message: bytes = b'"x \\ud83d y"', details: bytes = b"[]") -> bytes:
    return b'{"error":{"code":%d,"status":"%s","message":%s,"details":%s}}' % (
        code,
        word.encode(),
        message,
        details,
    )


def says(content: bytes, more: bytes = b"", answer: bytes = b'"state":"SUCCEEDED"') -> bytes:
    reply = b'{"groundedContent":{"content":%s%s}}' % (content, more)
    return b'[{"streamAssistResponse":{"answer":{"replies":[%s],%s}}}]' % (reply, answer)


DEEP = b"[" * 900 + b"]" * 900
SOURCE = b',"textGroundingMetadata":{"references":[{"documentMetadata":{"uri":"u\\ud83d","title":"\\udc00","domain":{}}}]}'
ODD: dict[str, Odd] = {
    "a message": Odd(400, error(400, "INVALID_ARGUMENT"), 400),
    "a message of a server's": Odd(500, error(500, "INTERNAL")),
    "a message alone": Odd(400, b'{"message":"\\ud83d"}', 400),
    "a message that says too long": Odd(
        400, error(400, "INVALID_ARGUMENT", b'"\\udfff the prompt is too long"'), 400
    ),
    "a message of an unknown model": Odd(
        404, error(404, "NOT_FOUND", b'"model \\ud83d is not there"'), 400
    ),
    "a message that is cut": Odd(
        400, error(400, "INVALID_ARGUMENT", b'"' + b"x" * 499 + b'\\ud83d\\ude00"'), 400
    ),
    "control characters": Odd(
        400, error(400, "INVALID_ARGUMENT", b'"\\u0000\\u001b[31m\\r\\n\\u0085"'), 400
    ),
    "a word": Odd(400, error(400, "X\\ud83d"), 400),
    "an error that is a text": Odd(400, b'{"error":"\\ud83d"}', 400),
    "an error of another kind": Odd(400, b'{"error":[%s]}' % DEEP, 400),
    "a message of another kind": Odd(400, error(400, "INVALID_ARGUMENT", DEEP), 400),
    "a reason": Odd(
        429,
        error(429, "RESOURCE_EXHAUSTED", details=b'[{"reason":"\\ud83d"},{"reason":{"a":[]}}]'),
        429,
    ),
    "details of another kind": Odd(
        400, error(400, "INVALID_ARGUMENT", details=b'[{"violations":[%s]}]' % DEEP), 400
    ),
    "not a number": Odd(500, b'{"error":{"code":NaN}}'),
    "a huge number": Odd(500, b'{"error":{"code":%s}}' % (b"9" * 6000)),
    "no UTF-8": Odd(500, b'{"error":{"message":"\xed\xa0\xbd"}}'),
    "UTF-16": Odd(500, '{"error":{"message":"x"}}'.encode("utf-16")),
    "an error in the stream": Odd(200, b"[" + error(400, "INVALID_ARGUMENT") + b"]", 400),
    "an error of another kind in the stream": Odd(200, b'[{"error":[%s]}]' % DEEP),
    "a text": Odd(200, says(b'{"text":"x \\ud83d y"}'), None),
    "a thought": Odd(
        200,
        says(b'{"text":"\\ud83d","thought":true}}},{"groundedContent":{"content":{"text":"x"}'),
        None,
    ),
    "a source": Odd(200, says(b'{"text":"x"}', SOURCE), None),
    "sources of another kind": Odd(
        200, says(b'{"text":"x"}', SOURCE.replace(b'"\\udc00"', DEEP)), None
    ),
    "a file": Odd(
        200,
        says(
            b'{"text":"x","file":{"fileId":"f\\ud83d","mimeType":"image/\\ud83d","name":"\\ud83d"}}'
        ),
        None,
    ),
    "a state": Odd(200, says(b"{}", answer=b'"state":"\\ud83d"')),
    "a state of another kind": Odd(200, says(b'{"text":"x"}', answer=b'"state":{"a":[]}'), None),
    "reasons of SKIPPED": Odd(
        200,
        says(b"{}", answer=b'"state":"SKIPPED","assistSkippedReasons":["\\ud83d",{},%s]' % DEEP),
        None,
    ),
    "a plan": Odd(
        200,
        says(
            b'{"text":"x"}',
            answer=b'"state":"SUCCEEDED","diagnosticInfo":{"plannerSteps":[{"planStep":{"parts":[{"text":%s}]}}]}'
            % DEEP,
        ),
        None,
    ),
    "a session's refusal": Odd(400, error(400, "INVALID_ARGUMENT"), path=CREATE),
    "a session's name": Odd(200, b'{"session":{"name":"a/\\ud83d"}}', path=CREATE),
    "a session's name with a zero": Odd(200, b'{"session":{"name":"a/\\u0000"}}', path=CREATE),
    "a session's name of another kind": Odd(200, b'{"session":{"name":[%s]}}' % DEEP, path=CREATE),
    "a session in no JSON": Odd(200, b"\xff\xfe{", path=CREATE),
}


@pytest.fixture(scope="module")
def front() -> Iterator[Front]:
    with ExitStack() as stack:
        upstream = stack.enter_context(SharedUpstream())
        yield stack.enter_context(fronting(upstream, {}, prewarms=False))


def reply(odd: Odd) -> tuple[Action, ...]:
    return (Head(odd.status, JSON), Write(odd.body), End())


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("what", ODD)
def test_no_odd_text_breaks_an_answer_or_a_log_line(front: Front, what: str, stream: bool) -> None:
    odd = ODD[what]
    front.renew()
    front.upstream.script(*reply(odd), path=odd.path, times=math.inf)

    answered = front.gateway.ask(stream=stream)

    front.upstream.clear_scripts()
    assert (answered.status, answered.succeeded) == (odd.client or 200, odd.client is None)
    answered.body.decode("utf-8")
    assert HALF not in answered.body
    done = front.gateway.log_of(answered)
    assert done["status"] == answered.status
    if odd.client is not None:
        failed = front.gateway.log_of(answered, "attempt.failed")
        json.dumps(failed, ensure_ascii=False).encode("utf-8")
    assert front.gateway.stderr == ""
    front.renew()
    assert front.gateway.ask("And now?").succeeded
