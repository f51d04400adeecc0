"""docs/clients.md tells of each program what `gbproxy connect` prints, and nothing else."""

from __future__ import annotations

import json
import tomllib

import pytest

from gbproxy.connect.agents import AGENTS
from gbproxy.connect.chats import CHATS
from gbproxy.connect.endpoint import Endpoint
from gbproxy.connect.program import Program, Way
from gbproxy.connect.programs import PROGRAMS, find
from gbproxy.connect.rendering import code_text, exports
from gbproxy.domain.catalogue import AUTOMATIC
from tests.docs.markdown import Page, code

ENDPOINT = Endpoint("http://127.0.0.1:8080", key="your_own_long_random_key")
PAGES = [Page.read("docs/clients.md"), Page.read("docs/clients.zh-CN.md")]
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.path.name)
TITLES = {program.title: program for program in (*CHATS, *AGENTS)}
each_way = pytest.mark.parametrize(
    ("program", "way"),
    [
        pytest.param(program, way, id=f"{program.name}-{way.format}")
        for program in TITLES.values()
        for way in program.ways
    ],
)


@each_page
def test_every_program_of_the_tables_is_known(page: Page) -> None:
    tables = [row[0] for row in page.rows() if len(row) == 3 and not row[0].startswith("`")]

    assert set(tables) - {"others", "其他"} == set(TITLES)


@each_page
@each_way
def test_a_row_tells_what_the_command_prints(page: Page, program: Program, way: Way) -> None:
    values, known = _told(way), _known(program)
    rows = [row for row in page.rows() if row[0] == program.title]

    assert any(all(value in row[1] + row[2] for value in values) for row in rows), values
    assert [name for row in rows for name in code(row[1] + row[2]) if name not in known] == []


@each_page
def test_the_files_are_those_of_the_command(page: Page) -> None:
    (toml,) = page.blocks("toml")
    (opencode,) = [block for block in page.blocks("json") if "opencode" in _above(page, block.line)]

    assert tomllib.loads(toml.text) == _file("codex", "responses")
    assert json.loads(opencode.text) == _file("opencode", "anthropic")


@each_page
def test_claude_codes_variables_are_those_of_the_command(page: Page) -> None:
    (block,) = [each for each in page.blocks("sh") if "ANTHROPIC" in each.text]
    (way,) = _program("claude-code").ways

    assert block.text == exports(way.given(way.variables, ENDPOINT))


@pytest.mark.parametrize("name", ["curl", "python-openai"])
def test_the_code_is_an_example_of_the_page_which_is_tried(name: str) -> None:
    examples = [block.text.partition("\n")[2] for block in PAGES[0].blocks("bash", "python")]
    way = _program(name).ways[0]

    assert code_text(way, ENDPOINT) in examples


@each_page
def test_the_files_are_where_the_page_says(page: Page) -> None:
    there = {file.usual_path for program in AGENTS for way in program.ways for file in way.files}

    told = {name for name in code(page.prose) if name.startswith("~/")}
    assert told <= there


def _told(way: Way) -> list[str]:
    """What a row has to say: the address, the names of the variables, and what is chosen."""
    fields = [way.given(each.value, ENDPOINT) for each in way.fields]
    # Prose is translated; keys and models are said once for all.
    chosen = [each for each in fields if " " not in each and each not in (ENDPOINT.key, AUTOMATIC)]
    return [way.given(way.base, ENDPOINT), *way.variables, *chosen]


def _known(program: Program) -> set[str]:
    """All that a row may say of a program."""
    known: set[str] = set()
    for way in program.ways:
        known |= {way.given(each.value, ENDPOINT) for each in way.fields}
        known |= {*way.variables, *way.given(way.variables, ENDPOINT).values()}
        for file in way.files:
            known |= {*file.names, *_texts(way.given(file.contents, ENDPOINT))}
    return known


def _texts(value: object) -> set[str]:
    if isinstance(value, dict):
        return {*value, *(text for each in value.values() for text in _texts(each))}
    return {str(value)}


def _above(page: Page, line: int) -> str:
    return "\n".join(page.text.splitlines()[line - 3 : line])


def _file(name: str, format_: str) -> object:
    way = next(way for way in _program(name).ways if way.format == format_)
    return way.given(way.files[0].contents, ENDPOINT)


def _program(name: str) -> Program:
    found = find(name)
    assert found in PROGRAMS
    assert found is not None
    return found
