"""The bare recipe: the least that a request and a chunk cost with Flask and requests under
gunicorn's gevent worker.

It has no keys, storage, conversations, logs, limits or failing over, and reads one layout; but
every means that makes these libraries quick: requests prepared once and sent through the adapter,
the upstream's body read from below urllib3, so that one read brings many elements, and one piece
given to gunicorn for each read.
"""

from __future__ import annotations

from collections.abc import Iterator

import gevent
import orjson
import requests
from flask import Flask, Response, request
from requests.adapters import HTTPAdapter

from bench.peers.answers import (
    API,
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

_READ_SIZE = 64 * 1024
_TIMEOUT_S = 60

app = Flask(__name__)
adapter = HTTPAdapter(pool_maxsize=2000)  # the default keeps ten and throws the others away
PREPARED = {
    verb: requests.Request("POST", f"{API}/widget{verb}", headers=HEADERS, data=b"-").prepare()
    for verb in ("CreateSession", "AddContextFile", "StreamAssist", "DeleteSession")
}


@app.get("/health")
def health() -> dict[str, str]:
    return {"status": "healthy"}


@app.post("/v1/chat/completions")
def create() -> Response:
    return Response(answer(orjson.loads(request.get_data())), mimetype="text/event-stream")


def answer(chat: dict) -> Iterator[bytes]:
    """OpenAI's chunks of one answer, those of one read together."""
    session = name_of(call("CreateSession", NEW_SESSION).content) if KEEPS_SESSIONS else ""
    prompt, images = parts(chat)
    files = [file_id(call("AddContextFile", upload(image, session)).content) for image in images]
    reply = call("StreamAssist", question(prompt, session, files))
    chunks = Answer(chat["model"])
    for data, is_last in pieces(reply):
        if frames := chunks.feed(data, is_last=is_last):
            yield frames
    if KEEPS_SESSIONS:
        gevent.spawn(lambda: call("DeleteSession", removal(session)).content)


def call(verb: str, body: bytes) -> requests.Response:
    prepared = PREPARED[verb].copy()
    prepared.body = body
    prepared.headers["Content-Length"] = str(len(body))
    reply = adapter.send(prepared, stream=True, timeout=_TIMEOUT_S)
    reply.raise_for_status()
    return reply


def pieces(reply: requests.Response) -> Iterator[tuple[bytes, bool]]:
    """Yield the bytes of each read of a chunked body, with True for the last. At its end the
    connection goes back to the pool.
    """
    response = reply.raw._fp  # http.client's
    data, is_last = b"", False
    while not is_last:
        arrived = response.fp.read1(_READ_SIZE)
        if not arrived:
            raise requests.ConnectionError("the answer broke off")
        data += arrived
        found, at = [], 0
        while (line_end := data.find(b"\r\n", at)) > 0:
            size = int(data[at:line_end], 16)
            end = line_end + 2 + size + 2
            if end > len(data):
                break
            found.append(data[line_end + 2 : end - 2])
            at = end
            is_last = size == 0
        data = data[at:]
        if is_last:
            response._close_conn()
            reply.raw.release_conn()
        if found:
            yield b"".join(found), is_last
