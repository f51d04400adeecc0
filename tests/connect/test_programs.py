"""Every program's files, fields and code lead to this gateway, to a route that it has."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import tomllib
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from werkzeug.exceptions import MethodNotAllowed, NotFound

from gbproxy.connect.endpoint import Endpoint, filled
from gbproxy.connect.program import FORMATS, Program, Way
from gbproxy.connect.programs import PROGRAMS, find
from gbproxy.connect.rendering import code_text, exports, file_text, powershell
from gbproxy.domain.catalogue import built_in_names
from tests.admin.conftest import Probed
from tests.support.serving import in_process

URL = "https://ai.example.com"
KEY = 'sk-{url}\'; rm "$HOME"'
ENDPOINT = Endpoint(URL, key="sk-0123456789")
WAYS = [
    pytest.param(program, way, id=f"{program.name}-{way.format}")
    for program in PROGRAMS
    for way in program.ways
]
FILES = [
    pytest.param(way, file, id=f"{program.name}-{way.format}-{file.names[-1]}")
    for program in PROGRAMS
    for way in program.ways
    for file in way.files
]
ROUTE = {
    "chat": "openai_chat.create",
    "responses": "openai_responses.create",
    "anthropic": "anthropic_messages.create",
    "gemini": "gemini_content./v1",
}


@pytest.fixture(scope="module")
def app() -> Iterator[Flask]:
    with in_process({}, upstream=Probed()) as served:
        yield served.app


def texts(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for each in value.values() for text in texts(each)]
    return [value] if isinstance(value, str) else []


def given(way: Way) -> list[str]:
    """All values that a program is given in one way."""
    return [
        *(way.given(each.value, ENDPOINT) for each in way.fields),
        *way.given(way.variables, ENDPOINT).values(),
        *(text for file in way.files for text in texts(way.given(file.contents, ENDPOINT))),
    ]


def test_the_programs_that_people_ask_for_are_there() -> None:
    names = {program.name for program in PROGRAMS}

    assert names >= {
        "cherry-studio", "open-webui", "nextchat", "lobechat", "opencode", "codex", "claude-code",
        "gemini-cli", "n8n", "home-assistant", "curl", "python-openai", "python-anthropic",
        "python-google-genai", "node-openai",
    }  # fmt: skip
    assert len(names) == len(PROGRAMS)


@pytest.mark.parametrize(("program", "way"), WAYS)
def test_its_address_and_path_lead_to_a_route(program: Program, way: Way, app: Flask) -> None:
    address = way.given(way.base + way.path, ENDPOINT)
    assert address.startswith(f"{URL}/")
    path = address.removeprefix(URL)

    adapter = app.url_map.bind("ai.example.com")
    try:
        endpoint, _ = adapter.match(path, method="POST")
    except (NotFound, MethodNotAllowed) as error:
        pytest.fail(f"{path}: {error}")

    assert endpoint.startswith(ROUTE[way.format])


@pytest.mark.parametrize(("program", "way"), WAYS)
def test_it_is_given_address_key_and_a_model_that_there_is(program: Program, way: Way) -> None:
    values = given(way)
    model = ENDPOINT.model_for(way.preferred)
    files = [file_text(way, file, ENDPOINT) for file in way.files]
    asked = "\n".join([*values, *files, code_text(way, ENDPOINT)])

    assert way.given(way.base, ENDPOINT) in values
    assert any(value == "sk-0123456789" for value in values)
    assert not any(re.search(r"\{(url|key|model|small)\}", value) for value in values)
    assert model in built_in_names()
    keys_only = program.name in ("open-webui", "n8n") or (program.name, way.format) in (
        ("lobechat", "gemini"),
        ("chatbox", "gemini"),
    )  # these ask the gateway for its models
    assert keys_only or model in asked
    assert way.fields or way.files or way.code
    assert (way.menu != "") == bool(way.fields)


@pytest.mark.parametrize(("way", "file"), FILES)
def test_a_file_is_what_its_format_says_and_holds_what_it_should(way: Way, file: Any) -> None:
    text = file_text(way, file, ENDPOINT)
    wanted = way.given(file.contents, ENDPOINT)

    match file.format:
        case "json":
            assert json.loads(text) == wanted
        case "toml":
            assert tomllib.loads(text) == wanted
        case "env":
            assert dict(line.split("=", 1) for line in text.splitlines()) == wanted
    assert text.endswith("\n")


@pytest.mark.parametrize(("program", "way"), [each for each in WAYS if each.values[1].code])
def test_code_is_of_its_language(program: Program, way: Way) -> None:
    text = code_text(way, ENDPOINT)

    assert way.code is not None
    if way.code.language == "python":
        ast.parse(text)
    for name in way.variables:
        assert name in text
    assert ENDPOINT.key not in text


def test_codex_speaks_responses_and_reads_the_catalogue() -> None:
    (way,) = _program("codex").ways
    config = tomllib.loads(file_text(way, way.files[0], ENDPOINT))
    provider = config["model_providers"][config["model_provider"]]

    assert (provider["wire_api"], provider["base_url"]) == ("responses", f"{URL}/v1")
    assert provider["env_key"] in way.variables
    assert config["features"] == {"api_key_model_discovery": True}


@pytest.mark.parametrize(
    ("asked", "name"),
    [("Codex CLI", "codex"), ("openwebui", "open-webui"), ("CLAUDE_CODE", "claude-code")],
)
def test_a_program_is_found_however_its_name_is_spelled(asked: str, name: str) -> None:
    assert _program(asked).name == name


def test_what_is_filled_in_is_not_looked_into_again() -> None:
    endpoint = Endpoint(URL, key=KEY)

    assert filled("{url} {key}", endpoint.words()) == f"{URL} {KEY}"


def test_a_preferred_model_is_used_only_where_there_is_such_a_model() -> None:
    assert Endpoint(URL).model_for("gemini-3.1-pro-preview") == "gemini-3.1-pro-preview"
    assert Endpoint(URL, models=("a",), default="a").model_for("gemini-3.1-pro-preview") == "a"
    assert Endpoint(URL, "b").model_for("gemini-3.1-pro-preview") == "b"


def test_shells_read_a_key_of_any_characters_as_it_is() -> None:
    ended = subprocess.run(
        ["sh", "-c", exports({"KEY": KEY}) + 'printf %s "$KEY"'],
        capture_output=True,
        text=True,
        check=True,
    )

    assert ended.stdout == KEY
    assert exports({"KEY": "$API_KEY"}) == 'export KEY="$API_KEY"\n'
    assert powershell({"KEY": "it's"}) == "$env:KEY = 'it''s'\n"
    assert powershell({"KEY": "$API_KEY"}) == "$env:KEY = $env:API_KEY\n"


def test_every_format_has_a_name() -> None:
    assert {way.format for program in PROGRAMS for way in program.ways} == set(FORMATS)


def _program(name: str) -> Program:
    found = find(name)
    assert found is not None
    return found
