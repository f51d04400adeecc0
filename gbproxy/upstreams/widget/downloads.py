"""Files that the model made, fetched from their session.

A download has two forms of address, and may be redirected. Source: docs/upstream.md, download.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from http import HTTPStatus
from urllib.parse import urlsplit

from gbproxy.domain.account import Account
from gbproxy.errors import (
    CredentialRefused,
    GatewayError,
    RequestRefused,
    SessionDenied,
    SessionGone,
    TokenRefused,
    UpstreamError,
    UpstreamProtocolError,
    UpstreamUnclear,
)
from gbproxy.observability.meter import Meter, UpstreamCall
from gbproxy.outbound import HttpClient, StreamedReply
from gbproxy.upstreams.base import ByteRange, FileMetadata, OpenFile
from gbproxy.upstreams.stream_assist import google_errors
from gbproxy.upstreams.widget import download_request, file_body, verbs
from gbproxy.upstreams.widget.auth import WidgetAuth
from gbproxy.upstreams.widget.endpoints import EndpointMap, Endpoints
from gbproxy.upstreams.widget.file_places import Call, FilePlaces, Place
from gbproxy.upstreams.widget.tokens import TokenRetry

_MOST_REDIRECTS = 5
_ANSWERS = (
    HTTPStatus.OK,
    HTTPStatus.PARTIAL_CONTENT,
    HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
)
_REDIRECTS = (301, 302, 303, 307, 308)
_MISSING = (SessionGone, RequestRefused)
_DENIED = (TokenRefused, SessionDenied, UpstreamUnclear)  # maybe under this form alone


@dataclass(frozen=True, slots=True)
class _Started:
    """A download whose head is in."""

    reply: StreamedReply
    close: Callable[[], None] = field(repr=False)


class Downloads:
    """Safe for use by many threads at once. `call`: makes a control call of the widget."""

    def __init__(
        self,
        client: HttpClient,
        auth: WidgetAuth,
        endpoints: EndpointMap,
        call: Call,
        meter: Meter,
    ) -> None:
        self._client = client
        self._auth = auth
        self._endpoints = endpoints
        self._meter = meter
        self._places = FilePlaces(call)
        self._forms: tuple[str, ...] = ("/download", "")  # the one that was there last comes first

    def metadata(self, account: Account, session: str, file_id: str) -> FileMetadata:
        return self._places.find(account, session, file_id).metadata

    def note_name(self, account: Account, session: str) -> None:
        """Keep what an answer has told of the session's full name."""
        self._places.note_name(account, session)

    def open(self, account: Account, session: str, file_id: str, wanted: ByteRange) -> OpenFile:
        """A refused token is replaced once."""
        place = self._places.find(account, session, file_id)
        tokens = TokenRetry(self._auth, account)
        while True:
            try:
                with UpstreamCall(self._meter, download_request.VERB):
                    opened = self._opened(account, place, file_id, wanted, tokens.next())
                # The next range is counted in what the file really is.
                counted = replace(place, metadata=opened.metadata)
                self._places.keep(account, session, file_id, counted)
                return opened
            except TokenRefused as error:
                if not tokens.discard_refused():
                    raise CredentialRefused(
                        f"{error.message} for a file, also a fresh one"
                    ) from error

    def _opened(
        self, account: Account, place: Place, file_id: str, wanted: ByteRange, bearer: str
    ) -> OpenFile:
        endpoints = self._endpoints.of(account)
        headers = download_request.headers_of(endpoints, bearer)
        if wanted.start:
            started = self._get(
                endpoints, place, file_id, {**headers, "Range": download_request.range_of(wanted)}
            )
            opened = _of_part(started, place, wanted)
            if opened is not None:
                return opened
            if started.reply.status != HTTPStatus.OK:
                started.close()
                started = self._get(endpoints, place, file_id, headers)
        else:
            started = self._get(endpoints, place, file_id, headers)
        try:
            return _of_whole(started, place, wanted)
        except BaseException:
            started.close()
            raise

    def _get(
        self, endpoints: Endpoints, place: Place, file_id: str, headers: Mapping[str, str]
    ) -> _Started:
        """The download by the first form of address that leads to the file. Where none does, what
        is more than a missing file is raised.
        """
        forms = self._forms
        refusals: list[GatewayError] = []
        for form in forms:
            url = download_request.url_of(endpoints, form, place.session, file_id)
            try:
                started = self._followed(endpoints, url, headers)
            except (*_MISSING, *_DENIED) as error:
                refusals.append(error)
                continue
            if form != forms[0]:
                self._forms = (form, *(each for each in forms if each != form))
            return started
        for refusal in refusals:
            if isinstance(refusal, _DENIED):
                raise refusal
        raise SessionGone("the upstream does not have the file (any more)") from refusals[0]

    def _followed(self, endpoints: Endpoints, url: str, headers: Mapping[str, str]) -> _Started:
        """The answer to a GET, behind all redirects; the bearer goes to the first host alone, and
        no redirect leads into a private network, but to the upstream's own hosts: they are where
        the settings say.
        """
        own_hosts = {urlsplit(each).hostname for each in (endpoints.api_url, endpoints.page_url)}
        sent, is_first_host = headers, True
        for _ in range(_MOST_REDIRECTS + 1):
            with ExitStack() as stack:
                reply = verbs.asked_twice(
                    partial(self._begun, stack, url, sent, urlsplit(url).hostname not in own_hosts)
                )
                if reply.status in _ANSWERS:
                    return _Started(reply, stack.pop_all().close)
                if reply.status not in _REDIRECTS:
                    raise _refused(reply, is_first_host=is_first_host)
                target = download_request.redirected(url, reply.headers.get("location", ""))
            if download_request.origin(target) != download_request.origin(url):
                is_first_host = False
                sent = download_request.harmless(sent)
            url = target
        raise UpstreamError("the upstream redirected a download too often")

    def _begun(
        self, stack: ExitStack, url: str, headers: Mapping[str, str], is_public: bool
    ) -> StreamedReply:
        return stack.enter_context(self._client.stream("GET", url, headers, is_public=is_public))


def _refused(reply: StreamedReply, *, is_first_host: bool) -> GatewayError:
    error = google_errors.from_reply(reply.status, reply.headers, reply.read_body())
    if is_first_host or isinstance(error, SessionGone):
        return error
    # Nothing was presented there that could be at fault.
    return UpstreamError(f"the host of a file answered with status {reply.status}")


def _of_part(started: _Started, place: Place, wanted: ByteRange) -> OpenFile | None:
    """The file from a 206 that has the wanted bytes; None from anything else."""
    reply = started.reply
    part = file_body.partial_start(reply.headers)
    # Of base64 it would be a part of the text.
    is_plain = file_body.media_type(reply.headers) and not file_body.is_encoded(reply.headers, b"")
    if reply.status != HTTPStatus.PARTIAL_CONTENT or part is None or not is_plain:
        return None
    first, size = part
    if first > wanted.start:
        return None
    metadata = _corrected(place.metadata, reply.headers, size or place.metadata.size)
    pieces = file_body.cut(reply.reads(), wanted, first)
    return OpenFile(metadata, pieces, b"", started.close)


def _of_whole(started: _Started, place: Place, wanted: ByteRange) -> OpenFile:
    """The wanted bytes of a file that comes from its beginning."""
    reply = started.reply
    if reply.status != HTTPStatus.OK:
        raise UpstreamProtocolError("the upstream sent another part of a file than was asked for")
    head, pieces = file_body.with_head(reply.reads())
    encoded = file_body.is_encoded(reply.headers, head)
    size = file_body.size(reply.headers, place.metadata.size, encoded=encoded)
    if encoded:
        head, pieces = file_body.with_head(file_body.decoded(pieces))
    metadata = _corrected(place.metadata, reply.headers, size)
    return OpenFile(metadata, file_body.cut(pieces, wanted), head, started.close)


def _corrected(listed: FileMetadata, headers: Mapping[str, str], size: int | None) -> FileMetadata:
    """What the list says, which is completed by what came with the file."""
    named = listed.media_type or file_body.media_type(headers)
    return replace(listed, media_type=named, size=size)
