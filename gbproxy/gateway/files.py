"""The files of one request: those that links lead to are fetched, and all that are to be sent are
put into the session that is asked.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from gbproxy.domain.attachment import (
    Attachment,
    LinkedAttachment,
    StoredAttachment,
    no_such_file,
)
from gbproxy.domain.chat import ChatRequest, Message, Part
from gbproxy.domain.media_type_names import distinct_name
from gbproxy.domain.session_files import SessionFile, SessionFiles
from gbproxy.emulation.context_file import FILE_NAME as CONTEXT_FILE
from gbproxy.emulation.context_file import PLACE as CONTEXT_PLACE
from gbproxy.errors import (
    BadRequest,
    ContextLengthExceeded,
    RequestTooLarge,
    UpstreamTimeout,
)
from gbproxy.gateway.side_by_side import Spawn, in_thread, results
from gbproxy.observability import request_context
from gbproxy.upstreams.base import Capabilities

MOST_FILES = 100  # of one question
AT_ONCE = 4
_MB = 1024 * 1024
_FILES = (Attachment, LinkedAttachment)

Messages = tuple[Message, ...]
Fetch = Callable[[LinkedAttachment], Attachment]
"""The file that a link leads to. Raises BadRequest or RequestTooLarge, naming its place."""
Stored = Callable[[bytes, StoredAttachment], Attachment]
"""The file that was uploaded with the API key of this digest. Raises BadRequest, naming its place,
where there is none, and StorageUnavailable.
"""
StoredDigest = Callable[[bytes, StoredAttachment], str]
"""The digest of such a file, "" where there is none. Raises StorageUnavailable."""


def _none_stored(key_digest: bytes, stored: StoredAttachment) -> Attachment:
    raise no_such_file(stored.place)


def _no_digest(key_digest: bytes, stored: StoredAttachment) -> str:
    return ""


@dataclass(frozen=True, slots=True)
class FileTransfer:
    """How files come and go: `fetch`, `stored` and `stored_digest`, no more than
    `max_fetched_bytes` for one request, and what runs `AT_ONCE` of these things side by side.
    """

    fetch: Fetch
    max_fetched_bytes: int
    spawn: Spawn = in_thread
    stored: Stored = _none_stored
    stored_digest: StoredDigest = _no_digest


class RequestFiles:
    """The files of one request's messages, for all of its answers; safe for use by many threads at
    once. Most requests have none, and cost nothing here.
    """

    __slots__ = ("_fetched", "_has_any", "_key_digest", "_lock", "_transfer")

    def __init__(self, transfer: FileTransfer, chat: ChatRequest) -> None:
        messages = chat.messages
        self._transfer = transfer
        self._has_any = bool(files_of(messages))
        if self._has_any:
            self._fetched: dict[LinkedAttachment, Attachment] = {}
            self._key_digest = chat.principal.key_digest  # also where nothing is kept
            self._lock = threading.Lock()

    def identified(self, chat: ChatRequest) -> ChatRequest:
        """The request, whose uploaded files are known by their content, without reading that: the
        history is the same whether a file comes by its id or in the body. Raises
        StorageUnavailable.
        """
        if not self._has_any:
            return chat
        digests: dict[str, str] = {}

        def identified(part: Part) -> Part:
            if not isinstance(part, StoredAttachment):
                return part
            if part.url not in digests:
                digests[part.url] = self._transfer.stored_digest(self._key_digest, part)
            return replace(part, digest=digests[part.url])

        return replace(chat, messages=_mapped(chat.messages, identified))

    def are_in(self, messages: Messages) -> bool:
        return self._has_any and bool(files_of(messages))

    def takers(
        self, messages: Messages, able: Collection[str], upstreams: Mapping[str, Capabilities]
    ) -> Collection[str]:
        """Of the upstreams that are `able` to answer, those that take these messages' files. Raises
        BadRequest, naming the first file's place, when none does.
        """
        if not self.are_in(messages):
            return able
        taking = [name for name in able if upstreams[name].files_in]
        if able and not taking:
            first = files_of(messages)[0]
            raise BadRequest(f"{first.place}: this model takes no files", param=first.place)
        return taking

    def fetch(self, messages: Messages, known: SessionFiles) -> None:
        """Fetch what these messages' links lead to, unless it is here already, or is an uploaded
        file among those that are `known` in the session.

        Raises BadRequest or RequestTooLarge, naming the place, and UpstreamTimeout when the
        request's time is over.
        """
        if not self._has_any:
            return
        _refuse_too_many(messages)
        with self._lock:
            missing = {
                link
                for link in files_of(messages)
                if isinstance(link, LinkedAttachment)
                and link not in self._fetched
                and not _is_known(link, known)
            }
            jobs = [partial(self._fetch, link) for link in missing]
            try:
                if jobs:
                    results(jobs, AT_ONCE, self._transfer.spawn)
            except BadRequest as error:
                if request_context.current().is_over():
                    raise UpstreamTimeout("a linked file did not arrive in time") from error
                raise

    def _fetch(self, link: LinkedAttachment) -> None:
        if isinstance(link, StoredAttachment):
            attachment = self._transfer.stored(self._key_digest, link)
        else:
            attachment = self._transfer.fetch(link)
        known = list(self._fetched.values())  # others are being added
        size = sum(len(each.content) for each in (*known, attachment))
        if size > self._transfer.max_fetched_bytes:
            most = self._transfer.max_fetched_bytes / _MB
            raise RequestTooLarge(
                f"{link.place}: the linked files of this request are larger than {most:g} MB"
                " together",
                param=link.place,
            )
        self._fetched[link] = attachment

    def ready(self, messages: Messages, known: SessionFiles) -> Messages:
        """The messages with the files themselves, each under a name of its own. Raises what `fetch`
        raises.

        `known`: what the session holds already; such a file keeps the name that it has there.
        """
        if not self.are_in(messages):
            return messages
        self.fetch(messages, known)
        names = {digest: file.name for digest, file in known.items()}
        taken = {CONTEXT_FILE, *names.values()}

        def named(part: Part) -> Part:
            if isinstance(part, StoredAttachment) and _is_known(part, known):
                # Its bytes are not needed: it is named by its id there.
                part = Attachment(b"", names[part.digest], "", part.digest, part.place)
            elif isinstance(part, LinkedAttachment):
                part = self._fetched[part]
            if not isinstance(part, Attachment):
                return part
            if part.digest not in names:
                names[part.digest] = distinct_name(part.name, taken)
                taken.add(names[part.digest])
            return replace(part, name=names[part.digest])

        return _mapped(messages, named)

    def put(
        self, files: Sequence[Attachment], put: Callable[[Attachment], str], known: SessionFiles
    ) -> dict[str, SessionFile]:
        """Put files into a session, by `put`, but for those that are `known` there. All of them by
        their digest, in the order given.

        Raises what `put` raises; ContextLengthExceeded where the conversation itself is too large.
        """
        new = {file.digest: file for file in files if file.digest not in known}
        jobs = [partial(_put, put, file) for file in new.values()]
        ids = results(jobs, AT_ONCE, self._transfer.spawn) if jobs else []
        _note(files, new.values())
        added = {
            file.digest: SessionFile(id_, file.name)
            for file, id_ in zip(new.values(), ids, strict=True)
        }
        return {file.digest: added.get(file.digest) or known[file.digest] for file in files}


def _is_known(link: LinkedAttachment, known: SessionFiles) -> bool:
    return isinstance(link, StoredAttachment) and link.digest in known


def files_of(messages: Messages) -> list[Attachment | LinkedAttachment]:
    return [
        part
        for message in messages
        for part in message.parts
        if isinstance(part, _FILES)  # a tuple of classes is told faster than a union
    ]


def _mapped(messages: Messages, change: Callable[[Part], Part]) -> Messages:
    return tuple(replace(message, parts=tuple(map(change, message.parts))) for message in messages)


def attachments_of(messages: Messages) -> list[Attachment]:
    return [part for message in messages for part in message.parts if isinstance(part, Attachment)]


def without_files(messages: Messages) -> Messages:
    return tuple(
        replace(message, parts=tuple(p for p in message.parts if not isinstance(p, Attachment)))
        for message in messages
    )


def _refuse_too_many(messages: Messages) -> None:
    for number, file in enumerate(files_of(messages), 1):
        if number > MOST_FILES:
            raise BadRequest(
                f"{file.place}: a question takes at most {MOST_FILES} files", param=file.place
            )


def _put(put: Callable[[Attachment], str], file: Attachment) -> str:
    try:
        return put(file)
    except RequestTooLarge as error:
        if file.place != CONTEXT_PLACE:
            raise
        raise ContextLengthExceeded(
            "the conversation is longer than the upstream takes, also as a file",
            param=CONTEXT_PLACE,
        ) from error


def _note(files: Collection[Attachment], new: Collection[Attachment]) -> None:
    context = request_context.current()
    sent = sum(len(file.content) for file in new)
    context.log_fields["files"] = len(files)
    context.log_fields["uploaded_bytes"] = context.log_fields.get("uploaded_bytes", 0) + sent
