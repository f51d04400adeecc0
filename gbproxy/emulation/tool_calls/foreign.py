"""Calls as other models and programs write them, at the very end of an answer: in tags, in a fence
that names calls, as Python. Without the mark they count only when nothing is unclear about them.
"""

from __future__ import annotations

import re

from gbproxy.emulation.tool_calls.assembly import ReadCall, Unreadable, finished, read
from gbproxy.emulation.tool_calls.schemas import Checks

_FORM = re.compile(
    r"""\s*(?:
        <(?P<tag>tool_call|function_call)>(?P<in_tag>.*?)</(?P=tag)>
      | ```\w*[ \t]*\n(?P<in_fence>.*?)\n[ \t]{0,3}```
      | (?P<bare>[^<`].*)
    )\s*""",
    re.DOTALL | re.VERBOSE,
)


def calls_in(text: str, checks: Checks) -> list[ReadCall]:
    """The calls that all of a text is made of; none when one is incomplete or wrong, or when there
    is anything else.
    """
    calls: list[ReadCall] = []
    start = 0
    while start < len(text):
        form = _FORM.match(text, start)
        if form is None:
            return []
        start = form.end()
        written = read(form["in_tag"] or form["in_fence"] or form["bare"] or "", checks)
        if isinstance(written, Unreadable) or written.labels():
            return []
        for call in finished(written, checks):
            if isinstance(call, Unreadable):
                return []
            calls.append(call)
    return calls
