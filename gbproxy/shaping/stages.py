"""The stages that change an answer's events. A request has only those that it needs.

A stage is a generator over the one before it. It passes on the events that it does not handle, and
owns no resource: the upstream's stream is closed where it was opened. A stage costs about 600 bytes
of memory per answer and 25 ns per event.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from gbproxy.domain.events import (
    Citation,
    Done,
    FileOutput,
    Flush,
    Refusal,
    SessionNamed,
    TextDelta,
    ThoughtDelta,
    ToolCallDelta,
    ToolCallStarted,
    UpstreamStream,
    estimate_quarter_tokens,
)
from gbproxy.domain.media import MediaDelivery, is_image

_WITH_TEXT = (TextDelta, ThoughtDelta, Refusal, ToolCallDelta)
_BESIDE_THE_TEXT = (Flush, ThoughtDelta, SessionNamed, Citation)
_NOT_DELIVERED = "[The model made a file ({what}), which cannot be passed on.]"
_NOT_IN_LABELS = re.compile(r"[\[\]()<>\\`!\s\x00-\x1f]+")

Publish = Callable[[FileOutput], FileOutput | None]
"""A file as it is passed on, with its bytes or its link; None when it cannot be."""


def show_files(
    events: UpstreamStream,
    publish: Publish,
    delivery: MediaDelivery,
    on_insert: Callable[[int], None] = lambda length: None,
) -> UpstreamStream:
    """Pass files on as `publish` returns them, behind a line that links to those that are to stand
    in the text. One that `publish` has no way for becomes a line that names it.

    `on_insert`: called with the length of a line before it is yielded.
    """
    last = "\n"
    for event in events:
        if type(event) is TextDelta:
            last = event.text or last
        elif type(event) is FileOutput:
            file = publish(event)
            line = _file_line(file, delivery) if file is not None else _name(event)
            if line:
                text = f"{line}\n" if last.endswith("\n") else f"\n\n{line}\n"
                last = "\n"
                on_insert(len(text))
                yield TextDelta(text)
            if file is None:
                continue
            event = file
        yield event


def _file_line(file: FileOutput, delivery: MediaDelivery) -> str:
    """Markdown; a video is no image of it. "" for what has no link: its bytes in the text would
    come back with each of the client's further turns.
    """
    if not file.url or not delivery.is_in_text(file.mime_type):
        return ""
    kind = file.mime_type.partition("/")[0]
    label = _NOT_IN_LABELS.sub("", file.name or "") or (
        kind if kind in ("image", "video", "audio") else "file"
    )
    return f"{'!' if is_image(file.mime_type) else ''}[{label}]({file.url})"


def _name(file: FileOutput) -> str:
    return _NOT_DELIVERED.format(what=", ".join(filter(None, (file.name, file.mime_type))))


def without_citations(events: UpstreamStream) -> UpstreamStream:
    for event in events:
        if type(event) is not Citation:
            yield event


def stop_at(
    events: UpstreamStream, sequences: Sequence[str], on_cut: Callable[[], None]
) -> UpstreamStream:
    """End the answer before the first of these sequences, also when it is split between events.

    `on_cut`: called when one was found. The end of a text is held back while it may be the
    beginning of a sequence.
    """
    any_of = re.compile("|".join(map(re.escape, sequences)))
    beginnings = {sequence[:n] for sequence in sequences for n in range(1, len(sequence))}
    longest = max(map(len, beginnings), default=0)
    held = ""
    for event in events:
        is_text = type(event) is TextDelta
        if is_text or (held and not isinstance(event, _BESIDE_THE_TEXT)):
            text = held + event.text if type(event) is TextDelta else held
            lengths = range(min(longest, len(text)), 0, -1) if is_text else ()
            end = len(text) - next((n for n in lengths if text[-n:] in beginnings), 0)
            found = any_of.search(text)
            # A sequence that may have begun earlier goes before one that is whole.
            if found is not None and found.start() <= end:
                on_cut()
                if found.start():
                    yield TextDelta(text[: found.start()])
                yield Done("stop", found[0])
                return
            held = text[end:]
            if end:
                yield TextDelta(text[:end])
        if not is_text:
            yield event


def limit_tokens(
    events: UpstreamStream, most_tokens: int, on_cut: Callable[[], None]
) -> UpstreamStream:
    """End the answer with `length` where its estimated tokens, thoughts and tool calls included,
    exceed `most_tokens`; then `on_cut` is called.

    A call is cut as a text is: the reason says that its arguments are not complete.
    """
    left = 4 * most_tokens  # quarter tokens (domain/events.py)
    for event in events:
        if isinstance(event, _WITH_TEXT):
            weight = estimate_quarter_tokens(event.text)
            if weight > left:
                on_cut()
                text = event.text[: _fitting_chars(event.text, left)]
                if text:
                    yield replace(event, text=text)
                yield Done("length")
                return
            left -= weight
        elif type(event) is ToolCallStarted:
            weight = estimate_quarter_tokens(event.name)
            if weight > left:
                on_cut()
                yield Done("length")
                return
            left -= weight
        yield event


def _fitting_chars(text: str, quarter_tokens: int) -> int:
    """The length of the longest beginning within the weight. Weights never fall as a text grows."""
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        if estimate_quarter_tokens(text[:middle]) <= quarter_tokens:
            low = middle
        else:
            high = middle - 1
    return low
