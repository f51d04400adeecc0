"""Parts of messages that carry files, and what became of them upstream."""

from __future__ import annotations

import base64
from typing import Any

from gbproxy.simulator import Simulator
from tests.support.chats import STREAM

UPLOAD = "widgetAddContextFile"
PNG, OTHER_PNG = b"\x89PNG\r\n\x1a\npixels", b"\x89PNG\r\n\x1a\nother pixels"
PDF = b"%PDF-1.7 pages"
MP3 = b"ID3\x04 a song"


def data_url(content: bytes, label: str = "image/png") -> str:
    return f"data:{label};base64,{base64.b64encode(content).decode()}"


def image(content: bytes = PNG, label: str = "image/png") -> dict[str, Any]:
    return link(data_url(content, label))


def link(url: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


def file(content: bytes, name: str) -> dict[str, Any]:
    data = base64.b64encode(content).decode()
    return {"type": "file", "file": {"filename": name, "file_data": data}}


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


def says(*parts: dict[str, Any], role: str = "user") -> dict[str, Any]:
    return {"role": role, "content": list(parts)}


def uploads(upstream: Simulator) -> list[dict[str, Any]]:
    """The requests that put files into sessions, as far as their tokens were good."""
    calls = [call for call in upstream.calls(UPLOAD) if call.csesidx is not None]
    return [call.body["addContextFileRequest"] for call in calls]


def uploaded(upstream: Simulator) -> list[bytes]:
    """The bytes that went up, in no order."""
    return sorted(base64.b64decode(each["fileContents"]) for each in uploads(upstream))


def questions(upstream: Simulator) -> list[dict[str, Any]]:
    calls = [call for call in upstream.calls(STREAM) if call.csesidx is not None]
    return [call.body["streamAssistRequest"] for call in calls]


def prompt_of(question: dict[str, Any]) -> str:
    return str(question["query"]["parts"][0]["text"])


def files_of(upstream: Simulator, question: dict[str, Any]) -> list[tuple[str, str, bytes]]:
    """Name, type and bytes of the files that a question names, in their order."""
    [session] = [
        each for each in upstream.sessions.values() if each.short_name == question["session"]
    ]
    files = [session.files[id_] for id_ in question["fileIds"]]
    return [(each.name, each.mime_type, each.content) for each in files]
