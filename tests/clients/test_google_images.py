"""Pictures that the model makes, for Google's own clients."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from google import genai
from google.genai import types

from gbproxy.simulator import answer, image_reply
from gbproxy.simulator.widget.files import picture
from tests.support import node_client
from tests.support.chats import used_sessions
from tests.support.node_client import needs_node
from tests.support.serving import Served, SharedUpstream
from tests.support.storages import on_databases_too

USED = "gemini-3.8-flash"
PNG = picture("one")
IMAGE_TOOL = {"imageGenerationSpec": {}}
AS_PICTURE = types.GenerateContentConfig(response_modalities=["IMAGE"])

# Its converters warn of what other APIs of Google's have.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*:UserWarning:google.genai"),
    on_databases_too,
]


@pytest.fixture(params=["v1", "v1beta"])
def google(gateway: Served, request: pytest.FixtureRequest) -> Iterator[genai.Client]:
    options = types.HttpOptions(base_url=gateway.url, api_version=request.param)
    with closing(genai.Client(api_key=gateway.key, http_options=options)) as made:
        yield made


def pictures_of(*responses: types.GenerateContentResponse) -> list[tuple[str | None, bytes | None]]:
    parts = [
        part
        for response in responses
        for candidate in response.candidates or ()
        for part in (candidate.content and candidate.content.parts) or ()
    ]
    return [(p.inline_data.mime_type, p.inline_data.data) for p in parts if p.inline_data]


def ends_of(*responses: types.GenerateContentResponse) -> list[types.FinishReason]:
    candidates = [each for response in responses for each in response.candidates or ()]
    return [each.finish_reason for each in candidates if each.finish_reason]


def asked(upstream: SharedUpstream) -> list[dict[str, Any]]:
    return [call.body["streamAssistRequest"] for call in upstream.calls("widgetStreamAssist")]


def test_a_picture_in_any_answer_comes_with_its_bytes(
    google: genai.Client, upstream: SharedUpstream
) -> None:
    upstream.script(*image_reply("Here: ", content=PNG), times=2)

    whole = google.models.generate_content(model=USED, contents="draw a fox")
    streamed = list(google.models.generate_content_stream(model=USED, contents="draw a fox"))

    for responses in ([whole], streamed):
        assert pictures_of(*responses) == [("image/png", PNG)]
        assert ends_of(*responses) == [types.FinishReason.STOP]
        assert "".join(part_text(each) for each in responses).startswith("Here: ")
    usage = whole.usage_metadata
    assert usage is not None
    assert (usage.candidates_token_count or 0) >= 1290


def part_text(response: types.GenerateContentResponse) -> str:
    [candidate] = response.candidates or ()
    parts = (candidate.content and candidate.content.parts) or ()
    return "".join(part.text or "" for part in parts)


def test_where_text_alone_is_wanted_a_picture_is_a_link_in_it(
    google: genai.Client, gateway: Served, upstream: SharedUpstream
) -> None:
    upstream.script(*image_reply("Here: ", content=PNG))
    config = types.GenerateContentConfig(response_modalities=["TEXT"])

    response = google.models.generate_content(model=USED, contents="draw a fox", config=config)

    assert pictures_of(response) == []
    assert f"]({gateway.url}/media/" in (response.text or "")


def test_a_picture_that_is_asked_for_is_made_by_that_tool_alone(
    google: genai.Client, upstream: SharedUpstream
) -> None:
    upstream.script(*image_reply(content=PNG))
    config = types.GenerateContentConfig(
        response_modalities=["TEXT", "IMAGE"],
        image_config=types.ImageConfig(aspect_ratio="16:9", image_size="2K"),
    )

    response = google.models.generate_content(model=USED, contents="A fox", config=config)

    assert pictures_of(response) == [("image/png", PNG)]
    [question] = asked(upstream)
    assert question["toolsSpec"] == IMAGE_TOOL
    [part] = question["query"]["parts"]
    assert "of the aspect ratio 16:9, of the resolution 2K" in part["text"]
    assert "A fox" in part["text"]


def test_an_answer_that_is_no_picture_says_so(
    google: genai.Client, upstream: SharedUpstream
) -> None:
    upstream.script(*answer("I cannot draw that."), times=2)

    whole = google.models.generate_content(model=USED, contents="A fox", config=AS_PICTURE)
    streamed = list(
        google.models.generate_content_stream(model=USED, contents="A fox", config=AS_PICTURE)
    )

    assert ends_of(whole) == ends_of(*streamed) == [types.FinishReason.NO_IMAGE]
    assert part_text(whole) == "I cannot draw that."


def test_a_chat_goes_on_behind_its_picture(google: genai.Client, upstream: SharedUpstream) -> None:
    upstream.script(*image_reply(content=PNG))
    chat = google.chats.create(model="gemini-imagen", config=AS_PICTURE)

    first = chat.send_message("A fox")
    chat.send_message("bluer")

    assert pictures_of(first) == [("image/png", PNG)]
    assert upstream.questions() == ["A fox", "bluer"]
    assert len(used_sessions(upstream)) == 1
    assert upstream.calls("widgetAddContextFile") == []


def test_another_session_is_given_the_picture_that_was_made(
    google: genai.Client, upstream: SharedUpstream
) -> None:
    drawn = types.Part.from_bytes(data=PNG, mime_type="image/png")
    contents: list[Any] = [
        types.Content(role="user", parts=[types.Part.from_text(text="A fox")]),
        types.Content(role="model", parts=[drawn]),
        types.Content(role="user", parts=[types.Part.from_text(text="bluer")]),
    ]

    google.models.generate_content(model="gemini-imagen", contents=contents)

    [call] = [c for c in upstream.calls("widgetAddContextFile") if c.csesidx is not None]
    assert base64.b64decode(call.body["addContextFileRequest"]["fileContents"]) == PNG


@needs_node
def test_a_picture_for_the_client_for_node(gateway: Served, upstream: SharedUpstream) -> None:
    upstream.script(*image_reply(content=PNG))

    found = node_client.run(
        "google_genai.mjs",
        "drawn",
        BASE_URL=gateway.url,
        API_KEY=gateway.key,
        API_VERSION="v1",
        MODEL="gemini-imagen",
        QUESTION="A fox",
    )

    assert found["drawn"] == [{"mimeType": "image/png", "data": base64.b64encode(PNG).decode()}]
