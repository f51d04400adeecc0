"""Which trace a request belongs to. The forms are those of
https://www.w3.org/TR/trace-context/#traceparent-header
"""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gbproxy.observability.traceparent import continued

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"


def test_the_trace_goes_on_with_another_span() -> None:
    context = continued(f"00-{TRACE}-{SPAN}-01")

    assert context is not None
    assert context.trace_id == TRACE
    assert re.fullmatch(f"00-{TRACE}-[0-9a-f]{{16}}-01", context.header)
    assert SPAN not in context.header


def test_each_request_has_a_span_of_its_own() -> None:
    headers = {context.header for _ in range(20) if (context := continued(f"00-{TRACE}-{SPAN}-01"))}

    assert len(headers) == 20


@pytest.mark.parametrize(
    ("given_flags", "flags"), [("00", "00"), ("01", "01"), ("03", "03"), ("ff", "03"), ("04", "00")]
)
def test_only_flags_that_are_known_go_on(given_flags: str, flags: str) -> None:
    context = continued(f"00-{TRACE}-{SPAN}-{given_flags}")

    assert context is not None
    assert context.header.endswith(f"-{flags}")


@pytest.mark.parametrize(
    "header", [f"01-{TRACE}-{SPAN}-01", f"cc-{TRACE}-{SPAN}-01-what-the-future-brings"]
)
def test_a_later_version_is_read_as_far_as_it_is_known(header: str) -> None:
    context = continued(header)

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
    assert continued(header) is None


@given(
    st.text() | st.from_regex(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}", fullmatch=True)
)
def test_whatever_comes_what_goes_on_is_valid(header: str) -> None:
    context = continued(header)

    assert context is None or continued(context.header) is not None
