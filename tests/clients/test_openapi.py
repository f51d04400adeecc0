"""Bodies and chunks against OpenAI's published description of its API, where a copy of it lies
beside the repository.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from gbproxy.simulator import answer, overloaded, policy_violation
from tests.support.responses import events_of
from tests.support.serving import ROOT, Reply, Served, SharedUpstream
from tests.support.texts import FRAGMENTS

OPENAPI = ROOT.parent / "shared" / "data" / "openai-openapi.json"

pytestmark = pytest.mark.skipif(
    not OPENAPI.exists(),
    reason=(
        "NOT CHECKED AGAINST OPENAI'S DESCRIPTION OF ITS API: there is no"
        f" ../{OPENAPI.relative_to(ROOT.parent)}"
    ),
)

Conforms = Callable[[object, str], None]


@pytest.fixture(scope="module")
def conforms() -> Conforms:
    """Asserts that a value is what the named schema describes."""
    schemas = {
        name: _plain(schema)
        for name, schema in json.loads(OPENAPI.read_bytes())["components"]["schemas"].items()
    }

    def check(value: object, name: str) -> None:
        validator = Draft202012Validator(
            {"$ref": f"#/components/schemas/{name}", "components": {"schemas": schemas}}
        )
        assert [
            f"{error.json_path}: {error.message}" for error in validator.iter_errors(value)
        ] == []

    return check


def _plain(schema: Any) -> Any:
    """JSON Schema of what OpenAPI says in its own way: `nullable` is a further type."""
    if isinstance(schema, list):
        return [_plain(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    plain = {
        key: _plain(value)
        for key, value in schema.items()
        if key not in ("nullable", "discriminator")
    }
    return {"anyOf": [plain, {"type": "null"}]} if schema.get("nullable") is True else plain


def test_the_check_finds_what_is_wrong(conforms: Conforms, gateway: Served) -> None:
    body = gateway.ask().json()
    del body["choices"][0]["message"]["refusal"]

    with pytest.raises(AssertionError, match="refusal"):
        conforms(body, "CreateChatCompletionResponse")


@pytest.mark.parametrize(
    "script", [answer(*FRAGMENTS, thoughts=("Hm.",)), policy_violation()], ids=["answer", "blocked"]
)
@pytest.mark.parametrize(
    "fields", [{}, {"include_reasoning": True}], ids=["plain", "with thoughts"]
)
def test_an_answer(
    conforms: Conforms,
    gateway: Served,
    upstream: SharedUpstream,
    script: Any,
    fields: dict[str, Any],
) -> None:
    upstream.script(*script)

    conforms(gateway.ask(**fields).json(), "CreateChatCompletionResponse")


@pytest.mark.parametrize(
    "script", [answer(*FRAGMENTS, thoughts=("Hm.",)), policy_violation()], ids=["answer", "blocked"]
)
@pytest.mark.parametrize(
    "fields",
    [{}, {"include_reasoning": True}, {"stream_options": {"include_usage": True}}],
    ids=["plain", "with thoughts", "with usage"],
)
def test_every_chunk(
    conforms: Conforms,
    gateway: Served,
    upstream: SharedUpstream,
    script: Any,
    fields: dict[str, Any],
) -> None:
    upstream.script(*script)

    for chunk in gateway.ask(stream=True, **fields).chunks:
        conforms(chunk, "CreateChatCompletionStreamResponse")


def test_models(conforms: Conforms, gateway: Served) -> None:
    listed = gateway.request("GET", "/v1/models", headers=gateway.headers).json()

    conforms(listed, "ListModelsResponse")
    conforms(
        gateway.request("GET", "/v1/models/gemini-auto", headers=gateway.headers).json(), "Model"
    )


def test_errors(conforms: Conforms, gateway: Served, upstream: SharedUpstream) -> None:
    upstream.script(*overloaded())
    replies: list[Reply] = [
        gateway.ask(),
        gateway.ask(model="none-such"),
        gateway.ask(temperature="hot"),
        gateway.request("GET", "/v1/models"),
        gateway.request("GET", "/nothing"),
        gateway.request("PUT", "/v1/models"),
        gateway.request("POST", "/v1/embeddings", headers=gateway.headers),
        Reply.parse(gateway.send(b"hello\r\n\r\n")),
    ]

    assert all(reply.status >= 400 for reply in replies)
    for reply in replies:
        conforms(reply.json(), "ErrorResponse")


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_a_response_conforms(
    gateway: Served, upstream: SharedUpstream, conforms: Conforms, stream: bool
) -> None:
    upstream.script(*answer(*FRAGMENTS, thoughts=("Hm.",)))
    body = {"input": "Hi", "stream": stream, "reasoning": {"summary": "auto"}}

    reply = gateway.request("POST", "/v1/responses", json.dumps(body), gateway.headers)

    if stream:
        for event in events_of(reply.body):
            if "response" in event:
                event["response"] = _without_nulls(event["response"])
            conforms(event, "ResponseStreamEvent")
    else:
        conforms(_without_nulls(reply.json()), "Response")


def _without_nulls(response: dict[str, Any]) -> dict[str, Any]:
    """Without those that OpenAI's own examples have, and its description does not allow."""
    return {
        name: value
        for name, value in response.items()
        if value is not None or name not in ("usage", "user")
    }
