"""Files of the fake upstream: upload, listing, download, and what the model makes."""

import base64
import re
import time
from typing import Any

import pytest

from gbproxy.simulator import SWITCH_VALUES, Simulator, image_reply, video_reply
from tests.support.widget_client import Client, contents, inner

PNG = b"\x89PNG\r\n\x1a\n"


def upload(
    client: Client, session: str, mime_type: str = "text/plain", **fields: object
) -> dict[str, str]:
    request = {
        "name": session,
        "fileName": "notes.txt",
        "mimeType": mime_type,
        "fileContents": base64.b64encode(b"some text here").decode(),
        **fields,
    }
    response = client.call("widgetAddContextFile", request)
    assert response.status_code == 200, response.text
    added: dict[str, str] = response.json()["addContextFileResponse"]
    return added


def listed(client: Client, session: str, **fields: str) -> list[dict[str, str]]:
    response = client.call("widgetListSessionFileMetadata", {"name": session, **fields})
    files: list[dict[str, str]] = response.json()["listSessionFileMetadataResponse"]["fileMetadata"]
    return files


def test_an_uploaded_file_belongs_to_its_session(upstream: Simulator, client: Client) -> None:
    session = client.create_session()

    added = upload(client, session)

    assert added["tokenCount"] == "3"
    assert re.fullmatch(r"\d{20}", added["fileId"])
    assert added["session"].endswith(session)
    stored = upstream.sessions[session.rpartition("/")[2]].files[added["fileId"]]
    assert (stored.content, stored.mime_type) == (b"some text here", "text/plain")
    assert client.ask("Sum it up", session, fileIds=[added["fileId"]]).status_code == 200


@pytest.mark.parametrize(("switch", "status"), [("400", 400), ("ignored", 200)])
def test_a_file_of_another_session_follows_its_switch(
    upstream: Simulator, client: Client, switch: str, status: int
) -> None:
    upstream.set(file_ids_elsewhere=switch)
    added = upload(client, client.create_session())

    assert (
        client.ask("Sum it up", client.create_session(), fileIds=[added["fileId"]]).status_code
        == status
    )


def test_an_unreadable_type_is_refused_by_name(client: Client) -> None:
    request = {
        "name": client.create_session(),
        "mimeType": "application/zip",
        "fileContents": "eA==",
    }

    error = client.call("widgetAddContextFile", request).json()["error"]

    assert error["message"] == "Unsupported file type: application/zip"
    assert error["status"] == "INVALID_ARGUMENT"


@pytest.mark.parametrize(("types", "status"), [("many", 200), ("few", 400)])
def test_the_types_that_are_taken_follow_their_switch(
    upstream: Simulator, client: Client, types: str, status: int
) -> None:
    upstream.set(upload_types=types)
    request = {"name": client.create_session(), "mimeType": "text/yaml", "fileContents": "eA=="}

    assert client.call("widgetAddContextFile", request).status_code == status
    request["mimeType"] = "text/plain"
    assert client.call("widgetAddContextFile", request).status_code == 200


@pytest.mark.parametrize("encoded", ["", "no base64!", None])
def test_contents_that_are_not_base64_are_refused(client: Client, encoded: object) -> None:
    request = {"name": client.create_session(), "mimeType": "text/plain", "fileContents": encoded}

    assert client.call("widgetAddContextFile", request).status_code == 400


def test_model_armor_refuses_with_its_reason(upstream: Simulator, client: Client) -> None:
    upstream.set(model_armor=True)
    request = {"name": client.create_session(), "mimeType": "text/plain", "fileContents": "eA=="}

    error = client.call("widgetAddContextFile", request).json()["error"]

    assert error["code"] == 400
    assert error["details"][0]["reason"] == "MODEL_ARMOR_VIOLATION"


@pytest.mark.parametrize(("switch", "status"), [("accepted", 200), ("refused", 400)])
def test_a_file_by_its_address_follows_its_switch(
    upstream: Simulator, client: Client, switch: str, status: int
) -> None:
    upstream.set(file_uri=switch)
    request = {"name": client.create_session(), "fileUri": "https://example.com/a"}

    assert client.call("widgetAddContextFile", request).status_code == status


def test_the_listing_filters_by_origin_and_tells_the_full_name(client: Client) -> None:
    session = client.create_session()
    added = upload(client, session)
    client.ask("draw a fox", session)

    made = listed(client, session, filter="file_origin_type = AI_GENERATED")
    sent = listed(client, session, filter="file_origin_type = USER_PROVIDED")

    assert [file["fileId"] for file in sent] == [added["fileId"]]
    assert sent[0]["byteSize"] == "14"
    assert made[0]["mimeType"] == "image/png"
    assert (
        made[0]["session"] == f"projects/{client.account.project_number}/locations/global/{session}"
    )
    assert len(listed(client, session)) == 2
    bad = client.call("widgetListSessionFileMetadata", {"name": session, "filter": "size > 3"})
    assert bad.status_code == 400


def test_uploads_may_be_listed_by_their_older_origin(upstream: Simulator, client: Client) -> None:
    session = client.create_session()
    upload(client, session)
    assert [file["fileOriginType"] for file in listed(client, session)] == ["USER_PROVIDED"]

    upstream.set(user_file_origin="USER_UPLOADED")

    assert [file["fileOriginType"] for file in listed(client, session)] == ["USER_UPLOADED"]
    assert len(listed(client, session, filter="file_origin_type = USER_UPLOADED")) == 1
    assert listed(client, session, filter="file_origin_type = USER_PROVIDED") == []


def test_the_id_of_an_upload_may_stand_in_an_object(upstream: Simulator, client: Client) -> None:
    upstream.set(added_file="context_file")

    added: dict[str, Any] = dict(upload(client, client.create_session()))

    assert re.fullmatch(r"\d{20}", added["contextFile"]["fileId"])
    assert "fileId" not in added


def test_the_id_of_an_upload_may_stand_without_a_wrapper(
    upstream: Simulator, client: Client
) -> None:
    upstream.set(added_file="bare")
    request = {"name": client.create_session(), "mimeType": "text/plain", "fileContents": "eA=="}

    answered = client.call("widgetAddContextFile", request).json()

    assert re.fullmatch(r"\d{20}", answered["fileId"])


@pytest.mark.parametrize(("switch", "status"), [("any", 200), ("short", 400)])
def test_an_upload_may_want_the_short_name_of_its_session(
    upstream: Simulator, client: Client, switch: str, status: int
) -> None:
    upstream.set(file_session_name=switch)
    short = client.create_session()
    full = f"projects/{client.account.project_number}/locations/global/{short}"
    request = {"mimeType": "text/plain", "fileContents": "eA=="}

    assert client.call("widgetAddContextFile", {"name": full, **request}).status_code == status
    assert client.call("widgetAddContextFile", {"name": short, **request}).status_code == 200


def test_an_upload_takes_as_long_as_its_switch_says(upstream: Simulator, client: Client) -> None:
    upstream.set(upload_delay_s=0.2)
    session = client.create_session()
    began = time.monotonic()

    upload(client, session)

    assert time.monotonic() - began >= 0.2


def test_too_large_an_upload_may_be_refused_by_a_page(upstream: Simulator, client: Client) -> None:
    upstream.set(max_file_mb=1, file_too_large="413")
    contents = base64.b64encode(b"x" * (2**20 + 1)).decode()
    request = {
        "name": client.create_session(),
        "mimeType": "text/plain",
        "fileContents": contents,
    }

    response = client.call("widgetAddContextFile", request)

    assert response.status_code == 413
    assert response.headers["Content-Type"].startswith("text/html")


@pytest.mark.parametrize(
    ("mime_type", "size_mb", "status"),
    [
        ("text/plain", 1, 200),
        ("text/plain", 1.1, 400),
        ("audio/mpeg", 3, 200),
        ("audio/mpeg", 4.1, 400),
        ("audio/x-wav", 0.1, 400),
    ],
)
def test_files_are_refused_by_size_and_kind(
    upstream: Simulator, client: Client, mime_type: str, size_mb: float, status: int
) -> None:
    assert SWITCH_VALUES["max_file_mb"][0] == 50
    upstream.set(max_file_mb=1)
    contents = base64.b64encode(b"x" * int(size_mb * 2**20)).decode()
    request = {"name": client.create_session(), "mimeType": mime_type, "fileContents": contents}

    response = client.call("widgetAddContextFile", request)

    assert response.status_code == status
    if mime_type == "audio/x-wav":
        assert "Unsupported file type: audio/x-wav" in response.json()["error"]["message"]


def test_a_file_is_fetched_by_the_name_that_the_answer_itself_told(
    upstream: Simulator, client: Client
) -> None:
    upstream.set(session_info_name="full")
    session = client.create_session()
    elements = client.ask("Please draw a red fox", session).json()
    file = next(content["file"] for content in contents(elements) if "file" in content)
    told = inner(elements[-1])["sessionInfo"]["session"]

    path = f"/download/v1alpha/{told}:downloadFile?fileId={file['fileId']}&alt=media"
    response = client.get(path, Authorization=f"Bearer {client.token()}")

    assert told == f"projects/{client.account.project_number}/locations/global/{session}"
    assert response.content.startswith(PNG)


def generated(client: Client) -> tuple[str, str]:
    """The full session name and the file id of a picture."""
    session = client.create_session()
    elements = client.ask("Please draw a red fox", session).json()
    file = next(content["file"] for content in contents(elements) if "file" in content)
    assert file["mimeType"] == "image/png"
    return f"projects/{client.account.project_number}/locations/global/{session}", file["fileId"]


@pytest.mark.parametrize("prefix", ["/v1alpha/", "/download/v1alpha/"])
@pytest.mark.parametrize("form", ["raw", "base64_headers", "base64_bare"])
def test_a_picture_comes_in_each_form_under_both_addresses(
    upstream: Simulator, client: Client, prefix: str, form: str
) -> None:
    upstream.set(download_body=form)
    name, file_id = generated(client)

    path = f"{prefix}{name}:downloadFile?fileId={file_id}&alt=media"
    response = client.get(path, Authorization=f"Bearer {client.token()}")

    content = response.content if form == "raw" else base64.b64decode(response.content)
    assert content.startswith(PNG)
    assert response.headers.get("x-goog-safety-encoding") == (
        "base64" if form == "base64_headers" else None
    )
    safe_type = response.headers.get("x-goog-safety-content-type")
    assert safe_type == ("image/png" if form == "base64_headers" else None)


def test_a_download_may_be_redirected_once(upstream: Simulator, client: Client) -> None:
    upstream.set(download_redirect=True)
    name, file_id = generated(client)

    path = f"/v1alpha/{name}:downloadFile?fileId={file_id}&alt=media"
    first = client.get(path, Authorization=f"Bearer {client.token()}")
    second = client.get(first.headers["Location"].removeprefix(upstream.url))

    assert first.status_code == 302
    assert second.content.startswith(PNG)


def test_a_download_needs_the_token_the_full_name_and_alt_media(client: Client) -> None:
    name, file_id = generated(client)
    bearer = f"Bearer {client.token()}"
    short = name[name.index("collections") :]

    query = f":downloadFile?fileId={file_id}&alt=media"
    assert client.get(f"/v1alpha/{name}{query}").status_code == 401
    assert client.get(f"/v1alpha/{short}{query}", Authorization=bearer).status_code == 400
    assert (
        client.get(
            f"/v1alpha/{name}:downloadFile?fileId={file_id}", Authorization=bearer
        ).status_code
        == 400
    )
    missing = client.get(f"/v1alpha/{name}:downloadFile?fileId=1&alt=media", Authorization=bearer)
    assert missing.status_code == 404


def test_a_scripted_picture_has_exactly_the_given_bytes(
    upstream: Simulator, client: Client
) -> None:
    upstream.script(*image_reply("Here. ", content=b"pixels", mime_type="image/webp"))
    session = client.create_session()

    elements = client.ask("whatever", session).json()

    file = next(content["file"] for content in contents(elements) if "file" in content)
    stored = upstream.sessions[session.rpartition("/")[2]].files[file["fileId"]]
    assert (stored.content, stored.mime_type, stored.origin) == (
        b"pixels",
        "image/webp",
        "AI_GENERATED",
    )


def test_a_scripted_picture_can_come_inline(upstream: Simulator, client: Client) -> None:
    upstream.script(*image_reply(content=b"pixels", inline=True))

    elements = client.ask("whatever").json()

    inline = next(
        content["inlineData"] for content in contents(elements) if "inlineData" in content
    )
    assert inline == {"mimeType": "image/png", "data": base64.b64encode(b"pixels").decode()}


def test_a_clip_is_an_mp4_file(upstream: Simulator, client: Client) -> None:
    upstream.script(*video_reply())
    session = client.create_session()

    client.ask("whatever", session)

    (stored,) = upstream.sessions[session.rpartition("/")[2]].files.values()
    assert stored.mime_type == "video/mp4"
    assert stored.content[4:8] == b"ftyp"


def test_the_tools_decide_whether_a_picture_may_be_made(client: Client) -> None:
    without = client.ask("draw a fox", toolsSpec={"webGroundingSpec": {}}).json()
    only = client.ask("a fox", toolsSpec={"imageGenerationSpec": {}}).json()

    assert not any("file" in content for content in contents(without))
    assert any("file" in content for content in contents(only))
