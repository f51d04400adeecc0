"""The Gemini Business widget API: sessions, their files, and streamed answers.

Source: docs/upstream.md, sessions, files, stream-assist request, framing.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from gbproxy.domain.account import Account
from gbproxy.domain.attachment import Attachment
from gbproxy.domain.events import FLUSH, SessionNamed, UpstreamStream
from gbproxy.domain.models import AccountCapabilities
from gbproxy.errors import (
    ContextLengthExceeded,
    CredentialRefused,
    GatewayError,
    RequestRefused,
    SessionGone,
    TokenRefused,
    UpstreamBroken,
    UpstreamError,
    UpstreamProtocolError,
    UpstreamUnclear,
)
from gbproxy.observability import request_context
from gbproxy.observability.meter import SILENT, Meter, UpstreamCall
from gbproxy.observability.request_context import Phase
from gbproxy.outbound import HttpClient
from gbproxy.upstreams.base import (
    ByteRange,
    Capabilities,
    FileMetadata,
    OpenFile,
    UpstreamRequest,
)
from gbproxy.upstreams.decoding.objects import as_mapping, as_text
from gbproxy.upstreams.stream_assist import google_errors
from gbproxy.upstreams.stream_assist.answer_text import normalized_all
from gbproxy.upstreams.stream_assist.response import ResponseDecoder
from gbproxy.upstreams.stream_assist.wording import ErrorContext
from gbproxy.upstreams.widget import (
    bodies,
    live_configuration,
    session_names,
    verbs,
)
from gbproxy.upstreams.widget.auth import WidgetAuth
from gbproxy.upstreams.widget.bodies import WidgetSettings
from gbproxy.upstreams.widget.downloads import Downloads
from gbproxy.upstreams.widget.endpoints import EndpointMap, Endpoints
from gbproxy.upstreams.widget.session_names import UNNAMED
from gbproxy.upstreams.widget.tokens import ADVICE, FailedRenewals, TokenRetry, suspected
from gbproxy.upstreams.widget.uploads import Uploads

log = logging.getLogger(__name__)

# Refusals to open a session that may pass (docs/upstream.md): nothing of the client's request is
# in that call.
_MAY_PASS = (
    ContextLengthExceeded,
    RequestRefused,
    SessionGone,
    UpstreamError,
    UpstreamUnclear,
)
_NOT_TAKEN = (400, 401, 403, 413, 429, 503)  # by these a question is refused before it is taken
_SESSION_NAME = re.compile(r"[!-~]{1,1000}")  # one that can be sent and stored


class Widget:
    """The port `Upstream`, filled by the widget API."""

    def __init__(
        self,
        client: HttpClient,
        auth: WidgetAuth,
        endpoints: EndpointMap,
        settings: WidgetSettings | None = None,
        meter: Meter = SILENT,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._meter = meter
        self._auth = auth
        self._endpoints = endpoints
        self._settings = settings or WidgetSettings()
        self._hidden_headlines = normalized_all(self._settings.status_lines)
        self._failed_renewals = FailedRenewals(monotonic)
        self._uploads = Uploads(
            client, auth, endpoints, self._settings, meter, self._failed_renewals
        )
        self._downloads = Downloads(client, auth, endpoints, self._call, meter)
        self.capabilities = Capabilities(
            sessions=True,
            roles=False,
            files_in=True,
            media_out=True,
            prompt_max_chars=self._settings.prompt_max_chars,
        )

    def open_session(self, account: Account, *, for_files: bool = False) -> str:
        if for_files:  # one that its first question makes is not there before it
            return self._create_session(account)
        match self._settings.session:
            case "dash":
                return UNNAMED
            case "own":
                return session_names.random_name()
            case "create":
                return self._create_session(account)

    def _create_session(self, account: Account) -> str:
        request = {"createSessionRequest": {"session": {"name": "", "displayName": ""}}}
        try:
            answer = self._call(account, "widgetCreateSession", request)
        except (ContextLengthExceeded, UpstreamError) as error:
            if type(error) not in _MAY_PASS:
                raise
            # The upstream's message may quote anything; its words do not.
            said = error.said.status if error.said is not None else ""
            raise UpstreamBroken(
                f"the upstream would not open a session ({said or error.own_words})"
            ) from error
        session = answer.get("session") or as_mapping(answer.get("createSessionResponse")).get(
            "session"
        )
        name = as_text(as_mapping(session).get("name"))
        if not _SESSION_NAME.fullmatch(name):
            raise UpstreamProtocolError("the upstream opened a session without a name")
        return name

    def add_file(self, account: Account, session: str, attachment: Attachment) -> str:
        return self._uploads.add(account, session, attachment)

    def file_metadata(self, account: Account, session: str, file_id: str) -> FileMetadata:
        return self._downloads.metadata(account, session, file_id)

    def open_file(
        self, account: Account, session: str, file_id: str, wanted: ByteRange
    ) -> OpenFile:
        return self._downloads.open(account, session, file_id, wanted)

    def probe(self, account: Account) -> None:
        """List one session: the cheapest call that refused credentials fail."""
        listed = {"pageSize": 1, "pageToken": "", "orderBy": "update_time desc", "filter": ""}
        self._call(account, "widgetListSessions", {"listSessionsRequest": listed})

    def account_capabilities(self, account: Account) -> AccountCapabilities:
        # One try, with the token that requests use: a refusal of this call says nothing about it.
        bearer = self._auth.token(account).bearer
        known = self._configuration(account, bearer)
        if not live_configuration.is_bare(known):
            return known
        try:
            fuller = self._configuration(account, bearer, names_view=True)
        except UpstreamError:
            return known
        return known if live_configuration.is_bare(fuller) else fuller

    def _configuration(
        self, account: Account, bearer: str, *, names_view: bool = False
    ) -> AccountCapabilities:
        body = bodies.configuration(account, self._settings, names_view=names_view)
        answer = self._post(self._endpoints.of(account), bearer, "lookupWidgetConfig", body)
        return live_configuration.read(answer)

    def sign_in_ahead(self, account: Account, older_than_s: float) -> bool:
        return self._auth.refresh_ahead(account, older_than_s)

    def prewarm(self, accounts: Iterable[Account]) -> None:
        for url in {self._endpoints.of(account).api_url for account in accounts}:
            self._client.prewarm(url)

    def delete_session(self, account: Account, session: str) -> None:
        name = session_names.short(session)
        try:
            self._call(account, "widgetDeleteSession", {"deleteSessionRequest": {"name": name}})
        # the body of a 200 has no meaning here, so it may be anything
        except (SessionGone, UpstreamProtocolError):
            return

    def stream(self, request: UpstreamRequest, account: Account, session: str) -> UpstreamStream:
        """Yield the answer as it arrives. A refused token is replaced once, until the first event.

        Raises AccountSuspected where the refusal may be the account's fault or the question's; only
        a refused sign-in is proof.
        """
        sent_as = session_names.sent_as(session)
        endpoints = self._endpoints.of(account)
        query = "?alt=sse" if self._settings.framing == "sse" else ""
        url = f"{endpoints.api_url}/widgetStreamAssist{query}"
        tokens, asked = TokenRetry(self._auth, account), 0
        is_named = session != UNNAMED
        while True:
            bearer = _signed_in(tokens.next)
            output_started = False
            request_context.current().note_asking()
            try:
                with (
                    UpstreamCall(self._meter, "streamAssist"),
                    self._client.stream(
                        "POST",
                        url,
                        endpoints.headers_with(bearer),
                        # Without a name: what is held while the answer arrives, each stream holds.
                        bodies.question(account, request, sent_as, self._settings),
                    ) as reply,
                    ErrorContext("streamAssist", reply),
                ):
                    if reply.status != 200:
                        error = google_errors.from_reply(
                            reply.status, reply.headers, reply.read_body()
                        )
                        error.was_taken = reply.status not in _NOT_TAKEN
                        raise session_names.blame_form(error, session, self._settings.session)
                    answer = ResponseDecoder(
                        reply, self._hidden_headlines, self._settings.max_answer_bytes
                    )
                    try:
                        while (events := answer.read()) is not None:
                            if not is_named and _SESSION_NAME.fullmatch(answer.session):
                                is_named = True
                                yield SessionNamed(answer.session)
                            for event in events:
                                output_started = True
                                yield event
                            if not answer.ended:
                                yield FLUSH
                    finally:
                        self._downloads.note_name(account, answer.session)
                        if not is_named:
                            _warn_of_unnamed_session(account)
                return
            except TokenRefused as error:
                request_context.current().phase = Phase.CONNECTING  # signing in again
                asked += 1
                if output_started or not self._failed_renewals.may_ask_again(tokens, asked):
                    raise suspected(error) from error

    def _call(
        self, account: Account, verb: str, request: Mapping[str, object]
    ) -> Mapping[str, Any]:
        """Post a call, return the JSON object of its answer. A refused token is replaced once."""
        body = bodies.call(account, request, self._settings)
        tokens = TokenRetry(self._auth, account)
        while True:
            try:
                return self._post(self._endpoints.of(account), tokens.next(), verb, body)
            except TokenRefused as error:
                if not tokens.discard_refused():
                    raise CredentialRefused(
                        f"{error.message}, also a fresh one: {ADVICE}"
                    ) from error

    def _post(self, endpoints: Endpoints, bearer: str, verb: str, body: bytes) -> Mapping[str, Any]:
        with UpstreamCall(self._meter, verbs.word(verb)):
            reply = self._client.request(
                "POST", f"{endpoints.api_url}/{verb}", endpoints.headers_with(bearer), body
            )
            return verbs.answered(verb, reply)


def _warn_of_unnamed_session(account: Account) -> None:
    """Log a session that cannot be deleted, as its name is not known."""
    reason = "the upstream did not tell its name"
    log.warning("session.left", extra={"account": account.id, "reason": reason})


def _signed_in(sign_in: Callable[[], str]) -> str:
    """Sign in for a question; where that fails, the question was not asked."""
    try:
        return sign_in()
    except GatewayError as error:
        error.was_taken = False
        raise
