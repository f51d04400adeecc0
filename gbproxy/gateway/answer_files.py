"""The files of an answer on their way to the client: each gets a link that outlives the answer, and
images their bytes where those are wanted.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial

from gbproxy.conversations import Turn
from gbproxy.domain.account import Account
from gbproxy.domain.chat import ChatRequest
from gbproxy.domain.events import Done, FileOutput, TextDelta, UpstreamStream
from gbproxy.domain.media import MediaDelivery
from gbproxy.domain.media_types import sniffed
from gbproxy.errors import BadRequest, GatewayError, UpstreamError
from gbproxy.gateway.side_by_side import Spawn, in_thread, results
from gbproxy.media.links import MediaLinks
from gbproxy.observability import request_context
from gbproxy.upstreams.base import ByteRange, Upstream

log = logging.getLogger(__name__)

_AT_ONCE = 4
_MOST_WITH_BYTES = 16  # of one answer; more have links


@dataclass(frozen=True, slots=True)
class MediaOut:
    """What all answers share. `links` None: there are none. `max_bytes`: of each image that comes
    with its bytes; `spawn` runs what is fetched side by side.
    """

    links: MediaLinks | None = None
    max_bytes: int = 20 * 1024 * 1024
    spawn: Spawn = in_thread

    def ensure_way(self, chat: ChatRequest) -> None:
        """Raise BadRequest where the image that is asked for can only come as a link, and none can
        be made: before it costs anything.
        """
        delivery, base_url = chat.media, request_context.current().base_url
        needs_link = chat.makes_image and not (delivery.image_bytes or delivery.images_in_text)
        if needs_link and self.links is not None and not self.links.can_begin(base_url):
            raise BadRequest(
                "a link to the image cannot be made, as the request has no usable Host header: set"
                " PUBLIC_URL on the gateway, or ask for the image itself (response_format b64_json)"
            )


NO_MEDIA = MediaOut()


class _Unusable(UpstreamError):
    """What came is no image that can be passed on, which says nothing about the account."""


@dataclass(frozen=True, slots=True)
class _Fetched:
    """`file`: with its bytes, or with its link and the reason."""

    file: FileOutput | None
    error: GatewayError | None = None


@dataclass(slots=True)
class AnswerFiles:
    """The files of one attempt's answer, for one thread at a time.

    `learn` is called with what a file's fetch says about the account: it is too late to ask another
    one. `append` takes in a sentence that the answer ends with.
    """

    out: MediaOut
    chat: ChatRequest
    turn: Turn
    upstream: Upstream
    account: Account
    learn: Callable[[GatewayError], None]
    append: Callable[[str], None]

    @property
    def delivery(self) -> MediaDelivery:
        return self.chat.media

    def published(self, file: FileOutput) -> FileOutput | None:
        """The file as it is passed on when it arrives: with its bytes or its link, or to be fetched
        at the end. None when there is no way to the client.
        """
        if file.data is not None:
            return file if self.delivery.takes_bytes else None
        if file.file_id is None or not self.upstream.capabilities.media_out:
            return None
        if self.delivery.wants_bytes(file.mime_type) and not self._is_in_text(file):
            return file
        return self._linked(file)

    def with_bytes(self, events: UpstreamStream) -> UpstreamStream:
        """The events, with images held back to the answer's end, where they come with their bytes.
        Where they come by link these are the events themselves.
        """
        return self._filled(events) if self.delivery.image_bytes else events

    def _filled(self, events: UpstreamStream) -> UpstreamStream:
        held: list[FileOutput] = []
        for event in events:
            if type(event) is FileOutput and self._is_to_fetch(event, len(held)):
                held.append(event)
                continue
            if type(event) is Done:
                jobs = [partial(self._with_bytes, file) for file in held]
                fetched = results(jobs, _AT_ONCE, self.out.spawn) if jobs else []
                yield from self._told([each.error for each in fetched if each.error], event)
                for each in fetched:
                    if each.file is not None:
                        yield each.file
            yield event

    def _told(self, errors: list[GatewayError], end: Done) -> UpstreamStream:
        """A sentence about the images that could not be fetched, unless the answer is for programs
        alone: JSON, or calls.
        """
        if errors and end.finish_reason != "tool_calls" and self.chat.response_format is None:
            what = "An image" if len(errors) == 1 else f"{len(errors)} images"
            told = f"\n\n[{what} could not be fetched from the upstream: {errors[0].message}]"
            self.append(told)
            yield TextDelta(told)

    def _is_to_fetch(self, file: FileOutput, held: int) -> bool:
        is_wanted = file.data is None and self.delivery.wants_bytes(file.mime_type)
        return is_wanted and (held < _MOST_WITH_BYTES or not file.url)

    def _with_bytes(self, file: FileOutput) -> _Fetched:
        """The file with its bytes; with its link where they are not to be had."""
        try:
            content = self._fetched(file.file_id or "")
        except GatewayError as error:
            fields = {"account": self.account.id, "code": error.code, "reason": error.own_words}
            log.warning("media.failed", extra=fields)
            if not isinstance(error, _Unusable):
                self.learn(error)
            return _Fetched(file if file.url else self._linked(file), error)
        return _Fetched(replace(file, data=content, mime_type=sniffed(content)))

    def _fetched(self, file_id: str) -> bytes:
        if self.turn.session is None:
            raise _Unusable("the file's session is not known")
        name, content = self.turn.session.name, io.BytesIO()
        with closing(self.upstream.open_file(self.account, name, file_id, ByteRange())) as opened:
            for piece in opened.pieces:
                if content.tell() + len(piece) > self.out.max_bytes:
                    raise _Unusable("the image is larger than MAX_FILE_MB allows")
                content.write(piece)
        if not sniffed(content.getvalue()).startswith("image/"):
            raise _Unusable("the upstream's image is none")
        return content.getvalue()

    def _is_in_text(self, file: FileOutput) -> bool:
        return self.delivery.is_in_text(file.mime_type)

    def _linked(self, file: FileOutput) -> FileOutput | None:
        """The file with a link, until whose end its session lives; None where it has none."""
        links, session = self.out.links, self.turn.session
        base_url = request_context.current().base_url
        key_digest = self.chat.principal.key_digest
        if links is None or session is None or not key_digest or not file.file_id:
            return None
        link = links.make(session.id, file.file_id, key_digest)
        url = links.url(link, base_url)
        if url is None or not self.turn.keep_files(link.expires_at):
            return None
        return replace(file, url=url)
