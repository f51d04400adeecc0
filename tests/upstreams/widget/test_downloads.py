"""Files that the model made, fetched over real sockets in front of the simulator: both addresses,
both forms of body, ranges, redirects and refusals.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from gbproxy.domain.account import WIDGET, Account
from gbproxy.domain.chat import Message, TextPart
from gbproxy.domain.events import FileOutput
from gbproxy.domain.models import Model
from gbproxy.errors import (
    CredentialRefused,
    GatewayError,
    RequestRefused,
    SessionDenied,
    SessionGone,
    UpstreamError,
    UpstreamUnclear,
)
from gbproxy.outbound import HttpClient, Timeouts
from gbproxy.simulator import (
    CutBytes,
    End,
    Fin,
    Head,
    Simulator,
    Write,
    http_error,
    image_reply,
    json_reply,
    video_reply,
)
from gbproxy.simulator.http.actions import HttpScript, redirect
from gbproxy.upstreams.base import ByteRange, FileMetadata, OpenFile, UpstreamRequest
from gbproxy.upstreams.widget.endpoints import EndpointMap
from gbproxy.upstreams.widget.widget import Widget
from tests.support import file_server
from tests.support.accounts import simulated_account
from tests.support.business_host import lone_auth

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 400
WHOLE = ByteRange()
DOWNLOAD, LIST = "downloadFile", "widgetListSessionFileMetadata"

either_body = pytest.mark.parametrize("body", ["raw", "base64_headers", "base64_bare"])


@pytest.fixture
def upstream() -> Iterator[Simulator]:
    with Simulator() as simulator:
        yield simulator


@pytest.fixture
def account(upstream: Simulator) -> Account:
    return simulated_account(upstream)


@pytest.fixture
def widget(upstream: Simulator) -> Widget:
    return widget_of(upstream)


def widget_of(upstream: Simulator, **guard: Any) -> Widget:
    outbound = HttpClient(Timeouts(10, 10, 30), **guard)
    endpoints = EndpointMap(page_url=upstream.url, api_base_url=f"{upstream.url}/v1alpha")
    return Widget(outbound, lone_auth(outbound, endpoints), endpoints)


def made(
    upstream: Simulator, widget: Widget, account: Account, content: bytes = PNG
) -> tuple[str, str]:
    """A picture of these bytes: the session's name and the file's id."""
    upstream.script(*image_reply(content=content))
    session = widget.open_session(account)
    request = UpstreamRequest(
        (Message("user", (TextPart("draw"),)),), Model("gemini-auto", {WIDGET: None})
    )
    [file] = [
        event for event in widget.stream(request, account, session) if isinstance(event, FileOutput)
    ]
    assert file.file_id is not None
    return session, file.file_id


def content_of(opened: OpenFile) -> bytes:
    with closing(opened):  # type: ignore[type-var]
        return b"".join(opened.pieces)


@either_body
@pytest.mark.parametrize("path", ["both", "download", "plain"])
def test_a_file_comes_whole_by_either_address_and_in_either_form(
    upstream: Simulator, widget: Widget, account: Account, body: str, path: str
) -> None:
    session, file_id = made(upstream, widget, account)
    upstream.set(download_body=body, download_path=path)

    opened = widget.open_file(account, session, file_id, WHOLE)

    assert opened.metadata == FileMetadata("generated_1.png", "image/png", len(PNG))
    assert opened.head.startswith(b"\x89PNG")
    assert content_of(opened) == PNG
    assert widget.file_metadata(account, session, file_id) == opened.metadata


@either_body
@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize(("start", "end"), [(0, 10), (70_000, 70_010), (102_000, None)])
def test_a_range_is_cut_out_where_the_upstream_gives_more(
    upstream: Simulator,
    widget: Widget,
    account: Account,
    body: str,
    ranges: bool,
    start: int,
    end: int | None,
) -> None:
    session, file_id = made(upstream, widget, account)
    upstream.set(download_body=body, download_ranges=ranges)

    opened = widget.open_file(account, session, file_id, ByteRange(start, end))

    assert opened.metadata.size == len(PNG)
    assert content_of(opened) == PNG[start:end]


def test_what_the_upstream_skips_is_not_sent(
    upstream: Simulator, widget: Widget, account: Account
) -> None:
    session, file_id = made(upstream, widget, account)

    content_of(widget.open_file(account, session, file_id, ByteRange(70_000, 70_010)))

    [call] = upstream.calls(DOWNLOAD)
    assert call.headers["range"] == "bytes=70000-70009"


def test_the_address_that_led_to_a_file_is_asked_first_and_the_list_once(
    upstream: Simulator, widget: Widget, account: Account
) -> None:
    session, file_id = made(upstream, widget, account)
    upstream.set(download_path="plain")

    for _ in range(2):
        content_of(widget.open_file(account, session, file_id, WHOLE))

    forms = [call.path.partition("/v1alpha/")[0] for call in upstream.calls(DOWNLOAD)]
    assert forms == ["/download", "", ""]
    assert len(upstream.calls(LIST)) == 1


@pytest.mark.parametrize(
    ("status", "word"),
    [
        (400, "INVALID_ARGUMENT"),
        (401, "UNAUTHENTICATED"),
        (403, "PERMISSION_DENIED"),
        (404, "NOT_FOUND"),
        (405, ""),
    ],
)
def test_the_other_address_is_tried_whichever_way_one_is_refused(
    upstream: Simulator, widget: Widget, account: Account, status: int, word: str
) -> None:
    session, file_id = made(upstream, widget, account)
    upstream.script(*http_error(status, word, "no"), path=DOWNLOAD)

    for _ in range(2):
        assert content_of(widget.open_file(account, session, file_id, WHOLE)) == PNG

    forms = [call.path.partition("/v1alpha/")[0] for call in upstream.calls(DOWNLOAD)]
    assert forms == ["/download", "", ""]
    assert len(upstream.calls("getoxsrf")) == 1


def test_a_denial_counts_more_than_a_missing_file(
    upstream: Simulator, widget: Widget, account: Account
) -> None:
    session, file_id = made(upstream, widget, account)
    for status, word in ((404, "NOT_FOUND"), (403, "PERMISSION_DENIED")):
        upstream.script(*http_error(status, word, "no"), path=DOWNLOAD)

    assert type(failure(widget, account, session, file_id)) is SessionDenied


def test_the_sessions_own_full_name_will_do_where_the_list_is_empty(
    upstream: Simulator, widget: Widget, account: Account
) -> None:
    upstream.set(session_name="full")
    session, file_id = made(upstream, widget, account)
    upstream.script(*json_reply(200, {}), path=LIST)

    opened = widget.open_file(account, session, file_id, WHOLE)

    assert opened.metadata == FileMetadata("", "image/png", len(PNG))
    assert content_of(opened) == PNG


@pytest.mark.parametrize(
    "listed",
    [
        json_reply(200, {}),
        http_error(400, "INVALID_ARGUMENT", "no"),
        http_error(404, "NOT_FOUND", "no"),
    ],
    ids=["says nothing", "refused", "not found"],
)
def test_the_project_that_an_answer_has_told_will_do_where_the_list_does_not_name_it(
    upstream: Simulator, widget: Widget, account: Account, listed: HttpScript
) -> None:
    upstream.set(session_info_name="full")
    session, file_id = made(upstream, widget, account)
    upstream.script(*listed, path=LIST, times=math.inf)

    opened = widget.open_file(account, session, file_id, WHOLE)

    assert session.startswith("collections/")
    assert content_of(opened) == PNG


def test_the_project_that_one_list_has_named_will_do_for_the_next(
    upstream: Simulator, widget: Widget, account: Account
) -> None:
    session, file_id = made(upstream, widget, account)
    content_of(widget.open_file(account, session, file_id, WHOLE))
    session, file_id = made(upstream, widget, account, PNG[:-1])
    upstream.script(*json_reply(200, {}), path=LIST)

    assert content_of(widget.open_file(account, session, file_id, WHOLE)) == PNG[:-1]


@pytest.mark.parametrize("taken", ["id", "full"])
def test_the_list_is_asked_by_each_name_of_the_session(
    upstream: Simulator, widget: Widget, account: Account, taken: str
) -> None:
    upstream.set(list_session_name=taken, session_info_name="full")
    session, file_id = made(upstream, widget, account)

    metadata = widget.file_metadata(account, session, file_id)

    assert metadata == FileMetadata("generated_1.png", "image/png", len(PNG))
    id_ = session.rpartition("/")[2]
    full = f"projects/{upstream.account.project_number}/locations/global/{session}"
    asked = [call.body["listSessionFileMetadataRequest"]["name"] for call in upstream.calls(LIST)]
    assert asked == [session, id_, full][: 2 if taken == "id" else 3]


def test_a_list_that_is_refused_where_no_project_is_known_is_told_as_it_was_refused_first(
    upstream: Simulator, widget: Widget, account: Account
) -> None:
    session, file_id = made(upstream, widget, account)
    upstream.script(*http_error(400, "INVALID_ARGUMENT", "first"), path=LIST)
    upstream.script(*http_error(404, "NOT_FOUND", "then"), path=LIST)

    error = failure(widget, account, session, file_id)

    assert (type(error), error.message) == (RequestRefused, "first")


def test_a_redirect_is_followed_with_the_token_on_the_same_host(
    upstream: Simulator, widget: Widget, account: Account
) -> None:
    session, file_id = made(upstream, widget, account)
    upstream.set(download_redirect=True)

    assert content_of(widget.open_file(account, session, file_id, WHOLE)) == PNG
    [moved] = upstream.calls("media")
    assert "authorization" in moved.headers


def test_another_host_gets_neither_the_token_nor_what_tells_of_the_account(
    upstream: Simulator, widget: Widget, account: Account
) -> None:
    session, file_id = made(upstream, widget, account)
    with file_server.serving(file_server.answer(PNG, Content_Type="image/png")) as other:
        upstream.script(*redirect(f"http://127.0.0.1:{other.port}/bucket?sig=1"), path=DOWNLOAD)

        assert content_of(widget.open_file(account, session, file_id, WHOLE)) == PNG

        [head] = other.heads
    names = {line.partition(":")[0].lower() for line in head.split("\r\n")[1:] if line}
    assert names <= {"host", "user-agent", "accept", "accept-encoding"}


@pytest.mark.parametrize(
    "host", ["localhost", "127.0.0.2", "[::ffff:127.0.0.1]", "2130706433", "files.test"]
)
def test_a_redirect_into_a_private_network_is_not_followed(
    upstream: Simulator, account: Account, host: str
) -> None:
    widget = widget_of(upstream, resolve=lambda name: ["8.8.8.8", "169.254.169.254"])
    session, file_id = made(upstream, widget, account)
    with file_server.serving(file_server.answer(PNG)) as other:
        upstream.script(*redirect(f"http://{host}:{other.port}/"), path=DOWNLOAD, times=2)

        error = failure(widget, account, session, file_id)

        assert other.heads == []
    assert error.message == "the upstream leads to where files are not fetched from"


def test_a_redirect_is_followed_to_a_public_address_that_was_checked(
    upstream: Simulator, account: Account
) -> None:
    looked_up: list[str] = []

    def resolve(name: str) -> list[str]:
        looked_up.append(name)
        return ["127.0.0.1"] if len(looked_up) == 1 else ["127.0.0.9"]

    widget = widget_of(upstream, resolve=resolve, is_allowed=lambda address: True)
    session, file_id = made(upstream, widget, account)
    with file_server.serving(file_server.answer(PNG, Content_Type="image/png")) as other:
        target = f"http://files.test:{other.port}/bucket?sig=1"
        upstream.script(*redirect(target), path=DOWNLOAD)

        assert content_of(widget.open_file(account, session, file_id, WHOLE)) == PNG

        [head] = other.heads
    assert head.startswith("GET /bucket?sig=1 ")
    assert f"Host: files.test:{other.port}" in head
    assert "authorization" not in head.lower()
    assert looked_up == ["files.test"]


def test_a_host_that_is_redirected_to_says_nothing_about_the_account(
    upstream: Simulator, widget: Widget, account: Account
) -> None:
    session, file_id = made(upstream, widget, account)
    with file_server.serving(file_server.answer(b"", "401 Unauthorized")) as other:
        upstream.script(*redirect(f"http://127.0.0.1:{other.port}/"), path=DOWNLOAD)

        error = failure(widget, account, session, file_id)

    assert type(error) is UpstreamError
    assert error.message == "the host of a file answered with status 401"
    assert len(upstream.calls("getoxsrf")) == 1


@pytest.mark.parametrize("location", ["", "file:///etc/passwd", "ftp://x/", "http://["])
def test_a_redirect_to_what_is_no_web_address_is_not_followed(
    upstream: Simulator, widget: Widget, account: Account, location: str
) -> None:
    session, file_id = made(upstream, widget, account)
    upstream.script(*redirect(location), path=DOWNLOAD)

    assert "redirected a download" in failure(widget, account, session, file_id).message


def test_redirects_come_to_an_end(upstream: Simulator, widget: Widget, account: Account) -> None:
    session, file_id = made(upstream, widget, account)
    upstream.script(*redirect("?again"), path=DOWNLOAD, times=100)

    error = failure(widget, account, session, file_id)

    assert error.message == "the upstream redirected a download too often"
    assert len(upstream.calls(DOWNLOAD)) == 6


def test_a_refused_token_is_replaced_once(
    upstream: Simulator, widget: Widget, account: Account
) -> None:
    session, file_id = made(upstream, widget, account)
    refused = http_error(401, "UNAUTHENTICATED", "no")
    upstream.script(*refused, path=DOWNLOAD, times=2)  # by both addresses

    assert content_of(widget.open_file(account, session, file_id, WHOLE)) == PNG

    upstream.script(*refused, path=DOWNLOAD, times=math.inf)
    assert type(failure(widget, account, session, file_id)) is CredentialRefused


@pytest.mark.parametrize(
    ("status", "word", "error"),
    [
        (403, "PERMISSION_DENIED", SessionDenied),
        (404, "NOT_FOUND", SessionGone),
        (400, "INVALID_ARGUMENT", SessionGone),
        (405, "", UpstreamUnclear),
    ],
)
def test_a_refusal_is_told_apart(
    upstream: Simulator,
    widget: Widget,
    account: Account,
    status: int,
    word: str,
    error: type[GatewayError],
) -> None:
    session, file_id = made(upstream, widget, account)
    upstream.script(*http_error(status, word, "no"), path=DOWNLOAD, times=2)

    assert type(failure(widget, account, session, file_id)) is error


def test_a_file_of_a_deleted_session_is_gone(
    upstream: Simulator, widget: Widget, account: Account
) -> None:
    session, file_id = made(upstream, widget, account)
    widget.delete_session(account, session)

    assert type(failure(widget, account, session, file_id)) is SessionGone


def test_a_file_that_breaks_off_is_no_whole_one(
    upstream: Simulator, widget: Widget, account: Account
) -> None:
    session, file_id = made(upstream, widget, account)
    upstream.script(CutBytes(50_000), Head(200), Write(PNG), End(), path=DOWNLOAD)

    with pytest.raises(UpstreamError):
        content_of(widget.open_file(account, session, file_id, WHOLE))


def test_base64_that_is_none_is_an_error(
    upstream: Simulator, widget: Widget, account: Account
) -> None:
    session, file_id = made(upstream, widget, account)
    head = Head(200, {"x-goog-safety-encoding": "base64"})
    upstream.script(head, Write(b"A"), End(), path=DOWNLOAD)

    assert "cannot be decoded" in failure(widget, account, session, file_id).message


def test_a_text_that_only_looks_like_base64_stays_as_it_is(
    upstream: Simulator, widget: Widget, account: Account
) -> None:
    session, file_id = made(upstream, widget, account, b"abcdefghijklmnop" * 100)

    opened = widget.open_file(account, session, file_id, WHOLE)

    assert content_of(opened) == b"abcdefghijklmnop" * 100


@pytest.mark.parametrize("verb", [DOWNLOAD, LIST])
def test_a_connection_that_breaks_before_the_answer_is_replaced_once(
    upstream: Simulator, widget: Widget, account: Account, verb: str
) -> None:
    session, file_id = made(upstream, widget, account)
    upstream.script(Fin(), path=verb)

    assert content_of(widget.open_file(account, session, file_id, WHOLE)) == PNG
    assert len(upstream.calls(verb)) == 2


def test_closing_a_file_leaves_the_upstream(
    upstream: Simulator, widget: Widget, account: Account
) -> None:
    upstream.script(*video_reply(size=50_000_000))
    session = widget.open_session(account)
    request = UpstreamRequest(
        (Message("user", (TextPart("film"),)),), Model("gemini-auto", {WIDGET: None})
    )
    [file] = [e for e in widget.stream(request, account, session) if isinstance(e, FileOutput)]
    opened = widget.open_file(account, session, file.file_id or "", WHOLE)
    before = upstream.open_connections

    opened.close()

    assert upstream.wait_for(lambda: upstream.open_connections < before)
    assert opened.metadata.size == 50_000_000


def test_a_silent_end_of_the_connection_is_an_error(
    upstream: Simulator, widget: Widget, account: Account
) -> None:
    session, file_id = made(upstream, widget, account)
    length = {"Content-Length": str(len(PNG))}
    upstream.script(Head(200, length), Write(PNG[:60_000]), Fin(), path=DOWNLOAD)

    with pytest.raises(UpstreamError):
        content_of(widget.open_file(account, session, file_id, WHOLE))


def failure(widget: Widget, account: Account, session: str, file_id: str) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        content_of(widget.open_file(account, session, file_id, WHOLE))
    return caught.value
