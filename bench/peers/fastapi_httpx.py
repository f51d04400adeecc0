"""A minimal gateway as they are commonly written: FastAPI and httpx.

A client's key is checked, the token is fetched and signed once and kept, the answer is read as it
arrives and passed on as OpenAI's chunks. Of three calls, the first makes a session for the request
and the last deletes it, in the background; of one call, there is no session. There are no logs, no
failing over, no limits, no usage counts, no second way to read a layout: all of that would only
make it slower.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import os
import secrets
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from fastapi import FastAPI, Header, HTTPException
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

BASE_URL = os.environ["BENCH_UPSTREAM"]
API = f"{BASE_URL}/v1alpha/locations/global"
KEY = os.environ["BENCH_KEY"]
CA = os.environ.get("BENCH_CA")
KEEPS_SESSIONS = os.environ["BENCH_CALLS"] == "3"
QUERY = "?alt=sse" if os.environ.get("BENCH_FRAMING") == "sse" else ""
CSESIDX = "123456789"
CONFIG_ID = "11111111-2222-4333-8444-555555555555"
TOKEN_USE_S = 240

client = httpx.AsyncClient(
    verify=ssl.create_default_context(cafile=CA) if CA else True,
    timeout=60,
    # No limit on the connections, for 1,000 streams are to run. Of idle ones httpx keeps 20, its
    # default: it looks at all that it keeps with each request, and with 300 kept ones a streamed
    # chunk cost four times as much.
    limits=httpx.Limits(max_connections=None, max_keepalive_connections=20),
)
background: set[asyncio.Task[None]] = set()


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    yield
    await client.aclose()


app = FastAPI(lifespan=lifespan)


class Message(BaseModel):
    role: str
    content: str | list[dict[str, Any]]

    def texts(self) -> list[str]:
        if isinstance(self.content, str):
            return [self.content]
        return [part["text"] for part in self.content if part["type"] == "text"]

    def images(self) -> list[str]:
        """Data URLs."""
        if isinstance(self.content, str):
            return []
        return [part["image_url"]["url"] for part in self.content if part["type"] == "image_url"]


class Chat(BaseModel):
    model: str
    messages: list[Message]
    stream: bool = False


class Tokens:
    """The one account's bearer token."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._bearer = ""
        self._until = 0.0

    async def bearer(self) -> str:
        async with self._lock:
            if time.monotonic() > self._until:
                cookies = "__Secure-C_SES=CSE.bench; __Host-C_OSES=COS.bench"
                reply = await client.get(
                    f"{BASE_URL}/auth/getoxsrf?csesidx={CSESIDX}", headers={"Cookie": cookies}
                )
                key = json.loads(reply.text.removeprefix(")]}'"))
                self._bearer = sign(key["xsrfToken"], key["keyId"])
                self._until = time.monotonic() + TOKEN_USE_S
            return self._bearer


tokens = Tokens()


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "healthy"}


@app.post("/v1/chat/completions")
async def create(chat: Chat, authorization: str = Header("")) -> StreamingResponse:
    if not hmac.compare_digest(authorization, f"Bearer {KEY}"):
        raise HTTPException(401)
    prompt = "\n".join(text for message in chat.messages for text in message.texts())
    images = [image for message in chat.messages for image in message.images()]
    return StreamingResponse(answer(prompt, images, chat.model), media_type="text/event-stream")


async def answer(prompt: str, images: list[str], model: str) -> AsyncIterator[str]:
    """OpenAI's chunks of one answer."""
    head = {
        "id": f"chatcmpl-{secrets.token_hex(14)}",
        "object": "chat.completion.chunk",
        "created": int(time.time()),
        "model": model,
    }
    session = await new_session() if KEEPS_SESSIONS else ""
    try:
        files = [await upload(image, session) for image in images]
        yield chunk(head, {"role": "assistant", "content": ""})
        async for element in stream(prompt, session, files):
            replies = element.get("streamAssistResponse", {}).get("answer", {}).get("replies", [])
            for reply in replies:
                content = reply.get("groundedContent", {}).get("content", {})
                if content.get("text") and not content.get("thought"):
                    yield chunk(head, {"content": content["text"]})
        yield chunk(head, {}, "stop")
        yield "data: [DONE]\n\n"
    finally:
        if KEEPS_SESSIONS:
            task = asyncio.create_task(delete(session))
            background.add(task)
            task.add_done_callback(background.discard)


def chunk(head: dict[str, Any], delta: dict[str, Any], finish_reason: str | None = None) -> str:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return f"data: {json.dumps({**head, 'choices': [choice]}, ensure_ascii=False)}\n\n"


async def stream(prompt: str, session: str, files: list[str]) -> AsyncIterator[dict[str, Any]]:
    """The elements of one answer."""
    request = {
        "session": session,
        "query": {"parts": [{"text": prompt}]},
        "filter": "",
        "fileIds": files,
        "answerGenerationMode": "NORMAL",
        "toolsSpec": {"webGroundingSpec": {}, "toolRegistry": "default_tool_registry"},
        "languageCode": "en-US",
        "userMetadata": {"timeZone": "UTC"},
        "assistSkippingMode": "REQUEST_ASSIST",
    }
    async with client.stream(
        "POST",
        f"{API}/widgetStreamAssist{QUERY}",
        json=envelope({"streamAssistRequest": request}),
        headers=await headers(),
    ) as reply:
        reply.raise_for_status()
        if reply.headers["content-type"].startswith("text/event-stream"):
            async for line in reply.aiter_lines():
                if line.startswith("data: "):
                    yield json.loads(line[6:])
        else:
            async for element in elements(reply.aiter_text()):
                yield element


async def elements(texts: AsyncIterator[str]) -> AsyncIterator[dict[str, Any]]:
    """The objects of a JSON array, each as soon as its end has arrived."""
    decoder = json.JSONDecoder()
    buffer = ""
    async for text in texts:
        buffer += text
        position = 0
        while True:
            while position < len(buffer) and buffer[position] in "[], \r\n\t":
                position += 1
            try:
                element, position = decoder.raw_decode(buffer, position)
            except json.JSONDecodeError:
                break
            yield element
        buffer = buffer[position:]


async def call(method: str, request: dict[str, Any]) -> Any:
    reply = await client.post(f"{API}/{method}", json=envelope(request), headers=await headers())
    reply.raise_for_status()
    return reply.json()


async def new_session() -> str:
    made = await call("widgetCreateSession", {"createSessionRequest": {"session": {"name": ""}}})
    return str(made["session"]["name"])


async def upload(image: str, session: str) -> str:
    """Put an image into the session; its id."""
    head, _, content = image.partition(",")
    media_type = head.removeprefix("data:").removesuffix(";base64")
    file = {"fileName": "image", "mimeType": media_type, "fileContents": content}
    request = {"addContextFileRequest": {"name": session, **file}}
    added = await call("widgetAddContextFile", request)
    return str(added["addContextFileResponse"]["fileId"])


async def delete(session: str) -> None:
    await call("widgetDeleteSession", {"deleteSessionRequest": {"name": session}})


def envelope(request: dict[str, Any]) -> dict[str, Any]:
    return {"configId": CONFIG_ID, "additionalParams": {"token": "-"}, **request}


async def headers() -> dict[str, str]:
    return {
        "Authorization": f"Bearer {await tokens.bearer()}",
        "Origin": "https://business.gemini.google",
    }


def sign(xsrf_token: str, key_id: str) -> str:
    now = int(time.time())
    parts = (
        {"alg": "HS256", "typ": "JWT", "kid": key_id},
        {
            "iss": "https://business.gemini.google",
            "aud": "https://biz-discoveryengine.googleapis.com",
            "sub": f"csesidx/{CSESIDX}",
            "iat": now,
            "exp": now + 300,
            "nbf": now,
        },
    )
    signed = ".".join(unpadded(json.dumps(part).encode()) for part in parts)
    key = base64.urlsafe_b64decode(xsrf_token + "=" * (-len(xsrf_token) % 4))
    return f"{signed}.{unpadded(hmac.digest(key, signed.encode(), hashlib.sha256))}"


def unpadded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
