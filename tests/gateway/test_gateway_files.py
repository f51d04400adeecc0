"""Files on their way through the gateway: who takes them, what is fetched, what a failure costs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gbproxy.domain import attachment
from gbproxy.domain.attachment import Attachment, LinkedAttachment, StoredAttachment
from gbproxy.domain.chat import ChatRequest, Message, TextPart
from gbproxy.domain.events import Done
from gbproxy.errors import (
    BadRequest,
    GatewayError,
    QuotaExhausted,
    RequestTooLarge,
    SessionGone,
    UpstreamTimeout,
)
from tests.support.gateways import HELLO, HELLO_SAID, KEY, ONE, TWO, Harness, Upstream

PNG = b"\x89PNG\r\n\x1a\npixels"
PLACE = "messages[0].content[1]"


def a_file(content: bytes = PNG) -> Attachment:
    return attachment.of_content(content, PLACE)


def a_link(url: str = "http://example.com/fox.png") -> LinkedAttachment:
    return LinkedAttachment(url, PLACE, "fox.png", "image")


def says(*files: Attachment | LinkedAttachment, text: str = "What is it?") -> Message:
    return Message("user", (TextPart(text), *files))


def taking_files(upstream: Upstream, *accounts: object, **options: object) -> Harness:
    upstream.capabilities = replace(upstream.capabilities, files_in=True)
    return Harness(upstream, *accounts, **options)  # type: ignore[arg-type]


def test_an_upstream_without_files_is_not_asked_and_the_part_is_named() -> None:
    harness = Harness(Upstream())
    harness.linked["http://example.com/fox.png"] = PNG

    error, _ = harness.failure(says(a_link()))

    assert (type(error), error.param) == (BadRequest, PLACE)
    assert harness.fetched == harness.upstream.prompts == []


def test_files_of_turns_that_the_session_holds_need_not_be_taken_or_fetched_again() -> None:
    harness = taking_files(Upstream())
    harness.linked["http://example.com/fox.png"] = PNG
    first = says(a_link(), a_file(b"%PDF-1"))
    harness.begun(first)

    harness.answer(first, HELLO_SAID, says(a_file(b"%PDF-1"), text="And this?"), key_digest=KEY)

    assert harness.fetched == ["http://example.com/fox.png"]
    assert harness.upstream.file_ids == [("f/1", "f/2"), ("f/2",)]
    assert harness.upstream.prompts[1] == "And this?"


def an_upload(id_: str = "file-1") -> StoredAttachment:
    return StoredAttachment(id_, PLACE, "fox.png")


@pytest.mark.parametrize("first_by_id", [True, False])
def test_a_resent_file_is_the_same_by_its_id_and_in_the_body(first_by_id: bool) -> None:
    harness = taking_files(Upstream())
    harness.uploaded |= {"file-1": PNG, "file-2": PNG}
    ways = [says(an_upload()), says(a_file())]
    first, again = ways if first_by_id else reversed(ways)
    harness.begun(first)
    read = len(harness.fetched)

    third = (says(an_upload("file-2")), HELLO_SAID, "Why?", HELLO_SAID, says(an_upload()))
    harness.answer(again, HELLO_SAID, "Why?", key_digest=KEY)
    harness.answer(*third, key_digest=KEY)

    assert harness.upstream.sessions == ["s/1"] * 3
    assert harness.upstream.file_ids == [("f/1",), (), ("f/1",)]
    assert len(harness.fetched) == read  # neither for the history nor for what the session holds


def test_a_file_that_is_known_by_its_id_is_read_for_a_fresh_session() -> None:
    harness = taking_files(Upstream(HELLO, (SessionGone("gone"),), HELLO), ONE)
    harness.uploaded["file-1"] = PNG
    harness.begun(says(an_upload()))

    harness.answer(says(an_upload()), HELLO_SAID, says(an_upload(), text="And?"), key_digest=KEY)

    assert harness.upstream.sessions == ["s/1", "s/1", "s/2"]
    assert [content for _, _, content in harness.upstream.files] == [PNG, PNG]


def test_another_file_of_an_id_is_another_history() -> None:
    harness = taking_files(Upstream())
    harness.uploaded |= {"file-1": PNG, "file-2": b"%PDF-1"}
    harness.begun(says(an_upload()))

    harness.answer(says(an_upload("file-2")), HELLO_SAID, "Why?", key_digest=KEY)

    assert harness.upstream.sessions == ["s/1", "s/2"]


def test_several_answers_fetch_a_link_once() -> None:
    harness = taking_files(Upstream())
    harness.linked["http://example.com/fox.png"] = PNG
    chat = ChatRequest((says(a_link()),), choices=2)

    with harness.gateway.streams(chat) as streams:
        ended = [isinstance([*stream][-1], Done) for stream in streams]

    assert ended == [True, True]
    assert harness.fetched == ["http://example.com/fox.png"]
    assert [content for _, _, content in harness.upstream.files] == [PNG, PNG]


def test_linked_files_that_are_too_large_together_are_refused() -> None:
    harness = taking_files(Upstream())
    harness.linked |= {"http://a.com/": PNG + bytes(600), "http://b.com/": PNG + bytes(600)}

    error, _ = harness.failure(says(a_link("http://a.com/"), a_link("http://b.com/")))

    assert isinstance(error, RequestTooLarge)
    assert harness.upstream.files == []


@pytest.mark.parametrize("error", [BadRequest("no", param=PLACE), RequestTooLarge("no")])
def test_a_file_that_is_refused_is_the_client_s_error_and_costs_nothing(
    error: GatewayError,
) -> None:
    harness = taking_files(Upstream(), ONE, TWO)
    harness.begun("Hi")
    harness.upstream.refuses_files = [error]

    failure, _ = harness.failure("Hi", HELLO_SAID, says(a_file()), key_digest=KEY)
    harness.answer("Hi", HELLO_SAID, says(text="Without."), key_digest=KEY)

    assert failure is error
    assert harness.accounts == ["ready", "ready"]
    assert harness.upstream.sessions == ["s/1", "s/1"]  # it holds what it held


@pytest.mark.parametrize(
    "error", [QuotaExhausted("empty"), UpstreamTimeout("silent"), SessionGone("gone")]
)
def test_an_upload_that_fails_otherwise_is_made_again_elsewhere(error: GatewayError) -> None:
    error.was_taken = False
    harness = taking_files(Upstream(), ONE, TWO)
    harness.upstream.refuses_files = [error]

    events = harness.answer(says(a_file()))

    assert [event for event in events if event in HELLO]
    assert len(harness.upstream.prompts) == 1
    [(session, _, content)] = harness.upstream.files
    assert (session, content) == (harness.upstream.sessions[0], PNG)


def test_a_conversation_survives_an_upload_that_its_only_account_cannot_make() -> None:
    harness = taking_files(Upstream())
    conversation = harness.begun("Hi")
    error = QuotaExhausted("empty")
    error.was_taken = False
    harness.upstream.refuses_files = [error]

    failure, _ = harness.failure(says(a_file()), key_digest=KEY, conversation=conversation)

    assert failure is error
    assert set(harness.states.values()) == {"idle"}


def test_a_link_that_takes_all_the_request_s_time_is_a_timeout_and_not_the_client_s_error() -> None:
    harness = taking_files(Upstream(), request_timeout_s=0.0)
    harness.linked["http://example.com/fox.png"] = b""

    error, _ = harness.failure(says(a_link()))

    assert isinstance(error, UpstreamTimeout)
