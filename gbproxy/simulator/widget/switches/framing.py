"""How the body of a stream is laid out and cut, and how long everything takes."""

from __future__ import annotations

from dataclasses import dataclass

from gbproxy.simulator.scripting.switches import switch


@dataclass(frozen=True)
class FramingSwitches:
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
