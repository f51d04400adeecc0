"""What Google's SDK for Python does not do with an upload: query, cancel, repeat; and the form."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.fake_upstream import api
from tests.support.serving import InProcess, Reply

ADMIN = "sk-admin-3b1f6a902c7d4e58"
BOUNDARY = "of-the-form"
FORM = (
    f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="metadata"\r\n'
    "Content-Type: application/json\r\n\r\n{metadata}\r\n"
    f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n'
    f"Content-Type: text/plain\r\n\r\nwords\r\n--{BOUNDARY}--\r\n"
)


def command(app: InProcess, path: str, command: str, body: bytes = b"", **headers: str) -> Reply:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return app.request("POST", path, body, {"X-Goog-Upload-Command": command, **given})


def begun(app: InProcess, **more: str) -> str:
    """The path to which the bytes of a new upload go."""
    further = {name.replace("_", "-"): value for name, value in more.items()}
    body = json.dumps({"file": {"display_name": "a.txt", "mimeType": "text/plain"}})
    headers = {**app.headers, "X-Goog-Upload-Command": "start", **further}
    reply = app.request("POST", "/upload/v1beta/files", body, headers)
    assert reply.status == 200
    url = reply.headers["X-Goog-Upload-URL"]
    return url[url.index("/upload/") :]


def test_an_upload_goes_on_where_it_was_broken_off(app: InProcess) -> None:
    path = begun(app)

    assert command(app, path, "upload", b"one ").headers["X-Goog-Upload-Size-Received"] == "4"
    assert command(app, path, "upload", b"one ", X_Goog_Upload_Offset="0").status == 400
    assert command(app, path, "query").headers["X-Goog-Upload-Status"] == "active"
    assert command(app, path, "query").headers["X-Goog-Upload-Size-Received"] == "4"
    last = command(app, path, "upload, finalize", b"two", X_Goog_Upload_Offset="4")
    assert last.headers["X-Goog-Upload-Status"] == "final"
    file: dict[str, Any] = last.json()["file"]
    assert (file["sizeBytes"], file["displayName"], file["mimeType"]) == (
        "7",
        "a.txt",
        "text/plain",
    )
    assert command(app, path, "query").status == 404


@pytest.mark.parametrize("again", ["query", "finalize", "upload, finalize"])
def test_a_complete_upload_is_told_again_to_its_key_alone(app: InProcess, again: str) -> None:
    path = begun(app)
    file = command(app, path, "upload, finalize", b"words").json()["file"]

    repeated = command(app, path, again, **app.headers)
    by_none = command(app, path, again)
    upload = command(app, path, "upload", b"more", **app.headers)

    assert (repeated.status, repeated.json()["file"]) == (200, file)
    assert repeated.headers["X-Goog-Upload-Status"] == "final"
    assert repeated.headers["X-Goog-Upload-Size-Received"] == "5"
    assert (by_none.status, upload.status) == (404, 404)


def test_addresses_begin_where_the_settings_say() -> None:
    with api(PUBLIC_URL="https://ai.example.com/gate/") as (app, _):
        headers = {**app.headers, "X-Goog-Upload-Command": "start"}
        reply = app.request("POST", "/gemini/upload/v1beta/files", "{}", headers)
        url = reply.headers["X-Goog-Upload-URL"]
        path = url.removeprefix("https://ai.example.com/gate")
        file = command(app, path, "upload, finalize", b"words").json()["file"]
        listed = app.request("GET", "/v1beta/files", None, app.headers).json()["files"]

    assert path.startswith("/gemini/upload/v1beta/files?upload_id=")
    assert file["uri"] == f"https://ai.example.com/gate/v1beta/{file['name']}"
    assert listed == [file]


@pytest.mark.parametrize("content", [b"word", b"words!"], ids=["fewer", "more"])
def test_other_bytes_than_announced_are_no_file(app: InProcess, content: bytes) -> None:
    path = begun(app, X_Goog_Upload_Header_Content_Length="5")
    before = app.request("GET", "/v1beta/files", None, app.headers).json()["files"]

    reply = command(app, path, "upload, finalize", content)

    assert (reply.status, reply.json()["error"]["status"]) == (400, "INVALID_ARGUMENT")
    assert (
        f"5 bytes were announced, and {len(content)} have come" in reply.json()["error"]["message"]
    )
    assert command(app, path, "query").status == 404
    assert app.request("GET", "/v1beta/files", None, app.headers).json()["files"] == before


def test_an_upload_ends_with_the_key_that_began_it() -> None:
    as_admin = {"Authorization": f"Bearer {ADMIN}", "Content-Type": "application/json"}

    with api(ADMIN_KEY=ADMIN) as (app, _):
        made = app.request("POST", "/api/admin/keys", '{"name": "guest"}', as_admin).json()
        path = begun(app, x_goog_api_key=made["key"], Authorization="")
        before = command(app, path, "upload", b"words")
        app.request("DELETE", f"/api/admin/keys/{made['id']}", headers=as_admin)
        after = [command(app, path, each) for each in ("query", "upload", "upload, finalize")]

    assert before.status == 200
    assert [each.status for each in after] == [404, 404, 404]


@pytest.mark.parametrize("path", ["{}:download", "{}:download?alt=media", "{}?alt=media"])
@pytest.mark.parametrize("version", ["/v1beta", "/gemini/v1", "/v1"])
def test_the_bytes_of_a_file_are_to_be_had(app: InProcess, version: str, path: str) -> None:
    file = command(app, begun(app), "upload, finalize", b"words").json()["file"]
    at = f"{version}/{path.format(file['name'])}"
    googles = {**app.headers, "x-goog-api-client": "tests"}

    whole = app.request("GET", at, None, googles)
    part = app.request("GET", at, None, {**googles, "Range": "bytes=1-2"})
    by_none = app.request("GET", at, None, {"x-goog-api-client": "tests"})

    assert (whole.status, whole.body) == (200, b"words")
    assert (part.status, part.body) == (206, b"or")
    assert by_none.status == 401


def test_a_cancelled_upload_is_gone(app: InProcess) -> None:
    path = begun(app)

    assert command(app, path, "cancel").headers["X-Goog-Upload-Status"] == "cancelled"
    assert command(app, path, "upload", b"one").status == 404


@pytest.mark.parametrize("metadata", ["[", '{"file": {"displayName": 3}}'])
def test_a_form_with_wrong_metadata_leaves_nothing(app: InProcess, metadata: str) -> None:
    headers = {**app.headers, "Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
    before = app.request("GET", "/v1beta/files", None, app.headers).json()["files"]

    reply = app.request(
        "POST", "/upload/v1beta/files", FORM.replace("{metadata}", metadata), headers
    )

    assert reply.status == 400
    assert app.request("GET", "/v1beta/files", None, app.headers).json()["files"] == before


def test_a_form_is_a_file(app: InProcess) -> None:
    headers = {**app.headers, "Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
    metadata = json.dumps({"file": {"displayName": "b.txt"}})

    reply = app.request(
        "POST", "/upload/v1beta/files", FORM.replace("{metadata}", metadata), headers
    )

    file = reply.json()["file"]
    assert (file["displayName"], file["sizeBytes"], file["state"]) == ("b.txt", "5", "ACTIVE")
