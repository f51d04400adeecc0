"""FastAPI and aiohttp at their quickest, under uvicorn with uvloop and httptools.

A client's key is checked; the request is not made into a model, and the answer goes from what one
read brings to what uvicorn sends, with no generator and no task group in between. There are no
logs, no storage, no limits, no failing over; a client's leaving is not looked for.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import orjson
from fastapi import FastAPI, HTTPException, Request, Response
from starlette.types import Receive, Scope, Send
from yarl import URL

from bench.peers.answers import (
    API,
    AUTHORIZATION,
    HEADERS,
    KEEPS_SESSIONS,
    NEW_SESSION,
    Answer,
    file_id,
    name_of,
    parts,
    question,
    removal,
    upload,
)

_URLS = {
    verb: URL(f"{API}/widget{verb}", encoded=True)
    for verb in ("CreateSession", "AddContextFile", "StreamAssist", "DeleteSession")
}
_EVENTS = [(b"content-type", b"text/event-stream; charset=utf-8")]

background: set[asyncio.Task[bytes]] = set()


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """The one client: any number of connections, kept for long; nothing is decoded, no cookie
    kept, no header added that nobody reads.
    """
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=75),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers=HEADERS,
        skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding"),
        auto_decompress=False,
        raise_for_status=True,
    ) as app.state.client:
        yield


app = FastAPI(lifespan=lifespan, openapi_url=None)


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "healthy"}


@app.post("/v1/chat/completions")
async def create(request: Request) -> Response:
    if not hmac.compare_digest(request.headers.get("authorization", ""), AUTHORIZATION):
        raise HTTPException(401)
    chat = orjson.loads(await request.body())
    client: aiohttp.ClientSession = request.app.state.client
    session = name_of(await call(client, "CreateSession", NEW_SESSION)) if KEEPS_SESSIONS else ""
    prompt, images = parts(chat)
    files = [
        file_id(await call(client, "AddContextFile", upload(image, session))) for image in images
    ]
    return Stream(client, chat["model"], session, question(prompt, session, files))


async def call(client: aiohttp.ClientSession, verb: str, body: bytes) -> bytes:
    async with client.post(_URLS[verb], data=body) as reply:
        return await reply.read()


class Stream(Response):
    """One answer, written as it comes."""

    def __init__(
        self, client: aiohttp.ClientSession, model: str, session: str, asked: bytes
    ) -> None:
        self.client, self.model, self.session, self.asked = client, model, session, asked
        self.background = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self.client.post(_URLS["StreamAssist"], data=self.asked) as reply:
            await send({"type": "http.response.start", "status": 200, "headers": _EVENTS})
            chunks, is_last = Answer(self.model), False
            while not is_last:
                data = await reply.content.readany()
                is_last = reply.content.at_eof()
                if frames := chunks.feed(data, is_last=is_last):
                    await send({"type": "http.response.body", "body": frames, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        if KEEPS_SESSIONS:
            task = asyncio.create_task(call(self.client, "DeleteSession", removal(self.session)))
            background.add(task)
            task.add_done_callback(background.discard)
