"""The paths of the Gemini API: what is answered where, and every error in Google's shape."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import pytest

from gbproxy.api.gemini.routes import PREFIXES
from gbproxy.domain.catalogue import BUILT_IN
from gbproxy.domain.events import FLUSH, Done, FileOutput, TextDelta
from gbproxy.errors import (
    ContextLengthExceeded,
    CredentialRefused,
    QuotaExhausted,
    UpstreamOverloaded,
    UpstreamTimeout,
)
from tests.support.fake_upstream import FakeUpstream, api
from tests.support.serving import InProcess, Reply

HI = {"contents": [{"parts": [{"text": "Hi"}]}]}
GOOGLES = {"x-goog-api-client": "google-genai-sdk/3.6.1 gl-python/3.11"}
FOUR = {"generationConfig": {"candidateCount": 4}}


def post(
    app: InProcess, path: str, body: object = HI, headers: Mapping[str, str] | None = None
) -> Reply:
    data = body if isinstance(body, str) else json.dumps(body)
    return app.request("POST", path, data, {**app.headers, **(headers or {})})


def get(app: InProcess, path: str, headers: Mapping[str, str] | None = None) -> Reply:
    return app.request("GET", path, headers={**app.headers, **(headers or {})})


def error_of(reply: Reply, status: int) -> dict[str, Any]:
    """The error of a reply, in Google's shape."""
    found = reply.json()
    assert found.keys() == {"error"}
    error: dict[str, Any] = found["error"]
    assert {"code", "message", "status"} <= error.keys() <= {"code", "message", "status", "details"}
    assert (reply.status, error["code"]) == (status, status)
    return error


# Content


@pytest.mark.parametrize("prefix", PREFIXES)
def test_content_is_made_at_every_prefix(app: InProcess, fake: FakeUpstream, prefix: str) -> None:
    path = f"{prefix}/models/gemini-3.8-flash"
    whole = post(app, f"{path}:generateContent").json()
    events = post(app, f"{path}:streamGenerateContent?alt=sse")
    array = post(app, f"{path}:streamGenerateContent")
    tokens = post(app, f"{path}:countTokens").json()

    assert fake.prompts == ["Hi"] * 3
    assert fake.models == ["gemini-3.8-flash"] * 3
    assert texts(whole) == ["Hello"]
    assert [texts(frame) for frame in events.frames] == [["Hello"], [""]]
    assert [texts(frame) for frame in array.json()] == [["Hello"], [""]]
    assert tokens == {"totalTokens": whole["usageMetadata"]["promptTokenCount"]}


def texts(response: Mapping[str, Any]) -> list[str]:
    return [p["text"] for c in response["candidates"] for p in c["content"]["parts"]]


@pytest.mark.parametrize(
    "name", ["models/gemini-auto", "gemini-auto-search", "gemini-flash-latest"]
)
def test_a_model_goes_by_all_its_names(app: InProcess, name: str) -> None:
    found = post(app, f"/v1beta/models/{name}:generateContent").json()

    assert found["modelVersion"] in {model.id for model in BUILT_IN}


def test_several_candidates_of_one_request(app: InProcess) -> None:
    path = "/v1beta/models/gemini-auto"
    whole = post(app, f"{path}:generateContent", {**HI, **FOUR}).json()
    streamed = post(app, f"{path}:streamGenerateContent", {**HI, **FOUR}).json()

    assert [each["index"] for each in whole["candidates"]] == [0, 1, 2, 3]
    assert texts(whole) == ["Hello"] * 4
    assert [each["finishReason"] for each in streamed[-1]["candidates"]] == ["STOP"] * 4
    assert streamed[-1]["usageMetadata"] == whole["usageMetadata"]


def test_several_candidates_cannot_go_on_in_one_conversation(app: InProcess) -> None:
    reply = post(
        app,
        "/v1/models/gemini-auto:generateContent",
        {**HI, **FOUR},
        {"X-Conversation-Id": "a" * 32},
    )

    [detail] = error_of(reply, 400)["details"]
    assert detail["fieldViolations"][0]["field"] == "generationConfig.candidateCount"


def test_too_long_a_question_is_refused_in_words_that_agents_look_for() -> None:
    with api(ContextLengthExceeded("too long", param="messages")) as (app, _):
        error = error_of(post(app, "/v1/models/gemini-auto:generateContent"), 400)

    assert error["message"].startswith("The input token count exceeds the maximum number of tokens")
    assert error["details"][0]["fieldViolations"][0]["field"] == "contents"


def test_what_is_ignored_is_named(app: InProcess) -> None:
    body = {**HI, "generationConfig": {"temperature": 1}}
    for method in ("generateContent", "countTokens"):
        reply = post(app, f"/v1beta/models/gemini-auto:{method}", body)
        assert reply.headers["x-gbproxy-ignored"] == "generationConfig.temperature"


def test_an_image_is_made_or_said_to_be_none() -> None:
    path = "/v1/models/gemini-auto:editImage"
    picture = FileOutput("image/png", data=b"png")
    for events, reason in [((picture,), "STOP"), ((TextDelta("I cannot."),), "NO_IMAGE")]:
        with api(*events, Done()) as (app, _):
            [candidate] = post(app, path).json()["candidates"]
        assert candidate["finishReason"] == reason


def test_images_are_edited_as_content_is_asked_for(app: InProcess, fake: FakeUpstream) -> None:
    path = "/v1/models/gemini-auto:editImage"

    assert error_of(post(app, path, {"contents": 1}), 400)["status"] == "INVALID_ARGUMENT"
    assert error_of(post(app, path.replace("gemini", "none")), 404)["status"] == "NOT_FOUND"
    assert fake.prompts == []


# Models


def test_the_models_in_pages(app: InProcess) -> None:
    found, token, pages = [], "", 0
    while pages == 0 or token:
        page = get(app, f"/v1beta/models?pageSize=5&pageToken={token}").json()
        found += page["models"]
        token = page.get("nextPageToken", "")
        pages += 1

    assert [model["baseModelId"] for model in found] == [model.id for model in BUILT_IN]
    assert pages == -(-len(BUILT_IN) // 5)
    assert get(app, "/gemini/v1/models?page_size=1000").json() == {"models": found}


def test_an_entry(app: InProcess) -> None:
    assert get(app, "/v1alpha/models/gemini-3.8-flash").json() == {
        "name": "models/gemini-3.8-flash",
        "baseModelId": "gemini-3.8-flash",
        "version": "gemini-3.8-flash",
        "displayName": "Gemini 3.8 Flash",
        "description": "Gemini 3.8 Flash, as a Gemini Business account has it",
        "inputTokenLimit": 1_048_576,
        "outputTokenLimit": 65_536,
        "supportedGenerationMethods": ["generateContent", "streamGenerateContent", "countTokens"],
        "thinking": True,
    }


@pytest.mark.parametrize("query", ["pageSize=x", "pageSize=-1", "pageSize=1.5", "pageToken=x"])
def test_a_page_that_cannot_be(app: InProcess, query: str) -> None:
    [detail] = error_of(get(app, f"/v1beta/models?{query}"), 400)["details"]

    assert detail["fieldViolations"][0]["field"] == query.partition("=")[0]


def test_the_shared_list_is_googles_for_googles_clients(app: InProcess) -> None:
    googles, others = get(app, "/v1/models", GOOGLES).json(), get(app, "/v1/models").json()

    assert googles["models"] == get(app, "/v1beta/models").json()["models"]
    assert others["object"] == "list"
    name = googles["models"][0]["name"]
    assert get(app, f"/v1/{name}", GOOGLES).json() == googles["models"][0]
    assert error_of(get(app, "/v1/models/none-such", GOOGLES), 404)["status"] == "NOT_FOUND"


# Errors


@pytest.mark.parametrize(
    ("method", "path", "headers", "status", "word"),
    [
        ("POST", "/v1beta/models/gemini-auto:generateContent", {"Authorization": ""}, 401, "UNAUTHENTICATED"),
        ("POST", "/v1/models/gemini-auto:generateContent", {"Authorization": "Bearer sk-wrong"}, 401, "UNAUTHENTICATED"),
        ("POST", "/v1/models/none-such:generateContent", {}, 404, "NOT_FOUND"),
        ("POST", "/v1/models/none-such:countTokens", {}, 404, "NOT_FOUND"),
        ("GET", "/v1beta/nowhere", {}, 404, "NOT_FOUND"),
        ("GET", "/gemini/v1/nowhere", {}, 404, "NOT_FOUND"),
        ("GET", "/nowhere", GOOGLES, 404, "NOT_FOUND"),
        ("GET", "/v1/models/gemini-auto:generateContent", {}, 404, "NOT_FOUND"),
        ("POST", "/v1beta/models", {}, 405, "INVALID_ARGUMENT"),
        ("DELETE", "/v1/models/gemini-auto:generateContent", {}, 405, "INVALID_ARGUMENT"),
        ("POST", "/v1/models/gemini-auto:countTokens", {"Content-Type": "text/plain"}, 415, "INVALID_ARGUMENT"),
        ("POST", "/v1/models/gemini-auto:generateContent", {"Content-Encoding": "gzip"}, 415, "INVALID_ARGUMENT"),
        ("POST", "/v1/models/gemini-auto:embedContent", {}, 501, "UNIMPLEMENTED"),
        ("POST", "/v1beta/models/imagen:predict", {}, 501, "UNIMPLEMENTED"),
        ("GET", "/v1beta/cachedContents", {}, 501, "UNIMPLEMENTED"),
        ("GET", "/v1beta/batches", {}, 501, "UNIMPLEMENTED"),
        ("GET", "/v1beta/batches/1", {}, 501, "UNIMPLEMENTED"),
        ("POST", "/gemini/v1beta/batches/1:cancel", {}, 501, "UNIMPLEMENTED"),
        ("POST", "/v1beta/models/gemini-auto:foo", {}, 404, "NOT_FOUND"),
        ("POST", "/gemini/v1/models/gemini-auto:foo", {}, 404, "NOT_FOUND"),
        ("POST", "/v1/models/gemini-auto:doMore", {}, 404, "NOT_FOUND"),
        ("PUT", "/v1beta/models/gemini-auto:generateContent", {}, 405, "INVALID_ARGUMENT"),
        ("POST", "/v1beta/models/gemini-auto", {}, 405, "INVALID_ARGUMENT"),
        ("POST", "/upload/v1beta/files", {}, 400, "INVALID_ARGUMENT"),
        ("POST", "/v1/interactions", {}, 501, "UNIMPLEMENTED"),
        ("POST", "/upload/v1beta/files?upload_id=0", {}, 404, "NOT_FOUND"),
        ("GET", "/v1/files/abc", GOOGLES, 404, "NOT_FOUND"),
        ("DELETE", "/v1beta/files/abc", {}, 404, "NOT_FOUND"),
        ("GET", "/v1/files?pageSize=x", GOOGLES, 400, "INVALID_ARGUMENT"),
        ("GET", "/v1beta/files?pageToken=files/abc", {}, 400, "INVALID_ARGUMENT"),
    ],
)  # fmt: skip
def test_refusals_of_the_surface(
    app: InProcess, method: str, path: str, headers: dict[str, str], status: int, word: str
) -> None:
    reply = app.request(method, path, json.dumps(HI), {**app.headers, **headers})

    assert error_of(reply, status)["status"] == word


def test_other_formats_keep_their_errors(app: InProcess) -> None:
    assert get(app, "/v1/models/llama3:latest").error["code"] == "model_not_found"
    assert get(app, "/v1/nowhere").error["code"] == "not_found"
    assert post(app, "/v1/chat/completions", {}, GOOGLES).error["param"] == "messages"


@pytest.mark.parametrize(
    "body", ["{", "[]", '{"contents": 1}', '{"contents": [{"parts": [{"text": 1}]}]}']
)
@pytest.mark.parametrize("method", ["generateContent", "streamGenerateContent", "countTokens"])
def test_bodies_that_are_wrong(app: InProcess, method: str, body: str) -> None:
    error = error_of(post(app, f"/v1/models/gemini-auto:{method}", body), 400)

    assert error["status"] == "INVALID_ARGUMENT"


def test_a_body_that_is_too_large() -> None:
    with api(MAX_BODY_MB="0.001") as (app, _):
        body = {"contents": [{"parts": [{"text": "x" * 2000}]}]}
        reply = post(app, "/v1/models/gemini-auto:generateContent", body)

    assert error_of(reply, 413)["status"] == "INVALID_ARGUMENT"


@pytest.mark.parametrize(
    ("failure", "status", "word"),
    [
        (QuotaExhausted("empty", retry_after=90), 429, "RESOURCE_EXHAUSTED"),
        (UpstreamOverloaded("busy", retry_after=0.001), 503, "UNAVAILABLE"),
        (UpstreamTimeout("late"), 504, "DEADLINE_EXCEEDED"),
        (CredentialRefused("no"), 502, "INTERNAL"),
    ],
)
@pytest.mark.parametrize("method", ["generateContent", "streamGenerateContent?alt=sse"])
def test_failures_of_the_upstream(method: str, failure: Exception, status: int, word: str) -> None:
    with api(failure, MAX_ATTEMPTS="1") as (app, _):
        reply = post(app, f"/v1beta/models/gemini-auto:{method}")

    error = error_of(reply, status)
    assert error["status"] == word
    waits = [each["retryDelay"] for each in error.get("details", ()) if "retryDelay" in each]
    assert bool(waits) == (status in (429, 503))
    assert all(re.fullmatch(r"\d+(\.\d+)?s", each) for each in waits)
    assert bool(waits) == (reply.headers["Retry-After"] is not None)


@pytest.mark.parametrize("query", ["?alt=sse", ""])
def test_a_failure_within_a_stream(query: str) -> None:
    with api(TextDelta("Half"), FLUSH, CredentialRefused("broken")) as (app, _):
        reply = post(app, f"/v1beta/models/gemini-auto:streamGenerateContent{query}")

    frames = reply.frames if query else reply.json()
    assert reply.status == 200
    assert frames[-1]["error"]["status"] == "INTERNAL"
    assert [list(frame) for frame in frames[:-1]] in (
        [],
        [["candidates", "modelVersion", "responseId"]],
    )


def test_what_probes_and_browsers_ask(app: InProcess) -> None:
    assert app.request("HEAD", "/v1beta/models", headers=app.headers).status == 200
    assert app.request("OPTIONS", "/v1beta/models/gemini-auto:generateContent").status == 204
