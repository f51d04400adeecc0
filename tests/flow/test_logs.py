"""The log: one JSON object a line, everything an operator needs, and nothing that anybody said or
may not know.
"""

from __future__ import annotations

import base64
import json
import re
from datetime import datetime

import pytest

from gbproxy.simulator import (
    End,
    Fin,
    Head,
    Text,
    Write,
    answer,
    banned_phrase,
    failed_precondition,
    http_error,
    image_reply,
    in_stream_error,
    overloaded,
    quota,
    thoughts_only,
)
from tests.support.serving import KEY, Front, Served, SharedUpstream, fronting, serving
from tests.support.texts import TEXT

pytestmark = pytest.mark.slow

EVERY_LINE = {"timestamp", "level", "event", "logger", "request_id"}
ASKED, SAID, THOUGHT, FOREIGN = "PROMPTMARK", "ANSWERMARK", "THOUGHTMARK", "FOREIGNMARK"


def test_every_line_is_an_object_with_the_common_fields(gateway: Served) -> None:
    gateway.log_of(gateway.ask())

    lines = gateway.log_lines()

    assert all(line.keys() >= EVERY_LINE for line in lines)
    assert {line["level"] for line in lines} <= {"debug", "info", "warning", "error"}
    assert [line for line in lines if not re.fullmatch(r"[a-z_]+(\.[a-z_]+)+", line["event"])] == []
    assert all(line["logger"].startswith("gbproxy") for line in lines)
    assert all(datetime.fromisoformat(line["timestamp"]).utcoffset() is not None for line in lines)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_the_end_of_a_request_is_told_with_all_that_was_measured(
    gateway: Served, upstream: SharedUpstream, stream: bool
) -> None:
    # longer than a busy machine holds up what the gateway does itself
    upstream.script(*answer("The moon ", "is rock.", pause_s=0.05, first_byte_s=2.5))
    question = "What is the moon made of?"

    reply = gateway.ask(question, stream=stream, model="gemini-3.8-flash", temperature=1, top_p=0.5)

    line = gateway.log_of(reply)
    assert line["logger"] == "gbproxy.web.middleware"
    assert (line["method"], line["route"], line["status"]) == ("POST", "/v1/chat/completions", 200)
    assert line["model"] == "gemini-3.8-flash"
    assert line["stream"] is stream
    assert line["attempts"] == 1
    assert line["ignored"] == ["temperature", "top_p"]
    assert 50 <= line["ttft_ms"] < line["elapsed_ms"]
    assert line["elapsed_ms"] >= 100
    assert 0 <= line["overhead_ms"] < line["elapsed_ms"] - 90
    assert line["prompt_chars"] == len(question)
    assert line["answer_chars"] == len("The moon is rock.")
    assert line["response_bytes"] == len(reply.body)
    assert line["request_bytes"] > 0
    assert line["input_tokens"] > 0
    assert line["output_tokens"] > 0
    assert line["account"] == "default"


def test_the_tokens_of_the_log_are_those_of_the_answer(gateway: Served) -> None:
    reply = gateway.ask()

    line, usage = gateway.log_of(reply), reply.json()["usage"]

    assert (line["input_tokens"], line["output_tokens"]) == (
        usage["prompt_tokens"],
        usage["completion_tokens"],
    )


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_a_failure_has_its_code_in_the_log(
    gateway: Served, upstream: SharedUpstream, stream: bool
) -> None:
    upstream.script(*in_stream_error(texts=("Half",)))

    reply = gateway.ask(stream=stream)

    line = gateway.log_of(reply)
    assert line["code"] == "insufficient_quota"
    assert line["status"] == (200 if stream else 429)


@pytest.mark.parametrize(
    ("method", "path", "status", "route"),
    [
        ("GET", "/v1/models", 200, "/v1/models"),
        ("GET", "/v1/models/gemini-auto", 200, "/v1/models/<path:name>"),
        ("GET", "/nothing/here", 404, "-"),
        ("PUT", "/v1/models", 405, "-"),
    ],
)
def test_the_access_line_names_the_route_not_the_address(
    gateway: Served, method: str, path: str, status: int, route: str
) -> None:
    reply = gateway.request(
        method, f"{path}?secret=1", headers={**gateway.headers, "Referer": "http://secret.example"}
    )

    line = gateway.log_of(reply)
    assert (line["method"], line["route"], line["status"]) == (method, route, status)
    assert "secret" not in json.dumps(line)


def test_probes_are_told_at_debug_level_only(gateway: Served) -> None:
    reply = gateway.request("GET", "/health")

    assert gateway.log_of(reply)["level"] == "debug"


def test_all_lines_of_a_request_carry_its_id() -> None:
    settings = {"LOG_LEVEL": "debug"}
    # nobody else signs in
    with SharedUpstream() as upstream, fronting(upstream, settings, prewarms=False) as front:
        gateway = front.gateway
        front.renew()
        upstream.script(*http_error(500, "INTERNAL"))

        reply = gateway.ask(headers={"x-request-id": "my-own.id_1"}, model="gpt-4o")

        gateway.log_of(reply)
        events = [
            line["event"] for line in gateway.log_lines() if line["request_id"] == "my-own.id_1"
        ]
    assert reply.headers["x-request-id"] == "my-own.id_1"
    assert events == ["model.mapped", "token.refreshed", "attempt.failed", "request.done"]


def test_nothing_that_was_said_and_no_secret_enters_the_log() -> None:
    with SharedUpstream() as upstream, fronting(upstream, {"LOG_LEVEL": "debug"}) as front:
        gateway = front.gateway
        upstream.set(getoxsrf="refreshcookies")
        cookies = [upstream.account.secure_c_ses, upstream.account.host_c_oses]

        _use_it_in_every_way(front)

        gateway.wait_for_event("session.deleted")
        assert gateway.stop() == 0
        written = gateway.process.stdout + gateway.stderr
        bearers = {
            r.headers["authorization"].split()[1]
            for r in upstream.requests
            if "authorization" in r.headers
        }
        keys = [key.secret for key in upstream.keys.by_id.values()]
        sessions = list(upstream.sessions)
    secrets = {
        *cookies,
        upstream.account.secure_c_ses,
        *bearers,
        *(bearer.rsplit(".", 1)[1] for bearer in bearers),
        *(base64.urlsafe_b64encode(key).rstrip(b"=").decode() for key in keys),
        KEY,
        "sk-a-wrong-key-0123456789",
    }
    assert len(bearers) >= 2
    assert {line["event"] for line in gateway.log_lines()} >= {
        "server.started",
        "request.done",
        "token.refreshed",
        "cookies.refreshed",
        "attempt.failed",
        "model.mapped",
        "session.deleted",
        "request.refused",
        "account.cooling",
        "account.refused",
    }
    assert [secret for secret in secrets if secret in written] == []
    assert [mark for mark in (ASKED, SAID, THOUGHT, FOREIGN) if mark in written] == []
    assert [session for session in sessions if session in written] == []


def _use_it_in_every_way(front: Front) -> None:
    """Success and failure, streamed and not, with marks wherever somebody's words could come
    from.
    """
    gateway, upstream = front.gateway, front.upstream
    half = (Text(f"{SAID} "), Fin())
    error = f"What is {ASKED}? {FOREIGN}"
    for stream in (False, True):
        for script in (
            answer(f"{SAID} ", TEXT, thoughts=(f"**{THOUGHT}**\n\n",)),
            image_reply(SAID, inline=True),
            overloaded(),
            quota(),
            half,
            banned_phrase(ASKED),
            thoughts_only(THOUGHT),
            failed_precondition(SAID),
            http_error(400, "INVALID_ARGUMENT", error),
            http_error(400, "INVALID_ARGUMENT", f"The prompt is too long: {ASKED}"),
            http_error(500, "INTERNAL", error),
            http_error(401, "UNAUTHENTICATED", error),
            http_error(403, "PERMISSION_DENIED", error),
            http_error(404, "NOT_FOUND", error),
            http_error(404, "NOT_FOUND", f"model {error}"),
            in_stream_error(400, "INVALID_ARGUMENT", error, texts=(SAID,)),
            in_stream_error(500, "INTERNAL", error),
            (
                Head(200, {"Content-Type": "application/json"}),
                Write(f'[{{"{SAID}": oops'.encode()),
                End(),
            ),
            (Head(200, {"Content-Type": "text/html"}), Write(SAID.encode()), End()),
            (Head(302, {"Location": f"http://{FOREIGN}.invalid/{FOREIGN}"}), End()),
        ):
            front.forget()  # an account that cools is not asked
            upstream.script(*script)
            asked = len(upstream.calls("widgetStreamAssist"))
            gateway.ask(
                f"Say {ASKED}",
                stream=stream,
                user=ASKED,
                metadata={ASKED: ASKED},
                include_reasoning=stream,
            )
            assert len(upstream.calls("widgetStreamAssist")) > asked
            upstream.clear_scripts()
    for path in ("widgetCreateSession", "widgetDeleteSession", "getoxsrf"):
        # Nothing that a client says is sent there, so these words may be told.
        front.forget()
        upstream.script(*http_error(400, "INVALID_ARGUMENT", "Invalid value."), path=path, times=3)
        upstream.script(*half)  # so that there is a session to delete
        called = len(upstream.calls(path))
        if path == "getoxsrf":  # once only: whose call meets two revocations is refused for good
            upstream.revoke_tokens()
        gateway.ask(ASKED)
        assert upstream.wait_for(
            lambda path=path, called=called: len(upstream.calls(path)) > called
        )
        upstream.clear_scripts()
    front.forget()
    gateway.ask(ASKED, model="gpt-4o")
    gateway.ask(ASKED, headers={"Authorization": "Bearer sk-a-wrong-key-0123456789"})
    gateway.ask(ASKED, headers={"x-request-id": f"bad id {ASKED}", "Referer": f"http://{ASKED}/"})
    gateway.ask([{"role": "user", "content": [{"type": ASKED}]}])
    gateway.request("GET", f"/v1/models?key={KEY}&q={ASKED}")
    gateway.request("GET", f"/{ASKED}/{KEY}", headers=gateway.headers)
    gateway.request("GET", f"/v1/models/{ASKED}", headers=gateway.headers)
    gateway.request("POST", "/v1/chat/completions", f'{{"messages": {ASKED}', gateway.headers)
    gateway.send(f"{ASKED} / {ASKED}\r\n{ASKED}: {KEY}\r\n\r\n".encode())
    gateway.send(
        f"GET /{ASKED} HTTP/1.1\r\nAuthorization: Bearer {KEY}\r\n{ASKED}\r\n\r\n".encode()
    )
    gateway.send(f"{ASKED * 2} /{KEY} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())


def test_the_log_of_people_is_one_line_an_event() -> None:
    with (
        SharedUpstream() as upstream,
        serving(upstream.environment(), LOG_FORMAT="text") as gateway,
    ):
        reply = gateway.ask("Say PROMPTMARK")
        assert gateway.stop() == 0
        lines = gateway.process.stdout.splitlines()

    done = [line for line in lines if " request.done " in line]
    assert len(done) == 1
    assert re.match(r"\d{4}-\d\d-\d\dT\S+Z info +request\.done \[", done[0])
    assert f"[{reply.headers['x-request-id']}]" in done[0]
    assert "status=200" in done[0]
    assert not any("PROMPTMARK" in line for line in lines)
    assert not any(line.startswith("{") for line in lines)


@pytest.mark.parametrize(("level", "seen"), [("info", True), ("WARNING", False)])
def test_the_level_is_a_setting(level: str, seen: bool) -> None:
    with SharedUpstream() as upstream, serving(upstream.environment(), LOG_LEVEL=level) as gateway:
        gateway.ask()
        gateway.request("GET", "/health")
        assert gateway.stop() == 0

        events = {line["event"] for line in gateway.log_lines()}

    assert ("request.done" in events) is seen
    assert all(line["level"] != "debug" for line in gateway.log_lines())
