"""Pictures and videos that the model makes: in chat answers, and by their links."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from gbproxy.simulator import (
    CutBytes,
    End,
    FileReply,
    Final,
    Head,
    HoldHeaders,
    Simulator,
    Stall,
    Text,
    Write,
    http_error,
    image_reply,
    video_reply,
)
from tests.support.chats import used_sessions
from tests.support.databases import PostgreSQL
from tests.support.delays import Delays
from tests.support.polling import until
from tests.support.serving import (
    KEY,
    InProcess,
    Reply,
    Served,
    SharedUpstream,
    in_process,
    resident_bytes,
    serving,
)

pytestmark = pytest.mark.slow

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 40
MB = 1024 * 1024
ADMIN = "sk-admin-3b1f6a902c7d4e58"
DOWNLOAD = "downloadFile"
LINK = re.compile(r"!?\[[^\]]*\]\((\S+)\)")

streamed_or_not = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


def path_of(reply: Reply) -> str:
    """The path of the one link in an answer."""
    [url] = LINK.findall(reply.text)
    return "/media/" + url.rpartition("/")[2]


def accounts_of(app: InProcess) -> list[dict[str, Any]]:
    as_admin = {"Authorization": f"Bearer {ADMIN}"}
    found: list[dict[str, Any]] = app.request(
        "GET", "/api/admin/accounts", headers=as_admin
    ).json()["accounts"]
    return found


def images_of(reply: Reply) -> list[str]:
    parts = [choice.get("delta") or choice.get("message") or {} for choice in reply.choices]
    entries = [entry for part in parts for entry in part.get("images", ())]
    assert [entry["index"] for entry in entries] == list(range(len(entries)))
    return [entry["image_url"]["url"] for entry in entries]


def data_url(content: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(content).decode()}"


# In chat answers


@streamed_or_not
def test_a_picture_is_markdown_and_an_image_with_the_same_link(
    upstream: SharedUpstream, gateway: Served, stream: bool
) -> None:
    upstream.script(*image_reply("Here: ", content=PNG))

    reply = gateway.ask("draw a fox", stream=stream)

    [url] = LINK.findall(reply.text)
    assert url.startswith(f"{gateway.url}/media/")
    assert images_of(reply) == [url]
    fetched = gateway.request("GET", path_of(reply))
    assert (fetched.status, fetched.body) == (200, PNG)


def test_the_conversation_goes_on_behind_a_picture(
    upstream: SharedUpstream, gateway: Served
) -> None:
    upstream.script(*image_reply("Here: ", content=PNG))
    first = gateway.ask("draw a fox")

    gateway.ask(
        [
            {"role": "user", "content": "draw a fox"},
            {"role": "assistant", "content": first.text},
            {"role": "user", "content": "bluer"},
        ]
    )

    assert upstream.questions() == ["draw a fox", "bluer"]
    [session] = [s for s in upstream.sessions.values() if "bluer" in s.queries]
    assert session.queries == ["draw a fox", "bluer"]


@streamed_or_not
def test_a_picture_that_came_with_its_bytes_is_an_image_alone(
    upstream: SharedUpstream, gateway: Served, stream: bool
) -> None:
    upstream.script(*image_reply("Here: ", content=PNG, inline=True))

    reply = gateway.ask("draw a fox", stream=stream)

    assert LINK.findall(reply.text) == []
    assert images_of(reply) == [data_url(PNG)]


@pytest.fixture(scope="module")
def own_upstream() -> Iterator[SharedUpstream]:
    with SharedUpstream() as made:
        yield made


@contextlib.contextmanager
def answering(upstream: Simulator, **settings: str) -> Iterator[InProcess]:
    with in_process(upstream.environment(), prewarmed=0, **settings) as app:
        yield app


@pytest.fixture(scope="module", params=["base64 create", "both dash"])
def with_bytes(request: pytest.FixtureRequest, own_upstream: SharedUpstream) -> Iterator[Served]:
    """A gateway whose pictures come with their bytes."""
    form, session = request.param.split()
    environment = own_upstream.environment()
    settings = {"IMAGES_IN_CHAT": form, "UPSTREAM_SESSION": session}
    with serving(environment, **settings) as gateway:
        yield gateway


@pytest.mark.slow
@streamed_or_not
def test_pictures_come_with_their_bytes_where_links_cannot_be_fetched(
    own_upstream: SharedUpstream, with_bytes: Served, stream: bool, request: pytest.FixtureRequest
) -> None:
    own_upstream.reset()
    film = FileReply("video/mp4", content=b"\x00\x00\x00\x18ftypmp42", sentence="")
    fox, owl = (FileReply(content=PNG + bytes([n]), sentence="") for n in (1, 2))
    own_upstream.script(Text("Two: "), fox, owl, film, Text("Done."), Final(), End())

    reply = with_bytes.ask("draw", stream=stream)

    assert images_of(reply) == [data_url(PNG + b"\x01"), data_url(PNG + b"\x02")]
    links = LINK.findall(reply.text)
    assert len(links) == (3 if "both" in request.node.name else 1)
    assert with_bytes.request("GET", links[-1].removeprefix(with_bytes.url)).status == 200
    assert reply.text.endswith("Done.")
    assert reply.succeeded


@pytest.mark.parametrize(
    "download",
    [http_error(404, "NOT_FOUND", "no"), (Head(200), Write(b"<html>"), End())],
    ids=["missing", "no image"],
)
def test_a_picture_whose_bytes_are_not_to_be_had_comes_as_its_link(
    own_upstream: SharedUpstream, download: tuple[object, ...]
) -> None:
    own_upstream.reset()
    own_upstream.script(*image_reply("Here: ", content=PNG))
    own_upstream.script(*download, path=DOWNLOAD, times=2)  # type: ignore[arg-type]

    with answering(own_upstream, IMAGES_IN_CHAT="base64") as app:
        reply = app.ask("draw")

        [url] = images_of(reply)
        own_upstream.clear_scripts()
        assert app.request("GET", url.removeprefix("http://localhost")).body == PNG
        goes_on = [
            {"role": "user", "content": "draw"},
            {"role": "assistant", "content": reply.text},
            {"role": "user", "content": "bluer"},
        ]
        assert app.ask(goes_on).succeeded
    assert reply.text.startswith("Here: ")
    assert "[An image could not be fetched from the upstream: " in reply.text
    assert own_upstream.questions() == ["draw", "bluer"]


@streamed_or_not
@pytest.mark.parametrize(
    ("call", "error", "state"),
    [
        (DOWNLOAD, http_error(401, "UNAUTHENTICATED", "no"), "refused"),
        ("widgetListSessionFileMetadata", http_error(429, "RESOURCE_EXHAUSTED", "no"), "cooling"),
    ],
    ids=["download refused", "list refused"],
)
def test_a_picture_that_the_account_refuses_is_said_in_the_answer_and_held_against_it(
    own_upstream: SharedUpstream, stream: bool, call: str, error: tuple[object, ...], state: str
) -> None:
    own_upstream.reset()
    own_upstream.script(*image_reply("Here: ", content=PNG))
    own_upstream.script(*error, path=call, times=4)  # type: ignore[arg-type]

    with answering(own_upstream, IMAGES_IN_CHAT="base64", ADMIN_KEY=ADMIN) as app:
        reply = app.ask("draw", stream=stream)
        [account] = accounts_of(app)

    assert reply.succeeded
    assert reply.text.startswith("Here: ")
    assert "\n\n[An image could not be fetched from the upstream: " in reply.text
    assert account["state"] == state


def test_each_link_begins_where_the_settings_say(own_upstream: SharedUpstream) -> None:
    own_upstream.reset()
    own_upstream.script(*image_reply(content=PNG))

    with answering(own_upstream, PUBLIC_URL="https://ai.example.com/gate/") as app:
        [url] = LINK.findall(app.ask("draw").text)

    assert url.startswith("https://ai.example.com/gate/media/")


def test_a_link_begins_where_the_request_came_in_front_of_a_trusted_proxy(
    own_upstream: SharedUpstream,
) -> None:
    own_upstream.reset()
    own_upstream.script(*image_reply(content=PNG))
    proxied = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "ai.example.com"}

    with answering(own_upstream, TRUSTED_PROXIES="1") as app:
        [url] = LINK.findall(app.ask("draw", headers=proxied).text)

    assert url.startswith("https://ai.example.com/media/")


@pytest.mark.parametrize(
    "host", ["", "a b", "a/b)", "a](b", "a@b", "a?b", "a#b", "a\\b", '"><script>']
)
def test_a_host_that_is_none_is_in_no_link(
    upstream: SharedUpstream, gateway: Served, host: str
) -> None:
    upstream.script(*image_reply(content=PNG))

    reply = gateway.ask("draw", headers={"Host": host})

    assert reply.status == 200
    assert b"/media/" not in reply.body


@pytest.mark.parametrize("form", ["url", "b64_json"])
def test_an_image_that_can_only_come_as_a_link_needs_a_host(
    upstream: SharedUpstream, gateway: Served, form: str
) -> None:
    upstream.script(*image_reply(content=PNG))
    body = json.dumps({"prompt": "a fox", "response_format": form})
    headers = {"Host": "a b", "Authorization": f"Bearer {gateway.key}"}

    reply = gateway.request("POST", "/v1/images/generations", body, headers)

    if form == "b64_json":
        assert reply.status == 200
        return
    assert (reply.status, reply.error["code"]) == (400, "invalid_request_error")
    assert "PUBLIC_URL" in reply.error["message"]
    assert "b64_json" in reply.error["message"]
    assert upstream.questions() == []


# Who may follow a link


def test_a_link_needs_no_key_and_shows_its_token_in_no_log(
    upstream: SharedUpstream, gateway: Served
) -> None:
    upstream.script(*image_reply(content=PNG))
    path = path_of(gateway.ask("draw"))

    fetched = gateway.request("GET", path)

    assert fetched.headers["Content-Length"] == str(len(PNG))
    done = gateway.log_of(fetched)
    assert (done["route"], done["status"]) == ("/media/<token>", 200)
    assert done["response_bytes"] == len(PNG)
    assert path.rpartition("/")[2] not in gateway.process.stdout + gateway.stderr


@pytest.mark.parametrize(
    "change",
    [
        lambda path: path[:-1] + ("A" if path[-1] != "A" else "B"),
        lambda path: path[:20] + ("A" if path[20] != "A" else "B") + path[21:],
        lambda path: path + "A",
        lambda path: path[:-8],
        lambda path: "/media/x",
        lambda path: "/media/" + "%F0%9F%A6%8A",
    ],
)
def test_a_tampered_link_leads_nowhere(
    upstream: SharedUpstream, gateway: Served, change: Callable[[str], str]
) -> None:
    upstream.script(*image_reply(content=PNG))
    path = path_of(gateway.ask("draw"))

    refused = gateway.request("GET", change(path))

    assert (refused.status, refused.error["code"]) == (404, "not_found")
    assert upstream.calls(DOWNLOAD) == []


def test_a_link_ends_with_its_time(own_upstream: SharedUpstream) -> None:
    own_upstream.reset()
    own_upstream.script(*image_reply(content=PNG))

    with answering(own_upstream, MEDIA_TTL_S="1") as app:
        path = path_of(app.ask("draw"))
        until(lambda: app.request("GET", path).status == 404)


def test_a_link_dies_with_the_key_that_it_was_made_for(own_upstream: SharedUpstream) -> None:
    own_upstream.reset()
    own_upstream.script(*image_reply(content=PNG))
    as_admin = {"Authorization": f"Bearer {ADMIN}", "Content-Type": "application/json"}

    with answering(own_upstream, ADMIN_KEY=ADMIN) as app:
        made = app.request("POST", "/api/admin/keys", '{"name": "guest"}', as_admin).json()
        theirs = {"Authorization": f"Bearer {made['key']}"}
        path = path_of(app.ask("draw", headers=theirs))
        before = [app.request("GET", path, headers=each) for each in ({}, theirs)]
        by_another_key = app.request("GET", path, headers={"x-api-key": KEY})
        by_no_key = app.request("GET", path, headers={"Authorization": "Bearer of-a-proxy"})

        app.request("DELETE", f"/api/admin/keys/{made['id']}", headers=as_admin)

        after = app.request("GET", path)
    assert [each.body for each in (*before, by_no_key)] == [PNG] * 3
    assert (by_another_key.status, after.status) == (404, 404)


def test_the_session_of_a_link_outlives_the_conversation(own_upstream: SharedUpstream) -> None:
    own_upstream.reset()
    own_upstream.script(*image_reply(content=PNG))

    with answering(own_upstream, SESSION_TIMEOUT="0") as app:
        path = path_of(app.ask("draw"))
        app.ask("Hello")
        services = app.app.extensions["gbproxy"].services
        services.background.start()
        with_file, without = (each.short_name for each in used_sessions(own_upstream))
        assert own_upstream.wait_for(lambda: own_upstream.alive_sessions() == [with_file])
        fetched = app.request("GET", path)

    assert fetched.body == PNG
    assert without != with_file


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_every_worker_follows_a_link(
    own_upstream: SharedUpstream, kind: str, request: pytest.FixtureRequest
) -> None:
    own_upstream.reset()
    own_upstream.script(*image_reply(content=PNG))
    settings = {"WEB_CONCURRENCY": "2"}
    if kind == "postgresql":
        server: PostgreSQL = request.getfixturevalue("server")
        settings |= {"DATABASE_URL": server.new_database(), "SECRET_KEY": "secret-" + "k" * 20}

    with serving(own_upstream.environment(), **settings) as gateway:
        path = path_of(gateway.ask("draw"))
        fetched = [gateway.request("GET", path) for _ in range(8)]

    assert {(each.status, each.body) for each in fetched} == {(200, PNG)}


# What a browser is told


@pytest.mark.parametrize(
    ("content", "named", "kind", "disposition"),
    [
        (PNG, "image/png", "image/png", "inline; filename*=UTF-8''generated_1.png"),
        (b"GIF89a....", "image/png", "image/gif", "inline; filename*=UTF-8''generated_1.gif"),
        (b"\x00\x00\x00\x18ftypmp42....", "video/mp4", "video/mp4", "inline"),
        (b"<svg onload='alert(1)'/>", "image/svg+xml", "application/octet-stream", "attachment"),
        (b"<svg onload='alert(1)'/>", "image/png", "application/octet-stream", "attachment"),
        (b"<!doctype html><script>", "text/html", "application/octet-stream", "attachment"),
        (b"<!doctype html><script>", "image/png", "application/octet-stream", "attachment"),
        (b"%PDF-1.7", "application/pdf", "application/octet-stream", "attachment"),
    ],
)
def test_only_pictures_and_films_are_shown_whatever_they_are_called(
    upstream: SharedUpstream,
    gateway: Served,
    content: bytes,
    named: str,
    kind: str,
    disposition: str,
) -> None:
    upstream.script(FileReply(named, content=content), Final(), End())
    path = path_of(gateway.ask("draw"))

    for fetched in (gateway.request("GET", path), gateway.request("HEAD", path)):
        assert fetched.status == 200
        assert fetched.headers["Content-Type"] == kind
        assert fetched.headers["Content-Disposition"].startswith(disposition)
        assert fetched.headers["X-Content-Type-Options"] == "nosniff"
        assert fetched.headers["Content-Security-Policy"] == "sandbox; default-src 'none'"
        assert fetched.headers["Referrer-Policy"] == "no-referrer"
        assert re.fullmatch(r"private, max-age=\d+", fetched.headers["Cache-Control"])
        assert fetched.headers["Content-Length"] == str(len(content))
    assert fetched.body == b""


# Ranges


@pytest.mark.parametrize("body", ["raw", "base64_headers", "base64_bare"])
@pytest.mark.parametrize("ranges", [True, False])
def test_ranges_are_answered_whatever_the_upstream_can(
    upstream: SharedUpstream, gateway: Served, body: str, ranges: bool
) -> None:
    upstream.script(*image_reply(content=PNG))
    upstream.set(download_body=body, download_ranges=ranges)
    path, size = path_of(gateway.ask("draw")), len(PNG)

    def fetched(wanted: str, **more: str) -> tuple[int, str | None, bytes]:
        reply = gateway.request("GET", path, headers={"Range": wanted, **more})
        return reply.status, reply.headers["Content-Range"], reply.body

    assert fetched("bytes=0-0") == (206, f"bytes 0-0/{size}", PNG[:1])
    assert fetched("bytes=5000-5009") == (206, f"bytes 5000-5009/{size}", PNG[5000:5010])
    assert fetched("bytes=10000-") == (206, f"bytes 10000-{size - 1}/{size}", PNG[10000:])
    assert fetched("bytes=-8") == (206, f"bytes {size - 8}-{size - 1}/{size}", PNG[-8:])
    assert fetched("bytes=0-99999") == (206, f"bytes 0-{size - 1}/{size}", PNG)
    assert fetched(f"bytes={size}-") == (416, f"bytes */{size}", b"")
    assert fetched("bytes=0-1,4-5") == (200, None, PNG)
    assert fetched("lines=0-1") == (200, None, PNG)


def test_a_range_is_of_the_file_that_the_client_has_begun(
    upstream: SharedUpstream, gateway: Served
) -> None:
    upstream.script(*image_reply(content=PNG))
    path = path_of(gateway.ask("draw"))
    tag = gateway.request("GET", path).headers["ETag"]
    wanted = {"Range": "bytes=0-9"}

    same = gateway.request("GET", path, headers={**wanted, "If-Range": tag})
    other = gateway.request("GET", path, headers={**wanted, "If-Range": '"other"'})
    known = gateway.request("GET", path, headers={"If-None-Match": tag})

    assert (same.status, other.status, known.status) == (206, 200, 304)
    assert (same.body, other.body, known.body) == (PNG[:10], PNG, b"")


# What goes wrong on the way


def test_a_file_that_is_gone_upstream_is_a_404(upstream: SharedUpstream, gateway: Served) -> None:
    upstream.script(*image_reply(content=PNG))
    path = path_of(gateway.ask("draw"))
    upstream.script(*http_error(404, "NOT_FOUND", "no"), path=DOWNLOAD, times=2)

    assert gateway.request("GET", path).status == 404


def test_a_failure_before_the_first_byte_is_a_plain_error(
    upstream: SharedUpstream, gateway: Served
) -> None:
    upstream.script(*image_reply(content=PNG))
    path = path_of(gateway.ask("draw"))
    upstream.script(*http_error(500, "INTERNAL", "no"), path=DOWNLOAD)

    refused = gateway.request("GET", path)

    assert (refused.status, refused.error["code"]) == (502, "upstream_error")


def test_a_refusal_of_a_links_file_is_held_against_the_account(
    own_upstream: SharedUpstream,
) -> None:
    own_upstream.reset()
    own_upstream.script(*image_reply(content=PNG))

    with answering(own_upstream, ADMIN_KEY=ADMIN) as app:
        path = path_of(app.ask("draw"))
        own_upstream.script(*http_error(401, "UNAUTHENTICATED", "no"), path=DOWNLOAD, times=4)
        refused = app.request("GET", path)
        [account] = accounts_of(app)

    assert (refused.status, account["state"]) == (502, "refused")


@pytest.mark.parametrize("body", ["raw", "base64_headers"])
def test_a_file_that_breaks_off_is_never_taken_for_whole(
    upstream: SharedUpstream, gateway: Served, body: str
) -> None:
    upstream.script(*image_reply(content=PNG))
    upstream.set(download_body=body)
    path = path_of(gateway.ask("draw"))
    head = Head(200, {"Content-Type": "image/png"})
    upstream.script(CutBytes(6000), head, Write(PNG), End(), path=DOWNLOAD)

    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        gateway.request("GET", path)

    assert gateway.events("request.crashed") == []


@pytest.mark.parametrize(
    "stalled",
    [
        (HoldHeaders(),),
        (Head(200, {"Content-Type": "image/png"}), Write(PNG), Stall()),
    ],
    ids=["before the first byte", "in the middle"],
)
def test_a_client_that_leaves_ends_the_download_at_once(
    upstream: SharedUpstream, gateway: Served, stalled: tuple[object, ...]
) -> None:
    upstream.script(*image_reply(content=PNG))
    path = path_of(gateway.ask("draw"))

    def attempt() -> float:
        upstream.script(*stalled, path=DOWNLOAD)  # type: ignore[arg-type]
        asked = len(upstream.calls(DOWNLOAD))
        with gateway.call() as call:
            call.send(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            assert upstream.wait_for(lambda: len(upstream.calls(DOWNLOAD)) == asked + 1)
            if len(stalled) > 1:
                call.read_until(PNG[-8:])
            used = upstream.calls(DOWNLOAD)[-1].connection
            with Delays(gateway.worker_pids()) as delays:
                left_at = time.monotonic()
                call.leave()
                assert upstream.wait_for(lambda: not upstream.is_open(used))
                took_s = time.monotonic() - left_at
            return took_s - delays.total_s

    assert min(attempt() for _ in range(3)) <= 0.2


def test_a_client_that_reads_slowly_holds_the_upstream_back(
    upstream: SharedUpstream, gateway: Served
) -> None:
    upstream.script(*video_reply(size=200 * MB))
    path = path_of(gateway.ask("film"))
    before = resident_bytes(worker_of(gateway))

    with gateway.call() as call:
        call.receive_little()
        call.send(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        call.read_until(b"ftypmp42")
        until(lambda: resident_bytes(worker_of(gateway)) < before + 16 * MB, 5.0)


def worker_of(gateway: Served) -> int:
    [pid] = gateway.worker_pids()
    return pid


@pytest.mark.slow
@pytest.mark.parametrize("body", ["raw", "base64_headers"])
def test_a_video_of_100_mb_takes_constant_memory(
    upstream: SharedUpstream,
    gateway: Served,
    body: str,
    record_property: Callable[[str, object], None],
) -> None:
    size = 100 * MB
    upstream.script(*video_reply(size=size))
    upstream.set(download_body=body)
    path = path_of(gateway.ask("film"))
    pid = worker_of(gateway)
    before = most = resident_bytes(pid)
    connection = http.client.HTTPConnection(*gateway.address, timeout=60)
    began = time.monotonic()

    with contextlib.closing(connection):
        connection.request("GET", path)
        response = connection.getresponse()
        read = 0
        while piece := response.read(MB):
            read += len(piece)
            most = max(most, resident_bytes(pid))

    took_s = time.monotonic() - began
    record_property(
        "measured",
        f"100 MB video, {body}: {took_s:.1f} s, {(most - before) / MB:.1f} MB more memory",
    )
    assert read == size
    assert most - before < 16 * MB
