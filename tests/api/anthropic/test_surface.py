"""The paths of Anthropic's API: errors in its shape whatever their cause, and the list of models."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from gbproxy.errors import (
    ContextLengthExceeded,
    ConversationBusy,
    GatewayError,
    NoAccountAvailable,
    Overloaded,
    QuotaExhausted,
    StorageUnavailable,
    UpstreamBroken,
    UpstreamOverloaded,
    UpstreamTimeout,
)
from tests.support.fake_upstream import api
from tests.support.serving import InProcess, Reply

MESSAGES = "/v1/messages"
VERSION = {"anthropic-version": "2023-06-01"}
BODY = json.dumps({"max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]})
ALIASES = ["claude-gemini-flash", "flash"]
MODELS = json.dumps([{"id": "gemini-3.8-flash", "aliases": ALIASES}])


def assert_told(reply: Reply, status: int, type_: str) -> None:
    """The error is told as Anthropic's API tells it."""
    body = reply.json()
    assert (reply.status, body["type"]) == (status, "error")
    assert body["error"].keys() == {"type", "message"}
    assert body["error"]["type"] == type_
    assert body["error"]["message"]
    assert body["request_id"] == reply.headers["request-id"] == reply.headers["x-request-id"]


@pytest.mark.parametrize(
    ("method", "path", "headers", "body", "status", "type_"),
    [
        ("POST", MESSAGES, {}, "{", 400, "invalid_request_error"),
        ("POST", MESSAGES, {}, "{}", 400, "invalid_request_error"),
        ("POST", MESSAGES, {"Authorization": "Bearer no"}, BODY, 401, "authentication_error"),
        ("POST", MESSAGES, {"Authorization": ""}, BODY, 401, "authentication_error"),
        ("GET", f"{MESSAGES}/nothing", {}, None, 404, "not_found_error"),
        ("GET", "/v1/nothing", VERSION, None, 404, "not_found_error"),
        ("GET", "/v1/models/nothing", VERSION, None, 404, "not_found_error"),
        ("GET", MESSAGES, {}, None, 405, "api_error"),
        ("DELETE", "/v1/models", VERSION, None, 405, "api_error"),
        ("POST", MESSAGES, {}, " " * (1024 * 1024 + 1), 413, "request_too_large"),
        ("POST", MESSAGES, {"Content-Type": "text/plain"}, BODY, 415, "api_error"),
        ("POST", f"{MESSAGES}/count_tokens", {}, "{}", 400, "invalid_request_error"),
        ("POST", f"{MESSAGES}/batches", {}, "{}", 501, "api_error"),
        ("GET", f"{MESSAGES}/batches/1/results", {}, None, 501, "api_error"),
        ("POST", "/v1/complete", {}, "{}", 501, "api_error"),
        ("POST", "/messages", {}, "{}", 400, "invalid_request_error"),
    ],
)
def test_an_error_has_the_shape_of_its_api(
    small: InProcess,
    method: str,
    path: str,
    headers: dict[str, str],
    body: str | None,
    status: int,
    type_: str,
) -> None:
    reply = small.request(method, path, body, {**small.headers, **headers})

    assert_told(reply, status, type_)


@pytest.fixture(scope="module")
def small() -> Iterator[InProcess]:
    with api(MAX_BODY_MB="1", MODELS=MODELS) as (app, _):
        yield app


@pytest.mark.parametrize(
    ("error", "status", "type_", "retries"),
    [
        (UpstreamOverloaded("busy", retry_after=7), 529, "overloaded_error", None),
        (Overloaded("full", retry_after=2), 529, "overloaded_error", None),
        (QuotaExhausted("none left", retry_after=60), 429, "rate_limit_error", "false"),
        (ConversationBusy(), 409, "api_error", None),
        (UpstreamTimeout("too long"), 504, "timeout_error", "false"),
        (UpstreamBroken("broken"), 502, "api_error", "false"),
        (NoAccountAvailable("none"), 503, "api_error", "false"),
        (StorageUnavailable("away", retry_after=2), 503, "api_error", None),
        (ContextLengthExceeded("of 9 characters"), 400, "invalid_request_error", None),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, GatewayError) else "",
)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_errors_of_the_gateway_have_its_statuses_and_types(
    error: GatewayError, status: int, type_: str, retries: str | None, stream: bool
) -> None:
    body = json.dumps({**json.loads(BODY), "stream": stream})
    with api(error, error, error, MAX_ATTEMPTS="1") as (app, _):
        reply = app.request("POST", MESSAGES, body, app.headers)

    assert_told(reply, status, type_)
    assert reply.headers["x-should-retry"] == retries


def test_a_prompt_that_is_too_long_is_told_in_the_words_that_agents_know() -> None:
    with api(ContextLengthExceeded("9 characters at most")) as (app, _):
        reply = app.request("POST", MESSAGES, BODY, app.headers)

    assert_told(reply, 400, "invalid_request_error")
    assert reply.json()["error"]["message"] == "prompt is too long: 9 characters at most"


def test_head_and_options_are_answered(small: InProcess) -> None:
    head = small.request("HEAD", MESSAGES)
    options = small.request("OPTIONS", MESSAGES, headers={"Origin": "https://chat.example.com"})

    assert (head.status, head.body) == (200, b"")
    assert "POST" in head.headers["Allow"]
    assert options.status == 204
    assert options.headers["Access-Control-Allow-Origin"] == "*"


@pytest.mark.parametrize("version", ["2023-06-01", "2026-10-21", "any", ""])
def test_every_version_and_beta_is_taken(small: InProcess, version: str) -> None:
    headers = {**small.headers, "anthropic-version": version, "anthropic-beta": "some-2031-01-01,x"}

    reply = small.request("POST", f"{MESSAGES}?beta=true", BODY, headers)

    assert (reply.status, reply.json()["content"][0]["text"]) == (200, "Hello")
    assert reply.headers["request-id"] == reply.headers["x-request-id"]


@pytest.mark.parametrize(
    "place", ["Authorization", "x-api-key", "x-goog-api-key", "?key="], ids=lambda place: place
)
def test_a_key_is_taken_from_each_of_its_places(small: InProcess, place: str) -> None:
    path, headers = f"{MESSAGES}/count_tokens", {"Content-Type": "application/json"}
    if place == "?key=":
        path += f"?key={small.key}"
    else:
        headers[place] = f"Bearer {small.key}" if place == "Authorization" else small.key

    assert small.request("POST", path, BODY, headers).json()["input_tokens"] > 0


# Models


def listed(app: InProcess, query: str = "") -> dict[str, Any]:
    reply = app.request("GET", f"/v1/models{query}", headers={**app.headers, **VERSION})
    assert reply.status == 200, reply.body
    found: dict[str, Any] = reply.json()
    return found


def ids(page: dict[str, Any]) -> list[str]:
    return [entry["id"] for entry in page["data"]]


def test_an_entry_says_what_a_model_takes_and_gives(app: InProcess) -> None:
    [entry] = [each for each in listed(app)["data"] if each["id"] == "gemini-auto"]
    capabilities = entry.pop("capabilities")

    assert entry == {
        "type": "model",
        "id": "gemini-auto",
        "display_name": "Gemini Auto",
        "created_at": "1970-01-01T00:00:00Z",
        "lifecycle": "active",
        "deprecated_at": None,
        "retires_at": None,
        "line": None,
        "max_input_tokens": 1_048_576,
        "max_tokens": 65_536,
    }
    assert capabilities["server_tools"]["web_search"] == {"supported": True}
    assert capabilities["thinking"]["types"]["adaptive"] == {"supported": True}
    assert capabilities["batch"] == {"supported": False}


def test_aliases_that_agents_look_for_are_listed_and_answer(small: InProcess) -> None:
    names = ids(listed(small, "?limit=1000"))
    headers = {**small.headers, **VERSION}
    entry = small.request("GET", f"/v1/models/{ALIASES[0]}", headers=headers).json()
    body = json.dumps({**json.loads(BODY), "model": ALIASES[0]})
    answer = small.request("POST", MESSAGES, body, headers).json()

    assert ALIASES[0] in names
    assert ALIASES[1] not in names
    assert (entry["id"], entry["display_name"]) == (ALIASES[0], "Gemini 3.8 Flash")
    assert answer["model"] == "gemini-3.8-flash"


def test_only_clients_that_send_a_version_get_this_form(small: InProcess) -> None:
    assert ids(listed(small)) != []
    assert small.request("GET", "/v1/models", headers=small.headers).json()["object"] == "list"


def test_pages(app: InProcess) -> None:
    every = ids(listed(app))

    first = listed(app, "?limit=3")
    second = listed(app, f"?limit=3&after_id={first['last_id']}")
    before = listed(app, f"?limit=2&before_id={second['first_id']}")
    last = listed(app, f"?after_id={every[-1]}")

    assert (ids(first), first["has_more"]) == (every[:3], True)
    assert (ids(second), second["first_id"]) == (every[3:6], every[3])
    assert (ids(before), before["has_more"]) == (every[1:3], True)
    assert last == {"data": [], "has_more": False, "first_id": None, "last_id": None}
    assert listed(app, f"?limit={len(every)}")["has_more"] is False


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=x", "limit"),
        ("limit=-1", "limit"),
        ("limit=²", "limit"),
        ("after_id=nothing", "after_id"),
        ("before_id=nothing", "before_id"),
        ("after_id=gemini-auto&before_id=gemini-auto", "before_id"),
    ],
)
def test_a_wrong_query_is_named(app: InProcess, query: str, param: str) -> None:
    reply = app.request("GET", f"/v1/models?{query}", headers={**app.headers, **VERSION})

    assert_told(reply, 400, "invalid_request_error")
    assert reply.json()["error"]["message"].startswith(param)


def test_the_list_is_there_at_once(small: InProcess) -> None:
    """Agents wait for it at their start. The quickest of several, as the machine may be busy."""

    def took_ms() -> float:
        began = time.perf_counter()
        listed(small, "?limit=1000")
        return (time.perf_counter() - began) * 1000

    assert min(took_ms() for _ in range(5)) < 100
