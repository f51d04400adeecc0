"""Bodies become chat requests: items, tools and forms as OpenAI's clients and agents send them; and
what is wrong is refused by its name.
"""

from __future__ import annotations

import base64
from typing import Any

import pytest

from gbproxy.api.openai.responses.compaction import sealed
from gbproxy.api.openai.responses.image_tool import AS_ITEMS
from gbproxy.domain.attachment import Attachment, LinkedAttachment
from gbproxy.domain.chat import Message, TextPart, ToolCallPart, ToolResultPart
from gbproxy.domain.media import IN_TEXT
from gbproxy.domain.response_format import JSON_OBJECT, ResponseFormat
from gbproxy.domain.tools import NO_TOOLS, CustomTool, FunctionTool, Grammar, ToolChoice
from gbproxy.errors import BadRequest, NotFound, RequestTooLarge
from tests.support.responses import chat_of, parsed

PIXEL = b"\x89PNG\r\n\x1a\n" + b"0" * 24
PICTURE = f"data:image/png;base64,{base64.b64encode(PIXEL).decode()}"
HI: dict[str, Any] = {"role": "user", "content": "Hi"}
WEATHER = {
    "type": "function",
    "name": "get_weather",
    "parameters": {"type": "object"},
    "strict": True,
}
GRAMMAR = {"type": "grammar", "syntax": "lark", "definition": "start: /.+/"}
PATCH = {"type": "custom", "name": "apply_patch", "description": "Patch", "format": GRAMMAR}
AGENTS = {"type": "namespace", "name": "agents", "description": "d", "tools": [
    {"type": "function", "name": "spawn", "description": "Spawn", "parameters": {"type": "object"}},
    {"type": "custom", "name": "tell"},
]}  # fmt: skip


def texts(*messages: Message) -> list[tuple[str, list[str]]]:
    return [(m.role, [p.text for p in m.parts if isinstance(p, TextPart)]) for m in messages]


def test_a_text_is_what_the_user_says_and_instructions_come_first() -> None:
    chat = parsed({"input": "Hi", "instructions": "Be brief.", "model": "gpt-5"}).chat

    assert texts(*chat.messages) == [("system", ["Be brief."]), ("user", ["Hi"])]
    assert (chat.model, chat.is_streamed, chat.tools.declared) == ("gpt-5", False, ())


def test_messages_of_every_role_stand_where_they_stood() -> None:
    chat = chat_of(
        {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "D"}]},
        HI,
        {"role": "assistant", "content": [{"type": "output_text", "text": "A", "annotations": []}]},
        {"role": "system", "content": "S"},
        {
            "role": "user",
            "content": [{"type": "input_text", "text": "a"}, {"type": "input_text", "text": "b"}],
        },
    )

    assert texts(*chat.messages) == [
        ("system", ["D"]),
        ("user", ["Hi"]),
        ("assistant", ["A"]),
        ("system", ["S"]),
        ("user", ["a", "b"]),
    ]


def test_all_that_an_assistant_did_in_a_turn_is_one_message() -> None:
    chat = chat_of(
        HI,
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "x"},
        {"role": "assistant", "content": "Let me look."},
        {"type": "function_call", "call_id": "c1", "name": "get_weather", "arguments": "{}"},
        {"type": "custom_tool_call", "call_id": "c2", "name": "apply_patch", "input": "*** Begin"},
        {"type": "function_call", "call_id": "c3", "namespace": "agents", "name": "spawn", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "4 C"},
        {"type": "custom_tool_call_output", "call_id": "c2", "output": [{"type": "input_text", "text": "ok"}]},
    )  # fmt: skip

    assert chat.messages[1:] == (
        Message(
            "assistant",
            (
                TextPart("Let me look."),
                ToolCallPart("c1", "get_weather", "{}"),
                ToolCallPart("c2", "apply_patch", "*** Begin", is_custom=True),
                ToolCallPart("c3", "agents.spawn", "{}"),
            ),
        ),
        Message("tool", (ToolResultPart("c1", "4 C"),)),
        Message("tool", (ToolResultPart("c2", "ok"),)),
    )


def test_pictures_and_files_are_attachments() -> None:
    chat = chat_of(
        {
            "role": "user",
            "content": [
                {"type": "input_image", "image_url": PICTURE, "detail": "auto"},
                {"type": "input_image", "image_url": "https://example.org/a.png"},
                {"type": "input_file", "filename": "a.txt", "file_data": "data:text/plain;base64,SGk="},
            ],
        },
        {
            "type": "function_call_output",
            "call_id": "c1",
            "output": [{"type": "input_text", "text": "see"}, {"type": "input_image", "image_url": PICTURE}],
        },
        {"type": "computer_call_output", "call_id": "c2", "output": {"type": "computer_screenshot", "image_url": PICTURE}},
    )  # fmt: skip

    said, shown, screen = chat.messages
    picture, link, file = said.parts
    assert isinstance(picture, Attachment)
    assert (picture.content, picture.place) == (PIXEL, "input[0].content[0].image_url")
    assert isinstance(link, LinkedAttachment)
    assert isinstance(file, Attachment)
    assert (file.name, file.content) == ("a.txt", b"Hi")
    assert shown.parts == (ToolResultPart("c1", "see"), picture)
    assert screen.parts == (ToolResultPart("c2", ""), picture)


def test_items_that_only_openai_can_make_are_left_out_and_named() -> None:
    found = parsed(
        {
            "input": [
                HI,
                {"type": "web_search_call", "id": "ws_1", "status": "completed"},
                {"type": "file_search_call", "id": "fs_1", "status": "completed"},
                {"type": "image_generation_call", "id": "ig_1", "result": "…"},
                {"type": "Kind of\r\nnonsense"},
                {"role": "assistant", "content": "A"},
            ]
        }
    )

    assert texts(*found.chat.messages) == [("user", ["Hi"]), ("assistant", ["A"])]
    assert found.ignored == ("input.file_search_call", "input.image_generation_call", "input.type")


def test_earlier_responses_come_first_and_items_of_theirs_may_be_referred_to() -> None:
    earlier = [HI, {"type": "message", "id": "msg_1", "role": "assistant", "content": "Hello"}]

    gone_on = parsed({"previous_response_id": "resp_1", "input": "And?"}, earlier).chat
    referred = parsed(
        {"input": [HI, {"type": "item_reference", "id": "msg_1"}, {"id": "msg_1"}]}, earlier
    ).chat

    assert texts(*gone_on.messages) == [
        ("user", ["Hi"]),
        ("assistant", ["Hello"]),
        ("user", ["And?"]),
    ]
    assert texts(*referred.messages) == [("user", ["Hi"]), ("assistant", ["Hello", "Hello"])]
    with pytest.raises(NotFound) as refused:
        parsed({"input": [{"type": "item_reference", "id": "msg_2"}]}, earlier)
    assert refused.value.param == "input[0].id"


def test_a_summary_is_read_again_and_a_foreign_one_is_refused() -> None:
    summary = {"type": "compaction", "encrypted_content": sealed("They met. 😀")}

    [message] = chat_of(summary).messages

    assert texts(message)[0][1][0].endswith("They met. 😀")
    for content in ("gAAAAAB", None, "gbproxy.summary.1.%"):
        with pytest.raises(BadRequest) as refused:
            chat_of({"type": "compaction", "encrypted_content": content})
        assert refused.value.param == "input[0].encrypted_content"


def test_a_summary_is_a_text_whatever_the_answer_was_to_be() -> None:
    chat = chat_of(
        HI,
        {"type": "compaction_trigger"},
        tools=[{"type": "image_generation"}, {"type": "web_search"}],
        tool_choice={"type": "image_generation"},
    )

    assert not chat.makes_image
    assert not chat.web_search


def test_tools_of_the_client_are_declared_and_others_left_out_and_named() -> None:
    found = parsed(
        {
            "input": [HI, {"type": "additional_tools", "role": "developer", "tools": [{**WEATHER, "name": "more"}]}],
            "tools": [WEATHER, PATCH, AGENTS, {"type": "shell"}, {"type": "mcp", "server_label": "x"},
                      {"type": "image_generation"}, {"type": "web_search", "external_web_access": False}],
        }
    )  # fmt: skip

    declared = {tool.name: tool for tool in found.chat.tools.declared}
    assert list(declared) == [
        "get_weather",
        "apply_patch",
        "agents.spawn",
        "agents.tell",
        "shell",
        "more",
    ]
    assert declared["get_weather"] == FunctionTool("get_weather", "", {"type": "object"})
    assert declared["apply_patch"] == CustomTool(
        "apply_patch", "Patch", Grammar("lark", "start: /.+/")
    )
    assert isinstance(declared["agents.tell"], CustomTool)
    assert found.ignored == ("tools.mcp", "tools.web_search", "tools.image_generation")
    assert not found.chat.web_search


@pytest.mark.parametrize(
    ("tools", "choice", "expected", "search"),
    [
        ([WEATHER], "auto", ToolChoice(), False),
        ([WEATHER], "required", ToolChoice("required"), False),
        ([WEATHER], {"type": "function", "name": "get_weather"}, ToolChoice.named("get_weather"), False),
        ([PATCH], {"type": "custom", "name": "apply_patch"}, ToolChoice.named("apply_patch"), False),
        ([{"type": "apply_patch"}], {"type": "apply_patch"}, ToolChoice.named("apply_patch"), False),
        (
            [AGENTS],
            {"type": "function", "namespace": "agents", "name": "spawn"},
            ToolChoice.named("agents.spawn"),
            False,
        ),
        (
            [WEATHER, PATCH, {"type": "mcp"}],
            {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "get_weather"}, {"type": "mcp"}]},
            ToolChoice("required", frozenset({"get_weather"})),
            False,
        ),
        (
            [AGENTS, WEATHER, {"type": "shell"}],
            {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "namespace", "name": "agents"}, {"type": "shell"}]},
            ToolChoice("auto", frozenset({"agents.spawn", "agents.tell", "shell"})),
            False,
        ),
        ([{"type": "web_search"}], "auto", ToolChoice(), True),
        ([{"type": "web_search"}], "required", ToolChoice(), True),
        ([{"type": "web_search_preview"}], {"type": "web_search_preview"}, ToolChoice(), True),
        ([{"type": "web_search"}], "none", ToolChoice(), False),
        ([{"type": "mcp"}], "auto", ToolChoice(), False),
    ],
)  # fmt: skip
def test_what_may_be_called(
    tools: list[Any], choice: Any, expected: ToolChoice, search: bool
) -> None:
    chat = parsed({"input": "Hi", "tools": tools, "tool_choice": choice}).chat

    assert (chat.tools.choice, chat.web_search) == (expected, search)


DRAW = {"type": "image_generation"}


@pytest.mark.parametrize(
    ("choice", "as_items", "makes"),
    [
        (None, True, False),
        ("auto", True, False),
        ("none", False, False),
        ("required", True, True),
        (DRAW, True, True),
        ({"type": "allowed_tools", "mode": "auto", "tools": [DRAW]}, True, False),
        ({"type": "allowed_tools", "mode": "required", "tools": [DRAW]}, True, True),
    ],
)
def test_pictures_may_be_asked_for(choice: Any, as_items: bool, makes: bool) -> None:
    found = parsed({"input": "A fox", "tools": [DRAW], "tool_choice": choice})

    assert found.chat.media == (AS_ITEMS if as_items else IN_TEXT)
    assert (found.chat.makes_image, found.chat.tools, found.ignored) == (makes, NO_TOOLS, ())


def test_a_picture_that_is_chosen_goes_before_the_clients_tools() -> None:
    chosen = parsed({"input": "A fox", "tools": [WEATHER, DRAW], "tool_choice": DRAW})
    left_out = parsed({"input": "A fox", "tools": [WEATHER, DRAW]})

    assert (chosen.chat.makes_image, chosen.chat.tools) == (True, NO_TOOLS)
    assert (left_out.chat.media, left_out.ignored) == (IN_TEXT, ("tools.image_generation",))


def test_what_is_wished_of_pictures_is_an_instruction() -> None:
    tool = {
        **DRAW,
        "size": "16:9",
        "quality": "auto",
        "background": "opaque",
        "output_format": "png",
        "partial_images": 2,
        "action": "generate",
    }

    found = parsed({"input": "A fox", "instructions": "Hm.", "tools": [tool]})

    assert texts(*found.chat.messages) == [
        ("system", ["Hm."]),
        (
            "system",
            [
                "The picture is to be of the aspect ratio 16:9, on an opaque background, in the"
                " file format PNG."
            ],
        ),
        ("user", ["A fox"]),
    ]
    assert found.ignored == (
        "tools.image_generation.action",
        "tools.image_generation.partial_images",
    )


def test_a_drawing_may_be_wished_for_too() -> None:
    svg = {"model": "gpt-5.5", "effort": "low"}
    found = parsed({"input": "A fox", "tools": [{**DRAW, "output_format": "svg", "svg": svg}]})

    assert "in the file format SVG" in texts(*found.chat.messages)[0][1][0]
    assert found.ignored == ("tools.image_generation.svg",)


def test_a_picture_of_the_models_is_kept_for_other_sessions() -> None:
    made = {"type": "image_generation_call", "id": "ig_1", "result": PICTURE.partition(",")[2]}

    whole = parsed({"input": [HI, made, HI]})
    named = parsed({"input": [HI, {"type": "image_generation_call", "id": "ig_1"}, HI]}, [made])

    for found in (whole, named):
        [picture] = found.chat.messages[1].parts
        assert isinstance(picture, Attachment)
        assert picture.content == PIXEL
        assert found.ignored == ()


def test_what_has_no_effect_is_named() -> None:
    found = parsed(
        {
            "input": "Hi",
            "temperature": 1,
            "truncation": "auto",
            "user": "me",
            "metadata": {},
            "stream_options": {"include_obfuscation": True},
            "reasoning": {"effort": "low", "summary": "auto"},
            "text": {"verbosity": "low"},
            "include": ["reasoning.encrypted_content", "message.output_text.logprobs", "\r\n"],
            "tools": [{"type": "web_search", "search_context_size": "low"}],
            "tool_choice": {"type": "web_search"},
            "unheard_of": 1,
        }
    )

    assert found.ignored == (
        "temperature",
        "truncation",
        "user",
        "stream_options.include_obfuscation",
        "reasoning.effort",
        "text.verbosity",
        "include.message.output_text.logprobs",
        "include",
        "tools.web_search.search_context_size",
        "tool_choice",
        "unheard_of",
    )
    assert found.chat.show_thoughts is True
    assert parsed({"input": "Hi"}).chat.show_thoughts is None


def test_what_automations_send_empty_is_as_if_it_was_not_there() -> None:
    chat = parsed(
        {
            "input": [HI, {"role": "assistant", "content": None}],
            "background": False,
            "conversation": "",
            "prompt": {},
            "tools": [],
            "tool_choice": None,
            "previous_response_id": None,
            "include": [],
            "text": {},
            "metadata": {},
        }
    ).chat

    assert texts(*chat.messages) == [("user", ["Hi"]), ("assistant", [""])]


SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ({"type": "text"}, None),
        ({"type": "json_object"}, JSON_OBJECT),
        (
            {"type": "json_schema", "name": "n", "schema": SCHEMA, "strict": True},
            ResponseFormat(SCHEMA, "n", "", True),
        ),
    ],
)
def test_the_form_of_the_text(form: dict[str, Any], expected: ResponseFormat | None) -> None:
    assert parsed({"input": "Hi", "text": {"format": form}}).chat.response_format == expected


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "input"),
        ({"input": []}, "input"),
        ({"input": 1}, "input"),
        ({"input": [1]}, "input[0]"),
        ({"input": "Hi", "background": True}, "background"),
        ({"input": "Hi", "conversation": "conv_1"}, "conversation"),
        ({"input": "Hi", "prompt": {"id": "p"}}, "prompt"),
        ({"input": "Hi", "stream": "yes"}, "stream"),
        ({"input": "Hi", "metadata": "mine"}, "metadata"),
        ({"input": "Hi", "metadata": []}, "metadata"),
        ({"input": "Hi", "max_output_tokens": 0}, "max_output_tokens"),
        ({"input": "Hi", "max_output_tokens": 1.5}, "max_output_tokens"),
        ({"input": "Hi", "tools": {}}, "tools"),
        ({"input": "Hi", "tools": [{"type": "function"}]}, "tools[0].function"),
        ({"input": "Hi", "tools": [{"type": "namespace", "name": "n"}]}, "tools[0].tools"),
        ({"input": "Hi", "tools": [{"type": 1}]}, "tools[0].type"),
        ({"input": "Hi", "tools": [{"type": ["function"]}]}, "tools[0].type"),
        ({"input": "Hi", "tools": [{"type": {}}]}, "tools[0].type"),
        ({"input": "Hi", "tools": [WEATHER], "tool_choice": {"type": []}}, "tool_choice"),
        ({"input": "Hi", "tools": [WEATHER], "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": {}}]}}, "tool_choice.tools[0].type"),
        ({"input": "Hi", "tools": [WEATHER], "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "x" * 9_000}]}}, "tool_choice.tools[0].type"),
        ({"input": "Hi", "tools": [{**AGENTS, "tools": [{"type": "function"}]}]}, "tools[0].tools[0].name"),
        ({"input": "Hi", "tools": [{**PATCH, "format": {"type": "x"}}]}, "tools[0].format.type"),
        ({"input": "Hi", "tools": [{"type": "mcp"}], "tool_choice": "required"}, "tool_choice"),
        ({"input": "Hi", "tools": [WEATHER], "tool_choice": {"type": "mcp"}}, "tool_choice"),
        ({"input": "Hi", "tool_choice": {"type": "web_search"}}, "tool_choice"),
        ({"input": "Hi", "tool_choice": {"type": "image_generation"}}, "tool_choice"),
        ({"input": "Hi", "tools": [{**DRAW, "size": "big"}]}, "tools[0].size"),
        ({"input": "Hi", "tools": [{**DRAW, "quality": 1}]}, "tools[0].quality"),
        ({"input": "Hi", "tools": [{**DRAW, "quality": "ultra"}]}, "tools[0].quality"),
        ({"input": "Hi", "tools": [{**DRAW, "output_format": "tiff"}]}, "tools[0].output_format"),
        ({"input": "Hi", "tools": [WEATHER], "tool_choice": {"type": "namespace", "name": "x"}}, "tool_choice"),
        ({"input": "Hi", "text": {"format": {"type": "xml"}}}, "text.format.type"),
        ({"input": "Hi", "text": {"format": {"type": "json_object"}}, "tools": [{"type": "image_generation"}], "tool_choice": "required"}, "text.format"),
        ({"input": "Hi", "text": {"format": {"type": "json_schema", "schema": 1}}}, "text.format.schema"),
        ({"input": "Hi", "reasoning": "much"}, "reasoning"),
        ({"input": [{"role": "robot", "content": "Hi"}]}, "input[0].role"),
        ({"input": [{"role": "user", "content": 1}]}, "input[0].content"),
        ({"input": [{"role": "user", "content": [{"type": "x"}]}]}, "input[0].content[0].type"),
        ({"input": [{"role": "user", "content": [{"type": "input_text"}]}]}, "input[0].content[0].text"),
        ({"input": [{"role": "developer", "content": [{"type": "input_image", "image_url": PICTURE}]}]}, "input[0].content[0]"),
        ({"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}]}, "input[0].content[0].image_url"),
        ({"input": [{"type": "function_call", "call_id": "c", "arguments": "{}"}]}, "input[0].name"),
        ({"input": [{"type": 5}]}, "input[0].type"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_refused_by_its_name(body: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequest) as refused:
        parsed(body)

    assert refused.value.param == param
    assert type(refused.value).__name__ not in refused.value.message


def test_a_file_that_is_too_large_is_refused() -> None:
    content = [{"type": "input_image", "image_url": PICTURE}]

    with pytest.raises(RequestTooLarge):
        parsed({"input": [{"role": "user", "content": content}]}, max_file_bytes=10)


def test_too_many_items_are_refused_at_once() -> None:
    for name in ("input", "tools"):
        with pytest.raises(BadRequest) as refused:
            parsed({"input": "Hi", name: [{}] * 20_000})
        assert refused.value.param == name


def test_a_namespace_may_not_hold_more_tools_than_a_request() -> None:
    tools = [{"type": "function", "name": f"f{i}"} for i in range(2_001)]
    halves = [{"type": "namespace", "name": n, "tools": tools[:1_001]} for n in "ab"]

    for namespaces in ([{**AGENTS, "tools": tools}], halves):
        with pytest.raises(BadRequest, match="at most 2000") as refused:
            parsed({"input": "Hi", "tools": namespaces})
        assert str(refused.value.param).startswith("tools[")
