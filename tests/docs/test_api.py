"""The pages about the API, models, clients and accounts tell what the code does, and nothing that is not so."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any, get_args, get_type_hints

import pytest
from openai.types.chat.completion_create_params import CompletionCreateParamsBase

from gbproxy.account_admin.model_reports import State
from gbproxy.accounts.model_cards import ModelCards
from gbproxy.api.anthropic import errors as anthropic_errors
from gbproxy.api.anthropic import request as anthropic_request
from gbproxy.api.gemini import body as gemini_body
from gbproxy.api.gemini import errors as gemini_errors
from gbproxy.api.gemini import request as gemini_request
from gbproxy.api.gemini import routes as gemini_routes
from gbproxy.api.openai import model_entry
from gbproxy.api.openai import request as openai_request
from gbproxy.api.openai.responses.body import IgnoredParameters, ResponseBody
from gbproxy.app import create_app
from gbproxy.domain.catalogue import BUILT_IN, built_in_names
from gbproxy.emulation.pipeline import compose
from gbproxy.emulation.request_emulation import RequestEmulation
from gbproxy.errors import BadRequest
from gbproxy.settings import load
from gbproxy.shaping.transform import AnswerTransform
from gbproxy.simulator import Simulator
from gbproxy.upstreams.base import Capabilities
from gbproxy.web import body
from tests.docs import code_facts
from tests.docs.markdown import ROOT, Page, code

API = Page.read("docs/api.md")
ACCOUNTS = Page.read("docs/accounts.md")
KEY = "sk-9f2c41d07ab84e5e11"


FUNCTION = {"name": "get_weather", "parameters": {"type": "object"}}
TOOLS = {"tools": [{"type": "function", "function": FUNCTION}]}
EMULATED: dict[str, dict[str, Any]] = {
    "tools": TOOLS,
    "functions": {"functions": [FUNCTION]},
    "tool_choice": {**TOOLS, "tool_choice": "required"},
    "parallel_tool_calls": {**TOOLS, "parallel_tool_calls": False},
    "function_call": {"functions": [FUNCTION], "function_call": {"name": "get_weather"}},
    "response_format": {"response_format": {"type": "json_object"}},
    "n": {"n": 2},
    "stop": {"stop": "x"},
    "max_tokens": {"max_tokens": 5},
    "max_completion_tokens": {"max_completion_tokens": 5},
}
NATIVE: dict[str, dict[str, Any]] = {
    "messages": {},
    "model": {"model": "gemini-auto"},
    "stream": {"stream": True},
    "stream_options": {"stream_options": {"include_usage": True}},
    "web_search_options": {"web_search_options": {}},
    "enable_search": {"enable_search": True},
    "web_search": {"web_search": True},
    "include_reasoning": {"include_reasoning": True},
    "reasoning": {"reasoning": {"exclude": False}},
}


def test_every_endpoint_stands_in_the_table_and_no_other() -> None:
    told = set()
    for methods, paths, *_ in (row for row in API.section("Endpoints").rows() if row[0].isupper()):
        for path in code(paths):
            told |= {(method, p) for method in methods.split(", ") for p in _forms(path)}

    app = create_app(load({"API_KEYS": KEY, "ADMIN_KEY": f"{KEY}-admin"}, built_in_names()))

    served = {
        (method, re.sub(r"<(?:\w+:)?(\w+)>", "{}", rule.rule))
        for rule in app.url_map.iter_rules()
        for method in rule.methods - {"HEAD", "OPTIONS"}
    }
    # The console's pages are told of as one.
    served = {
        ("GET", "/admin") if f"{path}/".startswith("/admin/") else (method, path)
        for method, path in served
    }
    assert {(method, re.sub(r"\{\w+\}", "{}", path)) for method, path in told} == served


def _forms(path: str) -> set[str]:
    """All paths under which the one that is told is served."""
    if path.startswith("/v1beta/"):
        return {prefix + path.removeprefix("/v1beta") for prefix in gemini_routes.PREFIXES}
    return {path, path.removeprefix("/v1")}


def test_every_error_stands_in_the_table_and_no_other() -> None:
    told = [(int(status), code(name)[0]) for status, name, *_ in API.section("Errors").rows()]

    assert len(set(told)) == len(told)
    assert set(told) == code_facts.errors()


def test_every_header_of_our_own_is_explained() -> None:
    sources = "".join(path.read_text("utf-8") for path in (ROOT / "gbproxy").rglob("*.py"))
    own = set(
        re.findall(
            r'"(x-gbproxy-[a-z-]+|x-request-id|x-should-retry|Retry-After|X-Conversation-Id)"',
            sources,
        )
    )

    own |= set(re.findall(r"x-ratelimit-[a-z]+-(?:requests|tokens)", sources))

    assert {
        each for name, *_ in API.section("Response headers").rows() for each in code(name)
    } == own


def test_the_states_of_a_models_accounts_are_explained() -> None:
    section = Page.read("docs/admin.md").section("Models of the accounts")

    told = [state for row in section.rows() for state in code(row[0])]
    assert sorted(told) == sorted(get_args(State))


def test_the_fields_of_a_model_are_explained() -> None:
    told = {
        name
        for row in Page.read("docs/models.md").section("What programs read").rows()
        for name in code(row[0])
    }
    known = ModelCards(lambda names: {}).of(BUILT_IN[0])

    entry = model_entry.render(replace(BUILT_IN[0], fallback="gemini-3.8-flash"), known)

    assert told == entry.keys() - {"id", "object", "created", "owned_by"}
    assert set(entry["capabilities"]) < set(
        code(Page.read("docs/models.md").section("What programs read").text)
    )


def test_the_models_are_those_of_the_catalogue() -> None:
    told = [
        (code(name)[0], tuple(code(aliases)), next(iter(code(successor)), None))
        for name, _, aliases, successor in (
            row for row in Page.read("docs/models.md").rows() if len(row) == 4
        )
    ]

    assert told == [(model.id, model.aliases, model.successor) for model in BUILT_IN]


def test_the_parameters_without_effect_are_those_that_the_code_names() -> None:
    listed = next(
        p
        for p in Page.read("docs/clients.md")
        .section("What is ignored, and what is refused")
        .text.split("\n\n")
        if p.startswith("`temperature`")
    )
    told = set(code(listed))

    assert told <= openai_request.CompletionBody.model_fields.keys()
    assert {name for name in told if name in _ignored(name)} == told
    assert {
        name for name in get_type_hints(CompletionCreateParamsBase) if name in _ignored(name)
    } <= told


def test_the_parameters_without_effect_in_anthropics_api_are_those_that_the_code_names() -> None:
    paragraphs = API.section("Anthropic's API").text.split("\n\n")
    [listed] = [each for each in paragraphs if each.startswith("Without effect")]

    told = code(listed.partition("The block")[0])
    assert tuple(told[1:]) == anthropic_request.IGNORED_PARAMETERS


def test_the_parameters_without_effect_in_responses_are_those_that_the_code_names() -> None:
    listed = next(
        p
        for p in API.section("OpenAI's responses").text.split("\n\n")
        if p.startswith("Without effect")
    )

    assert set(code(listed)) - {"x-gbproxy-ignored"} == set(IgnoredParameters.model_fields)


def test_the_table_says_of_each_field_of_a_response_what_becomes_of_it() -> None:
    told = {n for row in API.section("OpenAI's responses").rows() for n in code(row[0])}
    own = set(ResponseBody.model_fields) - set(IgnoredParameters.model_fields)

    assert own - {"stream_options"} <= told


def test_the_types_of_anthropics_errors_are_those_that_the_code_gives() -> None:
    rows = API.section("Errors in Anthropic's shape").rows()
    told = {name: (status, code(type_)[0]) for status, type_, codes in rows for name in code(codes)}

    for name, expected in told.items():
        error = code_facts.error_of(name)
        type_ = json.loads(anthropic_errors.body(error, error.status))["error"]["type"]
        assert (str(anthropic_errors.status(error)), type_) == expected, name


def test_the_table_says_of_each_parameter_what_becomes_of_it() -> None:
    told = {name: what for name, what in _fates().items() if not name.startswith("/")}
    without_effect = {"logprobs", "modalities"}

    assert told.keys() - without_effect - {"messages", "model"} == set(
        openai_request.SUPPORTED_PARAMETERS
    )
    assert [name for name, what in told.items() if "ignored" in what and not _ignored(name)] == []
    assert {name for name, what in told.items() if "emulated" in what} == EMULATED.keys()
    assert {name for name, what in told.items() if what.startswith("native")} == NATIVE.keys()
    for name, value in (("logprobs", True), ("modalities", ["audio"]), ("n", 5)):
        with pytest.raises(BadRequest):
            openai_request.parse({"messages": [{"role": "user", "content": "Hi"}], name: value})


def test_the_table_says_of_each_field_of_gemini_what_becomes_of_it() -> None:
    rows = API.section("Gemini's API").rows()
    told = {name for names, *_ in rows for name in code(names)}
    bodies = (
        gemini_body.GenerateContentBody,
        gemini_body.PartBody,
        gemini_body.GenerationConfigBody,
    )
    known = {
        field.alias for body in bodies for name, field in body.model_fields.items()
        if name not in gemini_body.IgnoredConfig.model_fields
    }  # fmt: skip
    passed_over = {"executableCode", "codeExecutionResult", "toolCall", "toolResponse"}
    [ignored] = [code(names) for names, what, *_ in rows if what.startswith("ignored")]

    assert known - passed_over <= told
    for name in set(ignored) - {"generationConfig", "x-gbproxy-ignored"}:
        assert name in known
        body = {"contents": [{"parts": [{"text": "Hi"}]}], name: 1}
        assert gemini_request.parse(body).ignored == (name,)


def test_the_statuses_of_gemini_are_those_that_are_told() -> None:
    for codes, status in (
        row for row in API.section("Errors in Google's shape").rows() if row[0][0].isdigit()
    ):
        for each in map(int, codes.split(", ")):
            rendered = json.loads(gemini_errors.render(BadRequest("wrong"), each))["error"]
            assert (rendered["code"], f"`{rendered['status']}`") == (each, status)


@pytest.mark.parametrize("name", [*EMULATED, *NATIVE])
def test_what_is_emulated_is_what_an_upstream_without_abilities_is_not_asked_for(name: str) -> None:
    fields = {"messages": [{"role": "user", "content": "Hi"}], **{**EMULATED, **NATIVE}[name]}
    chat = openai_request.parse(fields).chat

    emulation = RequestEmulation(chat)
    lacking, able = (
        len(emulation.pipeline(each).stages) - len(compose(each).stages)
        for each in (
            Capabilities(sessions=True, roles=False),
            Capabilities(sessions=True, roles=True, tools=True, structured_output=True),
        )
    )
    cuts = AnswerTransform.of(chat, shows_thoughts=False)
    is_emulated = lacking > 0 or chat.choices > 1 or bool(cuts.stop) or cuts.max_tokens is not None

    assert is_emulated is (name in EMULATED)
    assert able == 0


def test_the_paths_that_are_refused_are_answered_so() -> None:
    paths = {name: what for name, what in _fates().items() if name.startswith("/")}
    app = create_app(load({"API_KEYS": KEY}, built_in_names()))

    replies = {
        path: app.test_client().post(path, json={}, headers={"Authorization": f"Bearer {KEY}"})
        for path in paths
    }

    assert {"/v1/embeddings", "/v1/moderations", "/v1/audio/speech"} <= replies.keys()
    for path, reply in replies.items():
        assert f"{reply.status_code} `{reply.json['error']['code']}`" in paths[path]


def _fates() -> dict[str, str]:
    """What the table says of each parameter and path."""
    rows = Page.read("docs/clients.md").section("What is native, emulated, ignored, refused").rows()
    return {name: what for names, what in rows for name in code(names)}


def test_what_is_said_when_cookies_have_expired_is_what_stands_there() -> None:
    quoted = " ".join(
        line.removeprefix("> ")
        for line in Page.read("docs/getting-started.md").text.splitlines()
        if line.startswith("> ")
    )

    with Simulator() as simulator:
        simulator.set(getoxsrf="login")
        app = create_app(load({**simulator.environment(), "API_KEYS": KEY}, built_in_names()))
        reply = app.test_client().post(
            "/v1/chat/completions",
            json={"messages": [{"role": "user", "content": "Hi"}]},
            headers={"Authorization": f"Bearer {KEY}"},
        )

    assert (reply.status_code, reply.json["error"]["code"]) == (502, "upstream_auth_failed")
    assert reply.json["error"]["message"] == quoted


@pytest.mark.parametrize(
    "message", [code(row[0])[0] for row in ACCOUNTS.section("Limits of time").rows()]
)
def test_a_limit_is_told_in_the_words_that_are_quoted(message: str) -> None:
    sources = "".join(path.read_text("utf-8") for path in (ROOT / "gbproxy").rglob("*.py"))
    words = [re.escape(part) for part in re.split(r"\d+", message)]

    assert re.search(r"\{[\w.:]+\}".join(words), sources)


def test_the_body_has_the_time_that_is_told() -> None:
    told = re.search(
        r"for the body (\d+) seconds\s+and one more for each (\d+) KiB",
        ACCOUNTS.section("Clients").text,
    )

    assert told is not None
    assert (int(told[1]), int(told[2]) * 1024) == (body.BODY_S, body.BODY_BYTES_A_SECOND)


def _ignored(name: str) -> tuple[str, ...]:
    """What is ignored of a request that has this parameter, in whichever type it may have."""
    values: tuple[Any, ...] = (1, True, "auto", {}, [])
    for value in values:
        try:
            return openai_request.parse(
                {"messages": [{"role": "user", "content": "Hi"}], name: value}
            ).ignored
        except BadRequest:
            continue
    return ()
