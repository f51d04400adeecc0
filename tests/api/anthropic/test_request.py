"""What a request for a message may say, and how it is told what is wrong with it."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from gbproxy.api.anthropic.request import MOST_STOPS, ParsedMessage, parse
from gbproxy.api.bounds import MOST_MESSAGES, MOST_PARTS, MOST_TOOLS
from gbproxy.domain.attachment import Attachment, LinkedAttachment
from gbproxy.domain.chat import Message, TextPart, ToolCallPart, ToolResultPart
from gbproxy.domain.tools import FunctionTool, ToolChoice
from gbproxy.errors import BadRequest, GatewayError, RequestTooLarge

HI = {"role": "user", "content": "Hi"}
CALL = {"type": "tool_use", "id": "a", "name": "look", "input": {"at": "sky"}}
LOOK = {"name": "look", "input_schema": {"type": "object"}}
SEARCH = {"type": "web_search_20250305", "name": "web_search"}
PNG = b"\x89PNG\r\n\x1a\npixels"
PDF = b"%PDF-1.7"
MAX_BYTES = 1000


def read(*messages: dict[str, Any], **fields: Any) -> ParsedMessage:
    return parse({"messages": list(messages or (HI,)), **fields}, max_file_bytes=MAX_BYTES)


def user(*blocks: Any) -> dict[str, Any]:
    return {"role": "user", "content": list(blocks)}


def assistant(*blocks: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": list(blocks)}


def text(said: str, **fields: Any) -> dict[str, Any]:
    return {"type": "text", "text": said, **fields}


def result(content: Any = "4 C", **fields: Any) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": "a", "content": content, **fields}


def base64_source(content: bytes, kind: str) -> dict[str, Any]:
    data = base64.b64encode(content).decode()
    return {"type": "base64", "media_type": kind, "data": data}


def image(source: Any = None) -> dict[str, Any]:
    return {"type": "image", "source": source or base64_source(PNG, "image/png")}


def document(source: Any, **fields: Any) -> dict[str, Any]:
    return {"type": "document", "source": source, **fields}


# Messages


@pytest.mark.parametrize(
    ("messages", "fields", "expected"),
    [
        pytest.param([HI], {}, [Message("user", (TextPart("Hi"),))], id="a text"),
        pytest.param(
            [user(text("a", cache_control={"type": "ephemeral"}), text("b"))],
            {},
            [Message("user", (TextPart("a"), TextPart("b")))],
            id="blocks",
        ),
        pytest.param(
            [HI],
            {"system": "Be brief."},
            [Message("system", (TextPart("Be brief."),)), Message("user", (TextPart("Hi"),))],
            id="a system text",
        ),
        pytest.param(
            [HI, {"role": "system", "content": "Now in French."}],
            {"system": [text("Be"), text("brief.")]},
            [
                Message("system", (TextPart("Be"), TextPart("brief."))),
                Message("user", (TextPart("Hi"),)),
                Message("system", (TextPart("Now in French."),)),
            ],
            id="system blocks, and a message of that role",
        ),
        pytest.param(
            [HI, assistant(text("On"), text("e."), CALL), user(result(), text("And?"))],
            {},
            [
                Message("user", (TextPart("Hi"),)),
                Message(
                    "assistant",
                    (TextPart("One."), ToolCallPart("a", "look", '{"at": "sky"}')),
                ),
                Message("tool", (ToolResultPart("a", "4 C"),)),
                Message("user", (TextPart("And?"),)),
            ],
            id="a call, its result, and more",
        ),
        pytest.param(
            [user(text("First"), result(), result("5 C"))],
            {},
            [
                Message("user", (TextPart("First"),)),
                Message("tool", (ToolResultPart("a", "4 C"),)),
                Message("tool", (ToolResultPart("a", "5 C"),)),
            ],
            id="results behind a text",
        ),
        pytest.param(
            [user(result([text("a"), text("b")])), user(result(None)), user(result({"n": 1}))],
            {},
            [
                Message("tool", (ToolResultPart("a", "a\nb"),)),
                Message("tool", (ToolResultPart("a", ""),)),
                Message("tool", (ToolResultPart("a", '{"n": 1}'),)),
            ],
            id="forms of results",
        ),
        pytest.param(
            [user(result("no such file", is_error=True))],
            {},
            [Message("tool", (ToolResultPart("a", "The tool failed:\nno such file"),))],
            id="a failure",
        ),
        pytest.param(
            [user(result([{"type": "tool_reference", "tool_name": "look"}]))],
            {},
            [Message("tool", (ToolResultPart("a", "look"),))],
            id="a reference to a tool",
        ),
        pytest.param(
            [user(document({"type": "text", "data": "Rain."}, title="Log", context="Of May"))],
            {},
            [Message("user", (TextPart("Log\nOf May"), TextPart("Rain.")))],
            id="a plain document",
        ),
        pytest.param(
            [user(document({"type": "content", "content": [text("a"), text("b")]}))],
            {},
            [Message("user", (TextPart("a"), TextPart("b")))],
            id="a document of blocks",
        ),
        pytest.param(
            [
                user(
                    {
                        "type": "search_result",
                        "title": "Tea",
                        "source": "https://example.com/tea",
                        "content": [text("Green.")],
                    }
                )
            ],
            {},
            [Message("user", (TextPart("Tea\nhttps://example.com/tea"), TextPart("Green.")))],
            id="a search result",
        ),
        pytest.param(
            [HI, {"role": "assistant", "content": None}, HI],
            {},
            [
                Message("user", (TextPart("Hi"),)),
                Message("assistant", (TextPart(""),)),
                Message("user", (TextPart("Hi"),)),
            ],
            id="an assistant that said nothing",
        ),
    ],
)
def test_messages(messages: Any, fields: Any, expected: list[Message]) -> None:
    parsed = read(*messages, **fields)

    assert list(parsed.chat.messages) == expected
    assert parsed.ignored == ()


@pytest.mark.parametrize(
    "block",
    [
        {"type": "thinking", "thinking": "Hm.", "signature": "x"},
        {"type": "redacted_thinking", "data": "x"},
        {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}},
        {"type": "web_search_tool_result", "tool_use_id": "s", "content": []},
        {"type": "code_execution_tool_result", "tool_use_id": "s", "content": {}},
        {"type": "mcp_tool_use", "id": "m", "name": "x", "server_name": "y", "input": {}},
        {"type": "something_new", "x": 1},
    ],
    ids=lambda block: block["type"],
)
def test_what_the_apis_own_servers_write_is_left_out_and_named(block: dict[str, Any]) -> None:
    parsed = read(HI, assistant(block, text("On"), block, text("e.")), HI)

    assert parsed.chat.messages[1] == Message("assistant", (TextPart("One."),))
    assert parsed.ignored == ("messages.content",)


def test_a_users_block_of_another_ones_answer_is_left_out() -> None:
    found = {"type": "web_search_tool_result", "tool_use_id": "s", "content": []}

    parsed = read(user(found, text("Hi")))

    assert parsed.chat.messages == (Message("user", (TextPart("Hi"),)),)
    assert parsed.ignored == ("messages.content",)


def test_the_billing_of_claude_code_is_no_instruction() -> None:
    billing = "x-anthropic-billing-header: cc_version=2.1.177.01c; cc_entrypoint=cli; cch=36ee5;"

    parsed = read(HI, system=[text(billing), text("Be brief.")])

    assert parsed.chat.messages[0] == Message("system", (TextPart("Be brief."),))
    assert parsed.ignored == ("system.x-anthropic-billing-header",)


# Files


@pytest.mark.parametrize(
    ("block", "place", "name", "kind"),
    [
        (image(), "source.data", "file.png", "image/png"),
        (image({"type": "url", "url": "data:image/png;base64,iVBORw0KGgo="}), "source.url", "file.png", "image/png"),
        (document(base64_source(PDF, "application/pdf"), title="Plan"), "source.data", "Plan.pdf", "application/pdf"),
    ],
)  # fmt: skip
def test_files_in_a_message(block: Any, place: str, name: str, kind: str) -> None:
    [message] = read(user(text("Look:"), block)).chat.messages

    _, file = message.parts
    assert isinstance(file, Attachment)
    assert (file.name, file.media_type) == (name, kind)
    assert file.place == f"messages.0.content.1.{place}"


@pytest.mark.parametrize(("make", "wanted"), [(image, "image"), (document, "file")])
def test_files_to_be_fetched(make: Any, wanted: Any) -> None:
    url = "https://example.com/a"

    [message] = read(user(make({"type": "url", "url": url}))).chat.messages

    place = "messages.0.content.0.source.url"
    assert message.parts == (LinkedAttachment(url, place, "", wanted),)


def test_files_of_a_result_stand_behind_it() -> None:
    [message] = read(user(result([image(), text("It rains.")]))).chat.messages

    told, file = message.parts
    assert (message.role, told) == ("tool", ToolResultPart("a", "It rains."))
    assert isinstance(file, Attachment)
    assert file.place == "messages.0.content.0.content.0.source.data"


# Tools


def test_tools_and_the_choice_among_them() -> None:
    tools = [
        {**LOOK, "type": "custom", "description": "Looks.", "strict": True, "defer_loading": True},
        {"name": "go", "input_schema": {}, "cache_control": {"type": "ephemeral"}},
    ]

    parsed = read(
        tools=tools, tool_choice={"type": "tool", "name": "go", "disable_parallel_tool_use": True}
    )

    found = parsed.chat.tools
    assert found.declared == (
        FunctionTool("look", "Looks.", {"type": "object"}),
        FunctionTool("go", "", {}),
    )
    assert (found.choice, found.is_parallel) == (ToolChoice.named("go"), False)
    assert parsed.ignored == ()


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (None, ToolChoice()),
        ({"type": "auto"}, ToolChoice()),
        ({"type": "any"}, ToolChoice("required")),
        ({"type": "none"}, ToolChoice("none")),
    ],
)
def test_choices(choice: Any, expected: ToolChoice) -> None:
    tools = read(tools=[LOOK], tool_choice=choice).chat.tools

    assert (tools.choice, tools.is_parallel) == (expected, True)


@pytest.mark.parametrize(
    ("kind", "name", "parameters"),
    [
        ("bash_20250124", "bash", {"command", "restart"}),
        ("text_editor_20250124", "str_replace_editor", {"command", "path", "new_str"}),
        ("text_editor_20250728", "str_replace_based_edit_tool", {"command", "insert_text"}),
        ("memory_20250818", "memory", {"command", "old_path", "new_path"}),
    ],
)
def test_tools_of_a_published_form_are_functions(
    kind: str, name: str, parameters: set[str]
) -> None:
    parsed = read(tools=[{"type": kind, "name": name}])

    [tool] = parsed.chat.tools.declared
    assert isinstance(tool, FunctionTool)
    assert tool.name == name
    assert parameters <= tool.parameters["properties"].keys()
    assert parsed.ignored == ()


@pytest.mark.parametrize(
    ("choice", "is_wanted"),
    [
        (None, True),
        ({"type": "auto"}, True),
        ({"type": "any"}, True),
        ({"type": "tool", "name": "web_search"}, True),
        ({"type": "none"}, False),
    ],
)
def test_a_search_is_the_upstreams_own(choice: Any, is_wanted: bool) -> None:
    chat = read(tools=[SEARCH], tool_choice=choice).chat

    assert (chat.web_search, chat.tools.declared) == (is_wanted, ())


def test_other_tools_are_left_out_and_named() -> None:
    tools = [
        {"type": "code_execution_20260521", "name": "code_execution"},
        {"type": "mcp_toolset", "mcp_server_name": "x"},
        {"type": "bad\r\nname", "name": "x"},
        {**SEARCH, "allowed_domains": ["example.com"]},
        LOOK,
    ]

    parsed = read(tools=tools)

    assert [tool.name for tool in parsed.chat.tools.declared] == ["look"]
    assert parsed.ignored == (
        "tools.code_execution_20260521",
        "tools.mcp_toolset",
        "tools.type",
        "web_search.allowed_domains",
    )


def test_a_header_names_no_more_than_it_can_hold() -> None:
    tools = [{"type": f"tool_{n}", "name": "x"} for n in range(MOST_TOOLS)]

    assert len(read(tools=tools).ignored) < 20


# Limits and form


@pytest.mark.parametrize(("given", "limit"), [(None, None), (-1, None), (0, 0), (7, 7)])
def test_max_tokens(given: int | None, limit: int | None) -> None:
    assert read(max_tokens=given).chat.max_tokens == limit


def test_stop_sequences() -> None:
    assert read(stop_sequences=["a", "", "b", "a"]).chat.stop == ("a", "b")


@pytest.mark.parametrize("name", ["output_config", "output_format"])
def test_structured_output(name: str) -> None:
    form = {"type": "json_schema", "schema": {"type": "object"}}

    parsed = read(**{name: {"format": form, "effort": "low"} if name == "output_config" else form})

    assert parsed.chat.response_format is not None
    assert parsed.chat.response_format.schema == {"type": "object"}
    assert parsed.ignored == (("output_config.effort",) if name == "output_config" else ())


def test_without_a_form_an_effort_is_just_ignored() -> None:
    assert read(output_config={"effort": "max"}).chat.response_format is None


# Mistakes

BAD: list[tuple[dict[str, Any], str | None]] = [
    ({}, "messages"),
    ({"messages": []}, "messages"),
    ({"messages": "Hi"}, "messages"),
    ({"messages": [1]}, "messages.0"),
    ({"messages": [{"role": "tool", "content": "x"}]}, "messages.0.role"),
    ({"messages": [{"content": "x"}]}, "messages.0.role"),
    ({"messages": [HI, {"role": "user"}]}, "messages.1.content"),
    ({"messages": [HI, {"role": "user", "content": 1}]}, "messages.1.content"),
    ({"messages": [user("Hi")]}, "messages.0.content.0"),
    ({"messages": [user({"text": "Hi"})]}, "messages.0.content.0"),
    ({"messages": [user(text("a"), text(1))]}, "messages.0.content.1.text"),  # type: ignore[arg-type]
    ({"messages": [assistant({"type": "text"})]}, "messages.0.content.0.text"),
    ({"messages": [user({"type": "video"})]}, "messages.0.content.0.type"),
    ({"messages": [user({"type": "image"})]}, "messages.0.content.0.source"),
    ({"messages": [user(image({"type": "x"}))]}, "messages.0.content.0.source.type"),
    ({"messages": [user(image({"type": "base64"}))]}, "messages.0.content.0.source.data"),
    ({"messages": [user(image({"type": "base64", "data": "%"}))]}, "messages.0.content.0.source.data"),
    ({"messages": [user(image({"type": "url", "url": "ftp://x"}))]}, "messages.0.content.0.source.url"),
    ({"messages": [user(image({"type": "file", "file_id": ""}))]}, "messages.0.content.0.source.file_id"),
    ({"messages": [user(document({"type": "text"}))]}, "messages.0.content.0.source.data"),
    ({"messages": [user(document({"type": "content"}))]}, "messages.0.content.0.source.content"),
    ({"messages": [user(result([{"type": "video"}]))]}, "messages.0.content.0.content.0.type"),
    ({"messages": [HI], "system": 1}, "system"),
    ({"messages": [HI], "system": ["x"]}, "system.0"),
    ({"messages": [HI], "system": [{"type": "text"}]}, "system.0.text"),
    ({"messages": [HI], "model": 1}, "model"),
    ({"messages": [HI], "stream": "yes"}, "stream"),
    ({"messages": [HI], "max_tokens": "7"}, "max_tokens"),
    ({"messages": [HI], "max_tokens": 1.5}, "max_tokens"),
    ({"messages": [HI], "max_tokens": True}, "max_tokens"),
    ({"messages": [HI], "max_tokens": -2}, "max_tokens"),
    ({"messages": [HI], "stop_sequences": "x"}, "stop_sequences"),
    ({"messages": [HI], "stop_sequences": ["a", 1]}, "stop_sequences.1"),
    ({"messages": [HI], "stop_sequences": ["a" * 300]}, "stop_sequences.0"),
    ({"messages": [HI], "stop_sequences": ["a"] * (MOST_STOPS + 1)}, "stop_sequences"),
    ({"messages": [HI], "thinking": True}, "thinking"),
    ({"messages": [HI], "thinking": {"type": 1}}, "thinking.type"),
    ({"messages": [HI], "thread": {"type": "continue"}}, "thread"),
    ({"messages": [HI], "output_config": "x"}, "output_config"),
    ({"messages": [HI], "output_config": {"format": {"type": "x"}}}, "output_config.format.type"),
    ({"messages": [HI], "output_config": {"format": {"type": "json_schema"}}}, "output_config.format.schema"),
    ({"messages": [HI], "output_format": {"type": "json_schema", "schema": {"type": "x"}}}, "output_format.schema"),
    ({"messages": [HI], "tools": {}}, "tools"),
    ({"messages": [HI], "tools": [1]}, "tools.0"),
    ({"messages": [HI], "tools": [{}]}, "tools.0.name"),
    ({"messages": [HI], "tools": [{"name": "a b"}]}, "tools.0.name"),
    ({"messages": [HI], "tools": [{"name": "a", "type": 1}]}, "tools.0.type"),
    ({"messages": [HI], "tools": [{"name": "a", "input_schema": "x"}]}, "tools.0.input_schema"),
    ({"messages": [HI], "tools": [{"name": "a", "description": 1}]}, "tools.0.description"),
    ({"messages": [HI], "tools": [LOOK, {"name": "look"}]}, "tools.1.name"),
    ({"messages": [HI], "tools": [LOOK], "tool_choice": "auto"}, "tool_choice"),
    ({"messages": [HI], "tools": [LOOK], "tool_choice": {"type": "x"}}, "tool_choice.type"),
    ({"messages": [HI], "tools": [LOOK], "tool_choice": {"type": "tool"}}, "tool_choice.name"),
    ({"messages": [HI], "tools": [LOOK], "tool_choice": {"type": "tool", "name": "go"}}, "tool_choice.name"),
    ({"messages": [HI], "tools": [{"type": "mcp_toolset"}], "tool_choice": {"type": "any"}}, "tool_choice"),
    ({"messages": [HI] * (MOST_MESSAGES + 1)}, "messages"),
    ({"messages": [user(*[text("a")] * (MOST_PARTS + 1))]}, "messages.0.content"),
    ({"messages": [HI], "tools": [LOOK] * (MOST_TOOLS + 1)}, "tools"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "param"), BAD, ids=[f"{param}-{i}" for i, (_, param) in enumerate(BAD)])  # fmt: skip
def test_a_mistake_is_named(body: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequest) as raised:
        parse(body, max_file_bytes=MAX_BYTES)

    assert raised.value.param == param
    assert raised.value.message.startswith(param.partition(".")[0])


def test_a_file_that_is_too_large() -> None:
    with pytest.raises(RequestTooLarge) as raised:
        read(user(image(base64_source(b"x" * (MAX_BYTES + 1), "image/png"))))

    assert raised.value.param == "messages.0.content.0.source.data"


VALUES = (None, 1, "x", [], {}, [1], {"type": "x"}, [{"type": "text"}], [{"type": None}], True)


@pytest.mark.parametrize(
    "name", ["system", "tools", "tool_choice", "thinking", "output_config", "metadata", "messages"]
)
def test_whatever_a_client_sends_is_taken_or_named(name: str) -> None:
    def wrong(value: Any) -> str | None:
        try:
            parse({"messages": [HI], name: value})
        except GatewayError as error:
            return f"{error.status} {(error.param or '').partition('.')[0]}"
        return None

    assert {wrong(value) for value in VALUES} <= {None, f"400 {name}"}
