"""What the model is told: short, plain, and with an example that is read as it stands."""

from __future__ import annotations

import json

import pytest
from jsonschema import Draft202012Validator

from gbproxy.domain.tools import CustomTool, FunctionTool, ToolChoice, Tools
from gbproxy.emulation.tool_calls import wording
from tests.support.tool_calls import (
    MARK,
    NO_CALLS,
    PATCH,
    REQUIRED,
    TOOLS,
    WEATHER,
    calls_of,
    read,
    weather,
)


def test_a_whole_instruction_reads_like_this() -> None:
    told = wording.instruction(Tools((WEATHER,)), MARK)

    assert told == (
        "The program that shows your answers reads call blocks in them, runs the function that a"
        " block names, and sends you its result. These are the functions, one a line, with the JSON"
        " schemas of their arguments:\n"
        "\n"
        '{"name":"get_weather","description":"The weather of a city","arguments":{"type":"object",'
        '"properties":{"city":{"type":"string"},"days":{"type":"integer"}},"required":["city"],'
        '"additionalProperties":false}}\n'
        "\n"
        "A call is the line ⟦call 1f3a9c2e⟧ and below it a json block. For example:\n"
        "\n"
        "⟦call 1f3a9c2e⟧\n"
        "```json\n"
        '{"name":"get_weather","arguments":{"city":"…"}}\n'
        "```\n"
        "\n"
        "- Arguments are complete JSON and hold to the schema; no code, nothing before the function's"
        " name.\n"
        '- A text of many characters or several lines may be given as "@1" and follow below the json'
        " block in a block of its own, as it is: between a line ````@1 and a line ````, with more"
        ' backticks if the text has as many. The next such text is "@2".\n'
        "- Several calls stand one below the other, each with its own line ⟦call 1f3a9c2e⟧.\n"
        "- What you want to say comes before the calls. After the last block stop: the program sends"
        " the results, never write one yourself.\n"
        "- Call a function where it helps; where none does, answer in words."
    )


def test_each_tool_takes_one_line_and_all_else_at_most_fifteen() -> None:
    many = Tools(tuple(FunctionTool(f"tool_{n}", "a\nb", {"type": "object"}) for n in range(100)))

    lines = wording.instruction(many, MARK).split("\n")

    assert len([line for line in lines if line]) <= 100 + 15


def test_the_example_is_read_as_a_call_of_the_first_tool() -> None:
    for tools in (TOOLS, Tools((PATCH, WEATHER))):
        [call] = calls_of(
            read(
                wording.instruction(tools, MARK)
                .rpartition("- Arguments")[0]
                .rpartition("example:")[2]
            )
        )
        assert call.name == tools.declared[0].name


def test_an_example_holds_to_the_schemas_that_clients_send() -> None:
    schema = {
        "type": "object",
        "properties": {
            "path": {"type": "string"},
            "mode": {"enum": ["r", "w"]},
            "size": {"type": "integer", "minimum": 10},
            "ratio": {"type": ["number", "null"]},
            "deep": {"type": "object", "properties": {"a": {"type": "boolean"}}, "required": ["a"]},
            "list": {"type": "array", "items": {"anyOf": [{"type": "integer"}, {"type": "null"}]}},
            "constant": {"const": "x"},
            "nothing": {"type": "null"},
            "unneeded": {"type": "string"},
        },
        "required": [
            "path",
            "mode",
            "size",
            "ratio",
            "deep",
            "list",
            "constant",
            "nothing",
            "gone",
        ],
    }

    example = wording.example_arguments(schema)

    Draft202012Validator({**schema, "required": schema["required"][:-1]}).validate(example)  # type: ignore[index]
    assert "unneeded" not in example


def test_an_example_of_a_schema_without_end_ends() -> None:
    node: dict[str, object] = {"type": "object", "required": ["next"]}
    node["properties"] = {"next": node}

    assert len(json.dumps(wording.example_arguments(node))) < 200


def test_an_example_of_a_schema_that_is_none_is_empty() -> None:
    for schema in ({}, {"properties": []}, {"properties": {}, "required": "x"}):
        assert wording.example_arguments(schema) == {}  # type: ignore[arg-type]


@pytest.mark.parametrize("odd", [[], {}, None, 1])
def test_an_example_passes_over_what_is_no_name_among_the_required(odd: object) -> None:
    inner = {"type": "object", "properties": {"a": {"const": 1}}, "required": [odd, "a"]}
    schema = {"properties": {"deep": inner, "unneeded": {}}, "required": [odd, "deep"]}

    assert wording.example_arguments(schema) == {"deep": {"a": 1}}


def test_a_custom_tool_is_described_with_its_grammar() -> None:
    told = wording.instruction(TOOLS, MARK)

    assert '{"name":"apply_patch","description":"Apply a patch","input":"text"}' in told
    assert '{"name":"dial","input":{"syntax":"regex","grammar":"[0-9]+"}}' in told
    assert '"input":"@1"' in told
    assert '"input":"@1"' not in wording.instruction(Tools((WEATHER,)), MARK)


def test_a_choice_is_told_in_words() -> None:
    named = Tools(TOOLS.declared, ToolChoice.named("write_file"))

    for tell in (wording.instruction, wording.reminder):
        assert "This time call write_file." in tell(named, MARK)
        assert "This time call at least one function." in tell(REQUIRED, MARK)
        assert "get_weather" not in tell(named, MARK)
    assert wording.instruction(NO_CALLS, MARK) == ""


def test_one_call_at_most_is_told_where_calls_are_not_parallel() -> None:
    one = Tools(TOOLS.declared, is_parallel=False)

    assert "one call at most" in wording.instruction(one, MARK)
    assert "one call at most" in wording.reminder(one, MARK)


def test_what_the_model_copies_from_its_correction_is_a_call() -> None:
    asked = wording.ask_for_call(Tools((WEATHER, CustomTool("x"))), MARK)

    assert calls_of(read(asked.partition("\n\n")[2])) == [weather("…")]
