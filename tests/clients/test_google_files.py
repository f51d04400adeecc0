"""Files in the contents of Google's own clients, on their way into upstream sessions."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from google import genai
from google.genai import errors, types

from tests.support import node_client
from tests.support.chats import used_sessions
from tests.support.node_client import needs_node
from tests.support.serving import Served, SharedUpstream

USED = "gemini-3.8-flash"
PNG = b"\x89PNG\r\n\x1a\npixels\xfb\xff"  # its base64 has a sign of each alphabet
PDF = b"%PDF-1.7 pages"


@pytest.fixture
def google(gateway: Served) -> Iterator[genai.Client]:
    options = types.HttpOptions(base_url=gateway.url)
    with closing(genai.Client(api_key=gateway.key, http_options=options)) as made:
        yield made


def uploaded(upstream: SharedUpstream) -> list[tuple[str, bytes]]:
    """Type and bytes of the files that went up."""
    calls = [call for call in upstream.calls("widgetAddContextFile") if call.csesidx is not None]
    bodies = [call.body["addContextFileRequest"] for call in calls]
    return sorted((each["mimeType"], base64.b64decode(each["fileContents"])) for each in bodies)


def test_images_and_documents_go_up(google: genai.Client, upstream: SharedUpstream) -> None:
    contents: list[Any] = [
        "What is this?",
        types.Part.from_bytes(data=PNG, mime_type="image/png"),
        types.Part.from_bytes(data=PDF, mime_type="application/pdf"),
    ]

    response = google.models.generate_content(model=USED, contents=contents)

    assert response.text
    assert uploaded(upstream) == [("application/pdf", PDF), ("image/png", PNG)]


def test_a_picture_goes_up_once_in_a_chat(google: genai.Client, upstream: SharedUpstream) -> None:
    chat = google.chats.create(model=USED)

    chat.send_message(["What is this?", types.Part.from_bytes(data=PNG, mime_type="image/png")])
    chat.send_message("Which colour?")

    assert uploaded(upstream) == [("image/png", PNG)]
    assert len(used_sessions(upstream)) == 1


def test_a_file_that_is_none_is_refused_by_its_place(google: genai.Client) -> None:
    file = types.Part.from_uri(file_uri="files/none", mime_type="image/png")

    with pytest.raises(errors.ClientError) as refused:
        google.models.generate_content(model=USED, contents=["What is this?", file])

    assert refused.value.code == 400
    assert "contents[0].parts[1].fileData.fileUri" in (refused.value.message or "")


@needs_node
def test_a_picture_of_the_client_for_node(gateway: Served, upstream: SharedUpstream) -> None:
    found = node_client.run(
        "google_genai.mjs",
        "image",
        BASE_URL=gateway.url,
        API_KEY=gateway.key,
        API_VERSION="v1",
        MODEL=USED,
        QUESTION="What is this?",
        IMAGE=base64.b64encode(PNG).decode(),
    )

    assert found["image"]
    assert uploaded(upstream) == [("image/png", PNG)]
