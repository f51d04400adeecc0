"""Sessions that a client opens itself: continued by their id with nothing but the new message, whatever
becomes of an answer in between, and by nobody else.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from gbproxy.simulator import (
    Rst,
    Simulator,
    Stall,
    Text,
    answer,
    image_reply,
    overloaded,
    policy_violation,
    session_not_found,
)
from tests.support.chats import (
    Chat,
    accounts,
    assistant,
    deletions_of,
    one_at_a_time,
    texts_by_session,
    topic,
    used_sessions,
    user,
)
from tests.support.messages_with_files import PDF, PNG, data_url, files_of, questions
from tests.support.polling import until
from tests.support.serving import (
    FORGETFUL,
    KEY,
    Asking,
    Front,
    Reply,
    Served,
    SharedUpstream,
    in_process,
    serving,
)

OTHER_KEY = "sk-test-another-0a1b2c3d4e"
OTHERS = {"Authorization": f"Bearer {OTHER_KEY}"}
UNKNOWN = "sess_" + "0" * 40

streamed_or_not = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """A gateway with two workers, two accounts and two keys."""
    forget = str(tmp_path_factory.mktemp("forget") / "socket")
    with SharedUpstream() as upstream:
        settings = {
            "ACCOUNT_ORDER": "first",
            "FORGET_SOCKET": forget,
            "API_KEYS": f"{KEY},{OTHER_KEY}",
            "ACCOUNT_CONCURRENCY": "100",
        }
        with serving(accounts(upstream, 2) | settings, command=FORGETFUL) as gateway:
            gateway.key = KEY
            yield Front(upstream, gateway, forget)


@pytest.fixture
def gateway(shared: Front) -> Served:
    shared.renew()
    # A client that the test before has left may be noticed a little later.
    assert shared.upstream.wait_for(lambda: shared.upstream.open_streams == 0)
    return shared.gateway


@pytest.fixture
def upstream(gateway: Served, shared: Front) -> Iterator[SharedUpstream]:
    with one_at_a_time(shared.upstream):
        yield shared.upstream


def call(gateway: Asking, method: str, path: str = "", body: Any = None, **headers: str) -> Reply:
    """One request about sessions."""
    sent = None if body is None else json.dumps(body)
    return gateway.request(method, f"/gemini/sessions{path}", sent, {**gateway.headers, **headers})


def opened(gateway: Asking) -> str:
    reply = call(gateway, "POST")
    assert reply.status == 201
    return str(reply.json()["session_id"])


def chat(gateway: Asking, message: str, session: str | None = None, **fields: Any) -> Reply:
    headers = {**gateway.headers, **fields.pop("headers", {})}
    body = {"message": message, **({} if session is None else {"session_id": session}), **fields}
    return gateway.request("POST", "/gemini/chat", json.dumps(body), headers)


def text_of(reply: Reply) -> str:
    if reply.streamed:
        return "".join(e["content"] for e in reply.frames if e["type"] == "content")
    return str(reply.json()["content"])


def listed(gateway: Asking) -> list[str]:
    return [each["session_id"] for each in call(gateway, "GET").json()["sessions"]]


def test_a_session_is_opened_shown_listed_and_deleted(gateway: Served) -> None:
    now = time.time()

    reply = call(gateway, "POST")
    made = reply.json()
    there = f"/{made['session_id']}"
    shown = call(gateway, "GET", there)
    during = listed(gateway)
    deleted = call(gateway, "DELETE", there)

    assert (reply.status, deleted.status, deleted.body) == (201, 204, b"")
    assert made["session_id"].startswith("sess_")
    assert abs(made["created_at"] - now) < 30
    assert made["expires_at"] - made["created_at"] == pytest.approx(1800, abs=2)
    assert made["last_used_at"] is None
    assert shown.json() == made
    assert made["session_id"] in during
    assert made["session_id"] not in listed(gateway)
    for method in ("GET", "DELETE"):
        assert_not_found(call(gateway, method, there))
    assert_not_found(chat(gateway, "Hi", made["session_id"]))


def assert_not_found(reply: Reply) -> None:
    assert (reply.status, reply.error["code"]) == (404, "conversation_not_found")


@streamed_or_not
def test_a_session_remembers_and_is_sent_the_new_message_alone(
    gateway: Served, upstream: SharedUpstream, stream: bool
) -> None:
    session, said = opened(gateway), [f"{topic()}: first?", "Second?", "Third?"]

    replies = [chat(gateway, text, session, stream=stream) for text in said]

    assert [reply.status for reply in replies] == [200] * 3
    assert {reply.headers["X-Conversation-Id"] for reply in replies} == {session}
    assert texts_by_session(upstream) == [said]
    entry = call(gateway, "GET", f"/{session}").json()
    assert abs(entry["last_used_at"] - time.time()) < 30
    assert listed(gateway).count(session) == 1


def test_a_whole_answer_tells_all_of_it(gateway: Served, upstream: SharedUpstream) -> None:
    session = opened(gateway)
    upstream.script(*answer("All is ", "well.", thoughts=("Hm.",)))

    body = chat(
        gateway, "Is it?", session, include_reasoning=True, model="gemini-3.1-pro-preview"
    ).json()

    usage = body.pop("usage")
    assert body == {
        "session_id": session,
        "model": "gemini-3.1-pro-preview",
        "content": "All is well.",
        "thoughts": "Hm.",
        "finish_reason": "stop",
        "files": [],
        "citations": [],
    }
    assert min(usage["input_tokens"], usage["output_tokens"]) > 0
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]
    assert usage["gbproxy_estimated"] is True


def test_a_stream_is_thoughts_contents_and_done(gateway: Served, upstream: SharedUpstream) -> None:
    session = opened(gateway)
    upstream.script(*answer("All is ", "well.", thoughts=("Hm.",)))

    reply = chat(gateway, "Is it?", session, stream=True, include_reasoning=True)

    *events, done = reply.frames
    assert [event["type"] for event in events] == ["thought"] + ["content"] * (len(events) - 1)
    assert events[0] == {"type": "thought", "content": "Hm."}
    assert text_of(reply) == "All is well."
    assert (done["type"], done["session_id"], done["finish_reason"]) == ("done", session, "stop")
    assert done["usage"]["output_tokens"] > 0


@streamed_or_not
def test_thoughts_are_hidden_unless_they_are_asked_for(
    gateway: Served, upstream: SharedUpstream, stream: bool
) -> None:
    upstream.script(*answer("Well.", thoughts=("Hm.",)))

    reply = chat(gateway, "Is it?", stream=stream)

    assert text_of(reply) == "Well."
    assert b"Hm." not in reply.body


@streamed_or_not
def test_without_a_session_there_is_one_for_this_message_only(
    gateway: Served, upstream: SharedUpstream, stream: bool
) -> None:
    before = listed(gateway)

    reply = chat(gateway, f"{topic()}?", stream=stream)

    assert reply.status == 200
    assert (reply.frames[-1] if stream else reply.json())["session_id"] is None
    assert reply.headers["X-Conversation-Id"] is None
    assert listed(gateway) == before
    assert upstream.wait_for(lambda: [each.deleted for each in used_sessions(upstream)] == [True])


def test_the_alias_names_work(gateway: Served, upstream: SharedUpstream) -> None:
    made = gateway.request("POST", "/sessions", "{}", gateway.headers).json()["session_id"]

    reply = chat(gateway, f"{topic()}?", session=made)
    again = gateway.request(
        "POST", "/gemini/chat", json.dumps({"message": "And?", "session": made}), gateway.headers
    )

    assert (reply.status, again.json()["session_id"]) == (200, made)
    assert [len(texts) for texts in texts_by_session(upstream)] == [2]
    assert gateway.request("GET", f"/sessions/{made}", None, gateway.headers).status == 200
    assert made in gateway.request("GET", "/sessions", None, gateway.headers).body.decode()
    assert gateway.request("DELETE", f"/sessions/{made}", None, gateway.headers).status == 204


def test_a_deleted_session_is_deleted_upstream(gateway: Served, upstream: SharedUpstream) -> None:
    session = opened(gateway)
    chat(gateway, f"{topic()}?", session)

    call(gateway, "DELETE", f"/{session}")

    (used,) = used_sessions(upstream)
    assert upstream.wait_for(lambda: used.deleted)


def test_another_keys_session_is_not_there(gateway: Served, upstream: SharedUpstream) -> None:
    session = opened(gateway)
    chat(gateway, f"{topic()}?", session)

    replies = [
        call(gateway, "GET", f"/{session}", **OTHERS),
        call(gateway, "DELETE", f"/{session}", **OTHERS),
        chat(gateway, "And?", session, headers=OTHERS),
        gateway.ask("And?", headers={**OTHERS, "X-Conversation-Id": session}),
    ]

    for reply in replies:
        assert_not_found(reply)
    assert session not in call(gateway, "GET", **OTHERS).body.decode()
    assert chat(gateway, "And?", session).status == 200


@pytest.mark.parametrize("session", [UNKNOWN, "", "sess_", "0" * 32, "%00", "a/b", "ä"])
def test_an_id_that_is_none_is_not_there(gateway: Served, session: str) -> None:
    path = f"/{session}".encode().decode("latin-1").replace("Ã¤", "%C3%A4")

    assert call(gateway, "GET", path).status == (404 if session else 200)
    if session:
        assert_not_found(chat(gateway, "Hi", session))


def test_a_session_answers_one_message_at_a_time(gateway: Served, upstream: SharedUpstream) -> None:
    session = opened(gateway)
    upstream.script(Text("Half "), Stall())

    with gateway.call() as running:
        body = json.dumps({"message": "Hi", "session_id": session, "stream": True})
        running.send(_request(gateway, body))
        running.read_until(b"Half ")
        busy = [
            chat(gateway, "And?", session),
            call(gateway, "DELETE", f"/{session}"),
        ]
        shown = call(gateway, "GET", f"/{session}")
        while_running = listed(gateway)

    assert [(reply.status, reply.error["code"]) for reply in busy] == [
        (409, "conversation_busy")
    ] * 2
    assert busy[0].headers["Retry-After"] == "2"
    assert (shown.status, while_running.count(session)) == (200, 1)
    # Its client has left. The upstream notices a little later than the gateway.
    until(lambda: not any(each.running for each in upstream.sessions.values()))
    until(lambda: chat(gateway, "And?", session).status == 200)


def _request(gateway: Served, body: str) -> bytes:
    return (
        "POST /gemini/chat HTTP/1.1\r\nHost: gateway\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {gateway.key}\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    ).encode()


@streamed_or_not
@pytest.mark.parametrize("turn", [1, 2])
@pytest.mark.parametrize(
    "script", [policy_violation(), (Text("Half "), Rst())], ids=["blocked", "broken"]
)
def test_a_session_goes_on_after_an_answer_that_was_none(
    gateway: Served, upstream: SharedUpstream, stream: bool, turn: int, script: Any
) -> None:
    session, before = opened(gateway), ["Before?"][: turn - 1]
    for text in before:
        chat(gateway, text, session)
    upstream.script(*script)

    chat(gateway, "Is it?", session, stream=stream)
    # A client may hear of a broken answer before the upstream's own end of it.
    assert upstream.wait_for(lambda: upstream.open_streams == 0)
    after = chat(gateway, "And now?", session, stream=stream)

    assert after.status == 200
    assert texts_by_session(upstream) == [[*before, "Is it?", "And now?"]]


def test_a_first_message_that_no_account_takes_may_be_sent_again(
    shared: Front, gateway: Served, upstream: SharedUpstream
) -> None:
    session = opened(gateway)
    upstream.script(*overloaded(), times=2)

    failed = chat(gateway, f"{topic()}?", session)
    unused = call(gateway, "GET", f"/{session}").json()
    shared.forget()  # that the accounts cool
    again = chat(gateway, "Again?", session)

    assert (failed.status, unused["last_used_at"], again.status) == (503, None, 200)
    assert texts_by_session(upstream)[-1] == ["Again?"]


def test_a_first_message_goes_to_another_account_where_the_first_cannot(
    gateway: Served, upstream: SharedUpstream
) -> None:
    session = opened(gateway)
    upstream.script(*overloaded())

    first = chat(gateway, f"{topic()}?", session)
    second = chat(gateway, "And?", session)

    assert [reply.status for reply in (first, second)] == [200, 200]
    assert texts_by_session(upstream)[-1][-1] == "And?"
    assert len(texts_by_session(upstream)[-1]) == 2


def test_a_session_that_is_gone_upstream_is_gone(gateway: Served, upstream: SharedUpstream) -> None:
    session = opened(gateway)
    chat(gateway, f"{topic()}?", session)
    upstream.script(*session_not_found())

    assert_not_found(chat(gateway, "And?", session))
    assert_not_found(call(gateway, "GET", f"/{session}"))


def test_a_conversation_goes_on_from_one_format_to_the_other(
    gateway: Served, upstream: SharedUpstream
) -> None:
    question = f"{topic()}?"
    session = opened(gateway)

    first = chat(gateway, question, session)
    by_history = gateway.ask([user(question), assistant(text_of(first)), user("Second?")])
    by_id = gateway.ask("Third?", headers={"X-Conversation-Id": session})
    back = chat(gateway, "Fourth?", session)

    assert by_history.headers["X-Conversation-Id"] == session
    assert (by_id.status, back.status) == (200, 200)
    assert texts_by_session(upstream) == [[question, "Second?", "Third?", "Fourth?"]]


def test_a_conversation_of_another_format_goes_on_by_its_id_and_is_no_session(
    gateway: Served, upstream: SharedUpstream
) -> None:
    begun = Chat(gateway)
    begun.say(f"{topic()}?")
    assert begun.conversation is not None

    reply = chat(gateway, "And?", begun.conversation)

    assert reply.json()["session_id"] == begun.conversation
    assert [len(texts) for texts in texts_by_session(upstream)] == [2]
    assert begun.conversation not in listed(gateway)
    assert_not_found(call(gateway, "DELETE", f"/{begun.conversation}"))


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        ({}, 400, "message"),
        ({"message": 1}, 400, "message"),
        ({"message": " "}, 400, "message"),
        ({"message": "Hi", "session_id": 1}, 400, "session_id"),
        ({"message": "Hi", "session": []}, 400, "session"),
        ({"message": "Hi", "stream": "yes"}, 400, "stream"),
        ({"message": "Hi", "model": 1}, 400, "model"),
        ({"message": "Hi", "model": "none-such"}, 404, "model"),
        ({"message": "Hi", "files": "x"}, 400, "files"),
        ({"message": "Hi", "files": [1]}, 400, "files[0]"),
        ({"message": "Hi", "files": ["x"]}, 400, "files[0]"),
        ({"message": "Hi", "files": [{}]}, 400, "files[0]"),
        ({"message": "Hi", "files": [{"data": 1}]}, 400, "files[0].data"),
        ({"message": "Hi", "files": [{"data": "?"}]}, 400, "files[0].data"),
        ({"message": "Hi", "files": [{"url": "ftp://a"}]}, 400, "files[0].url"),
        ({"message": "Hi", "files": ["x"] * 101}, 400, "files"),
    ],
    ids=str,
)
def test_a_body_that_is_wrong_is_refused_with_the_fields_name(
    gateway: Served, body: dict[str, Any], status: int, param: str | None
) -> None:
    reply = gateway.request("POST", "/gemini/chat", json.dumps(body), gateway.headers)

    assert (reply.status, reply.error["param"]) == (status, param)


@pytest.mark.parametrize(
    ("method", "path", "headers", "body", "status", "code"),
    [
        ("GET", "/gemini/chat", {}, None, 405, "method_not_allowed"),
        ("PUT", "/gemini/sessions", {}, None, 405, "method_not_allowed"),
        ("GET", "/gemini/nothing", {}, None, 404, "not_found"),
        (
            "POST",
            "/gemini/chat",
            {"Content-Type": "text/plain"},
            "x",
            415,
            "unsupported_media_type",
        ),
        ("POST", "/gemini/sessions", {}, "[]", 400, "invalid_request_error"),
        ("POST", "/gemini/chat", {"Authorization": ""}, "{}", 401, "invalid_api_key"),
        ("POST", "/gemini/sessions", {"Authorization": ""}, None, 401, "invalid_api_key"),
        ("GET", "/sessions", {"Authorization": "Bearer no"}, None, 401, "invalid_api_key"),
        ("GET", "/sessions", {"x-goog-api-client": "x"}, None, 200, None),
    ],
)
def test_every_error_has_openais_shape(
    gateway: Served,
    method: str,
    path: str,
    headers: dict[str, str],
    body: str | None,
    status: int,
    code: str | None,
) -> None:
    reply = gateway.request(method, path, body, {**gateway.headers, **headers})

    assert reply.status == status
    assert code is None or reply.error["code"] == code


def test_a_failure_in_a_stream_is_its_last_event(gateway: Served, upstream: SharedUpstream) -> None:
    upstream.script(Text("Half "), Rst())

    reply = chat(gateway, "Is it?", stream=True)

    assert reply.status == 200
    assert reply.frames[0] == {"type": "content", "content": "Half "}
    assert reply.frames[-1]["type"] == "error"
    assert reply.frames[-1]["error"]["code"] == "upstream_error"


@streamed_or_not
def test_files_go_up_with_the_message_that_has_them(
    gateway: Served, upstream: SharedUpstream, stream: bool
) -> None:
    session = opened(gateway)
    pdf = {"data": base64.b64encode(PDF).decode(), "name": "report.pdf"}

    first = chat(gateway, "What are these?", session, stream=stream, files=[data_url(PNG), pdf])
    second = chat(gateway, "And now?", session, stream=stream)

    assert (first.status, second.status) == (200, 200)
    with_files, without = questions(upstream)
    assert files_of(upstream, with_files) == [
        ("file.png", "image/png", PNG),
        ("report.pdf", "application/pdf", PDF),
    ]
    assert files_of(upstream, without) == []
    assert len(texts_by_session(upstream)) == 1


@streamed_or_not
def test_files_that_the_model_makes_are_listed_with_their_links(
    gateway: Served, upstream: SharedUpstream, stream: bool
) -> None:
    session = opened(gateway)
    upstream.script(*image_reply("Here: ", content=PNG))

    first = chat(gateway, "draw a fox", session, stream=stream)
    second = chat(gateway, "bluer", session, stream=stream)

    answered = first.frames[-1] if stream else first.json()
    [file] = answered["files"]
    assert file.keys() == {"name", "mime_type", "url"}
    assert not stream or [e["file"] for e in first.frames if e["type"] == "file"] == [file]
    assert file["mime_type"] == "image/png"
    assert "/media/" not in text_of(first)
    fetched = gateway.request("GET", file["url"].removeprefix(gateway.url))
    assert (fetched.status, fetched.body) == (200, PNG)
    assert second.status == 200
    assert len(texts_by_session(upstream)) == 1


@streamed_or_not
def test_a_file_that_came_with_its_bytes_is_given_with_them(
    gateway: Served, upstream: SharedUpstream, stream: bool
) -> None:
    upstream.script(*image_reply(content=PNG, inline=True))

    reply = chat(gateway, "draw a fox", stream=stream)

    files = [e["file"] for e in reply.frames if e["type"] == "file"] if stream else None
    [file] = files if files is not None else reply.json()["files"]
    assert base64.b64decode(file["data"]) == PNG
    assert not stream or "data" not in reply.frames[-1]["files"][0]


@pytest.mark.parametrize("form", ["create", "dash", "own"])
@pytest.mark.parametrize("timeout", ["0", "1800"])
def test_sessions_work_however_the_upstream_makes_them_and_without_any_other_conversation(
    form: str, timeout: str
) -> None:
    with (
        Simulator() as upstream,
        in_process(
            upstream.environment(), UPSTREAM_SESSION=form, SESSION_TIMEOUT=timeout
        ) as gateway,
    ):
        session = opened(gateway)
        life_s = call(gateway, "GET", f"/{session}").json()
        answers = [chat(gateway, text, session) for text in ("One?", "Two?", "Three?")]
        call(gateway, "DELETE", f"/{session}")
        until(lambda: len(deletions_of(upstream)) >= 1)

        assert [reply.status for reply in answers] == [200] * 3
        assert [s.queries for s in upstream.sessions.values() if s.queries] == [
            ["One?", "Two?", "Three?"]
        ]
        assert life_s["expires_at"] - life_s["created_at"] == pytest.approx(1800, abs=2)
