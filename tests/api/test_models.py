"""/v1/models: what programs read of a model."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gbproxy.api.openai.request import SUPPORTED_PARAMETERS, parse
from gbproxy.domain.catalogue import BUILT_IN
from gbproxy.errors import BadRequest
from tests.support.fake_upstream import api
from tests.support.serving import InProcess

MESSAGES = [{"role": "user", "content": "Hi"}]
PLAIN = json.dumps([{"id": "plain", "tools": []}])


def entry(app: InProcess, name: str = "gemini-auto") -> dict[str, Any]:
    found: dict[str, Any] = app.request("GET", f"/v1/models/{name}", headers=app.headers).json()
    return found


def test_an_entry_says_under_all_known_names_what_a_model_takes_and_gives(app: InProcess) -> None:
    found = entry(app)

    assert found == {
        "id": "gemini-auto",
        "object": "model",
        "created": found["created"],
        "owned_by": "google",
        "display_name": "Gemini Auto",
        "name": "Gemini Auto",
        "context_length": 1_048_576,
        "max_context_length": 1_048_576,
        "context_window": 1_048_576,
        "max_model_len": 1_048_576,
        "max_output_tokens": 65_536,
        "max_completion_tokens": 65_536,
        "input_modalities": ["text"],
        "output_modalities": ["text"],
        "architecture": {
            "modality": "text->text",
            "input_modalities": ["text"],
            "output_modalities": ["text"],
        },
        "supported_parameters": list(SUPPORTED_PARAMETERS),
        "capabilities": ["tool_use", "reasoning", "web_search"],
    }


def test_the_list_has_the_same_entries(app: InProcess) -> None:
    listed = app.request("GET", "/v1/models", headers=app.headers).json()["data"]

    assert listed == [entry(app, model.id) for model in BUILT_IN]


def test_what_is_not_known_of_a_model_is_left_out() -> None:
    with api(MODELS=PLAIN) as (app, _):
        found = entry(app, "plain")

    assert not {name for name in found if name.startswith(("max_", "context"))}
    assert found["capabilities"] == ["tool_use", "reasoning"]


@pytest.mark.parametrize(
    ("name", "id_"),
    [
        ("gemini-flash-latest", "gemini-3.8-flash"),
        ("models/gemini-auto", "gemini-auto"),
        ("gemini-auto-search", "gemini-auto"),
    ],
)
def test_a_model_is_found_by_all_its_names(app: InProcess, name: str, id_: str) -> None:
    assert entry(app, name)["id"] == id_


@pytest.mark.parametrize("name", ["gpt-4o", "gemini-9", "gemini-9-search", "gemini-9-image"])
def test_a_name_that_only_a_request_may_use_is_no_entry(app: InProcess, name: str) -> None:
    reply = app.request("GET", f"/v1/models/{name}", headers=app.headers)

    assert (reply.status, reply.error["code"]) == (404, "model_not_found")


@pytest.mark.parametrize("name", SUPPORTED_PARAMETERS)
def test_a_supported_parameter_is_taken_and_has_an_effect(name: str) -> None:
    assert any(has_effect(name, value) for value in (True, 1, "auto", {}, [], OBJECT))


OBJECT = {"type": "json_object"}
TOOL = {"tools": [{"type": "function", "function": {"name": "look"}}]}
BESIDE: dict[str, Any] = {  # without these they mean nothing
    "tool_choice": TOOL,
    "parallel_tool_calls": TOOL,
    "function_call": {"functions": [{"name": "look"}]},
}


def has_effect(name: str, value: object) -> bool:
    try:
        body = {"messages": MESSAGES, **BESIDE.get(name, {}), name: value}
        return name not in parse(body).ignored
    except BadRequest:
        return False
