"""events -> events: what an answer must still become before a surface renders it."""

from __future__ import annotations

from contextlib import closing

from gbproxy.domain.events import ChatStream, FileOutput, TextDelta, ThoughtDelta

_NOT_DELIVERED = "[The model made a file ({what}), which cannot be passed on yet.]"


def hide_thoughts(events: ChatStream) -> ChatStream:
    """Drop the thoughts."""
    with closing(events):
        for event in events:
            if not isinstance(event, ThoughtDelta):
                yield event


def name_files(events: ChatStream) -> ChatStream:
    """Put one line of text in the place of each file that cannot be delivered."""
    line_is_open = False
    with closing(events):
        for event in events:
            if isinstance(event, FileOutput):
                line = _NOT_DELIVERED.format(what=", ".join(filter(None, (event.name, event.mime_type))))
                yield TextDelta(f"\n\n{line}\n" if line_is_open else f"{line}\n")
                line_is_open = False
                continue
            if isinstance(event, TextDelta) and event.text:
                line_is_open = not event.text.endswith("\n")
            yield event
