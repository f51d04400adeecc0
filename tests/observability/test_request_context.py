"""The context of a request, and of each of several answers to it; the trace that it belongs to, whose
forms are those of https://www.w3.org/TR/trace-context/#traceparent-header
"""

from __future__ import annotations

import re
import threading
from contextlib import suppress
from contextvars import copy_context

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gbproxy.observability import request_context
from gbproxy.observability.request_context import RequestContext, continue_trace


@pytest.fixture
def request_() -> RequestContext:
    made = request_context.begin("req-1")
    made.limit_time(60)
    made.log_fields |= {"model": "gemini-auto", "input_tokens": 7}
    return made


def answer(attempts: int, tokens: int, ttft_ms: float | None) -> None:
    """One answer of several, in a context of its own."""
    with request_context.child() as mine:
        assert request_context.current() is mine
        for _ in range(attempts):
            mine.note_attempt("anna", "gemini-auto")
        mine.accounts, mine.ttft_ms = 1, ttft_ms
        mine.upstream_s = 0.5
        mine.failures += [("upstream_timeout", "")] * (attempts - 1)
        mine.log_fields |= {"account": "one", "input_tokens": 7, "output_tokens": tokens}


def test_the_answers_to_one_request_end_in_one_log_line(request_: RequestContext) -> None:
    answer(1, 10, 30.0)
    answer(2, 5, 20.0)
    answer(1, 1, None)

    assert request_context.current() is request_
    assert (request_.attempts, request_.accounts, request_.upstream_s) == (4, 3, 1.5)
    assert request_.failures == [("upstream_timeout", "")]
    assert request_.ttft_ms == 20.0
    assert request_.log_fields == {
        "model": "gemini-auto",
        "account": "one",
        "input_tokens": 7,
        "output_tokens": 16,
    }


def test_an_answer_goes_by_its_request_s_id_and_ends_at_its_deadline(
    request_: RequestContext,
) -> None:
    until = request_.until

    with request_context.child() as first:
        first.limit_time(3600)

    assert (first.request_id, first.until, first.started) == ("req-1", until, request_.started)


def test_an_answer_does_not_see_what_another_has_met(request_: RequestContext) -> None:
    request_.attempts, request_.conversation = 3, "c" * 32

    with request_context.child() as mine:
        assert (mine.attempts, mine.conversation, mine.log_fields) == (0, None, {})


def test_what_an_answer_took_counts_also_when_it_fails(request_: RequestContext) -> None:
    with suppress(ValueError), request_context.child() as mine:
        mine.note_attempt("anna", "gemini-auto")
        mine.note_attempt("anna", "gemini-auto")
        raise ValueError("broken")

    assert request_.attempts == 2
    assert request_context.current() is request_


def test_answers_in_threads_of_their_own_are_added_too(request_: RequestContext) -> None:
    threads = [
        threading.Thread(target=copy_context().run, args=(answer, 1, 10, None)) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)

    assert request_.attempts == 8
    assert request_.log_fields["output_tokens"] == 80


TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"


def test_the_trace_goes_on_with_another_span() -> None:
    context = continue_trace(f"00-{TRACE}-{SPAN}-01")

    assert context is not None
    assert context.trace_id == TRACE
    assert re.fullmatch(f"00-{TRACE}-[0-9a-f]{{16}}-01", context.header)
    assert SPAN not in context.header


def test_each_request_has_a_span_of_its_own() -> None:
    headers = {
        context.header for _ in range(20) if (context := continue_trace(f"00-{TRACE}-{SPAN}-01"))
    }

    assert len(headers) == 20


@pytest.mark.parametrize(
    ("given_flags", "flags"), [("00", "00"), ("01", "01"), ("03", "03"), ("ff", "03"), ("04", "00")]
)
def test_only_flags_that_are_known_go_on(given_flags: str, flags: str) -> None:
    context = continue_trace(f"00-{TRACE}-{SPAN}-{given_flags}")

    assert context is not None
    assert context.header.endswith(f"-{flags}")


@pytest.mark.parametrize(
    "header", [f"01-{TRACE}-{SPAN}-01", f"cc-{TRACE}-{SPAN}-01-what-the-future-brings"]
)
def test_a_later_version_is_read_as_far_as_it_is_known(header: str) -> None:
    context = continue_trace(header)

    assert context is not None
    assert context.header.startswith(f"00-{TRACE}-")


@pytest.mark.parametrize(
    "header",
    [
        "",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{TRACE}-{SPAN}",
        f"0-{TRACE}-{SPAN}-01",
        f"00-{TRACE[:-1]}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01,00-{TRACE}-{SPAN}-01",
        f"01-{TRACE}-{SPAN}-01.more",
    ],
)
def test_what_is_not_valid_is_no_trace(header: str) -> None:
    assert continue_trace(header) is None


@given(
    st.text() | st.from_regex(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}", fullmatch=True)
)
def test_whatever_comes_what_goes_on_is_valid(header: str) -> None:
    context = continue_trace(header)

    assert context is None or continue_trace(context.header) is not None
