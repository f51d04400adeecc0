"""Files of messages on their way into upstream sessions, over the wire."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from gbproxy.simulator import HoldHeaders, http_error, overloaded
from tests.support.chats import accounts, csesidx, topic
from tests.support.delays import Delays
from tests.support.file_server import answer
from tests.support.linked_files import LeadingProxy
from tests.support.messages_with_files import (
    MP3,
    OTHER_PNG,
    PDF,
    PNG,
    UPLOAD,
    data_url,
    file,
    files_of,
    image,
    link,
    prompt_of,
    questions,
    says,
    text,
    uploaded,
    uploads,
)
from tests.support.polling import until
from tests.support.serving import Front, Reply, Served, SharedUpstream, fronting

MB = 1024 * 1024
MOST_CHARS = 3000
FOX, OWL = "93.184.216.34", "93.184.216.35"  # public addresses, as far as anybody here knows
NOTICED_S = 0.2
UPLOAD_S = 3.0  # longer than a busy machine holds anybody up

streamed_or_not = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
Record = Callable[[str, object], None]


@pytest.fixture(scope="module")
def proxy() -> Iterator[LeadingProxy]:
    with LeadingProxy() as made:
        yield made


@pytest.fixture(scope="module")
def filing_front(proxy: LeadingProxy) -> Iterator[Front]:
    """A gateway with two accounts behind a proxy, and small limits."""
    with SharedUpstream() as upstream:
        unset = {name: "" for name in upstream.environment() if not name.endswith("_URL")}
        settings = (
            unset
            | accounts(upstream, 2)
            | {
                "PROXY": proxy.url,
                "PROMPT_MAX_CHARS": str(MOST_CHARS),
                "MAX_FILE_MB": "1",
                "HEARTBEAT_S": "0.3",
                "REQUEST_TIMEOUT_S": "60",
                "ACCOUNT_ORDER": "first",
            }
        )
        with fronting(upstream, settings, prewarms=False) as front:
            yield front


@pytest.fixture
def front(filing_front: Front, proxy: LeadingProxy) -> Front:
    filing_front.renew()
    proxy.asked.clear()
    return filing_front


def refused(reply: Reply) -> tuple[int, str, str | None]:
    return reply.status, reply.error["code"], reply.error["param"]


# What goes up


@streamed_or_not
def test_files_of_every_form_go_up_with_their_real_types_in_their_order(
    gateway: Served, upstream: SharedUpstream, stream: bool
) -> None:
    audio = {"data": base64.b64encode(MP3).decode(), "format": "wav"}
    pdf = {"filename": "report.pdf", "file_data": data_url(PDF, "application/octet-stream")}

    reply = gateway.ask(
        [
            says(
                text("What are these?"),
                image(PNG, "image/jpeg"),
                {"type": "file", "file": pdf},
                {"type": "input_audio", "input_audio": audio},
            )
        ],
        stream=stream,
    )

    assert reply.succeeded
    [question] = questions(upstream)
    assert prompt_of(question) == "What are these?"
    assert files_of(upstream, question) == [
        ("file.png", "image/png", PNG),
        ("report.pdf", "application/pdf", PDF),
        ("audio.mp3", "audio/mpeg", MP3),
    ]
    done = gateway.log_of(reply)
    assert (done["files"], done["uploaded_bytes"]) == (3, len(PNG + PDF + MP3))


def test_in_a_conversation_each_file_has_a_label_of_its_own_where_it_stood(
    gateway: Served, upstream: SharedUpstream
) -> None:
    reply = gateway.ask(
        [
            says(text("First: "), image(PNG), text("and then"), image(OTHER_PNG)),
            {"role": "assistant", "content": "Two foxes."},
            says(text("Is this one of them?"), image(PNG)),
        ]
    )

    assert reply.succeeded
    [question] = questions(upstream)
    prompt = prompt_of(question)
    labels = ["[attached file file.png]", "[attached file file-2.png]", "[attached file file.png]"]
    places = [prompt.index("First: "), prompt.index(labels[0]), prompt.index("and then")]
    places += [prompt.index(labels[1]), prompt.index("Two foxes."), prompt.rindex(labels[2])]
    assert places == sorted(places)
    assert files_of(upstream, question) == [
        ("file.png", "image/png", PNG),
        ("file-2.png", "image/png", OTHER_PNG),
    ]
    assert uploaded(upstream) == sorted([PNG, OTHER_PNG])


def test_a_tool_s_files_stand_behind_its_result(gateway: Served, upstream: SharedUpstream) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    reply = gateway.ask(
        [
            says(text("Look around.")),
            {"role": "assistant", "tool_calls": [call]},
            {**says(text("Seen:"), image(PNG), role="tool"), "tool_call_id": "c1"},
        ],
        tools=[{"type": "function", "function": {"name": "look"}}],
    )

    assert reply.succeeded
    [question] = questions(upstream)
    prompt = prompt_of(question)
    assert prompt.index("Result of look, call c1:\nSeen:") < prompt.index(
        "[attached file file.png]"
    )
    assert files_of(upstream, question) == [("file.png", "image/png", PNG)]


def test_files_go_up_side_by_side_four_at_once_and_keep_their_order(front: Front) -> None:
    upstream = front.upstream
    upstream.set(upload_delay_s=UPLOAD_S)
    contents = [PNG + bytes([number]) for number in range(6)]

    reply = front.gateway.ask([says(text("Which?"), *map(image, contents))])

    assert reply.succeeded
    [question] = questions(upstream)
    assert [content for _, _, content in files_of(upstream, question)] == contents
    began = [call.time for call in upstream.calls(UPLOAD) if call.csesidx is not None]
    first_s = [at - began[0] for at in began]
    assert first_s[3] < UPLOAD_S <= first_s[4]  # the fifth when one of the four was through


# What is there already


def test_a_continued_conversation_sends_the_same_bytes_once(front: Front) -> None:
    gateway, upstream = front.gateway, front.upstream
    begun = [says(text(topic()), image(PNG))]
    first = gateway.ask(begun)
    history = [*begun, {"role": "assistant", "content": first.text}]
    again = [*history, says(text("And this?"), image(OTHER_PNG), image(PNG))]
    second = gateway.ask(again)
    third = gateway.ask(
        [*again, {"role": "assistant", "content": second.text}, says(text("Thanks."))]
    )
    fourth = gateway.post(
        {"messages": [says(text("Once more:"), image(OTHER_PNG))]},
        {"X-Conversation-Id": third.headers["X-Conversation-Id"]},
    )

    assert [each.succeeded for each in (first, second, third, fourth)] == [True] * 4
    assert uploaded(upstream) == sorted([PNG, OTHER_PNG])
    asked = questions(upstream)
    assert len({question["session"] for question in asked}) == 1
    assert [prompt_of(question) for question in asked[1:]] == [
        "And this?", "Thanks.", "Once more:"
    ]  # fmt: skip
    assert [[name for name, _, _ in files_of(upstream, question)] for question in asked] == [
        ["file.png"], ["file-2.png", "file.png"], [], ["file-2.png"]
    ]  # fmt: skip


def test_a_lost_session_s_files_go_up_again(front: Front) -> None:
    gateway, upstream = front.gateway, front.upstream
    begun = [says(text(topic()), image(PNG))]
    first = gateway.ask(begun)
    for session in upstream.sessions.values():
        session.deleted = True
    second = gateway.ask(
        [
            *begun,
            {"role": "assistant", "content": first.text},
            says(text("And this?"), image(OTHER_PNG)),
        ]
    )

    assert second.succeeded
    assert files_of(upstream, questions(upstream)[-1]) == [
        ("file.png", "image/png", PNG),
        ("file-2.png", "image/png", OTHER_PNG),
    ]


# Failures


@pytest.mark.parametrize(
    "failure",
    [
        pytest.param(overloaded(), id="overloaded"),
        pytest.param(http_error(429, "RESOURCE_EXHAUSTED"), id="quota"),
        pytest.param(http_error(500, "INTERNAL"), id="broken"),
        pytest.param(http_error(403, "PERMISSION_DENIED"), id="denied"),
    ],
)
def test_an_upload_that_fails_for_the_account_goes_to_another_with_all_files(
    front: Front, failure: Any
) -> None:
    gateway, upstream = front.gateway, front.upstream
    upstream.script(*failure, path=UPLOAD, times=9, csesidx=csesidx(upstream, "first"))

    reply = gateway.ask([says(text("Which?"), image(PNG), image(OTHER_PNG))])

    assert reply.succeeded
    [question] = questions(upstream)
    assert [content for _, _, content in files_of(upstream, question)] == [PNG, OTHER_PNG]
    assert gateway.log_of(reply)["account"] == "second"


def test_a_refused_token_is_replaced_during_an_upload(front: Front) -> None:
    front.gateway.ask("Hello, whoever it is.")
    front.upstream.revoke_tokens()

    reply = front.gateway.ask([says(text("What is it?"), image(PNG))])

    assert reply.succeeded
    assert uploaded(front.upstream) == [PNG]


@pytest.mark.parametrize(
    ("switches", "part", "status", "field", "words"),
    [
        ({"model_armor": True}, image(), 400, "image_url", "content filter"),
        ({}, file(b"PK\x03\x04 a zip", "a.zip"), 400, "file.file_data", "application/zip"),
        ({"max_file_mb": 0}, image(), 413, "image_url", "larger than the upstream takes"),
        ({"max_file_mb": 0, "file_too_large": "413"}, image(), 413, "image_url", "larger"),
    ],
    ids=["policy", "type", "size in words", "size by status"],
)
def test_an_upload_that_is_refused_for_the_file_names_its_part_and_costs_no_account_anything(
    front: Front,
    switches: dict[str, Any],
    part: dict[str, Any],
    status: int,
    field: str,
    words: str,
) -> None:
    gateway, upstream = front.gateway, front.upstream
    upstream.set(**switches)

    reply = gateway.ask([says(text("Good"), part)])

    code = "request_too_large" if status == 413 else "invalid_request_error"
    assert refused(reply) == (status, code, f"messages[0].content[1].{field}")
    assert words in reply.error["message"]
    assert questions(upstream) == []
    assert gateway.log_of(reply)["attempts"] == 1
    upstream.reset()
    after = gateway.ask("Are you well?")
    assert gateway.log_of(after)["account"] == "first"


@pytest.mark.parametrize(
    ("part", "status", "field"),
    [
        (image(PNG + bytes(MB)), 413, "image_url"),
        (file(PNG + bytes(MB), "x.png"), 413, "file.file_data"),
        (link("data:image/png;base64,%%%"), 400, "image_url"),
        (link("data:image/png;base64,"), 400, "image_url"),
        (link("ftp://example.com/x.png"), 400, "image_url"),
        ({"type": "file", "file": {"file_id": "file-1"}}, 400, "file.file_id"),
    ],
    ids=["large", "large file", "no base64", "empty", "ftp", "file id"],
)
def test_a_file_that_cannot_be_taken_is_named_before_anything_is_asked(
    front: Front, part: dict[str, Any], status: int, field: str
) -> None:
    reply = front.gateway.ask([says(text("First")), says(text("What is it?"), part)])

    code = "request_too_large" if status == 413 else "invalid_request_error"
    assert refused(reply) == (status, code, f"messages[1].content[1].{field}")
    assert questions(front.upstream) == uploads(front.upstream) == []


def test_more_than_a_hundred_files_are_too_many(front: Front) -> None:
    parts = [image(PNG + number.to_bytes(2)) for number in range(101)]

    reply = front.gateway.ask([says(*parts)])

    assert refused(reply) == (400, "invalid_request_error", "messages[0].content[100].image_url")
    assert uploads(front.upstream) == []


# Who waits, and who leaves


def test_a_stream_beats_while_a_slow_upload_runs(front: Front) -> None:
    front.upstream.set(upload_delay_s=UPLOAD_S)

    reply = front.gateway.ask([says(text("What is it?"), image(PNG))], stream=True)

    assert reply.succeeded
    assert reply.body.count(b": ping\n\n") >= 2


@streamed_or_not
@pytest.mark.parametrize("count", [1, 3])
def test_a_client_that_leaves_ends_the_uploads(
    front: Front, count: int, stream: bool, record_property: Record
) -> None:
    gateway, upstream = front.gateway, front.upstream

    def leaving(request_id: str) -> float:
        upstream.reset()
        upstream.script(HoldHeaders(), path=UPLOAD, times=count)
        parts = [image(PNG + bytes([number])) for number in range(count)]
        with gateway.call() as call:
            call.ask([says(*parts)], stream=stream, request_id=request_id)
            assert upstream.wait_for(lambda: len(upstream.calls(UPLOAD)) == count)
            used = [each.connection for each in upstream.calls(UPLOAD)]
            left_at = time.monotonic()
            call.leave()
            assert upstream.wait_for(lambda: not any(map(upstream.is_open, used)))
            noticed_s = time.monotonic() - left_at
        done = gateway.wait_for_event("request.done", lambda line: line["request_id"] == request_id)
        assert done.get("client_gone") or done["code"] == "client_gone"
        return noticed_s

    times: list[float] = []
    while len(times) < 3 and min(times, default=1) > NOTICED_S:
        times.append(leaving(f"leaves-{count}-{stream}-{len(times)}"))

    record_property("measured", f"{count} upload(s) left: ended after {min(times) * 1000:.0f} ms")
    assert min(times) <= NOTICED_S
    assert questions(upstream) == []


def test_a_client_that_leaves_ends_the_fetching(front: Front, proxy: LeadingProxy) -> None:
    gateway = front.gateway
    with ExitStack() as stack:
        servers = [
            stack.enter_context(proxy.serving(host, lambda peer: peer.recv(1)))
            for host in (FOX, OWL)
        ]
        with gateway.call() as call:
            parts = [link(f"http://{host}/x.png") for host in (FOX, OWL)]
            call.ask([says(*parts)], request_id="leaves-a-fetch")
            until(lambda: all(each.heads for each in servers))
            with Delays(gateway.worker_pids()) as delays:
                left_at = time.monotonic()
                call.leave()
                done = gateway.wait_for_event(
                    "request.done", lambda line: line["request_id"] == "leaves-a-fetch"
                )
                noticed_s = time.monotonic() - left_at

    assert done["code"] == "client_gone"
    assert noticed_s < 1.0 + delays.total_s


# Links


def test_links_are_fetched_through_the_proxy_once_for_a_conversation(
    front: Front, proxy: LeadingProxy
) -> None:
    gateway, upstream = front.gateway, front.upstream
    with (
        proxy.serving(FOX, answer(PNG, Content_Type="image/jpeg")) as fox,
        proxy.serving(OWL, answer(OTHER_PNG, Content_Type="image/png")) as owl,
    ):
        begun = [says(text(topic()), link(f"http://{FOX}/a/fox.jpeg?x=1"), link(f"http://{OWL}/"))]
        first = gateway.ask(begun)
        second = gateway.ask(
            [*begun, {"role": "assistant", "content": first.text}, says(text("Which is which?"))]
        )
        asked = [len(each.heads) for each in (fox, owl)]
        for session in upstream.sessions.values():
            session.deleted = True
        third = gateway.ask(
            [*begun, {"role": "assistant", "content": first.text}, says(text("Which is what?"))]
        )
        asked_again = [len(each.heads) for each in (fox, owl)]

    assert [each.succeeded for each in (first, second, third)] == [True] * 3
    assert (asked, asked_again) == ([1, 1], [2, 2])
    expected = [("fox.png", "image/png", PNG), ("file.png", "image/png", OTHER_PNG)]
    question, continued, anew = (
        questions(upstream)[0],
        questions(upstream)[1],
        questions(upstream)[-1],
    )
    assert files_of(upstream, question) == files_of(upstream, anew) == expected
    assert (prompt_of(continued), continued["fileIds"]) == ("Which is which?", [])
    assert proxy.asked_for(FOX) == 2


@pytest.mark.parametrize(
    ("serve", "status", "words"),
    [
        (answer(b"", "302 Found", Location="http://127.0.0.1/"), 400, "redirects"),
        (answer(b"", "404 Not Found"), 400, "404"),
        (answer(b"<html>Sign in", Content_Type="text/html"), 400, "not an image"),
        (answer(bytes(MB + 1), Content_Type="image/png"), 413, "larger"),
    ],
    ids=["redirect", "404", "page", "large"],
)
def test_a_link_that_leads_to_no_file_names_its_part(
    front: Front, proxy: LeadingProxy, serve: Any, status: int, words: str
) -> None:
    with proxy.serving(FOX, serve):
        reply = front.gateway.ask([says(text("What is it?"), link(f"http://{FOX}/x.png"))])

    assert (reply.status, reply.error["param"]) == (status, "messages[0].content[1].image_url")
    assert words in reply.error["message"]
    assert questions(front.upstream) == uploads(front.upstream) == []


def test_linked_files_have_a_limit_together(front: Front, proxy: LeadingProxy) -> None:
    with proxy.serving(FOX, answer(PNG + bytes(MB - 100), Content_Type="image/png")):
        links = [link(f"http://{FOX}/{number}.png") for number in range(5)]
        reply = front.gateway.ask([says(*links)])

    assert (reply.status, reply.error["code"]) == (413, "request_too_large")
    assert "together" in reply.error["message"]
