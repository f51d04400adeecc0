"""The trace that a request belongs to, by the header `traceparent`. Source:
https://www.w3.org/TR/trace-context/

A request without a valid one begins no trace: only who records spans could make use of it, and that
is not the gateway.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass

# A later version may have further fields behind these four.
_FORM = re.compile(
    r"(?P<version>[0-9a-f]{2})-(?P<trace>[0-9a-f]{32})-(?P<span>[0-9a-f]{16})-(?P<flags>[0-9a-f]{2})(-.*)?"
)
_KNOWN_FLAGS = 0x03  # sampled, random


@dataclass(frozen=True, slots=True)
class TraceContext:
    """`trace_id` as it came; `header` is what goes upstream with every call that is made for the
    request.
    """

    trace_id: str
    header: str


def continued(header: str) -> TraceContext | None:
    """The caller's trace, with a span of this request's own in it; None when the header is not
    valid.
    """
    found = _FORM.fullmatch(header.strip())
    if found is None:
        return None
    version, trace_id, span_id, flags, more = found.groups()
    is_nobody = not trace_id.strip("0") or not span_id.strip("0")
    if is_nobody or version == "ff" or (version == "00" and more is not None):
        return None
    span = secrets.token_hex(7) + f"{secrets.randbelow(255) + 1:02x}"  # never all zero
    return TraceContext(trace_id, f"00-{trace_id}-{span}-{int(flags, 16) & _KNOWN_FLAGS:02x}")
