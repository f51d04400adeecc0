"""Switches: the uncertain facts of docs/upstream.md, one value of each being in force at a time.

A switch is a field of a group; a service has a record of several groups, and `FramingSwitches`
among them, which hold for every service.
"""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from typing import Any, Self

from gbproxy.simulator.http.layout import ArrayLayout, EventLayout, Layout

CERTAINTIES = ("certain", "one family", "one source", "inferred", "unknown")


def switch(
    *values: object,
    fact: str,
    certainty: str,
    breaks: tuple[object, ...] = (),
    open_ended: bool = False,
    pattern: str = "",
) -> Any:
    """A dataclass field whose default is the first of `values`.

    `breaks` are the values under which no client can succeed; an open-ended switch takes any value
    of the default's type. Raises ValueError for an unknown certainty.
    """
    if certainty not in CERTAINTIES:
        raise ValueError(f"unknown certainty: {certainty}")
    metadata = {
        "values": values,
        "fact": fact,
        "certainty": certainty,
        "breaks": breaks,
        "open_ended": open_ended,
        "pattern": pattern,
    }
    return dataclasses.field(default=values[0], metadata=metadata)


@dataclass(frozen=True)
class SwitchGroup:
    """Base of all groups and records of switches. Raises ValueError for a value that cannot be."""

    def __post_init__(self) -> None:
        for spec in dataclasses.fields(self):
            _check(spec, getattr(self, spec.name))

    def changed(self, **changes: object) -> Self:
        """A copy with other values. Raises ValueError for an unknown name or value."""
        specs = {spec.name: spec for spec in dataclasses.fields(self)}
        for name, value in changes.items():
            spec = specs.get(name)
            if spec is None:
                raise ValueError(f"no switch is called {name!r}")
            if isinstance(value, list):
                changes[name] = tuple(value)
            elif isinstance(spec.default, float) and type(value) is int:
                changes[name] = float(value)
        return dataclasses.replace(self, **changes)


@dataclass(frozen=True)
class FramingSwitches(SwitchGroup):
    """Framing of the stream, and its pace."""

    honours_alt_sse: bool = switch(
        True,
        False,
        fact="`alt=sse` gives server-sent events, or is ignored",
        certainty="unknown",
    )
    sse_lines: str = switch(
        "lf",
        "crlf",
        fact="line ends of server-sent events",
        certainty="unknown",
    )
    sse_comments: bool = switch(
        False,
        True,
        fact="comments between server-sent events",
        certainty="inferred",
    )
    sse_multiline: bool = switch(
        False,
        True,
        fact="one event's JSON spread over several `data:` lines",
        certainty="inferred",
    )
    layout: str = switch(
        "pretty",
        "compact",
        "crlf",
        "newline_comma",
        "padded",
        fact="white space inside and between the elements of the array",
        certainty="certain",
    )
    ascii_escapes: bool = switch(
        False,
        True,
        fact="text beyond ASCII comes as UTF-8, or as \\uXXXX with surrogate pairs",
        certainty="inferred",
    )
    cuts: str = switch(
        "none",
        "1",
        "7",
        "random",
        "joined",
        fact="where the body is cut: at elements, every N bytes, anywhere, or only at pauses",
        certainty="certain",
        pattern=r"none|random|joined|[1-9]\d*",
    )
    transfer: str = switch(
        "chunked",
        "content_length",
        "close",
        fact="how the end of a body is told",
        certainty="certain",
    )
    gzip: bool = switch(
        False,
        True,
        fact="bodies are compressed for clients that accept gzip, flushed after each element",
        certainty="inferred",
    )
    word_delay_s: float = switch(
        0.0,
        0.002,
        fact="pause between the words of an answer that no script governs",
        certainty="inferred",
        open_ended=True,
    )
    first_byte_delay_s: float = switch(
        0.0,
        0.02,
        fact="silence before the first byte of an answer; seconds for text, a minute for media",
        certainty="one source",
        open_ended=True,
    )
    control_delay_s: float = switch(
        0.0,
        0.02,
        fact="delay of every call but the stream and downloads: sign-in, sessions, lists, uploads",
        certainty="inferred",
        open_ended=True,
    )


def layout_for(switches: FramingSwitches, *, sse: bool) -> Layout:
    """The layout in force; `sse` says whether the request asked for `alt=sse`."""
    if not (sse and switches.honours_alt_sse):
        return ArrayLayout(switches.layout, ascii_escapes=switches.ascii_escapes)
    return EventLayout(
        line_end="\r\n" if switches.sse_lines == "crlf" else "\n",
        comments=switches.sse_comments,
        multiline=switches.sse_multiline,
        ascii_escapes=switches.ascii_escapes,
    )


def _check(spec: dataclasses.Field[Any], value: object) -> None:
    """Raise ValueError unless the switch can have this value."""
    if type(value) is not type(spec.default):
        kind = type(spec.default).__name__
        raise ValueError(f"{spec.name} takes a {kind}, not {value!r}")
    if spec.metadata["pattern"]:
        if not re.fullmatch(spec.metadata["pattern"], str(value)):
            raise ValueError(f"{spec.name} cannot be {value!r}")
    elif not spec.metadata["open_ended"] and value not in spec.metadata["values"]:
        known = ", ".join(map(str, spec.metadata["values"]))
        raise ValueError(f"{spec.name} is one of {known}, not {value!r}")
