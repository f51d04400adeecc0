"""Bodies of requests for content, as Google's SDKs and other programs send them."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from gbproxy.api.bounds import MOST_MESSAGES, MOST_PARTS, MOST_TOOLS
from gbproxy.api.gemini.pictures import WITH_BYTES
from gbproxy.api.gemini.request import ParsedContent, parse, parse_count
from gbproxy.domain.attachment import Attachment, LinkedAttachment, StoredAttachment
from gbproxy.domain.chat import Message, TextPart, ToolCallPart, ToolResultPart
from gbproxy.domain.history import extended
from gbproxy.domain.media import IN_TEXT
from gbproxy.domain.response_format import JSON_OBJECT
from gbproxy.domain.tools import NO_TOOLS, FunctionTool, ToolChoice
from gbproxy.errors import BadRequest, GatewayError, RequestTooLarge

HI = {"role": "user", "parts": [{"text": "Hi"}]}
PNG = b"\x89PNG\r\n\x1a\npixels\xfb\xff"
B64 = base64.b64encode(PNG).decode()
LOOK = {"functionDeclarations": [{"name": "look"}]}
CALL = {"functionCall": {"name": "look", "args": {"at": "it"}}}


def of(**fields: Any) -> ParsedContent:
    return parse({"contents": [HI], **fields}, max_file_bytes=1000)


def messages(*contents: Any) -> tuple[Message, ...]:
    return of(contents=list(contents)).chat.messages


def configured(**config: Any) -> ParsedContent:
    return of(generationConfig=config)


def user(text: str) -> Message:
    return Message("user", (TextPart(text),))


# Contents


@pytest.mark.parametrize(
    "contents",
    [
        [HI],
        HI,
        {"parts": {"text": "Hi"}},
        [{"role": "USER", "parts": [{"text": "Hi", "thought": None}]}],
        [{"parts": [{"text": "Hi", "partMetadata": {}, "unheardOf": 1}], "unheard_of": 1}],
    ],
)
def test_one_text_in_all_its_forms(contents: Any) -> None:
    assert parse({"contents": contents}).chat.messages == (user("Hi"),)


def test_what_a_user_says_in_parts_stays_in_parts() -> None:
    found = messages({"parts": [{"text": "a"}, {"text": "b"}]}, {"parts": [{"text": "c"}]})

    assert found == (Message("user", (TextPart("a"), TextPart("b"))), user("c"))


@pytest.mark.parametrize("name", ["systemInstruction", "system_instruction"])
def test_an_instruction_comes_first(name: str) -> None:
    found = of(**{name: {"role": "user", "parts": {"text": "Be brief."}}}).chat.messages

    assert found == (Message("system", (TextPart("Be brief."),)), user("Hi"))


def test_an_empty_instruction_is_none() -> None:
    assert of(systemInstruction={"parts": []}).chat.messages == (user("Hi"),)


def test_a_streamed_answer_comes_back_as_one_message() -> None:
    pieces = [
        [{"text": "Hm.", "thought": True, "thoughtSignature": "eA=="}],
        [{"text": "Hel"}],
        [{"text": "lo"}],
        [CALL | {"thought_signature": "eA=="}],
        [{"text": "", "thoughtSignature": "eA=="}],
        [],
    ]
    found = messages(HI, *({"role": "model", "parts": parts} for parts in pieces), HI)

    [_, answer, _] = found
    assert answer.role == "assistant"
    text, call = answer.parts
    assert text == TextPart("Hello")
    assert isinstance(call, ToolCallPart)
    assert (call.name, json.loads(call.arguments)) == ("look", {"at": "it"})


def test_an_answer_of_thoughts_alone_is_none() -> None:
    thoughts = {
        "role": "model",
        "parts": [{"text": "Hm.", "thought": True}, {"thoughtSignature": "eA=="}],
    }

    assert messages(HI, thoughts, HI) == (user("Hi"), user("Hi"))


@pytest.mark.parametrize(
    "part",
    [
        {"executableCode": {"code": "1", "language": "PYTHON"}},
        {"codeExecutionResult": {"outcome": "OUTCOME_OK"}},
        {"inlineData": {"mimeType": "audio/wav", "data": B64}},
        {"toolCall": {}},
    ],
)
def test_what_else_a_model_has_made_is_left_out_and_named(part: dict[str, Any]) -> None:
    parsed = of(contents=[HI, {"role": "model", "parts": [part, {"text": "There."}]}, HI])

    assert parsed.chat.messages[1] == Message("assistant", (TextPart("There."),))
    assert parsed.ignored == ("contents.parts",)


# Calls and results


def result_of(response: Any, **fields: Any) -> dict[str, Any]:
    return {"functionResponse": {"name": "look", "response": response, **fields}}


@pytest.mark.parametrize(
    ("response", "text"),
    [
        ({"output": "4 C"}, "4 C"),
        ({"result": "4 C"}, "4 C"),
        ({"result": {"t": 4}}, '{"t": 4}'),
        ({"result": "4 C", "unit": "C"}, '{"result": "4 C", "unit": "C"}'),
        ({"error": "no"}, '{"error": "no"}'),
        (None, "{}"),
    ],
)
@pytest.mark.parametrize("role", ["user", "function", "tool", None])
def test_a_result_is_a_message_of_its_own(role: str | None, response: Any, text: str) -> None:
    found = messages(
        HI,
        {"role": "model", "parts": [CALL]},
        {"role": role, "parts": [result_of(response), {"text": "So?"}]},
    )

    [call] = found[1].parts
    assert isinstance(call, ToolCallPart)
    assert found[2:] == (Message("tool", (ToolResultPart(call.id, text),)), user("So?"))


def test_results_find_their_calls_by_id_or_by_name_and_order() -> None:
    calls = [
        CALL,
        {"functionCall": {"id": "b", "name": "look"}},
        {"function_call": {"name": "hear"}},
    ]
    results = [
        result_of({"output": "second"}, id="b"),
        {"function_response": {"name": "hear", "response": {}}},
        result_of({"output": "first"}),
        result_of({"output": "none"}),
    ]

    found = messages(HI, {"role": "model", "parts": calls}, {"parts": results})

    ids = [part.id for part in found[1].parts if isinstance(part, ToolCallPart)]
    assert ids[1] == "b"
    assert len(set(ids)) == 3
    answered = [
        part.call_id
        for message in found[2:]
        for part in message.parts
        if isinstance(part, ToolResultPart)
    ]
    assert answered == ["b", ids[2], ids[0], "look"]


def test_made_up_ids_are_the_same_for_the_same_history() -> None:
    turn = [{"role": "model", "parts": [CALL]}, {"parts": [result_of({})]}]

    first, second = messages(HI, *turn), messages(HI, *turn, *turn)

    assert second[: len(first)] == first
    assert second[1] != second[3]


def test_a_call_without_a_role_is_the_models() -> None:
    assert [each.role for each in messages(HI, {"parts": [CALL]})] == ["user", "assistant"]


def test_the_files_of_a_result_stand_behind_it() -> None:
    parts = [{"inlineData": {"mimeType": "image/png", "data": B64}}]
    [message] = messages({"parts": [result_of({"output": "see"}, parts=parts)]})

    text, file = message.parts
    assert text == ToolResultPart("look", "see")
    assert isinstance(file, Attachment)
    assert file.content == PNG


# Files


@pytest.mark.parametrize(
    ("data", "place"),
    [
        ({"inlineData": {"mimeType": "image/png", "data": B64}}, "inlineData.data"),
        (
            {"inline_data": {"mime_type": "image/png", "data": B64, "display_name": None}},
            "inlineData.data",
        ),
        (
            {"inlineData": {"data": base64.urlsafe_b64encode(PNG).decode().rstrip("=")}},
            "inlineData.data",
        ),
        ({"inlineData": {"data": f"data:image/png;base64,{B64}"}}, "inlineData.data"),
        ({"fileData": {"fileUri": f"data:image/png;base64,{B64}"}}, "fileData.fileUri"),
    ],
)
def test_a_file_in_the_request(data: dict[str, Any], place: str) -> None:
    [message] = messages({"parts": [{"text": "See"}, data]})

    _, file = message.parts
    assert isinstance(file, Attachment)
    assert (file.content, file.media_type) == (PNG, "image/png")
    assert file.place == f"contents[0].parts[1].{place}"


def test_the_urlsafe_form_is_tried() -> None:
    assert base64.urlsafe_b64encode(PNG) != base64.b64encode(PNG)


@pytest.mark.parametrize(
    ("kind", "wanted"), [("image/png", "image"), ("video/mp4", "file"), (None, "file")]
)
def test_a_file_elsewhere(kind: str | None, wanted: str) -> None:
    file = {"fileData": {"fileUri": "https://example.com/a", "mimeType": kind, "displayName": "a"}}
    [message] = messages({"parts": [file]})

    assert message.parts == (
        LinkedAttachment(
            "https://example.com/a", "contents[0].parts[0].fileData.fileUri", "a", wanted
        ),  # type: ignore[arg-type]
    )


# Tools


def test_functions_by_either_schema() -> None:
    declared = [
        {"name": "look", "description": "Looks.", "parameters": {"type": "OBJECT", "properties": {"at": {"type": "STRING", "nullable": True}}}},
        {"name": "hear", "parametersJsonSchema": {"type": "object", "properties": {"to": {"type": "string"}}}},
        {"name": "wait", "parameters_json_schema": None},
    ]  # fmt: skip
    tools = of(
        tools=[{"function_declarations": declared[:1]}, {"functionDeclarations": declared[1:]}]
    ).chat.tools

    assert tools.declared == (
        FunctionTool(
            "look", "Looks.", {"type": "object", "properties": {"at": {"type": ["string", "null"]}}}
        ),
        FunctionTool("hear", "", {"type": "object", "properties": {"to": {"type": "string"}}}),
        FunctionTool("wait"),
    )
    assert (tools.choice, tools.is_parallel) == (ToolChoice(), True)


@pytest.mark.parametrize(
    ("config", "choice"),
    [
        ({}, ToolChoice()),
        ({"mode": "MODE_UNSPECIFIED"}, ToolChoice()),
        ({"mode": "AUTO"}, ToolChoice()),
        ({"mode": "auto"}, ToolChoice()),
        ({"mode": "NONE"}, ToolChoice("none")),
        ({"mode": "ANY"}, ToolChoice("required")),
        ({"mode": "ANY", "allowedFunctionNames": ["look"]}, ToolChoice.named("look")),
        ({"mode": "VALIDATED"}, ToolChoice()),
        (
            {"mode": "VALIDATED", "allowed_function_names": ["look"]},
            ToolChoice("auto", frozenset({"look"})),
        ),
    ],
)
@pytest.mark.parametrize(
    "names", [("toolConfig", "functionCallingConfig"), ("tool_config", "function_calling_config")]
)
def test_modes_of_calling(names: tuple[str, str], config: Any, choice: ToolChoice) -> None:
    outer, inner = names

    assert of(tools=[LOOK], **{outer: {inner: config}}).chat.tools.choice == choice


@pytest.mark.parametrize(
    "tool",
    [
        "googleSearch",
        "google_search",
        "googleSearchRetrieval",
        "urlContext",
        "url_context",
        "enterpriseWebSearch",
    ],
)
def test_a_search_is_the_upstreams(tool: str) -> None:
    alone, beside = of(tools=[{tool: {}}]).chat, of(tools=[{tool: {}}, LOOK]).chat

    assert (alone.web_search, alone.tools) == (True, NO_TOOLS)
    assert (beside.web_search, len(beside.tools.declared)) == (True, 1)


def test_what_a_search_cannot_be_told_is_named() -> None:
    parsed = of(tools=[{"googleSearch": {"exclude_domains": ["a.b"], "timeRangeFilter": {}}}])

    assert parsed.ignored == (
        "tools.googleSearch.excludeDomains",
        "tools.googleSearch.timeRangeFilter",
    )


def test_a_mode_without_functions_has_no_effect() -> None:
    assert of(toolConfig={"functionCallingConfig": {"mode": "AUTO"}}).ignored == (
        "toolConfig.functionCallingConfig",
    )


# What bounds the answers


@pytest.mark.parametrize("config", ["generationConfig", "generation_config"])
def test_bounds_under_both_names(config: str) -> None:
    camel = {
        "stopSequences": ["a", "", "a", "b"],
        "maxOutputTokens": 5,
        "candidateCount": 2,
        "thinkingConfig": {"includeThoughts": True},
    }
    snake = {
        "stop_sequences": ["a", "", "a", "b"],
        "max_output_tokens": 5,
        "candidate_count": 2,
        "thinking_config": {"include_thoughts": True},
    }

    for given in (camel, snake):
        chat = of(**{config: given}).chat
        assert (chat.stop, chat.max_tokens, chat.choices, chat.show_thoughts) == (
            ("a", "b"),
            5,
            2,
            True,
        )


def test_nothing_said_bounds_nothing() -> None:
    for chat in (of().chat, configured(maxOutputTokens=-1, thinkingConfig={}).chat):
        assert (chat.stop, chat.max_tokens, chat.choices, chat.show_thoughts) == ((), None, 1, None)


SCHEMA = {"type": "OBJECT", "properties": {"a": {"type": "INTEGER"}}, "required": ["a"]}
CONVERTED = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}


@pytest.mark.parametrize(
    ("config", "schema"),
    [
        ({"responseMimeType": "application/json", "responseSchema": SCHEMA}, CONVERTED),
        ({"response_mime_type": "application/json", "response_json_schema": CONVERTED}, CONVERTED),
        ({"responseSchema": SCHEMA}, CONVERTED),
        ({"responseMimeType": "text/x.enum", "responseSchema": {"type": "STRING", "enum": ["a"]}}, {"type": "string", "enum": ["a"]}),
    ],
)  # fmt: skip
def test_a_form_by_schema(config: dict[str, Any], schema: dict[str, Any]) -> None:
    parsed = configured(**config)

    assert parsed.chat.response_format is not None
    assert parsed.chat.response_format.schema == schema
    assert parsed.is_enum == ("enum" in schema)


def test_a_form_without_a_schema() -> None:
    assert configured(responseMimeType="application/json").chat.response_format == JSON_OBJECT
    assert configured(responseMimeType="text/plain").chat.response_format is None


def test_what_has_no_effect_is_named_and_never_refused() -> None:
    parsed = of(
        safetySettings={"any": "thing"},
        service_tier=1,
        labels=[],
        store=True,
        generationConfig={
            "temperature": "hot",
            "top_k": 40,
            "seed": 1,
            "mediaResolution": "LOW",
            "thinkingConfig": {
                "include_thoughts": False,
                "thinking_level": "HIGH",
                "thinkingBudget": -1,
            },
        },
    )

    assert set(parsed.ignored) == {
        "safetySettings",
        "serviceTier",
        "labels",
        "store",
        "generationConfig.temperature",
        "generationConfig.topK",
        "generationConfig.seed",
        "generationConfig.mediaResolution",
        "generationConfig.thinkingConfig.thinkingLevel",
        "generationConfig.thinkingConfig.thinkingBudget",
    }
    assert parsed.chat.show_thoughts is False


# What is wrong


def parts(*given: Any) -> dict[str, Any]:
    return {"contents": [{"parts": list(given)}]}


def functions(*given: Any, **fields: Any) -> dict[str, Any]:
    return {"contents": [HI], "tools": [{"functionDeclarations": list(given)}], **fields}


def config_of(**fields: Any) -> dict[str, Any]:
    return {"contents": [HI], "generationConfig": fields}


DEEP: dict[str, Any] = {}
for _ in range(200):
    DEEP = {"type": "ARRAY", "items": DEEP}


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({}, "contents"),
        ({"contents": None}, "contents"),
        ({"contents": []}, "contents"),
        ({"contents": "Hi"}, "contents"),
        ({"contents": [HI, 1]}, "contents[1]"),
        ({"contents": [{"role": "system", "parts": [{"text": "x"}]}]}, "contents[0].role"),
        ({"contents": [{"role": "user"}]}, "contents[0].parts"),
        ({"contents": [{"parts": "x"}]}, "contents[0].parts"),
        (parts({}), "contents[0].parts[0]"),
        (parts(1), "contents[0].parts[0]"),
        (parts({"text": 1}), "contents[0].parts[0].text"),
        (parts({"text": "a"}, {"text": "a", "thought": "yes"}), "contents[0].parts[1].thought"),
        (parts({"unheardOf": {}}), "contents[0].parts[0]"),
        (parts({"toolResponse": {}}), "contents[0].parts[0]"),
        ({"contents": [{"role": "user", "parts": [{"text": "Hi"}, CALL]}]}, "contents[0].parts[1].functionCall"),
        ({"contents": [{"role": "model", "parts": [{"functionCall": {"args": {}}}]}]}, "contents[0].parts[0].functionCall.name"),
        ({"contents": [{"role": "model", "parts": [{"functionCall": {"name": "a", "args": "x"}}]}]}, "contents[0].parts[0].functionCall.args"),
        (parts({"functionResponse": {"response": {}}}), "contents[0].parts[0].functionResponse.name"),
        (parts(result_of("4 C")), "contents[0].parts[0].functionResponse.response"),
        (parts(result_of({}, parts=[{}])), "contents[0].parts[0].functionResponse.parts[0]"),
        (parts({"inlineData": {"mimeType": "image/png"}}), "contents[0].parts[0].inlineData.data"),
        (parts({"inline_data": {"data": 1}}), "contents[0].parts[0].inline_data.data"),
        (parts({"inlineData": {"data": "?"}}), "contents[0].parts[0].inlineData.data"),
        (parts({"inlineData": {"data": ""}}), "contents[0].parts[0].inlineData.data"),
        (parts({"fileData": {}}), "contents[0].parts[0].fileData.fileUri"),
        (parts({"fileData": {"fileUri": "gs://a/b"}}), "contents[0].parts[0].fileData.fileUri"),
        (parts({"fileData": {"fileUri": "files/abc"}}), "contents[0].parts[0].fileData.fileUri"),
        ({"contents": [HI], "systemInstruction": "Be brief."}, "systemInstruction"),
        ({"contents": [HI], "systemInstruction": {"parts": [{"inlineData": {"data": B64}}]}}, "systemInstruction.parts[0]"),
        ({"contents": [HI], "cachedContent": "cachedContents/1"}, "cachedContent"),
        ({"contents": [HI], "cached_content": "cachedContents/1"}, "cachedContent"),
        ({"contents": [HI], "tools": "all"}, "tools"),
        ({"contents": [HI], "tools": [{"codeExecution": {}}]}, "tools[0].codeExecution"),
        ({"contents": [HI], "tools": [LOOK, {"google_maps": {}}]}, "tools[1].google_maps"),
        ({"contents": [HI], "tools": [{"fileSearch": {}}]}, "tools[0].fileSearch"),
        ({"contents": [HI], "tools": [{"unheardOf": {}}]}, "tools[0].unheardOf"),
        (functions({}), "tools[0].functionDeclarations[0].name"),
        (functions({"name": "two words"}), "tools[0].functionDeclarations[0].name"),
        (functions({"name": "a", "parameters": []}), "tools[0].functionDeclarations[0].parameters"),
        (functions({"name": "a", "parameters": DEEP}), "tools[0].functionDeclarations[0].parameters"),
        (functions({"name": "a"}, {"name": "a", "description": "other"}), "tools[0].functionDeclarations[1].name"),
        (functions({"name": "a"}, toolConfig={"functionCallingConfig": {"mode": "SOME"}}), "toolConfig.functionCallingConfig.mode"),
        (functions({"name": "a"}, toolConfig={"functionCallingConfig": {"allowedFunctionNames": ["b"]}}), "toolConfig.functionCallingConfig.allowedFunctionNames[0]"),
        ({"contents": [HI], "toolConfig": {"functionCallingConfig": {"mode": "ANY"}}}, "toolConfig.functionCallingConfig.mode"),
        ({"contents": [HI], "generationConfig": []}, "generationConfig"),
        (config_of(candidateCount=0), "generationConfig.candidateCount"),
        (config_of(candidateCount=5), "generationConfig.candidateCount"),
        (config_of(candidateCount=True), "generationConfig.candidateCount"),
        (config_of(maxOutputTokens=0), "generationConfig.maxOutputTokens"),
        (config_of(maxOutputTokens=1.5), "generationConfig.maxOutputTokens"),
        (config_of(stopSequences="x"), "generationConfig.stopSequences"),
        (config_of(stopSequences=["x", 1]), "generationConfig.stopSequences[1]"),
        (config_of(stopSequences=["x", "y" * 257]), "generationConfig.stopSequences[1]"),
        (config_of(stopSequences=["x"] * 17), "generationConfig.stopSequences"),
        (config_of(responseMimeType="text/html"), "generationConfig.responseMimeType"),
        (config_of(responseMimeType="text/plain", responseSchema=SCHEMA), "generationConfig.responseMimeType"),
        (config_of(responseMimeType="text/x.enum"), "generationConfig.responseSchema"),
        (config_of(responseSchema={"type": "THING"}), "generationConfig.responseSchema"),
        (config_of(responseJsonSchema={"type": 1}), "generationConfig.responseJsonSchema"),
        (config_of(responseModalities=["TEXT", "AUDIO"]), "generationConfig.responseModalities[1]"),
        (config_of(responseModalities=["IMAGE"], responseMimeType="application/json"), "generationConfig.responseMimeType"),
        (config_of(imageConfig={"aspectRatio": "wide"}), "generationConfig.imageConfig.aspectRatio"),
        (config_of(imageConfig={"imageSize": "9K"}), "generationConfig.imageConfig.imageSize"),
        (config_of(imageConfig={"imageSize": 1}), "generationConfig.imageConfig.imageSize"),
        (config_of(responseLogprobs=True), "generationConfig.responseLogprobs"),
        (config_of(thinkingConfig={"includeThoughts": "yes"}), "generationConfig.thinkingConfig.includeThoughts"),
    ],
)  # fmt: skip
def test_the_field_that_is_wrong_is_named(body: dict[str, Any], place: str) -> None:
    with pytest.raises(BadRequest) as wrong:
        parse(body, max_file_bytes=1000)

    assert wrong.value.param == place
    assert place in wrong.value.message


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({"contents": [HI] * (MOST_MESSAGES + 1)}, "contents"),
        (parts(*[{"text": "x"}] * (MOST_PARTS + 1)), "contents[0].parts"),
        ({"contents": [HI], "tools": [{}] * (MOST_TOOLS + 1)}, "tools"),
        (functions(*[{"name": "x"}] * (MOST_TOOLS + 1)), "tools[0].functionDeclarations"),
    ],
    ids=["contents", "parts", "tools", "functions"],
)
def test_more_than_is_taken(body: dict[str, Any], place: str) -> None:
    with pytest.raises(BadRequest) as wrong:
        parse(body)

    assert wrong.value.param == place


def test_a_file_that_is_too_large() -> None:
    with pytest.raises(RequestTooLarge) as wrong:
        parse(parts({"inlineData": {"data": B64}}), max_file_bytes=4)

    assert wrong.value.param == "contents[0].parts[0].inlineData.data"


# The count of tokens


def test_a_whole_request_is_counted_or_contents_alone() -> None:
    whole = {"model": "models/x", "contents": [HI], "tools": [LOOK]}

    assert parse_count({"contents": [HI]}).chat.tools == NO_TOOLS
    assert parse_count({"generateContentRequest": whole}).chat.tools.declared
    assert parse_count({"generate_content_request": whole}, model="m").chat.model == "m"


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({}, "contents"),
        (
            {"contents": [HI], "generateContentRequest": {"contents": [HI]}},
            "generateContentRequest",
        ),
        ({"generateContentRequest": {}}, "contents"),
        ({"generateContentRequest": 1}, "generateContentRequest"),
    ],
)
def test_what_cannot_be_counted(body: dict[str, Any], place: str) -> None:
    with pytest.raises(GatewayError) as wrong:
        parse_count(body)

    assert (wrong.value.status, wrong.value.param) == (400, place)


# Pictures


def test_pictures_come_with_their_bytes_unless_text_alone_is_wanted() -> None:
    told = parse(config_of())
    text = parse(config_of(responseModalities=["text"], imageConfig={"aspectRatio": "1:1"}))

    assert (told.chat.media, told.chat.makes_image, told.needs_image) == (WITH_BYTES, False, False)
    assert (text.chat.media, text.chat.makes_image) == (IN_TEXT, False)
    assert text.ignored == ("generationConfig.imageConfig",)
    assert len(text.chat.messages) == 1


@pytest.mark.parametrize(
    ("modalities", "is_needed"), [(["TEXT", "IMAGE"], False), (["IMAGE"], True), (["image"], True)]
)
def test_a_picture_that_is_asked_for(modalities: list[str], is_needed: bool) -> None:
    found = parse(config_of(responseModalities=modalities))

    assert (found.chat.makes_image, found.needs_image) == (True, is_needed)
    assert found.ignored == ()


def test_what_is_wished_of_a_picture_is_an_instruction() -> None:
    form = {
        "aspect_ratio": "16:9",
        "imageSize": "2k",
        "personGeneration": "ALLOW_NONE",
        "outputMimeType": "image/jpeg",
    }

    found = parse({**config_of(imageConfig=form), "systemInstruction": {"parts": {"text": "Hm."}}})

    *instructions, _ = found.chat.messages
    assert [message.parts for message in instructions] == [
        (TextPart("Hm."),),
        (
            TextPart(
                "A picture that you make is to be of the aspect ratio 16:9, of the resolution 2K,"
                " without people."
            ),
        ),
    ]
    assert found.ignored == ("generationConfig.imageConfig.outputMimeType",)


def test_a_picture_that_the_model_has_made_is_kept_for_other_sessions() -> None:
    blob = {"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgo="}}
    film = {"inlineData": {"mimeType": "video/mp4", "data": "broken"}}
    contents = [HI, {"role": "model", "parts": [{"text": "He"}, blob, {"text": "re."}, film]}, HI]

    found = parse({"contents": contents}, max_file_bytes=1000)

    said = found.chat.messages[1]
    text, picture = said.parts
    assert text == TextPart("Here.")
    assert isinstance(picture, Attachment)
    assert found.ignored == ("contents.parts",)
    # a client that has dropped it goes on in the same conversation
    assert extended(b"", (said,)) == extended(b"", (Message("assistant", (text,)),))


@pytest.mark.parametrize(
    "before",
    [
        "",
        "http://127.0.0.1:8000/v1beta/",
        "https://ai.example.com/gemini/v1/",
        "https://ai.example.com/gate/v1beta/",
        "https://generativelanguage.googleapis.com/v1beta/",
    ],
)
def test_an_uploaded_file_is_known_wherever_the_gateway_is_reached(before: str) -> None:
    id_ = "0123456789abcdef" * 2
    [message] = messages({"parts": [{"fileData": {"fileUri": f"{before}files/{id_}"}}]})

    place = "contents[0].parts[0].fileData.fileUri"
    assert message.parts == (StoredAttachment(id_, place, "", "file"),)
