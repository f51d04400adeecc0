"""Uploads to Google's path in one request: the bytes alone, or in a body of parts."""

from __future__ import annotations

import base64
import hashlib
import json
import socket
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import pytest

from gbproxy.simulator.widget.files import picture
from tests.support.messages_with_files import uploaded
from tests.support.serving import Reply, Served, SharedUpstream

UPLOAD = "/upload/v1beta/files"
PNG = picture("a fox")
# Line breaks and what looks like a boundary, all over the seams between the pieces that are read.
TRICKY = b"\r\n--of-itself\r\n--of-i" * 20_000
RELATED = "multipart/related; boundary=of-it"


def upload(gateway: Served, path: str, body: bytes, **headers: str) -> Reply:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return gateway.request("POST", path, body, {"x-goog-api-key": gateway.key, **named})


def parts(metadata: bytes, content: bytes, kind: str = "image/png", end: bytes = b"\r\n") -> bytes:
    lines = (
        b"--of-it", b"Content-Type: application/json; charset=UTF-8", b"", metadata,
        b"--of-it", b"Content-Type: " + kind.encode(), b"", content,
        b"--of-it--", b"",
    )  # fmt: skip
    return end.join(lines)


def check(gateway: Served, reply: Reply, content: bytes, name: str | None, kind: str) -> str:
    """The answer tells the file, and its bytes are to be had. Returns its name."""
    assert reply.status == 200, reply.body
    file = reply.json()["file"]
    assert (file.get("displayName"), file["mimeType"]) == (name, kind)
    assert file["sizeBytes"] == str(len(content))
    assert base64.b64decode(file["sha256Hash"]) == hashlib.sha256(content).digest()
    id_ = file["name"].removeprefix("files/")
    assert gateway.request("GET", f"/v1/files/{id_}/content", None, gateway.headers).body == content
    return str(file["uri"])


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        (UPLOAD, {"X_Goog_Upload_Protocol": "raw", "Content_Type": "image/png"}),
        (f"{UPLOAD}?uploadType=media", {"Content_Type": "image/png"}),
        (
            "/gemini/upload/v1/files?upload_protocol=raw",
            {
                "X_Goog_Upload_Header_Content_Type": "image/png",
                "Content_Type": "application/x-www-form-urlencoded",
            },
        ),
    ],
)
def test_bytes_alone_are_a_file(
    gateway: Served, upstream: SharedUpstream, path: str, headers: Mapping[str, str]
) -> None:
    reply = upload(gateway, path, PNG, X_Goog_Upload_File_Name="fox.png", **headers)

    uri = check(gateway, reply, PNG, "fox.png", "image/png")
    file = {"fileData": {"fileUri": uri, "mimeType": "image/png"}}
    contents = {"contents": [{"parts": [{"text": "What is it?"}, file]}]}
    at = "/v1beta/models/gemini-auto:generateContent"
    asked = upload(gateway, at, json.dumps(contents).encode(), Content_Type="application/json")
    assert asked.status == 200
    assert uploaded(upstream) == [PNG]


@pytest.mark.parametrize("end", [b"\r\n", b"\n"], ids=["crlf", "lf"])
@pytest.mark.parametrize("content", [PNG, TRICKY], ids=["picture", "tricky"])
@pytest.mark.parametrize(
    ("path", "headers"),
    [(UPLOAD, {"X_Goog_Upload_Protocol": "multipart"}), (f"{UPLOAD}?uploadType=multipart", {})],
)
def test_a_body_of_parts_has_a_file_and_what_is_said_of_it(
    gateway: Served, path: str, headers: Mapping[str, str], content: bytes, end: bytes
) -> None:
    metadata = json.dumps({"file": {"display_name": "A fox"}}).encode()
    kind = "image/png" if content is PNG else "text/plain"

    reply = upload(
        gateway, path, parts(metadata, content, kind, end), Content_Type=RELATED, **headers
    )

    check(gateway, reply, content, "A fox", kind)


def test_the_metadata_says_the_type_rather_than_the_part(gateway: Served) -> None:
    metadata = b'{"file": {"mimeType": "text/csv"}}'

    reply = upload(gateway, UPLOAD, parts(metadata, b"a,b", "text/plain"), Content_Type=RELATED)

    check(gateway, reply, b"a,b", None, "text/csv")


def test_parts_may_have_no_heads(gateway: Served) -> None:
    body = b"--of-it\r\n\r\n{}\r\n--of-it  \r\n\r\n%b\r\n--of-it--" % PNG

    reply = upload(gateway, UPLOAD, body, Content_Type=RELATED)

    check(gateway, reply, PNG, None, "image/png")


WHOLE = parts(b"{}", PNG)


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (WHOLE[:-12], RELATED, 400),
        (WHOLE[:60], RELATED, 400),
        (WHOLE, "multipart/related", 400),
        (parts(b"{", PNG), RELATED, 400),
        (parts(b'{"file": 1}', PNG), RELATED, 400),
        (parts(b" " * 300_000, PNG), RELATED, 400),
        (parts(b"{}", b""), RELATED, 400),
        (parts(b"{}", PNG, "image/png\r\nContent-Transfer-Encoding: base64"), RELATED, 400),
        (b"words", "text/plain", 415),
        (parts(b"{}", bytes(20 * 1024 * 1024 + 1)), RELATED, 413),
    ],
    ids=[
        "cut in the file", "cut before it", "no boundary", "no JSON", "no metadata", "much before",
        "empty", "coded", "no parts", "large",
    ],
)  # fmt: skip
def test_a_body_that_is_none_leaves_no_file(
    gateway: Served, body: bytes, content_type: str, status: int
) -> None:
    before = files(gateway)

    reply = upload(gateway, f"{UPLOAD}?uploadType=multipart", body, Content_Type=content_type)

    assert (reply.status, reply.json()["error"]["code"]) == (status, status)
    assert files(gateway) == before


@pytest.mark.parametrize(
    "content_type", ["image/png", RELATED, "multipart/form-data; boundary=of-it"]
)
def test_compressed_bodies_are_not_taken(gateway: Served, content_type: str) -> None:
    protocol = {"X_Goog_Upload_Protocol": "raw"} if content_type == "image/png" else {}

    reply = upload(
        gateway, UPLOAD, WHOLE, Content_Type=content_type, Content_Encoding="gzip", **protocol
    )

    assert reply.status == 415
    assert "Content-Encoding" in reply.json()["error"]["message"]


def test_a_client_that_leaves_amid_its_bytes_leaves_no_file(gateway: Served) -> None:
    before = files(gateway)
    at = urlsplit(gateway.url)
    head = (
        f"POST {UPLOAD} HTTP/1.1\r\nHost: gateway\r\nX-Goog-Upload-Protocol: raw\r\n"
        f"x-goog-api-key: {gateway.key}\r\nContent-Length: 9\r\n\r\n"
    )

    with socket.create_connection((at.hostname or "", at.port or 0), timeout=30) as connection:
        connection.sendall(head.encode() + b"half")
        connection.shutdown(socket.SHUT_WR)
        answered = connection.recv(4096)

    assert answered.startswith(b"HTTP/1.1 400 ")
    assert files(gateway) == before


def files(gateway: Served) -> list[Any]:
    listed: list[Any] = gateway.request("GET", "/v1/files", None, gateway.headers).json()["data"]
    return listed
