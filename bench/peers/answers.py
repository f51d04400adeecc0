"""Makes questions for the upstream, and OpenAI's chunks of its answers, for all quick peers.

Nothing is done for each chunk that can be done for each read: what one read completes is decoded
in one go, and given on in one piece. It reads the one layout that the upstream sends, in which an
element ends with a brace at the beginning of a line.
"""

from __future__ import annotations

import os
import secrets
import time
from typing import Any

import orjson

BASE_URL = os.environ["BENCH_UPSTREAM"]
API = f"{BASE_URL}/v1alpha/locations/global"
AUTHORIZATION = f"Bearer {os.environ['BENCH_KEY']}"
KEEPS_SESSIONS = os.environ["BENCH_CALLS"] == "3"  # one is made before each answer, deleted after
HEADERS = {
    "Authorization": "Bearer made.once.signed",  # a gateway makes one in four minutes
    "Content-Type": "application/json",
    "Origin": "https://business.gemini.google",
}

_ELEMENT_END = b"\n}"
_DONE = b"data: [DONE]\n\n"


def envelope(request: dict[str, Any]) -> bytes:
    config_id = "11111111-2222-4333-8444-555555555555"
    return orjson.dumps({"configId": config_id, "additionalParams": {"token": "-"}, **request})


NEW_SESSION = envelope({"createSessionRequest": {"session": {"name": ""}}})

_SESSION, _PROMPT, _FILES, _BEHIND = envelope(
    {
        "streamAssistRequest": {
            "session": "%",
            "query": {"parts": [{"text": "%"}]},
            "filter": "",
            "fileIds": "%",
            "answerGenerationMode": "NORMAL",
            "toolsSpec": {"webGroundingSpec": {}, "toolRegistry": "default_tool_registry"},
            "languageCode": "en-US",
            "userMetadata": {"timeZone": "UTC"},
            "assistSkippingMode": "REQUEST_ASSIST",
        }
    }
).split(b'"%"')


def parts(chat: dict[str, Any]) -> tuple[str, list[str]]:
    """The texts of all messages as one, and the data URLs of all images."""
    texts, images = [], []
    for message in chat["messages"]:
        content = message["content"]
        if isinstance(content, str):
            texts.append(content)
            continue
        for part in content:
            if part["type"] == "text":
                texts.append(part["text"])
            else:
                images.append(part["image_url"]["url"])
    return "\n".join(texts), images


def question(prompt: str, session: str, files: list[str]) -> bytes:
    """The body of the call that streams an answer to all that the client has sent; `files`: their
    ids.
    """
    values = (orjson.dumps(session), orjson.dumps(prompt), orjson.dumps(files))
    between = (_SESSION, _PROMPT, _FILES)
    return b"".join(each for pair in zip(between, values, strict=True) for each in pair) + _BEHIND


def upload(image: str, session: str) -> bytes:
    """The body of the call that puts an image into a session: the base64 of its data URL as it
    stands, unchecked.
    """
    head, _, content = image.partition(",")
    media_type = head.removeprefix("data:").removesuffix(";base64")
    file = {"fileName": "image", "mimeType": media_type, "fileContents": content}
    return envelope({"addContextFileRequest": {"name": session, **file}})


def file_id(added: bytes) -> str:
    return str(orjson.loads(added)["addContextFileResponse"]["fileId"])


def name_of(session: bytes) -> str:
    return str(orjson.loads(session)["session"]["name"])


def removal(session: str) -> bytes:
    return envelope({"deleteSessionRequest": {"name": session}})


class Answer:
    """The chunks of one answer, out of the upstream's array as it arrives."""

    def __init__(self, model: str) -> None:
        name = orjson.dumps(model).decode()
        self._before = (
            f'data: {{"id":"chatcmpl-{secrets.token_hex(14)}","object":"chat.completion.chunk",'
            f'"created":{int(time.time())},"model":{name},"choices":[{{"index":0,"delta":'
        ).encode()
        self._rest = b""
        self._opened = False

    def feed(self, data: bytes, *, is_last: bool) -> bytes:
        """The chunks that are whole with this piece of the body; with the first one the role, with
        the last one the end.
        """
        frames = [] if self._opened else [self._frame(b'{"role":"assistant","content":""}')]
        self._opened = True
        frames += [
            self._frame(b'{"content":' + orjson.dumps(text) + b"}") for text in self._texts(data)
        ]
        if is_last:
            frames += (self._frame(b"{}", b'"stop"'), _DONE)
        return b"".join(frames)

    def _texts(self, data: bytes) -> list[str]:
        data = self._rest + data
        end = data.rfind(_ELEMENT_END) + len(_ELEMENT_END)
        if end < len(_ELEMENT_END):
            self._rest = data
            return []
        self._rest = data[end:]
        elements = orjson.loads(b"[" + data[:end].lstrip(b"[,\r\n") + b"]")
        contents = [
            reply["groundedContent"]["content"]
            for element in elements
            for reply in element["streamAssistResponse"]["answer"].get("replies", ())
        ]
        return [each["text"] for each in contents if "text" in each and not each.get("thought")]

    def _frame(self, delta: bytes, finish_reason: bytes = b"null") -> bytes:
        return self._before + delta + b',"finish_reason":' + finish_reason + b"}]}\n\n"
