"""Files in the messages of the official `anthropic` client, on their way into upstream sessions."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import anthropic
import pytest
from anthropic.types import Message

from tests.support.serving import Served, SharedUpstream

pytestmark = pytest.mark.slow

USED = "gemini-3.8-flash"
PNG = b"\x89PNG\r\n\x1a\npixels"
PDF = b"%PDF-1.7 pages"


@pytest.fixture
def claude(gateway: Served) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=gateway.url, api_key=gateway.key, max_retries=0) as made:
        yield made


def ask(claude: anthropic.Anthropic, *messages: Any, **fields: Any) -> Message:
    return claude.messages.create(model=USED, max_tokens=4096, messages=messages, **fields)


def source(content: bytes, kind: str) -> dict[str, Any]:
    return {"type": "base64", "media_type": kind, "data": base64.b64encode(content).decode()}


def image(content: bytes = PNG, kind: str = "image/png") -> dict[str, Any]:
    return {"type": "image", "source": source(content, kind)}


def text(said: str) -> dict[str, Any]:
    return {"type": "text", "text": said}


def user(*blocks: Any) -> dict[str, Any]:
    return {"role": "user", "content": list(blocks)}


def uploaded(upstream: SharedUpstream) -> list[tuple[str, str, bytes]]:
    """Name, type and bytes of the files that went up."""
    calls = [call for call in upstream.calls("widgetAddContextFile") if call.csesidx is not None]
    bodies = [call.body["addContextFileRequest"] for call in calls]
    return sorted(
        (each["fileName"], each["mimeType"], base64.b64decode(each["fileContents"]))
        for each in bodies
    )


def test_images_and_documents_go_up_with_their_real_types(
    claude: anthropic.Anthropic, upstream: SharedUpstream
) -> None:
    document = {
        "type": "document",
        "title": "Report",
        "source": source(PDF, "application/pdf"),
        "citations": {"enabled": True},
    }

    message = ask(claude, user(text("What is this?"), image(PNG, "image/jpeg"), document))

    assert message.stop_reason == "end_turn"
    assert uploaded(upstream) == [
        ("Report.pdf", "application/pdf", PDF),
        ("file.png", "image/png", PNG),
    ]


def test_the_picture_of_a_tool_goes_up_with_its_result(
    claude: anthropic.Anthropic, upstream: SharedUpstream
) -> None:
    look: Any = {"name": "look", "input_schema": {"type": "object", "properties": {}}}
    asked = user(text("Please look around"))

    called = ask(claude, asked, tools=[look])
    [call] = called.content
    assert call.type == "tool_use"
    result = {"type": "tool_result", "tool_use_id": call.id, "content": [text("Seen:"), image()]}
    answered = ask(claude, asked, called.to_param(), user(result), tools=[look])

    assert answered.stop_reason == "end_turn"
    assert uploaded(upstream) == [("file.png", "image/png", PNG)]


def test_a_file_that_is_none_is_refused_by_its_place(claude: anthropic.Anthropic) -> None:
    broken = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "%"}}

    with pytest.raises(anthropic.BadRequestError) as raised:
        ask(claude, user(text("What is this?"), broken))

    assert raised.value.api_message is not None
    assert raised.value.api_message.startswith("messages.0.content.1.source.data: ")
