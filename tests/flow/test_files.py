"""Files of messages on their way into upstream sessions, over the wire."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from gbproxy.simulator import Simulator
from tests.support.serving import Served, SharedUpstream

UPLOAD, STREAM = "widgetAddContextFile", "widgetStreamAssist"
PNG, OTHER_PNG = b"\x89PNG\r\n\x1a\npixels", b"\x89PNG\r\n\x1a\nother pixels"
PDF = b"%PDF-1.7 pages"
MP3 = b"ID3\x04 a song"

streamed_or_not = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


def data_url(content: bytes, label: str = "image/png") -> str:
    return f"data:{label};base64,{base64.b64encode(content).decode()}"


def image(content: bytes = PNG, label: str = "image/png") -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": data_url(content, label)}}


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


def user(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"role": "user", "content": list(parts)}


def uploads(upstream: Simulator) -> list[dict[str, Any]]:
    """The requests that put files into sessions, as far as their tokens were good."""
    calls = [call for call in upstream.calls(UPLOAD) if call.csesidx is not None]
    return [call.body["addContextFileRequest"] for call in calls]


def contents(upstream: Simulator) -> list[bytes]:
    return [base64.b64decode(each["fileContents"]) for each in uploads(upstream)]


def asked(upstream: Simulator) -> list[dict[str, Any]]:
    return [call.body["streamAssistRequest"] for call in upstream.calls(STREAM)]


def sent_files(upstream: Simulator, question: dict[str, Any]) -> list[tuple[str, str, bytes]]:
    """Name, type and bytes of the files that a question names, in their order."""
    [session] = [
        each for each in upstream.sessions.values() if each.short_name == question["session"]
    ]
    files = [session.files[id_] for id_ in question["fileIds"]]
    return [(file.name, file.mime_type, file.content) for file in files]


@streamed_or_not
def test_files_of_every_form_go_up_with_their_real_types_in_their_order(
    gateway: Served, upstream: SharedUpstream, stream: bool
) -> None:
    audio = {"data": base64.b64encode(MP3).decode(), "format": "wav"}
    pdf = {"filename": "report.pdf", "file_data": data_url(PDF, "application/octet-stream")}

    reply = gateway.ask(
        [
            user(
                text("What are these?"),
                image(PNG, "image/jpeg"),
                {"type": "file", "file": pdf},
                {"type": "input_audio", "input_audio": audio},
            )
        ],
        stream=stream,
    )

    assert reply.succeeded
    [question] = asked(upstream)
    assert sent_files(upstream, question) == [
        ("file.png", "image/png", PNG),
        ("report.pdf", "application/pdf", PDF),
        ("audio.mp3", "audio/mpeg", MP3),
    ]
    assert upstream.questions() == ["What are these?"]
