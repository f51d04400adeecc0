"""What a format gets for its few lines (tests/support/toy_format.py): streaming, heartbeats, errors
in its own words wherever they arise, disconnects, and conversations that go on.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from gbproxy.simulator import Action, Rst, Stall, Text, answer, overloaded
from tests.support.chats import texts_by_session
from tests.support.gates import Gate
from tests.support.polling import until
from tests.support.prometheus import METRICS_KEY, answers_in_flight
from tests.support.serving import FORGETFUL, Call, Front, Reply, Served, SharedUpstream, serving
from tests.support.toy_format import LINES

TOY = (*FORGETFUL[:-1], "tests.support.toy_format:create_app()")
HEARTBEAT_S = 0.3
PLACES = 2
MAX_BODY_BYTES = 1024 * 1024
BY_HEADER = {"x-toy-version": "1"}

streamed_or_not = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


@pytest.fixture(scope="module", params=[0])
def front(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Front]:
    """A gateway that speaks the toy format too; without a heartbeat, which may come at any time on
    a busy machine, but where a test is about it.
    """
    forget = str(tmp_path_factory.mktemp("forget") / "socket")
    settings = {
        "HEARTBEAT_S": str(request.param),
        "METRICS_KEY": METRICS_KEY,
        "WORKER_CONNECTIONS": str(PLACES),
        "MAX_BODY_MB": "1",
        "ACCOUNT_CONCURRENCY": "100",
        "FORGET_SOCKET": forget,
    }
    with (
        SharedUpstream() as upstream,
        serving(upstream.environment() | settings, command=TOY) as served,
    ):
        yield Front(upstream, served, forget)


@pytest.fixture
def toy(front: Front) -> Served:
    return front.gateway


@pytest.fixture
def upstream(front: Front) -> SharedUpstream:
    # With all places free: a client has its answer, or has left, a little before that.
    until(lambda: answers_in_flight(front.gateway) == 0)
    front.renew()
    return front.upstream


def say(
    toy: Served, text: str = "Hello", *, stream: bool = True, conversation: str | None = None
) -> Reply:
    headers = toy.headers | ({"X-Conversation-Id": conversation} if conversation else {})
    return toy.request("POST", "/toy", json.dumps({"say": text, "stream": stream}), headers)


def begin(call: Call, key: str, *, stream: bool = True, request_id: str = "toy") -> Call:
    """Ask on a raw connection."""
    body = json.dumps({"say": "Hello", "stream": stream})
    call.send(
        f"POST /toy HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: application/json\r\nx-request-id: {request_id}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n{body}".encode()
    )
    return call


def assert_told(reply: Reply, status: int, code: str) -> None:
    """The error is told as the toy format tells it."""
    assert (reply.status, reply.body) == (status, f"!{code} {status}\n".encode())
    assert reply.headers["Content-Type"] == LINES


@streamed_or_not
def test_an_answer_is_written_in_the_format_s_way(
    toy: Served, upstream: SharedUpstream, stream: bool
) -> None:
    upstream.script(*answer("All is well."))

    reply = say(toy, stream=stream)

    assert (reply.status, reply.body) == (200, b'+"All is well."\n.stop\n')
    assert reply.headers["Content-Type"] == LINES
    assert reply.headers["Transfer-Encoding"] == ("chunked" if stream else None)
    assert reply.headers["x-request-id"]
    assert reply.headers["x-gbproxy-attempts"] == "1"


def test_a_text_leaves_as_soon_as_it_is_here(toy: Served, upstream: SharedUpstream) -> None:
    upstream.script(Text("Half "), Stall())

    with toy.call() as call:
        begin(call, toy.key).read_until(b'+"Half "\n')


beating = pytest.mark.parametrize("front", [HEARTBEAT_S], indirect=True)


@beating
def test_its_heartbeat_begins_the_response(toy: Served, upstream: SharedUpstream) -> None:
    begins = Gate()
    upstream.script(begins.closed, *answer("All is well."))

    with toy.call() as call:
        begin(call, toy.key).wait_for(b"~\n")
        begins.open()
        reply = call.reply()

    assert reply.body.startswith(b"~\n")
    assert reply.body.strip(b"~\n") == b'+"All is well."\n.stop'


@beating
def test_its_heartbeat_goes_on_between_texts(toy: Served, upstream: SharedUpstream) -> None:
    upstream.script(Text("Half "), Stall())

    with toy.call() as call:
        begin(call, toy.key).read_until(b'+"Half "\n')
        call.read_until(b"~\n")
        call.read_until(b"~\n")


@beating
@pytest.mark.parametrize(
    ("begun", "script", "code"),
    [
        (b'+"Half "\n', (Text("Half "),), b"upstream_error"),
        (b"~\n", (), b"upstream_overloaded"),
    ],
)
def test_an_error_in_a_stream_is_its_last_line(
    toy: Served, upstream: SharedUpstream, begun: bytes, script: tuple[Action, ...], code: bytes
) -> None:
    fails = Gate()
    failure = (Rst(),) if script else overloaded()
    upstream.script(*script, fails.closed, *failure)

    with toy.call() as call:
        begin(call, toy.key).wait_for(begun)
        fails.open()
        reply = call.reply()

    assert reply.status == 200
    assert reply.body.endswith(b"\n!" + code + b"\n")


@streamed_or_not
def test_an_error_before_the_response_has_its_status(
    toy: Served, upstream: SharedUpstream, stream: bool
) -> None:
    upstream.script(*overloaded())

    reply = say(toy, stream=stream)

    assert_told(reply, 503, "upstream_overloaded")
    assert reply.headers["x-toy-error"] == "upstream_overloaded"


@pytest.mark.parametrize(
    ("method", "path", "headers", "body", "status", "code"),
    [
        ("POST", "/toy", {}, '{"say": 1}', 400, "invalid_request_error"),
        ("POST", "/toy", {}, "{", 400, "invalid_request_error"),
        ("POST", "/toy", {"Authorization": "Bearer no"}, "{}", 401, "invalid_api_key"),
        ("GET", "/toy/nothing", {}, None, 404, "not_found"),
        ("GET", "//toy//nothing/", {}, None, 404, "not_found"),
        ("GET", "/nothing", BY_HEADER, None, 404, "not_found"),
        ("GET", "/toy", {}, None, 405, "method_not_allowed"),
        ("POST", "/toy", {"Content-Type": "text/plain"}, "{}", 415, "unsupported_media_type"),
        ("POST", "/toy", {}, " " * (MAX_BODY_BYTES + 1), 413, "request_too_large"),
        ("POST", "/toy", {"x-forwarded": "x" * 9000}, "{}", 431, "invalid_request_error"),
        ("POST", "/toy?" + "x" * 5000, {}, "{}", 414, "invalid_request_error"),
        ("GET", "/" + "x" * 5000, BY_HEADER, None, 414, "invalid_request_error"),
        ("GET", "/nothing", {**BY_HEADER, "a b": "c"}, None, 400, "invalid_request_error"),
    ],
)
def test_an_error_is_told_in_the_words_of_the_path_or_the_client(
    toy: Served,
    method: str,
    path: str,
    headers: dict[str, str],
    body: str | None,
    status: int,
    code: str,
) -> None:
    lines = {"Host": "gateway", "Connection": "close", **toy.headers, **headers}
    content = f"Content-Length: {len(body)}\r\n" if body is not None else ""
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items()) + content

    sent = f"{method} {path} HTTP/1.1\r\n{head}\r\n{body or ''}".encode()
    reply = Reply.parse(toy.send(sent, timeout_s=30))

    assert_told(reply, status, code)


@pytest.mark.parametrize(
    "sent",
    [
        b"POST /toy HTTP/9.9\r\n\r\n",
        b"POST /toy\r\n\r\n",
        b"GET /toy/x HTTP/1.1\r\nno header\r\n\r\n",
        b"GET /toy HTTP/1.1\nHost: gateway\n\n",
    ],
)
def test_what_is_no_http_is_told_in_the_words_of_its_path(toy: Served, sent: bytes) -> None:
    assert_told(Reply.parse(toy.send(sent)), 400, "invalid_request_error")


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET /nothing HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n\r\n", 404),
        (b"GET /toys HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n\r\n", 404),
        (
            b"GET /v1/chat/completions HTTP/1.1\r\nHost: gateway\r\nx-toy-version: 1\r\n"
            b"Connection: close\r\n\r\n",
            405,
        ),
        (b"GET /v1/chat/completions HTTP/9.9\r\nx-toy-version: 1\r\n\r\n", 400),
        (b"GET /nothing HTTP/9.9\r\n\r\n", 400),
        (b"nothing of the kind\r\n\r\n", 400),
        (b"\r\n\r\n\r\n", 400),
    ],
)
def test_all_others_are_told_in_openai_s_words(toy: Served, sent: bytes, status: int) -> None:
    reply = Reply.parse(toy.send(sent))

    assert reply.status == status
    assert reply.error["type"] == "invalid_request_error"


def test_a_full_gateway_says_so_in_the_words_of_the_path(
    toy: Served, upstream: SharedUpstream
) -> None:
    upstream.script(Text("Half "), Stall(), times=PLACES)

    with ExitStack() as stack:
        for _ in range(PLACES):
            begin(stack.enter_context(toy.call()), toy.key).read_until(b"Half ")
        refused = say(toy)
        other = toy.ask()

    assert_told(refused, 503, "overloaded")
    assert other.error["code"] == "overloaded"
    assert upstream.wait_for(lambda: upstream.open_streams == 0)


@streamed_or_not
def test_the_upstream_is_left_with_the_client(
    toy: Served, upstream: SharedUpstream, stream: bool
) -> None:
    upstream.script(Text("Half "), Stall())

    with toy.call() as call:
        begin(call, toy.key, stream=stream, request_id=f"left-{stream}")
        assert upstream.wait_for(lambda: upstream.open_streams == 1)
        call.leave()

    assert upstream.wait_for(lambda: upstream.open_streams == 0)
    done = toy.wait_for_event("request.done", lambda line: line["request_id"] == f"left-{stream}")
    assert done.get("client_gone") or done.get("code") == "client_gone"


@streamed_or_not
def test_a_conversation_goes_on_from_an_answer_that_was_written(
    toy: Served, upstream: SharedUpstream, stream: bool
) -> None:
    first = say(toy, f"What is the moon, {stream}?", stream=stream)
    conversation = first.headers["X-Conversation-Id"]

    second = say(toy, "And the sun?", stream=stream, conversation=conversation)

    assert second.headers["X-Conversation-Id"] == conversation
    ((_, text),) = texts_by_session(upstream)
    assert text == "And the sun?"


def test_no_conversation_goes_on_from_an_answer_that_was_not(
    toy: Served, upstream: SharedUpstream
) -> None:
    upstream.script(Text("Half "), Stall())
    with toy.call() as call:
        begin(call, toy.key, request_id="unwritten")
        head = Reply.parse(call.read_until(b"\r\n\r\n"))
        call.read_until(b"Half ")
    toy.wait_for_event("request.done", lambda line: line["request_id"] == "unwritten")

    reply = say(toy, conversation=head.headers["X-Conversation-Id"])

    assert_told(reply, 404, "conversation_not_found")


def test_the_log_names_its_route(toy: Served, upstream: SharedUpstream) -> None:
    assert toy.log_of(say(toy))["route"] == "/toy"
