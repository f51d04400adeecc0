"""Everything around the answers: paths, methods, ids, and the refusals that the app never gets to
see.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator

import pytest

from gbproxy.domain.events import FLUSH, Done, TextDelta
from gbproxy.errors import ClientGone, QuotaExhausted
from tests.support.fake_upstream import FakeUpstream, api
from tests.support.serving import InProcess, Reply, Served, serving

HI = json.dumps({"messages": [{"role": "user", "content": "Hi"}]})


def assert_refused(reply: Reply, status: int, code: str) -> None:
    assert reply.status == status
    assert reply.error["code"] == code
    assert reply.error["message"]
    assert re.fullmatch(r"[A-Za-z0-9._-]{1,128}", reply.headers["x-request-id"])


# Paths and methods


@pytest.mark.parametrize(
    "path", ["/nothing", "/v1", "/v1/nothing", "/v1/chat", "/v1/chat/completions/1", "/favicon.ico"]
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "BREW"])
def test_an_unknown_path_is_not_found(app: InProcess, method: str, path: str) -> None:
    assert_refused(app.request(method, path, headers=app.headers), 404, "not_found")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/v1/chat/completions", {"POST"}),
        ("PUT", "/chat/completions", {"POST"}),
        ("POST", "/v1/models", {"GET", "HEAD"}),
        ("DELETE", "/v1/models/gemini-auto", {"GET", "HEAD"}),
        ("POST", "/health", {"GET", "HEAD"}),
    ],
)
def test_a_wrong_method_is_named(app: InProcess, method: str, path: str, allowed: set[str]) -> None:
    reply = app.request(method, path, headers=app.headers)

    assert reply.status == 405
    assert set(reply.headers["Allow"].split(", ")) - {"OPTIONS"} == allowed
    assert_refused(reply, 405, "method_not_allowed")


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/chat/completions"])
def test_a_probe_by_head_learns_that_a_path_for_post_is_there(app: InProcess, path: str) -> None:
    reply = app.request("HEAD", path, headers=app.headers)

    assert (reply.status, reply.body) == (200, b"")
    assert set(reply.headers["Allow"].split(", ")) - {"OPTIONS"} == {"POST"}


@pytest.mark.parametrize(
    "path",
    [
        *(
            "/embeddings",
            "/audio/speech",
            "/audio/transcriptions",
            "/moderations",
            "/images/variations",
        ),
        *("/conversations", "/completions", "/batches", "/batches/b/cancel", "/fine_tuning/jobs"),
        *("/uploads", "/uploads/u/parts", "/videos", "/videos/v/content"),
        *("/vector_stores", "/vector_stores/v/files/f", "/containers", "/containers/c/files"),
        *("/assistants", "/assistants/a", "/threads", "/threads/t/runs/r/cancel"),
        *("/evals", "/evals/e/runs", "/realtime", "/realtime/client_secrets"),
        *("/skills", "/skills/s/versions"),
    ],
)
@pytest.mark.parametrize("prefix", ["", "/v1"])
def test_what_is_not_offered_says_so(app: InProcess, prefix: str, path: str) -> None:
    replies = [
        app.request("POST", prefix + path, "{}", app.headers),
        app.request("GET", prefix + path, None, app.headers),
        app.request("DELETE", prefix + path, None, app.headers),
    ]

    for reply in replies:
        assert_refused(reply, 501, "not_implemented")
        assert reply.headers["x-should-retry"] == "false"


@pytest.mark.parametrize(
    "path", ["/v1/messages/batches/b", "/v1beta/cachedContents/c", "/v1/fileSearchStores/f"]
)
def test_what_other_apis_have_beside_it_is_not_deleted_either(app: InProcess, path: str) -> None:
    reply = app.request("DELETE", path, None, app.headers)

    assert reply.status == 501
    assert reply.headers["x-should-retry"] == "false"


def test_a_path_that_openai_alone_has_is_refused_in_its_shape(app: InProcess) -> None:
    others = {**app.headers, "anthropic-version": "2023-06-01", "x-goog-api-client": "x"}

    for path in ("/v1/vector_stores", "/v1/threads/t/messages", "/uploads"):
        assert_refused(app.request("POST", path, "{}", others), 501, "not_implemented")


@pytest.mark.parametrize(
    "path",
    [
        "/v1/chat/completions",
        "/chat/completions",
        "/v1/chat/completions/",
        "//v1/chat/completions",
        "/v1//chat///completions//",
    ],
)
def test_slashes_too_many_do_no_harm(app: InProcess, fake: FakeUpstream, path: str) -> None:
    reply = app.request("POST", path, HI, app.headers)

    assert reply.text == "Hello"
    assert fake.prompts == ["Hi"]


@pytest.mark.parametrize(
    "path", ["/v1/chat/completions/", "//v1/chat/completions", "/v1//chat/completions"]
)
def test_slashes_too_many_do_no_harm_over_the_wire(gateway: Served, path: str) -> None:
    assert gateway.request("POST", path, HI, gateway.headers).status == 200


@pytest.mark.parametrize(
    "path", ["/", "/health", "/readyz", "/v1/models", "/v1/models/gemini-auto"]
)
def test_head_is_answered_like_get_without_a_body(gateway: Served, path: str) -> None:
    got = gateway.request("GET", path, headers=gateway.headers)
    head = gateway.request("HEAD", path, headers=gateway.headers)

    assert (got.status, head.status) == (200, 200)
    assert head.body == b""
    assert head.headers["Content-Length"] == got.headers["Content-Length"]


def test_models_are_listed_and_found_by_name(app: InProcess) -> None:
    listed = app.request("GET", "/v1/models", headers=app.headers).json()
    found = {
        model["id"]: app.request("GET", f"/models/{model['id']}", headers=app.headers).json()
        for model in listed["data"]
    }

    assert listed["object"] == "list"
    assert found == {model["id"]: model for model in listed["data"]}
    assert found.keys() >= {
        "gemini-auto",
        "gemini-2.5-flash",
        "gemini-3.8-flash",
        "gemini-3.1-pro-preview",
    }


@pytest.mark.parametrize("name", ["nothing", "gpt-4o", "a/b", "%F0%9F%8C%9D", "%ff"])
def test_an_unknown_model_is_not_found(app: InProcess, name: str) -> None:
    reply = app.request("GET", f"/v1/models/{name}", headers=app.headers)

    assert_refused(reply, 404, "model_not_found")
    assert reply.error["param"] == "model"


# Ids


@pytest.mark.parametrize("given", ["a", "my-id_1.2", "x" * 128])
@pytest.mark.parametrize("path", ["/health", "/nothing", "/v1/models"])
def test_an_id_that_can_be_kept_is_kept(app: InProcess, given: str, path: str) -> None:
    assert (
        app.request("GET", path, headers={"x-request-id": given}).headers["x-request-id"] == given
    )


@pytest.mark.parametrize("given", ["", "a b", "x" * 129, "ü", "a/b", "a,b", "a;b"])
def test_another_id_is_replaced(app: InProcess, given: str) -> None:
    made = app.request("GET", "/health", headers={"x-request-id": given}).headers["x-request-id"]

    assert made != given
    assert re.fullmatch(r"[A-Za-z0-9._-]{8,128}", made)


def test_every_request_has_an_id_of_its_own(app: InProcess) -> None:
    assert len({app.request("GET", "/health").headers["x-request-id"] for _ in range(10)}) == 10


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_an_answer_says_what_it_took(app: InProcess, stream: bool) -> None:
    reply = app.ask(stream=stream)

    assert reply.headers["x-gbproxy-attempts"] == "1"
    assert float(reply.headers["x-gbproxy-overhead-ms"]) >= 0


@pytest.mark.parametrize("path", ["/v1/models", "/health", "/nothing"])
def test_what_took_no_attempt_does_not_speak_of_any(app: InProcess, path: str) -> None:
    reply = app.request("GET", path, headers=app.headers)

    assert reply.headers["x-gbproxy-attempts"] is None


def test_a_bug_is_a_plain_error_without_a_word_about_itself() -> None:
    with api(TextDelta("Hi"), ZeroDivisionError("PROMPTMARK")) as (app, _):
        whole, streamed = app.ask(), app.ask(stream=True)

    assert_refused(whole, 500, "internal_error")
    assert streamed.status == 500
    assert b"PROMPTMARK" not in whole.body + streamed.body


# Whole streams, as text


def normalised(reply: Reply) -> str:
    """The body with its own id and time replaced by names."""
    text = reply.body.decode()
    identity = json.loads(text.split("\n")[0].removeprefix("data: "))
    return text.replace(identity["id"], "ID").replace(str(identity["created"]), "CREATED")


HEAD_OF_CHUNK = (
    'data: {"id":"ID","object":"chat.completion.chunk","created":CREATED,"model":"gemini-auto",'
)


def chunk(delta: str, finish: str = "null", tail: str = "") -> str:
    choice = f'{{"index":0,"delta":{delta},"logprobs":null,"finish_reason":{finish}}}'
    return f'{HEAD_OF_CHUNK}"choices":[{choice}]{tail}}}\n\n'


ROLE = '{"role":"assistant","content":"","refusal":null}'
TWO_WORDS = (TextDelta("Hel"), FLUSH, TextDelta("lo\u2028\u0085😀"), FLUSH, Done())


def test_a_stream_from_its_first_to_its_last_byte() -> None:
    with api(*TWO_WORDS) as (app, _):
        reply = app.ask("Hi", stream=True)

    assert normalised(reply) == (
        chunk(ROLE)
        + chunk('{"content":"Hel"}')
        + chunk('{"content":"lo\\u2028\\u0085😀"}')
        + chunk("{}", '"stop"')
        + "data: [DONE]\n\n"
    )
    assert reply.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    assert reply.headers["Cache-Control"] == "no-cache"


@pytest.mark.parametrize("asked", [None, False, True])
def test_usage_comes_last_and_only_when_asked_for(asked: bool | None) -> None:
    with api(*TWO_WORDS) as (app, _):
        reply = app.ask(
            "Hi", stream=True, stream_options=asked if asked is None else {"include_usage": asked}
        )

    usage = (
        '{"prompt_tokens":1,"completion_tokens":4,"total_tokens":5,"prompt_tokens_details":'
        '{"cached_tokens":0},"completion_tokens_details":{"reasoning_tokens":0},"gbproxy_estimated":true}'
    )
    tail = ',"usage":null' if asked else ""
    assert normalised(reply) == (
        chunk(ROLE, tail=tail)
        + chunk('{"content":"Hel"}', tail=tail)
        + chunk('{"content":"lo\\u2028\\u0085😀"}', tail=tail)
        + chunk("{}", '"stop"', tail=tail)
        + (f'{HEAD_OF_CHUNK}"choices":[],"usage":{usage}}}\n\n' if asked else "")
        + "data: [DONE]\n\n"
    )


def test_a_stream_that_breaks_from_its_first_to_its_last_byte() -> None:
    with api(TextDelta("Hel"), FLUSH, QuotaExhausted("no more", retry_after=5)) as (app, _):
        reply = app.ask("Hi", stream=True)

    error = (
        '{"error": {"message": "no more", "type": "insufficient_quota", "param": null, "code":'
        ' "insufficient_quota"}}'
    )
    assert normalised(reply) == chunk(ROLE) + chunk('{"content":"Hel"}') + f"data: {error}\n\n"


# Over raw sockets: what gunicorn does, and what it refuses by itself


@pytest.fixture(scope="module")
def small() -> Iterator[Served]:
    """A gateway for small bodies."""
    with serving({}, MAX_BODY_MB="0.01") as served:
        yield served


def head(
    served: Served, *lines: str, method: str = "POST", path: str = "/v1/chat/completions"
) -> bytes:
    common = ("Host: gateway", "Connection: close", f"Authorization: Bearer {served.key}")
    return "\r\n".join([f"{method} {path} HTTP/1.1", *common, *lines, "", ""]).encode()


RAW_REFUSALS = {
    "no HTTP": (b"hello\r\n\r\n", 400),
    "an unknown version": (b"GET / HTTP/9.9\r\n\r\n", 400),
    "a header without a colon": (b"GET / HTTP/1.1\r\nHost\r\n\r\n", 400),
    "a header with a space": (b"GET / HTTP/1.1\r\nHo st: x\r\n\r\n", 400),
    "two lengths": (b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx", 400),
    "a length that is none": (b"POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n", 400),
    "a length below zero": (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
    "a long address": (b"GET /" + b"x" * 10_000 + b" HTTP/1.1\r\n\r\n", 414),
    "a long header": (b"GET / HTTP/1.1\r\nX: " + b"x" * 100_000 + b"\r\n\r\n", 431),
    "many headers": (b"GET / HTTP/1.1\r\n" + b"X: x\r\n" * 1000 + b"\r\n", 431),
    "an unknown transfer coding": (b"POST / HTTP/1.1\r\nTransfer-Encoding: foo\r\n\r\n", 501),
}


@pytest.mark.parametrize(
    ("data", "status"), [pytest.param(*raw, id=name) for name, raw in RAW_REFUSALS.items()]
)
def test_what_is_no_http_is_refused_in_json(gateway: Served, data: bytes, status: int) -> None:
    reply = Reply.parse(gateway.send(data))

    assert_refused(reply, status, "invalid_request_error")
    assert int(reply.headers["Content-Length"]) == len(reply.body)


CHUNKED = {
    "a size that is none": b"zz\r\n{}\r\n0\r\n\r\n",
    "a size below zero": b"-2\r\n{}\r\n0\r\n\r\n",
    "a size too small": b"1\r\n{}\r\n0\r\n\r\n",
    "no end": b"2\r\n{}\r\n",
    "cut inside": b"10\r\n{",
    "nothing": b"",
}


@pytest.mark.parametrize("body", [pytest.param(body, id=name) for name, body in CHUNKED.items()])
def test_a_broken_chunked_body_is_a_bad_request(gateway: Served, body: bytes) -> None:
    data = head(gateway, "Content-Type: application/json", "Transfer-Encoding: chunked") + body

    reply = Reply.parse(gateway.send(data, finish=True))

    assert_refused(reply, 400, "invalid_request_error")


def test_a_body_shorter_than_it_said_is_a_bad_request(gateway: Served) -> None:
    data = (
        head(gateway, "Content-Type: application/json", f"Content-Length: {len(HI) + 10}")
        + HI.encode()
    )

    reply = Reply.parse(gateway.send(data, finish=True))

    assert_refused(reply, 400, "invalid_request_error")


def test_a_chunked_body_is_taken(gateway: Served) -> None:
    chunks = b"".join(b"%x\r\n%b\r\n" % (1, bytes([byte])) for byte in HI.encode()) + b"0\r\n\r\n"
    data = head(gateway, "Content-Type: application/json", "Transfer-Encoding: chunked") + chunks

    reply = Reply.parse(gateway.send(data))

    assert reply.status == 200
    assert reply.json()["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize("declared", [True, False], ids=["by its length", "in chunks"])
def test_a_body_that_is_too_large_is_refused_over_the_wire(small: Served, declared: bool) -> None:
    body = json.dumps({"messages": [{"role": "user", "content": "x" * 50_000}]}).encode()

    reply = small.request(
        "POST", "/v1/chat/completions", body if declared else iter([body]), small.headers
    )

    assert_refused(reply, 413, "request_too_large")


def test_a_body_that_is_too_large_is_refused_before_it_is_sent(small: Served) -> None:
    reply = Reply.parse(
        small.send(head(small, "Content-Type: application/json", "Content-Length: 50000"))
    )

    assert_refused(reply, 413, "request_too_large")


def test_a_compressed_body_is_refused_over_the_wire(gateway: Served) -> None:
    reply = gateway.request(
        "POST",
        "/v1/chat/completions",
        gzip.compress(HI.encode()),
        {**gateway.headers, "Content-Encoding": "gzip"},
    )

    assert_refused(reply, 415, "unsupported_media_type")


def test_a_refused_request_leaves_the_connection_usable_or_closed_never_confused(
    gateway: Served,
) -> None:
    first = head(gateway, "Content-Type: text/plain", f"Content-Length: {len(HI)}").replace(
        b"Connection: close\r\n", b""
    )
    second = head(gateway, method="GET", path="/v1/models")

    data = gateway.send(first + HI.encode() + second)

    statuses = [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", data)]
    assert statuses in ([415], [415, 200])


def test_nothing_from_a_client_changes_what_the_app_believes(gateway: Served) -> None:
    forged = {
        "SCRIPT_NAME": "/evil",
        "Script-Name": "/evil",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "evil",
    }

    reply = gateway.request("GET", "/v1/models", headers={**gateway.headers, **forged})

    assert reply.status in (200, 400)
    assert b"evil" not in reply.body


def test_who_hangs_up_once_the_whole_answer_is_written_crashes_nothing() -> None:
    with api(TextDelta("Hello"), FLUSH, Done(), ClientGone("the client has left")) as (app, _):
        reply = app.ask("Hi")

    assert (reply.status, reply.text) == (200, "Hello")
