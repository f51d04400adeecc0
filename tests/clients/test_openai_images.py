"""Images by the official `openai` client, generated and edited, and in chat."""

from __future__ import annotations

import base64
import json
import math
from typing import Any

import openai
import pytest
from openai.types import Image

from gbproxy.simulator import answer, http_error, image_reply, policy_violation
from gbproxy.simulator.widget.files import picture
from tests.support.serving import Reply, Served, SharedUpstream
from tests.support.storages import on_databases_too

PNG, OTHER_PNG = picture("one"), picture("two")
IMAGE_TOOL = {"imageGenerationSpec": {}}

pytestmark = on_databases_too


def asked(upstream: SharedUpstream) -> list[dict[str, Any]]:
    return [call.body["streamAssistRequest"] for call in upstream.calls("widgetStreamAssist")]


def bytes_of(image: Image) -> bytes:
    assert image.url is None
    return base64.b64decode(image.b64_json or "")


def test_an_image_is_a_link_that_leads_to_it(
    client: openai.OpenAI, gateway: Served, upstream: SharedUpstream
) -> None:
    upstream.script(*image_reply(content=PNG))

    made = client.images.generate(model="dall-e-3", prompt="A red fox")

    [image] = made.data or []
    assert image.b64_json is None
    assert gateway.request("GET", (image.url or "").removeprefix(gateway.url)).body == PNG
    assert made.output_format == "png"
    assert made.usage is not None
    assert made.usage.output_tokens >= 1290
    assert made.usage.total_tokens == made.usage.input_tokens + made.usage.output_tokens
    [question] = asked(upstream)
    assert question["toolsSpec"] == IMAGE_TOOL
    assert "assistGenerationConfig" not in question
    assert question["query"]["parts"] == [{"text": "A red fox"}]


@pytest.mark.parametrize(
    ("model", "wanted", "in_bytes"),
    [
        ("gpt-image-2.5", None, True),
        ("chatgpt-image-latest", None, True),
        ("gemini-imagen", "b64_json", True),
        ("gemini-imagen", None, False),
        ("gpt-image-2", "url", False),
    ],
)
def test_bytes_or_a_link(
    client: openai.OpenAI,
    upstream: SharedUpstream,
    model: str,
    wanted: Any,
    in_bytes: bool,
) -> None:
    upstream.script(*image_reply(content=PNG))
    further = {} if wanted is None else {"response_format": wanted}

    [image] = client.images.generate(model=model, prompt="fox", **further).data or []

    assert (image.b64_json is not None, image.url is not None) == (in_bytes, not in_bytes)
    if in_bytes:
        assert bytes_of(image) == PNG


def test_several_images_are_made_in_sessions_of_their_own(
    client: openai.OpenAI, upstream: SharedUpstream
) -> None:
    for number in range(4):
        upstream.script(*image_reply(content=picture(str(number))))

    made = client.images.generate(model="gpt-image-2", prompt="fox", n=4)

    assert sorted(map(bytes_of, made.data or [])) == sorted(picture(str(n)) for n in range(4))
    assert len({question["session"] for question in asked(upstream)}) == 4


@pytest.mark.parametrize("number", [1, 2])
def test_a_stream_ends_with_the_images(
    client: openai.OpenAI, upstream: SharedUpstream, number: int
) -> None:
    upstream.script(*image_reply(content=PNG), times=number)

    with client.images.generate(
        model="gpt-image-2",
        prompt="fox",
        n=number,
        stream=True,
        partial_images=2,
        size="1024x1536",
        quality="high",
    ) as stream:
        events = list(stream)

    assert len(events) == number
    for event in events:
        assert event.type == "image_generation.completed"
        assert base64.b64decode(event.b64_json) == PNG
        assert (event.size, event.output_format) == ("64x64", "png")  # those that came
        assert (event.quality, event.background) == ("auto", "auto")
        assert event.usage.total_tokens > 1290


def test_what_has_words_goes_into_the_prompt_and_the_rest_is_named(
    client: openai.OpenAI, upstream: SharedUpstream
) -> None:
    upstream.script(*image_reply(content=PNG))

    raw = client.images.with_raw_response.generate(
        model="gpt-image-2",
        prompt="A fox",
        size="1536x1024",
        quality="high",
        background="transparent",
        output_format="webp",
        moderation="low",
        user="u",
    )

    [question] = asked(upstream)
    assert question["query"]["parts"] == [
        {
            "text": "A fox\n\nThe picture is to be wide, 1536 pixels wide and 1024 pixels high, of"
            " high quality, with fine detail, on a transparent background, in the file format WEBP."
        }
    ]
    assert raw.headers["x-gbproxy-ignored"] == "moderation, user"
    made = raw.parse()
    assert (made.size, made.output_format) == ("64x64", "png")  # those that came
    assert (made.quality, made.background) == (None, None)


def test_a_chat_model_draws_with_one_tool(client: openai.OpenAI, upstream: SharedUpstream) -> None:
    upstream.script(*image_reply(content=PNG))

    client.images.generate(model="gemini-3.8-flash", prompt="A fox")

    [question] = asked(upstream)
    assert question["toolsSpec"] == IMAGE_TOOL
    assert question["assistGenerationConfig"] == {"modelId": "gemini-3.8-flash"}


@pytest.mark.parametrize("model", ["gemini-veo", "gemini-auto-search"])
def test_a_model_that_cannot_draw_is_refused(
    client: openai.OpenAI, upstream: SharedUpstream, model: str
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.images.generate(model=model, prompt="A fox")

    assert caught.value.param == "model"
    assert asked(upstream) == []


# Edits


@pytest.fixture
def keeping(upstream: SharedUpstream) -> SharedUpstream:
    """Deletes no session in this test: with it go the files that the test looks for."""
    upstream.script(
        *http_error(503, "UNAVAILABLE", "later"), path="widgetDeleteSession", times=math.inf
    )
    return upstream


@pytest.mark.parametrize("number", [1, 3])
def test_pictures_are_edited(client: openai.OpenAI, keeping: SharedUpstream, number: int) -> None:
    keeping.script(*image_reply(content=OTHER_PNG))
    given = [(f"{n}.png", picture(str(n)), "image/png") for n in range(number)]

    made = client.images.edit(
        model="gpt-image-2", image=given if number > 1 else given[0], prompt="Make it blue"
    )

    [image] = made.data or []
    assert bytes_of(image) == OTHER_PNG
    [question] = asked(keeping)
    assert len(question["fileIds"]) == number
    [session] = [s for s in keeping.sessions.values() if question["session"] == s.short_name]
    sent = [session.files[file_id].content for file_id in question["fileIds"]]
    assert sent == [content for _, content, _ in given]
    assert question["query"]["parts"][0]["text"].endswith("Make it blue")


def test_an_uploaded_picture_is_edited(
    client: openai.OpenAI, gateway: Served, keeping: SharedUpstream
) -> None:
    keeping.script(*image_reply(content=OTHER_PNG))
    made = client.files.create(file=("fox.png", PNG), purpose="vision")
    body = {"images": [{"file_id": made.id}], "prompt": "A hat", "response_format": "b64_json"}

    reply = gateway.request("POST", "/v1/images/edits", json.dumps(body), gateway.headers)

    assert reply.status == 200, reply.body
    assert base64.b64decode(reply.json()["data"][0]["b64_json"]) == OTHER_PNG
    [question] = asked(keeping)
    [session] = [s for s in keeping.sessions.values() if question["session"] == s.short_name]
    assert [session.files[file_id].content for file_id in question["fileIds"]] == [PNG]


def test_a_mask_goes_last_and_is_explained(client: openai.OpenAI, keeping: SharedUpstream) -> None:
    keeping.script(*image_reply(content=OTHER_PNG))

    client.images.edit(
        image=("fox.png", PNG), mask=("mask.png", OTHER_PNG), prompt="A hat", n=1, size="auto"
    )

    [question] = asked(keeping)
    [session] = [s for s in keeping.sessions.values() if question["session"] == s.short_name]
    assert session.files[question["fileIds"][-1]].content == OTHER_PNG
    assert "mask of the first" in question["query"]["parts"][0]["text"]


def test_an_edit_is_streamed_too(client: openai.OpenAI, upstream: SharedUpstream) -> None:
    upstream.script(*image_reply(content=OTHER_PNG))

    with client.images.edit(image=("fox.png", PNG), prompt="A hat", stream=True) as stream:
        [event] = list(stream)

    assert event.type == "image_edit.completed"
    assert base64.b64decode(event.b64_json) == OTHER_PNG


def posted(gateway: Served, path: str, **body: Any) -> Reply:
    return gateway.request("POST", path, json.dumps(body), gateway.headers)


def test_pictures_may_come_in_json(gateway: Served, upstream: SharedUpstream) -> None:
    upstream.script(*image_reply(content=OTHER_PNG))
    url = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"

    reply = posted(
        gateway, "/v1/images/edits", prompt="A hat", images=[{"image_url": url}, {"image_url": url}]
    )

    assert reply.status == 200
    [question] = asked(upstream)
    assert question["fileIds"]
    assert "url" in reply.json()["data"][0]


# Where there is no image


def test_an_answer_without_an_image_is_an_error_that_says_what_was_said(
    client: openai.OpenAI, upstream: SharedUpstream
) -> None:
    upstream.script(*answer("I cannot draw ", "today."))

    with pytest.raises(openai.APIStatusError) as caught:
        client.images.generate(prompt="fox")

    assert (caught.value.status_code, caught.value.code) == (502, "upstream_error")
    assert caught.value.response.headers["x-should-retry"] == "false"
    assert caught.value.body["message"] == (  # type: ignore[index]
        "the model has made no image; it said: I cannot draw today."
    )


def test_a_stream_without_an_image_ends_with_an_error(
    client: openai.OpenAI, upstream: SharedUpstream
) -> None:
    upstream.script(*answer("I cannot draw."))

    with (
        pytest.raises(openai.APIError, match="no image"),
        client.images.generate(model="gpt-image-2", prompt="fox", stream=True) as stream,
    ):
        list(stream)


def test_a_forbidden_image_is_a_bad_request(
    client: openai.OpenAI, upstream: SharedUpstream
) -> None:
    upstream.script(*policy_violation())

    with pytest.raises(openai.BadRequestError) as caught:
        client.images.generate(prompt="fox")

    assert (caught.value.code, caught.value.param) == ("content_policy_violation", "prompt")


def test_images_in_chat_stand_beside_the_text(
    client: openai.OpenAI, upstream: SharedUpstream
) -> None:
    upstream.script(*image_reply("Here: ", content=PNG), times=2)
    ask: Any = {"model": "gemini-imagen", "messages": [{"role": "user", "content": "fox"}]}

    whole = client.chat.completions.create(**ask)
    streamed = list(client.chat.completions.create(**ask, stream=True))

    [image] = whole.choices[0].message.images  # type: ignore[attr-defined]
    assert image["image_url"]["url"] in (whole.choices[0].message.content or "")
    [delta] = [chunk for chunk in streamed if hasattr(chunk.choices[0].delta, "images")]
    assert delta.choices[0].delta.images[0]["type"] == "image_url"  # type: ignore[attr-defined]
