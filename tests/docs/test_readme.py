"""README.md tells what the code does: nothing is missing in it, and nothing stands there that is
not so.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from openai.types.chat.completion_create_params import CompletionCreateParamsBase

from gbproxy.api import openai_request
from gbproxy.app import create_app
from gbproxy.cli.environment import read_env_file
from gbproxy.domain.models import BUILT_IN, built_in_names
from gbproxy.errors import BadRequest
from gbproxy.settings import LEGACY_IGNORED, RESERVED, SettingsError, documented, load
from gbproxy.simulator import SWITCH_VALUES, Simulator, script_from_json
from gbproxy.web import body
from tests.docs import code_facts
from tests.docs.markdown import ROOT, Block, Page, code

README = Page.read("README.md")
SETTINGS = README.section("Settings")
BUILT = [setting for setting in documented() if setting.name not in RESERVED]
NO_SETTINGS = {
    "OPENAI_BASE_URL",
    "OPENAI_API_KEY",
    "OPENAI_API_BASE_URL",
    "DEMO_EXIT",
    "HTTPS_PROXY",
    "SIMULATOR",
}
NO_SETTINGS |= {"SCRIPT_NAME"}
KEY = "sk-9f2c41d07ab84e5e11"


# Settings


def test_every_setting_stands_in_a_table_with_its_other_names_and_its_default() -> None:
    told = {
        names[0]: (set(names[1:]), default.replace("`", "")) for names, default in _setting_rows()
    }

    assert told == {setting.name: (set(setting.aliases), setting.default) for setting in BUILT}


def test_every_variable_without_effect_is_named_as_such() -> None:
    assert set(code(_paragraph("Accepted, without effect yet"))) - {"setting.ignored"} == RESERVED
    assert set(code(_paragraph("Names of older programs"))) >= LEGACY_IGNORED


def test_the_names_that_may_come_from_files_are_listed() -> None:
    listed = _paragraph("Secrets from files").partition(": ")[2]
    names = {
        name for setting in documented() for name in (setting.name, *setting.aliases)
    } - RESERVED

    assert set(code(listed)) == {name for name in names if _is_read_from_a_file(name)}


def test_no_variable_is_named_that_does_not_exist() -> None:
    known = (
        LEGACY_IGNORED
        | RESERVED
        | {name for setting in documented() for name in (setting.name, *setting.aliases)}
    )
    known |= {"SECURE_C_SES_FILE"} | NO_SETTINGS
    named = {
        name
        for name in re.findall(r"`([A-Z][A-Z0-9_]{2,})(?:=[^`]*)?`", README.prose)
        if "_" in name
    }

    assert named <= known


@pytest.mark.parametrize("block", README.blocks("dotenv"), ids=lambda block: f"line {block.line}")
def test_a_block_of_settings_is_understood(block: Block, tmp_path: Path) -> None:
    given = _env_file(tmp_path, block.text)
    own_key = {**given, "API_KEYS": KEY}

    settings = load(own_key, built_in_names())

    assert settings.ignored == ()
    assert given.keys() <= {setting.name for setting in BUILT}


def test_the_key_of_the_example_is_refused_so_that_nobody_serves_with_it(tmp_path: Path) -> None:
    given = _env_file(tmp_path, README.section("Your account").blocks("dotenv")[0].text)

    with pytest.raises(SettingsError) as refused:
        load(given, built_in_names())

    assert [problem.partition(":")[0] for problem in refused.value.problems] == ["API_KEYS"]


def test_the_example_file_loads_as_it_is_and_sets_nothing() -> None:
    given = read_env_file(ROOT / "conf/env.example")

    assert load(given, built_in_names()) == load({}, built_in_names())


def test_the_example_file_names_every_setting_that_works_with_its_default(tmp_path: Path) -> None:
    text = (ROOT / "conf/env.example").read_text("utf-8")
    given = _env_file(tmp_path, re.sub(r"^#(?=[A-Z_]+=)", "", text, flags=re.MULTILINE))

    assert given.keys() == {setting.name for setting in BUILT}
    assert load(given, built_in_names()) == load({}, built_in_names())
    literal = {setting.name: setting.default for setting in BUILT if given[setting.name]}
    assert {name: given[name] for name in literal} == literal


def test_the_settings_for_the_simulator_are_those_of_its_own_account(tmp_path: Path) -> None:
    given = _env_file(tmp_path, README.section("The simulator").blocks("dotenv")[0].text)

    with Simulator() as simulator:
        own = {
            name: value.replace(simulator.url, "http://127.0.0.1:9090")
            for name, value in _environment(simulator)
        }

    assert given == own


# The outside


def test_every_endpoint_stands_in_the_table_and_no_other() -> None:
    told = set()
    for methods, paths, *_ in (
        row for row in README.section("Endpoints").rows() if row[0].isupper()
    ):
        for path in code(paths):
            bare = path.removeprefix("/v1")
            told |= {(method, p) for method in methods.split(", ") for p in (path, bare)}

    app = create_app(load({"API_KEYS": KEY, "ADMIN_KEY": f"{KEY}-admin"}, built_in_names()))

    served = {
        (method, re.sub(r"<(?:\w+:)?(\w+)>", "{}", rule.rule))
        for rule in app.url_map.iter_rules()
        for method in rule.methods - {"HEAD", "OPTIONS"}
    }
    assert {(method, re.sub(r"\{\w+\}", "{}", path)) for method, path in told} == served


def test_every_error_stands_in_the_table_and_no_other() -> None:
    told = [(int(status), code(name)[0]) for status, name, *_ in README.section("Errors").rows()]

    assert len(set(told)) == len(told)
    assert set(told) == code_facts.errors()


def test_every_header_of_our_own_is_explained() -> None:
    sources = "".join(path.read_text("utf-8") for path in (ROOT / "gbproxy/api").glob("*.py"))
    own = set(
        re.findall(
            r'"(x-gbproxy-[a-z-]+|x-request-id|x-should-retry|Retry-After|X-Conversation-Id)"',
            sources,
        )
    )

    own |= set(re.findall(r"x-ratelimit-[a-z]+-(?:requests|tokens)", sources))

    assert {
        each for name, *_ in README.section("Response headers").rows() for each in code(name)
    } == own


def test_the_models_are_those_of_the_catalogue() -> None:
    told = [
        (code(name)[0], tuple(code(aliases)), next(iter(code(successor)), None))
        for name, _, aliases, successor in README.section("Models").rows()
    ]

    assert told == [(model.id, model.aliases, model.successor) for model in BUILT_IN]


def test_the_parameters_without_effect_are_those_that_the_code_names() -> None:
    listed = next(p for p in _ignored_section().split("\n\n") if p.startswith("`temperature`"))
    told = set(code(listed))

    assert {name for name in told if name in _ignored(name)} == told
    assert {
        name for name in get_type_hints(CompletionCreateParamsBase) if name in _ignored(name)
    } <= told


def test_what_is_said_when_cookies_have_expired_is_what_stands_there() -> None:
    quoted = " ".join(
        line.removeprefix("> ") for line in README.text.splitlines() if line.startswith("> ")
    )

    with Simulator() as simulator:
        simulator.set(getoxsrf="login")
        app = create_app(load({**dict(_environment(simulator)), "API_KEYS": KEY}, built_in_names()))
        reply = app.test_client().post(
            "/v1/chat/completions",
            json={"messages": [{"role": "user", "content": "Hi"}]},
            headers={"Authorization": f"Bearer {KEY}"},
        )

    assert (reply.status_code, reply.json["error"]["code"]) == (502, "upstream_auth_failed")
    assert reply.json["error"]["message"] == quoted


@pytest.mark.parametrize(
    "message", [code(row[0])[0] for row in README.section("Long calls").rows()]
)
def test_a_limit_is_told_in_the_words_that_are_quoted(message: str) -> None:
    sources = "".join(path.read_text("utf-8") for path in (ROOT / "gbproxy").rglob("*.py"))
    words = [re.escape(part) for part in re.split(r"\d+", message)]

    assert re.search(r"\{[\w.:]+\}".join(words), sources)


def test_the_body_has_the_time_that_is_told() -> None:
    told = re.search(
        r"for the body (\d+) seconds\s+and one more for each (\d+) KiB",
        README.section("Long calls").text,
    )

    assert told is not None
    assert (int(told[1]), int(told[2]) * 1024) == (body.BODY_S, body.BODY_BYTES_A_SECOND)


def test_the_command_for_the_container_is_that_of_make() -> None:
    told = README.section("The container").blocks("console")[1].text
    made = (ROOT / "Makefile").read_text("utf-8")

    options = set(re.findall(r"--[a-z-]+(?:[= ](?!-)[\w/.-]+)?", told)) - {
        "--env-file .env",
        "--stop-timeout 136",
    }
    assert options == {
        "--rm",
        "--read-only",
        "--tmpfs /tmp",
        "--cap-drop=ALL",
        "--security-opt=no-new-privileges",
    }
    assert [option for option in options if option not in made] == []


# Logs


def test_every_log_event_stands_in_the_table_and_no_other() -> None:
    assert _told_events().keys() == code_facts.log_events().keys()


@pytest.mark.parametrize("name", code_facts.log_events())
def test_a_log_event_is_told_with_its_fields_and_levels(name: str) -> None:
    levels, fields, _ = _told_events()[name]
    event = code_facts.log_events()[name]

    assert set(code(fields)) == event.fields
    assert event.levels <= set(re.findall(r"\w+", levels))


# Commands and places


def test_every_make_target_that_is_named_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    named = set(
        re.findall(r"(?:`|\$ )make ([a-z-]+)", README.text + Page.read("CHANGELOG.md").text)
    )

    assert named <= targets


def test_every_make_target_that_has_a_description_is_named() -> None:
    described = set(
        re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    )
    named = set(re.findall(r"(?:`|\$ )make ([a-z-]+)", README.text))

    assert described - named == set()


def test_the_house_is_laid_out_as_it_is_drawn() -> None:
    (drawing,) = README.section("Development").blocks("text")
    modules = {path.name for path in (ROOT / "gbproxy").rglob("*.py")} | {"gunicorn.conf.py"}
    rooms = [line.split()[0] for line in drawing.text.splitlines()]

    assert [room for room in rooms if not (ROOT / room).exists()] == []
    assert {
        name.rpartition("/")[2] for name in re.findall(r"[\w/.]+\.py\b", drawing.text)
    } <= modules


def test_the_simulator_has_the_switches_and_actions_that_are_named() -> None:
    section = README.section("The simulator")
    switches = set(re.findall(r"--set (\w+)=", section.text))
    told = re.search(r"actions \((.*?)\).*?failure \((.*?)\)", section.prose, re.DOTALL)

    assert switches
    assert switches <= SWITCH_VALUES.keys()
    assert told is not None
    assert [name for name in code(told[1] + told[2]) if not _is_action(name)] == []


# What the tests above read with


def _setting_rows() -> list[tuple[list[str], str]]:
    return [(code(names), default) for names, default, _ in SETTINGS.rows()]


def _paragraph(start: str) -> str:
    return next(p for p in SETTINGS.text.split("\n\n") if p.startswith(f"**{start}.**"))


def _ignored_section() -> str:
    return README.section("What is ignored, and what is refused").text


def _told_events() -> dict[str, tuple[str, str, str]]:
    return {
        code(name)[0]: (levels, fields, meaning)
        for name, levels, fields, meaning in README.section("Logs").rows()
    }


def _env_file(folder: Path, text: str) -> dict[str, str]:
    path = folder / "env"
    path.write_text(text, "utf-8")
    return read_env_file(path)


def _environment(simulator: Simulator) -> list[tuple[str, str]]:
    environment: Mapping[str, str] = simulator.environment()
    return list(environment.items())


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


def _is_read_from_a_file(name: str) -> bool:
    try:
        load({f"{name}_FILE": "no-such-file"}, built_in_names())
    except SettingsError as error:
        return f"{name}_FILE: the file cannot be read" in str(error)
    return False


def _is_action(name: str) -> bool:
    """Whether a script may have it; without its own fields it may be incomplete, but never
    unknown.
    """
    try:
        script_from_json([{"action": name}])
    except ValueError as error:
        return "no action is called" not in str(error)
    return True
