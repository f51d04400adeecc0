"""The official `openai` client's responses against the real thing."""

from __future__ import annotations

import base64
import json
from itertools import islice
from typing import Any

import openai
import pytest
from openai.types.responses import Response, ResponseFunctionWebSearch, ResponseOutputMessage
from openai.types.responses.response_function_web_search import ActionSearch
from pydantic import BaseModel

from gbproxy.simulator import Fin, Text, answer, image_reply, policy_violation, quota
from gbproxy.simulator.widget.files import picture
from tests.support.chats import used_sessions
from tests.support.responses import check_order, check_response, events_of, kinds
from tests.support.serving import Served, SharedUpstream
from tests.support.storages import on_databases_too
from tests.support.texts import FRAGMENTS, QUESTION, TEXT

USED = "gemini-3.8-flash"
WEATHER: Any = {
    "type": "function",
    "name": "get_weather",
    "strict": True,
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    },
}
# So large that it is encrypted aside from the other requests.
PNG, PDF = b"\x89PNG\r\n\x1a\n" + 300_000 * b"x", b"%PDF-1.7 pages"
ABOUT_OSLO = "What is the weather in Oslo?"
GRAMMAR = {"type": "grammar", "syntax": "lark", "definition": "start: /.+/"}
PATCH: Any = {"type": "custom", "name": "apply_patch", "format": GRAMMAR}

pytestmark = on_databases_too


class Fact(BaseModel):
    capital: str


def post(gateway: Served, path: str = "", **body: Any) -> Any:
    """The raw answer to a request for a response."""
    return gateway.request("POST", f"/v1/responses{path}", json.dumps(body), gateway.headers)


def test_an_answer_in_one_piece(client: openai.OpenAI, upstream: SharedUpstream) -> None:
    upstream.script(*answer(*FRAGMENTS))

    response = client.responses.create(model=USED, input=QUESTION, instructions="Be brief.")

    assert response.output_text == TEXT
    assert (response.status, response.model) == ("completed", USED)
    assert response.usage is not None
    assert response.usage.total_tokens == response.usage.input_tokens + response.usage.output_tokens
    [question] = upstream.questions()
    assert question.index("Be brief.") < question.index(QUESTION)


def test_an_answer_as_it_comes(
    client: openai.OpenAI, gateway: Served, upstream: SharedUpstream
) -> None:
    upstream.script(*answer(*FRAGMENTS, pause_s=0.05), times=2)

    reply = post(gateway, model=USED, input=QUESTION, stream=True)
    stream = client.responses.create(model=USED, input=QUESTION, stream=True)
    texts = [event.delta for event in stream if event.type == "response.output_text.delta"]

    events = events_of(reply.body)
    check_order(events)
    assert kinds(events)[-4:] == ["output_text.done", "content_part.done", "output_item.done", "completed"]  # fmt: skip
    assert "".join(texts) == TEXT
    assert len(texts) > 1


def test_the_stream_helper(client: openai.OpenAI, upstream: SharedUpstream) -> None:
    upstream.script(*answer(*FRAGMENTS, thoughts=("Hm.",)))

    with client.responses.stream(
        model=USED, input=QUESTION, reasoning={"summary": "auto"}
    ) as stream:
        found = [event.type for event in stream]
        response = stream.get_final_response()

    assert response.output_text == TEXT
    assert [item.type for item in response.output] == ["reasoning", "message"]
    assert "response.reasoning_summary_text.delta" in found


def test_a_conversation_goes_on_in_one_session_by_the_last_responses_id(
    client: openai.OpenAI, upstream: SharedUpstream
) -> None:
    for said in ("Rock.", "Grey.", "Old."):
        upstream.script(*answer(said))

    first = client.responses.create(model=USED, input="What is it of?", instructions="Be brief.")
    with client.responses.stream(
        model=USED,
        input=[{"role": "user", "content": "Which colour?"}],
        instructions="Be brief.",
        previous_response_id=first.id,
    ) as stream:
        second = stream.get_final_response()
    third = client.responses.create(
        model=USED,
        input="How old?",
        instructions="Be brief.",
        previous_response_id=second.id,
        store=False,
    )

    assert [each.output_text for each in (first, second, third)] == ["Rock.", "Grey.", "Old."]
    [session] = used_sessions(upstream)
    assert session.queries[1:] == ["Which colour?", "How old?"]
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(third.id)


def test_a_history_that_the_client_keeps_goes_on_in_the_same_session_too(
    client: openai.OpenAI, upstream: SharedUpstream
) -> None:
    for said in ("Rock.", "Grey.", "Old."):
        upstream.script(*answer(said))
    history: list[Any] = [{"role": "user", "content": "What is it of?"}]

    first = client.responses.create(model=USED, input=history)
    history += [item.to_dict() for item in first.output]
    history += [{"role": "user", "content": "Which colour?"}]
    second = client.responses.create(model=USED, input=history)
    reference: Any = {"type": "item_reference", "id": second.output[0].id}
    history += [reference, {"role": "user", "content": "How old?"}]
    third = client.responses.create(model=USED, input=history)

    assert third.output_text == "Old."
    [session] = used_sessions(upstream)
    assert session.queries[1:] == ["Which colour?", "How old?"]


@pytest.mark.parametrize("kind", [{}, {"type": "item_reference"}])
def test_an_item_that_is_only_named_is_known_in_later_responses(
    client: openai.OpenAI, upstream: SharedUpstream, kind: Any
) -> None:
    for said in ("Rock.", "Grey.", "Old.", "Yes."):
        upstream.script(*answer(said))
    first = client.responses.create(model=USED, input="What is it of?")
    named: Any = {**kind, "id": first.output[0].id}

    ask: Any = [named, {"role": "user", "content": "Which colour?"}]
    second = client.responses.create(model=USED, input=ask)
    third = client.responses.create(model=USED, input="Old?", previous_response_id=second.id)
    fourth = client.responses.create(
        model=USED, input=[named, ask[1]], previous_response_id=third.id
    )
    pages = client.responses.input_items.list(fourth.id, order="asc", limit=1)
    ids = [item.id for item in islice(pages, 10)]

    assert fourth.output_text == "Yes."
    assert len(ids) == len(set(ids)) == 6
    assert ids[0] == first.output[0].id


def test_a_call_and_its_result(client: openai.OpenAI, upstream: SharedUpstream) -> None:
    called = client.responses.create(model=USED, input=ABOUT_OSLO, tools=[WEATHER])
    [call] = called.output
    assert call.type == "function_call"
    answered = client.responses.create(
        model=USED,
        previous_response_id=called.id,
        tools=[WEATHER],
        input=[{"type": "function_call_output", "call_id": call.call_id, "output": "4 C"}],
    )

    assert (call.name, json.loads(call.arguments)) == ("get_weather", {"city": "Oslo"})
    assert answered.output_text == "It says: 4 C"
    assert len(used_sessions(upstream)) == 1


def test_a_streamed_call_is_put_together(client: openai.OpenAI) -> None:
    with client.responses.stream(
        model=USED, input=ABOUT_OSLO, tools=[WEATHER], tool_choice="required"
    ) as stream:
        found = [event.type for event in stream]
        [call] = stream.get_final_response().output

    assert call.type == "function_call"
    assert call.parsed_arguments == {"city": "Oslo"}
    assert "response.function_call_arguments.done" in found


def test_a_custom_tool_and_one_of_a_namespace_come_back_as_what_they_are(
    client: openai.OpenAI, gateway: Served
) -> None:
    city = {k: v for k, v in WEATHER.items() if k != "strict"}
    namespace: Any = {
        "type": "namespace",
        "name": "mcp__sky",
        "description": "Sky",
        "tools": [city],
    }

    with client.responses.stream(
        model=USED, input="Patch it", tools=[PATCH], tool_choice={"type": "custom", "name": "apply_patch"}
    ) as stream:  # fmt: skip
        kinds_seen = [event.type for event in stream]
        [patched] = stream.get_final_response().output
    reply = post(
        gateway, model=USED, input=ABOUT_OSLO, tools=[namespace], tool_choice="required", stream=True
    )  # fmt: skip

    assert patched.type == "custom_tool_call"
    assert patched.name == "apply_patch"
    assert patched.input
    assert "response.custom_tool_call_input.delta" in kinds_seen
    events = events_of(reply.body)
    check_order(events)
    [called] = events[-1]["response"]["output"]
    assert (called["namespace"], called["name"]) == ("mcp__sky", "get_weather")


def test_an_answer_is_parsed_into_a_model(client: openai.OpenAI, upstream: SharedUpstream) -> None:
    asked = "What is the capital, Oslo?"

    whole = client.responses.parse(model=USED, input=asked, text_format=Fact)
    with client.responses.stream(model=USED, input=asked, text_format=Fact) as stream:
        streamed = stream.get_final_response()

    assert whole.output_parsed == streamed.output_parsed == Fact(capital="Oslo")
    upstream.set(json_manner="never")
    refused = client.responses.parse(model=USED, input=asked, text_format=Fact)
    assert refused.output_parsed is None
    [message] = refused.output
    assert message.type == "message"
    assert message.content[0].type == "refusal"


def test_sources_of_a_search(client: openai.OpenAI, upstream: SharedUpstream) -> None:
    upstream.set(citations=True)
    upstream.script(*answer(*FRAGMENTS), times=2)
    search: Any = {
        "tools": [{"type": "web_search"}],
        "include": ["web_search_call.action.sources"],
    }

    whole = client.responses.create(model=USED, input=QUESTION, **search)
    with client.responses.stream(model=USED, input=QUESTION, **search) as stream:
        seen = [event.type.removeprefix("response.") for event in stream]
        streamed = stream.get_final_response()

    for response in (whole, streamed):
        message, call = response.output
        assert isinstance(message, ResponseOutputMessage)
        [part] = message.content
        assert part.type == "output_text"
        [source] = part.annotations
        assert source.type == "url_citation"
        assert TEXT.endswith(part.text[source.start_index : source.end_index])
        assert isinstance(call, ResponseFunctionWebSearch)
        assert isinstance(call.action, ActionSearch)
        assert [page.url for page in call.action.sources or ()] == [source.url]
    assert seen[seen.index("output_text.annotation.added") :] == [
        "output_text.annotation.added",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "output_item.added",
        "web_search_call.in_progress",
        "web_search_call.searching",
        "web_search_call.completed",
        "output_item.done",
        "completed",
    ]


def test_a_conversation_with_a_search_goes_on_in_its_session(
    client: openai.OpenAI, gateway: Served, upstream: SharedUpstream
) -> None:
    upstream.set(citations=True)
    tools: Any = [{"type": "web_search"}]
    history: list[Any] = [{"role": "user", "content": "Say: one"}]

    first = client.responses.create(model=USED, input=history, tools=tools)
    history += [item.to_dict() for item in first.output]
    history += [{"role": "user", "content": "Say: two"}]
    reply = post(gateway, model=USED, input=history, tools=tools)
    client.responses.create(
        model=USED, input="Say: three", tools=tools, previous_response_id=reply.json()["id"]
    )

    assert reply.headers["x-gbproxy-ignored"] is None
    [session] = used_sessions(upstream)
    assert session.queries[1:] == ["Say: two", "Say: three"]


def test_a_limit_ends_the_answer_as_incomplete(
    client: openai.OpenAI, gateway: Served, upstream: SharedUpstream
) -> None:
    upstream.script(*answer("one two three four five " * 40), times=2)

    whole = client.responses.create(model=USED, input="Count", max_output_tokens=16)
    events = events_of(post(gateway, input="Count", max_output_tokens=16, stream=True).body)

    assert whole.status == "incomplete"
    assert whole.incomplete_details is not None
    assert whole.incomplete_details.reason == "max_output_tokens"
    check_order(events)
    assert events[-1]["type"] == "response.incomplete"


def test_what_the_policy_blocks_is_incomplete(
    client: openai.OpenAI, upstream: SharedUpstream
) -> None:
    upstream.script(*policy_violation())

    response = client.responses.create(model=USED, input=QUESTION)

    assert response.incomplete_details is not None
    assert response.incomplete_details.reason == "content_filter"
    assert response.output_text


def test_errors_have_openais_shape_and_a_stream_that_breaks_a_failed_response(
    client: openai.OpenAI, gateway: Served, upstream: SharedUpstream
) -> None:
    upstream.script(Text("Half an "), Fin())
    events = events_of(post(gateway, input=QUESTION, stream=True).body)
    upstream.script(*quota(), times=4)
    with pytest.raises(openai.RateLimitError) as used_up:
        client.responses.create(model=USED, input=QUESTION)

    check_order(events)
    assert events[-1]["type"] == "response.failed"
    assert events[-1]["response"]["error"]["code"] == "server_error"
    assert used_up.value.code == "insufficient_quota"
    with pytest.raises(openai.BadRequestError) as unknown:
        client.responses.create(model=USED, input="Hi", previous_response_id="resp_unknown")
    assert (unknown.value.code, unknown.value.param) == (
        "previous_response_not_found",
        "previous_response_id",
    )
    with pytest.raises(openai.BadRequestError) as refused:
        client.responses.create(model=USED, input="Hi", background=True)
    assert refused.value.param == "background"


def test_what_has_no_effect_is_named_in_a_header(gateway: Served) -> None:
    reply = post(gateway, input="Hi", temperature=1, tools=[{"type": "mcp", "server_label": "x"}])

    assert reply.status == 200
    assert reply.headers["x-gbproxy-ignored"] == "temperature, tools.mcp"
    check_response(reply.json())


def test_a_stored_response_is_read_listed_and_deleted(client: openai.OpenAI) -> None:
    first = client.responses.create(model=USED, input="Say: one")
    second = client.responses.create(
        model=USED, input=[{"role": "user", "content": "Say: two"}], previous_response_id=first.id
    )

    read = client.responses.retrieve(second.id)
    newest = client.responses.input_items.list(second.id, limit=1)
    oldest = list(client.responses.input_items.list(second.id, order="asc", limit=2))

    assert read.to_dict() == second.to_dict()
    assert newest.has_more
    assert [item.to_dict()["role"] for item in oldest] == ["user", "assistant", "user"]
    assert len({item.to_dict()["id"] for item in oldest}) == 3
    assert newest.data[0].id == oldest[-1].id
    with pytest.raises(openai.BadRequestError, match="background"):
        client.responses.cancel(second.id)
    client.responses.delete(first.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(first.id)
    assert client.responses.retrieve(second.id).id == second.id
    with pytest.raises(openai.NotFoundError, match="is there, but not all of those before it"):
        client.responses.input_items.list(second.id)
    with pytest.raises(openai.BadRequestError, match="send the whole history"):
        client.responses.create(model=USED, input="On", previous_response_id=second.id)


def test_only_the_key_that_made_a_response_finds_it(client: openai.OpenAI, gateway: Served) -> None:
    made = client.responses.create(model=USED, input="Say: one")

    other = gateway.request("GET", f"/v1/responses/{made.id}", headers={"x-api-key": "another"})

    assert other.status == 401


def test_tokens_are_counted_without_an_answer(
    client: openai.OpenAI, upstream: SharedUpstream
) -> None:
    counted = client.responses.input_tokens.count(model=USED, input=QUESTION)
    assert upstream.questions() == []
    answered = client.responses.create(model=USED, input=QUESTION)

    assert answered.usage is not None
    assert counted.input_tokens == answered.usage.input_tokens


TRIGGER: Any = {"type": "compaction_trigger"}


@pytest.mark.parametrize("asked", [[], [TRIGGER]])
def test_a_conversation_is_compacted_and_goes_on(
    client: openai.OpenAI, upstream: SharedUpstream, asked: list[Any]
) -> None:
    upstream.script(*answer("The user likes tea."))
    upstream.script(*answer("Tea!"))
    history: Any = [
        {"role": "user", "content": "I like tea."},
        {"role": "assistant", "content": "Noted."},
    ]

    compacted = client.responses.compact(model=USED, input=[*history, *asked])
    # The SDK names no role but the assistant's for a message that was put out.
    kept: list[Any] = [item.to_dict(warnings=False) for item in compacted.output]
    gone_on = client.responses.create(
        model=USED, input=[*kept, {"role": "user", "content": "What?"}]
    )

    assert [item["type"] for item in kept] == ["message", "compaction"]
    assert upstream.questions()[0].count("Write a summary") == 1
    assert "The user likes tea." in upstream.questions()[1]
    assert gone_on.output_text == "Tea!"


@pytest.mark.parametrize("is_streamed", [False, True])
def test_a_stored_summary_stands_for_what_was_before_it(
    client: openai.OpenAI, gateway: Served, upstream: SharedUpstream, is_streamed: bool
) -> None:
    for said in ("Noted.", "They like tea.", "Tea!", "Green."):
        upstream.script(*answer(said))

    first = client.responses.create(model=USED, input="I like hot drinks.")
    asked = {"model": USED, "input": [TRIGGER], "previous_response_id": first.id}
    reply = post(gateway, **asked, stream=is_streamed)
    summary = events_of(reply.body)[-1]["response"] if is_streamed else reply.json()
    third = client.responses.create(model=USED, input="What?", previous_response_id=summary["id"])
    fourth = client.responses.create(model=USED, input="Which?", previous_response_id=third.id)

    assert [item["type"] for item in summary["output"]] == ["compaction"]
    assert [third.output_text, fourth.output_text] == ["Tea!", "Green."]
    last = used_sessions(upstream)[-1]
    assert "They like tea." in last.queries[0]
    assert "What?" in last.queries[0]
    assert "hot drinks" not in last.queries[0]
    assert last.queries[1:] == ["Which?"]
    assert listed(client, summary["id"]) == ["message", "message"]
    assert listed(client, fourth.id) == ["compaction", *3 * ["message"]]


def listed(client: openai.OpenAI, response_id: str) -> list[str]:
    return [item.type for item in client.responses.input_items.list(response_id, order="asc")]


def test_pictures_and_files_go_up_with_their_real_types(
    client: openai.OpenAI, upstream: SharedUpstream
) -> None:
    def data(content: bytes, kind: str) -> str:
        return f"data:{kind};base64,{base64.b64encode(content).decode()}"

    content: Any = [
        {"type": "input_text", "text": "What is this?"},
        {"type": "input_image", "image_url": data(PNG, "image/jpeg"), "detail": "auto"},
        {"type": "input_file", "filename": "Report.pdf", "file_data": data(PDF, "application/pdf")},
    ]

    first = client.responses.create(model=USED, input=[{"role": "user", "content": content}])
    client.responses.create(model=USED, input="And now?", previous_response_id=first.id)

    calls = [call for call in upstream.calls("widgetAddContextFile") if call.csesidx is not None]
    files = [call.body["addContextFileRequest"] for call in calls]
    assert sorted((each["fileName"], each["mimeType"]) for each in files) == [
        ("Report.pdf", "application/pdf"),
        ("file.png", "image/png"),
    ]
    assert len(used_sessions(upstream)) == 1


DRAW: Any = {"type": "image_generation", "size": "1536x1024"}
FOX = picture("fox")


def pictures_of(response: Response) -> list[bytes]:
    calls = [item for item in response.output if item.type == "image_generation_call"]
    assert all(call.status == "completed" for call in calls)
    return [base64.b64decode(call.result or "") for call in calls]


def test_a_picture_is_an_item_and_the_next_response_goes_on_from_it(
    client: openai.OpenAI, upstream: SharedUpstream
) -> None:
    upstream.script(*image_reply("Here: ", content=FOX), times=2)

    first = client.responses.create(
        model=USED, input="A fox", tools=[DRAW], tool_choice={"type": "image_generation"}
    )
    second = client.responses.create(
        model=USED, input="bluer", tools=[DRAW], previous_response_id=first.id
    )

    assert pictures_of(first) == pictures_of(second) == [FOX]
    assert first.output_text.startswith("Here: ")
    assert "/media/" not in first.output_text
    asked = [call.body["streamAssistRequest"] for call in upstream.calls("widgetStreamAssist")]
    assert asked[0]["toolsSpec"] == {"imageGenerationSpec": {}}
    assert "wide, 1536 pixels wide" in upstream.questions()[0]
    assert upstream.questions()[1] == "bluer"
    assert len(used_sessions(upstream)) == 1
    assert upstream.calls("widgetAddContextFile") == []


def test_another_session_is_given_the_picture_that_was_made(
    client: openai.OpenAI, upstream: SharedUpstream
) -> None:
    upstream.script(*image_reply(content=FOX))
    first = client.responses.create(model=USED, input="A fox", tools=[DRAW])
    [call] = [item for item in first.output if item.type == "image_generation_call"]

    client.responses.create(
        model=USED,
        input=[
            {"role": "user", "content": "A fox, or what is one"},
            {"type": "image_generation_call", "id": call.id},  # type: ignore[typeddict-item]
            {"role": "user", "content": "bluer"},
        ],
    )

    [file] = [c for c in upstream.calls("widgetAddContextFile") if c.csesidx is not None]
    assert base64.b64decode(file.body["addContextFileRequest"]["fileContents"]) == FOX


def test_a_picture_that_is_required_and_does_not_come_is_an_error(
    client: openai.OpenAI, gateway: Served, upstream: SharedUpstream
) -> None:
    upstream.script(*answer("I cannot ", "draw today.", pause_s=0.05), times=2)
    asked = {"model": USED, "input": "A fox", "tools": [DRAW], "tool_choice": "required"}

    with pytest.raises(openai.InternalServerError) as caught:
        client.responses.create(**asked)
    streamed = events_of(post(gateway, **asked, stream=True).body)

    assert (caught.value.status_code, caught.value.code) == (502, "upstream_error")
    assert "it said: I cannot draw today." in caught.value.message
    assert kinds(streamed)[-1] == "failed"
    assert streamed[-1]["response"]["error"]["type"] == "upstream_error"


def test_a_picture_in_a_stream(client: openai.OpenAI, upstream: SharedUpstream) -> None:
    upstream.script(*image_reply("Here: ", content=FOX))

    with client.responses.stream(model=USED, input="A fox", tools=[DRAW]) as stream:
        seen = [event.type for event in stream]
        response = stream.get_final_response()

    assert pictures_of(response) == [FOX]
    assert seen.count("response.image_generation_call.completed") == 1


def test_without_the_tool_a_picture_is_a_link_in_the_text(
    client: openai.OpenAI, gateway: Served, upstream: SharedUpstream
) -> None:
    upstream.script(*image_reply("Here: ", content=FOX))

    response = client.responses.create(model=USED, input="A fox")

    assert f"]({gateway.url}/media/" in response.output_text
    assert pictures_of(response) == []


def test_paths_that_are_not_offered_say_so(gateway: Served) -> None:
    for path in ("/v1/conversations", "/v1/conversations/conv_1/items"):
        reply = gateway.request("POST", path, "{}", gateway.headers)
        assert (reply.status, reply.error["code"]) == (501, "not_implemented")
