"""Files put into sessions over real sockets, in front of the simulator."""

from __future__ import annotations

import base64
import json
import socket
import threading
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest

from gbproxy.domain import attachment
from gbproxy.domain.account import WIDGET, Account
from gbproxy.domain.attachment import Attachment
from gbproxy.domain.chat import Message, TextPart
from gbproxy.domain.events import ChatEvent, Done
from gbproxy.domain.models import Model
from gbproxy.errors import (
    AccountSuspected,
    BadRequest,
    GatewayError,
    QuotaExhausted,
    RequestTooLarge,
    SessionDenied,
    SessionGone,
    UpstreamBroken,
    UpstreamError,
    UpstreamProtocolError,
    UpstreamTimeout,
)
from gbproxy.outbound import HttpClient, Timeouts
from gbproxy.outbound.recording import RecordingHttpClient
from gbproxy.simulator import Fin, Simulator, html_reply, http_error, json_reply, quota
from gbproxy.upstreams.base import UpstreamRequest
from gbproxy.upstreams.widget.bodies import WidgetSettings
from gbproxy.upstreams.widget.context_files import FileBody
from gbproxy.upstreams.widget.credential import credential_of
from gbproxy.upstreams.widget.endpoints import EndpointMap
from gbproxy.upstreams.widget.widget import Widget
from tests.support.accounts import simulated_account, widget_account
from tests.support.business_host import lone_auth
from tests.support.file_server import answer, serving

VERB = "widgetAddContextFile"
PLACE = "messages[0].content[1].image_url"
PNG = b"\x89PNG\r\n\x1a\npixels"
PATIENT = Timeouts(10, 10, 30)
AUTO = Model("gemini-auto", {WIDGET: None})
MB = 1024 * 1024


@pytest.fixture
def upstream() -> Iterator[Simulator]:
    with Simulator() as simulator:
        yield simulator


@pytest.fixture
def account(upstream: Simulator) -> Account:
    return simulated_account(upstream)


def widget(
    upstream: Simulator,
    timeouts: Timeouts = PATIENT,
    outbound: HttpClient | None = None,
    **settings: Any,
) -> Widget:
    outbound = outbound or HttpClient(timeouts)
    endpoints = EndpointMap(
        page_url=upstream.url,
        api_base_url=f"{upstream.url}/v1alpha",
        headers={"User-Agent": "gbproxy/test"},
    )
    auth = lone_auth(outbound, endpoints)
    return Widget(outbound, auth, endpoints, WidgetSettings(**settings))


def a_file(content: bytes = PNG, label: str = "", name: str = "fox.png") -> Attachment:
    return attachment.of_content(content, PLACE, label=label, name=name)


def failure(
    client: Widget, account: Account, file: Attachment | None = None, session: str = ""
) -> GatewayError:
    session = session or client.open_session(account, for_files=True)
    with pytest.raises(GatewayError) as caught:
        client.add_file(account, session, file or a_file())
    assert not caught.value.was_taken
    return caught.value


def asked(client: Widget, account: Account, session: str, ids: tuple[str, ...]) -> list[ChatEvent]:
    request = UpstreamRequest((Message("user", (TextPart("What is it?"),)),), AUTO, ids)
    return list(client.stream(request, account, session))


# What is sent, and what comes back


def test_a_file_goes_up_in_this_body(upstream: Simulator, account: Account) -> None:
    client = widget(upstream)
    session = client.open_session(account)

    file_id = client.add_file(account, session, a_file(name='f"üchse\u2028.png'))

    [call] = upstream.calls(VERB)
    assert (call.method, call.path) == ("POST", f"/v1alpha/locations/global/{VERB}")
    assert json.dumps(call.body) == json.dumps(
        {
            "configId": credential_of(account).config_id,
            "additionalParams": {"token": "-"},
            "addContextFileRequest": {
                "name": session,
                "fileName": "füchse.png",
                "mimeType": "image/png",
                "fileContents": base64.b64encode(PNG).decode(),
            },
        }
    )
    stored = upstream.sessions[session.rpartition("/")[2]].files[file_id]
    assert (stored.content, stored.mime_type, stored.name) == (PNG, "image/png", "füchse.png")


@pytest.mark.parametrize("size", [1, 2, 3, 196_608, 196_609, 3 * MB + 1])
def test_files_of_every_length_arrive_as_they_are(
    upstream: Simulator, account: Account, size: int
) -> None:
    client = widget(upstream)
    session = client.open_session(account)
    content = (bytes(range(256)) * (size // 256 + 1))[:size]

    file_id = client.add_file(account, session, a_file(content, name="x.aac", label="text/plain"))

    assert upstream.sessions[session.rpartition("/")[2]].files[file_id].content == content


def test_a_question_names_its_files_in_order(upstream: Simulator, account: Account) -> None:
    client = widget(upstream)
    session = client.open_session(account)
    ids = tuple(client.add_file(account, session, a_file(PNG + bytes([n]))) for n in range(3))

    events = asked(client, account, session, ids[::-1])

    [call] = upstream.calls("widgetStreamAssist")
    assert call.body["streamAssistRequest"]["fileIds"] == list(ids[::-1])
    assert isinstance(events[-1], Done)
    assert client.capabilities.files_in


def test_several_files_go_up_at_once(upstream: Simulator, account: Account) -> None:
    client = widget(upstream)
    session = client.open_session(account)
    upstream.set(upload_delay_s=0.3)
    ids: list[str] = []

    def add(number: int) -> None:
        ids.append(client.add_file(account, session, a_file(PNG + bytes([number]))))

    threads = [threading.Thread(target=add, args=(number,)) for number in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)

    stored = upstream.sessions[session.rpartition("/")[2]].files
    assert len(set(ids)) == 5
    assert {stored[file_id].content[-1] for file_id in ids} == set(range(5))


@pytest.mark.parametrize("form", ["file_id", "context_file", "bare"])
def test_the_id_is_found_wherever_the_answer_has_it(
    upstream: Simulator, account: Account, form: str
) -> None:
    upstream.set(added_file=form)
    client = widget(upstream)
    session = client.open_session(account)

    file_id = client.add_file(account, session, a_file())

    assert isinstance(asked(client, account, session, (file_id,))[-1], Done)


@pytest.mark.parametrize("name", ["short", "full"])
def test_a_session_is_named_in_short(upstream: Simulator, account: Account, name: str) -> None:
    upstream.set(session_name=name, file_session_name="short")
    client = widget(upstream)
    session = client.open_session(account)

    assert session.startswith("projects/") == (name == "full")
    assert client.add_file(account, session, a_file())


@pytest.mark.parametrize("form", ["dash", "own", "create"])
def test_a_session_that_is_to_hold_files_is_opened_before_it_is_asked(
    upstream: Simulator, account: Account, form: str
) -> None:
    client = widget(upstream, session=form)
    session = client.open_session(account, for_files=True)

    file_id = client.add_file(account, session, a_file())

    assert isinstance(asked(client, account, session, (file_id,))[-1], Done)
    assert len(upstream.calls("widgetCreateSession")) == 1


def test_the_fields_of_upstream_body_go_along(upstream: Simulator, account: Account) -> None:
    further = {"location": "global", "addContextFileRequest": {"mimeType": "image/webp"}}
    client = widget(upstream, body=further)

    client.add_file(account, client.open_session(account), a_file())

    [call] = upstream.calls(VERB)
    assert call.body["location"] == "global"
    assert call.body["addContextFileRequest"]["mimeType"] == "image/webp"


def test_a_capture_has_the_whole_body(upstream: Simulator, account: Account) -> None:
    outbound = RecordingHttpClient(PATIENT)
    client = widget(upstream, outbound=outbound)

    client.add_file(account, client.open_session(account), a_file())

    sent = json.loads(outbound.exchanges[-1].body)
    assert sent == upstream.calls(VERB)[0].body


# What is refused


@pytest.mark.parametrize(
    ("content", "label", "says"),
    [
        (b"PK\x03\x04", "image/png", "takes no files of the type application/zip"),
        (b"\0\0", "", "takes no files of the type application/octet-stream"),
    ],
)
def test_an_unsupported_type_is_400_and_names_part_and_type(
    upstream: Simulator, account: Account, content: bytes, label: str, says: str
) -> None:
    error = failure(widget(upstream), account, a_file(content, label, name=""))

    assert type(error) is BadRequest
    assert (error.status, error.param) == (400, PLACE)
    assert error.message.startswith(f"{PLACE}: ")
    assert says in error.message


@pytest.mark.parametrize(
    ("content", "label", "name", "sent_as"),
    [
        (b"print(1)\n", "text/x-python", "a.py", ("a.py", "text/plain")),
        (b"a: 1\n", "application/yaml", "", ("file.yaml", "text/plain")),
        (b"<svg/>", "image/svg+xml", "a.svg", ("a.svg", "text/plain")),
        (b"\x00\x00\x00\x14ftypqt  ", "", "a.mov", ("a.mp4", "video/mp4")),
    ],
)
def test_a_type_that_is_refused_goes_up_under_a_plainer_one(
    upstream: Simulator,
    account: Account,
    content: bytes,
    label: str,
    name: str,
    sent_as: tuple[str, str],
) -> None:
    upstream.set(upload_types="few")
    file = a_file(content, label, name=name)

    client = widget(upstream)
    client.add_file(account, client.open_session(account, for_files=True), file)

    sent = [call.body["addContextFileRequest"] for call in upstream.calls(VERB)]
    assert [each["mimeType"] for each in sent] == [file.media_type, sent_as[1]]
    assert sent[1]["fileName"] == sent_as[0]
    assert base64.b64decode(sent[1]["fileContents"]) == content


def test_a_type_that_is_refused_under_its_plainer_name_too_is_told_by_its_own(
    upstream: Simulator, account: Account
) -> None:
    refusal = http_error(400, "INVALID_ARGUMENT", "Unsupported file type: x")
    upstream.script(*refusal, path=VERB, times=2)

    error = failure(widget(upstream), account, a_file(b"a: 1\n", "text/yaml", name="a.yaml"))

    assert "takes no files of the type text/yaml" in error.message
    assert len(upstream.calls(VERB)) == 2


@pytest.mark.parametrize("form", ["400", "413"])
def test_too_large_a_file_is_413(upstream: Simulator, account: Account, form: str) -> None:
    upstream.set(max_file_mb=1, file_too_large=form)

    error = failure(widget(upstream), account, a_file(PNG.ljust(MB + 1)))

    assert type(error) is RequestTooLarge
    assert (error.status, error.param) == (413, PLACE)
    assert "larger than the upstream takes" in error.message


def test_a_refusal_of_the_content_filter_is_400_and_says_so(
    upstream: Simulator, account: Account
) -> None:
    upstream.set(model_armor=True)

    error = failure(widget(upstream), account)

    assert type(error) is BadRequest
    assert error.message == f"{PLACE}: the upstream's content filter refuses this file"
    assert error.safe_words is not None
    assert error.safe_words["reasons"] == ["MODEL_ARMOR_VIOLATION"]
    assert error.safe_words["verb"] == "addContextFile"


def test_any_other_refusal_of_a_file_names_its_part(upstream: Simulator, account: Account) -> None:
    refusal = http_error(400, "INVALID_ARGUMENT", "Something about fox.png.")
    upstream.script(*refusal, path=VERB)

    error = failure(widget(upstream), account)

    assert (type(error), error.param) == (BadRequest, PLACE)
    assert "fox" not in error.message


@pytest.mark.parametrize(
    ("actions", "kind"),
    [
        (http_error(500, "INTERNAL", "x"), UpstreamBroken),
        (http_error(403, "PERMISSION_DENIED", "x"), SessionDenied),
        (http_error(404, "NOT_FOUND", "x"), SessionGone),
        (quota(), QuotaExhausted),
        (html_reply(502, "x"), UpstreamBroken),
        (html_reply(200, "x"), UpstreamProtocolError),
        (json_reply(200, {}), UpstreamProtocolError),
        (json_reply(200, {"addContextFileResponse": {"fileId": ""}}), UpstreamProtocolError),
        (json_reply(200, {"addContextFileResponse": {"fileId": {}}}), UpstreamProtocolError),
        (json_reply(200, []), UpstreamProtocolError),
        (json_reply(200, {"error": {"code": 500}}), UpstreamBroken),
        ((Fin(),), UpstreamBroken),
    ],
)
def test_what_is_not_the_file_s_fault_stays_the_upstream_s(
    upstream: Simulator, account: Account, actions: Any, kind: type[UpstreamError]
) -> None:
    upstream.script(*actions, path=VERB)

    assert type(failure(widget(upstream), account)) is kind


def test_a_session_that_is_gone_is_told_as_such(upstream: Simulator, account: Account) -> None:
    client = widget(upstream)
    session = client.open_session(account)
    client.delete_session(account, session)

    assert type(failure(client, account, session=session)) is SessionGone


def test_a_refused_token_is_replaced_once(upstream: Simulator, account: Account) -> None:
    client = widget(upstream)
    session = client.open_session(account)
    refusal = http_error(401, "UNAUTHENTICATED", "x")
    upstream.script(*refusal, path=VERB)
    assert client.add_file(account, session, a_file())

    upstream.script(*refusal, path=VERB, times=2)
    suspected = failure(client, account, session=session)

    assert type(suspected) is AccountSuspected
    assert len(upstream.calls(VERB)) == 4


def test_a_slow_upload_has_the_time_that_answers_have(
    upstream: Simulator, account: Account
) -> None:
    client = widget(upstream, Timeouts(10, 10, 30, call_s=0.5))
    session = client.open_session(account)
    upstream.set(upload_delay_s=1.0)

    assert client.add_file(account, session, a_file())

    upstream.set(upload_delay_s=30.0)
    hasty = widget(upstream, Timeouts(10, 0.4, 30))
    assert isinstance(failure(hasty, account), UpstreamTimeout)


# How it is sent


def test_a_large_file_is_encoded_while_it_is_sent() -> None:
    body = FileBody(widget_account(), "collections/s", a_file(PNG.ljust(20 * MB)), WidgetSettings())

    with serving(swallow) as server:
        client = HttpClient(PATIENT)
        tracemalloc.start()
        try:
            with client.stream("POST", f"http://127.0.0.1:{server.port}/", {}, body) as reply:
                assert reply.read_body() == b"ok"
            most = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
            client.close()

    assert f"Content-Length: {len(body)}\r\n" in server.heads[0]
    assert most < 3 * MB  # beside the file itself


def swallow(peer: socket.socket) -> None:
    data = b""
    while not data.endswith(b'"}}'):
        data = data[-2:] + peer.recv(65536)
    answer(b"ok")(peer)


def test_a_body_that_is_taken_too_slowly_ends_with_the_request() -> None:
    body = FileBody(widget_account(), "collections/s", a_file(PNG.ljust(20 * MB)), WidgetSettings())
    gone = threading.Event()

    def sip(peer: socket.socket) -> None:
        while not gone.wait(0.02):
            peer.recv(65536)

    with serving(sip) as server:
        client = HttpClient(Timeouts(10, 10, 0.6))
        with (
            pytest.raises(UpstreamTimeout, match=r"longer than 0\.6 s"),
            client.stream("POST", f"http://127.0.0.1:{server.port}/", {}, body),
        ):
            pass
        client.close()
        gone.set()
