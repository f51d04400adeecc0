"""The Gemini Business widget API: sessions and streamed answers.

Source: docs/upstream.md, sessions, stream-assist request, framing.
"""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from gbproxy.domain.account import WIDGET, Account
from gbproxy.domain.capabilities import AccountCapabilities
from gbproxy.domain.chat import TextPart
from gbproxy.domain.events import FLUSH, SessionNamed, UpstreamStream
from gbproxy.domain.models import Model
from gbproxy.errors import (
    AccountSuspected,
    ConfigRefused,
    ContextLengthExceeded,
    CredentialRefused,
    GatewayError,
    RequestRefused,
    SessionDenied,
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
from gbproxy.outbound import HttpClient, Reply
from gbproxy.upstreams.base import Capabilities, UpstreamRequest
from gbproxy.upstreams.decoding.objects import decode_body
from gbproxy.upstreams.decoding.response import MAX_ANSWER_BYTES, ResponseDecoder
from gbproxy.upstreams.stream_assist import google_errors, headlines
from gbproxy.upstreams.stream_assist.fields import as_mapping, as_text
from gbproxy.upstreams.stream_assist.words import Heard
from gbproxy.upstreams.widget import live_configuration, session_names
from gbproxy.upstreams.widget.auth import WidgetAuth
from gbproxy.upstreams.widget.credential import credential_of
from gbproxy.upstreams.widget.endpoints import EndpointMap, Endpoints
from gbproxy.upstreams.widget.session_names import UNNAMED, SessionForm
from gbproxy.upstreams.widget.token_retry import Tokens, VainRenewals

log = logging.getLogger(__name__)

# When a session is to be opened.
_MAY_PASS = (ContextLengthExceeded, RequestRefused, SessionGone, UpstreamError, UpstreamUnclear)
_NOT_TAKEN = (400, 401, 403, 413, 429, 503)  # by these a question is refused at the door
_WITHOUT_SESSION = ("widgetCreateSession", "widgetListSessions", "lookupWidgetConfig")
_WORDS = {  # what metrics call a verb
    "widgetCreateSession": "createSession",
    "widgetListSessions": "listSessions",
    "widgetDeleteSession": "deleteSession",
    "lookupWidgetConfig": "lookupWidgetConfig",
}
_SESSION_NAME = re.compile(r"[!-~]{1,1000}")  # one that can be sent and stored
_ADVICE = (
    "CONFIG_ID may belong to another account, or the account must be signed in again and its"
    " cookies renewed"
)
# all others are empty objects
_TOOL_SPECS: Mapping[str, object] = {"toolRegistry": "default_tool_registry"}


@dataclass(frozen=True, slots=True)
class WidgetSettings:
    """What every question carries beside its text, and how its answer is read."""

    framing: Literal["json", "sse"] = "json"
    session: SessionForm = "create"
    # further fields of each call's
    body: Mapping[str, Any] = field(default_factory=dict, repr=False)
    language_code: str = "en-US"
    time_zone: str = "UTC"
    status_lines: Sequence[str] = ()  # headlines that count as thoughts
    max_answer_bytes: int = MAX_ANSWER_BYTES
    prompt_max_chars: int | None = None


class Widget:
    """The port `Upstream`, filled by the widget API."""

    def __init__(
        self,
        outbound: HttpClient,
        auth: WidgetAuth,
        endpoints: EndpointMap,
        settings: WidgetSettings | None = None,
        meter: Meter = SILENT,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._outbound = outbound
        self._meter = meter
        self._auth = auth
        self._endpoints = endpoints
        self._settings = settings or WidgetSettings()
        self._hidden_headlines = headlines.normalized_all(self._settings.status_lines)
        self._in_vain = VainRenewals(monotonic)
        self.capabilities = Capabilities(
            sessions=True, roles=False, prompt_max_chars=self._settings.prompt_max_chars
        )

    def open_session(self, account: Account) -> str:
        match self._settings.session:
            case "dash":
                return UNNAMED
            case "own":
                return session_names.own()
            case "create":
                return self._create_session(account)

    def _create_session(self, account: Account) -> str:
        request = {"createSessionRequest": {"session": {"name": "", "displayName": ""}}}
        try:
            answer = self._call(account, "widgetCreateSession", request)
        except (ContextLengthExceeded, UpstreamError) as error:
            if type(error) not in _MAY_PASS:
                raise
            # Nothing of the client's request is in it, so this is not the client's fault; it may
            # pass (docs/upstream.md). The upstream's message may quote anything; its words do not.
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

    def probe(self, account: Account) -> None:
        """The cheapest call that shows whether the credentials are good: one entry of the list of
        sessions.
        """
        listed = {"pageSize": 1, "pageToken": "", "orderBy": "update_time desc", "filter": ""}
        self._call(account, "widgetListSessions", {"listSessionsRequest": listed})

    def account_capabilities(self, account: Account) -> AccountCapabilities:
        # No envelope, and one try with the token that requests use: what this call is refused says
        # nothing about that.
        body = _merged(
            {"widgetConfigId": credential_of(account).config_id},
            _meant_for({}, self._settings.body),
        )
        bearer = self._auth.token(account).bearer
        endpoints, data = self._endpoints.of(account), json.dumps(body, ensure_ascii=False).encode()
        return live_configuration.read(self._post(endpoints, bearer, "lookupWidgetConfig", data))

    def sign_in_ahead(self, account: Account, older_than_s: float) -> bool:
        return self._auth.refresh_ahead(account, older_than_s)

    def prewarm(self, accounts: Iterable[Account]) -> None:
        for url in {self._endpoints.of(account).api_url for account in accounts}:
            self._outbound.prewarm(url)

    def delete_session(self, account: Account, session: str) -> None:
        try:
            self._call(account, "widgetDeleteSession", {"deleteSessionRequest": {"name": session}})
        # the body of a 200 has no meaning here, so it may be anything
        except (SessionGone, UpstreamProtocolError):
            return

    def stream(self, request: UpstreamRequest, account: Account, session: str) -> UpstreamStream:
        """Yield the answer as it arrives. A refused token is replaced once, until the first event.

        Raises AccountSuspected where the refusal may be the account's fault or the question's; only
        a refused sign-in is proof.
        """
        assist = self._assist_request(_text(request), request.model, session_names.sent_as(session))
        body = self._body(account, {"streamAssistRequest": assist})
        endpoints = self._endpoints.of(account)
        url = f"{endpoints.api_url}/widgetStreamAssist{'?alt=sse' if self._settings.framing == 'sse' else ''}"
        tokens, asked = Tokens(self._auth, account), 0
        is_named = session != UNNAMED
        while True:
            bearer = _not_taken(tokens.next)
            said = False
            request_context.current().asks()
            try:
                with (
                    UpstreamCall(self._meter, "streamAssist"),
                    self._outbound.stream("POST", url, _headers(endpoints, bearer), body) as reply,
                    Heard("streamAssist", reply),
                ):
                    if reply.status != 200:
                        error = google_errors.from_reply(
                            reply.status, reply.headers, reply.read_body()
                        )
                        error.was_taken = reply.status not in _NOT_TAKEN
                        raise session_names.blamed(error, session, self._settings.session)
                    answer = ResponseDecoder(
                        reply, self._hidden_headlines, self._settings.max_answer_bytes
                    )
                    try:
                        while (events := answer.read()) is not None:
                            if not is_named and _SESSION_NAME.fullmatch(answer.session):
                                is_named = True
                                yield SessionNamed(answer.session)
                            for event in events:
                                said = True
                                yield event
                            if not answer.ended:
                                yield FLUSH
                    finally:
                        if not is_named:  # it cannot be deleted without its name
                            reason = "the upstream did not tell its name"
                            log.warning(
                                "session.left", extra={"account": account.id, "reason": reason}
                            )
                return
            except TokenRefused as error:
                request_context.current().phase = Phase.CONNECTING  # signing in again
                asked += 1
                if said or not self._may_ask_again(account, tokens, asked):
                    raise _suspected(error) from error

    def _may_ask_again(self, account: Account, tokens: Tokens, asked: int) -> bool:
        """True if a question whose token was refused `asked` times is sent again, as a rule with a
        fresh one.
        """
        # A run of poisoned questions must not cost a sign-in each: the probe that each leads to
        # renews what is stale.
        if self._in_vain.are_many(account):
            return asked == 1
        if tokens.may_keep_it():
            self._in_vain.note(account)
            return False
        return tokens.may_try_another()

    def _call(
        self, account: Account, verb: str, request: Mapping[str, object]
    ) -> Mapping[str, Any]:
        """A call with one JSON object in return. A refused token is replaced once."""
        body = self._body(account, request)
        tokens = Tokens(self._auth, account)
        while True:
            try:
                return self._post(self._endpoints.of(account), tokens.next(), verb, body)
            except TokenRefused as error:
                if not tokens.may_try_another():
                    raise CredentialRefused(
                        f"{error.message}, also a fresh one: {_ADVICE}"
                    ) from error

    def _post(self, endpoints: Endpoints, bearer: str, verb: str, body: bytes) -> Mapping[str, Any]:
        denied: type[UpstreamError] = ConfigRefused if verb in _WITHOUT_SESSION else SessionDenied
        with UpstreamCall(self._meter, _WORDS[verb]):
            reply = self._outbound.request(
                "POST", f"{endpoints.api_url}/{verb}", _headers(endpoints, bearer), body
            )
            with Heard(_WORDS[verb], reply, reply.body):
                if reply.status != 200:
                    raise google_errors.from_reply(
                        reply.status, reply.headers, reply.body, denied=denied
                    )
                return _object(reply, denied)

    def _assist_request(self, prompt: str, model: Model, session: str) -> dict[str, object]:
        request: dict[str, object] = {
            "session": session,
            "query": {"parts": [{"text": prompt or " "}]},  # an empty text gets an empty answer
            "filter": "",
            "fileIds": [],
            "answerGenerationMode": "NORMAL",
            "toolsSpec": {tool: _TOOL_SPECS.get(tool, {}) for tool in model.tools},
            "languageCode": self._settings.language_code,
            "userMetadata": {"timeZone": self._settings.time_zone},
            "assistSkippingMode": "REQUEST_ASSIST",  # without it greetings are skipped
        }
        model_id = model.name_at(WIDGET)
        if model_id is not None:
            request["assistGenerationConfig"] = {"modelId": model_id}
        return request

    def _body(self, account: Account, request: Mapping[str, object]) -> bytes:
        envelope = {
            "configId": credential_of(account).config_id,
            "additionalParams": {"token": "-"},
            **request,
        }
        if self._settings.body:
            envelope = _merged(envelope, _meant_for(request, self._settings.body))
        return json.dumps(envelope, ensure_ascii=False, separators=(",", ":")).encode()


def _text(request: UpstreamRequest) -> str:
    """Without roles, a request is one message of one text (`Capabilities.roles`)."""
    [message] = request.messages
    [part] = message.parts
    if not isinstance(part, TextPart):
        raise TypeError(f"a prompt is a text, not a {type(part).__name__}")
    return part.text


def _suspected(error: TokenRefused) -> AccountSuspected:
    suspected = AccountSuspected(
        f"{error.message} for this question. If also for others: {_ADVICE}"
    )
    suspected.was_taken = error.was_taken
    return suspected


def _not_taken(sign_in: Callable[[], str]) -> str:
    """Sign in for a question; where that fails, the question was not asked."""
    try:
        return sign_in()
    except GatewayError as error:
        error.was_taken = False
        raise


def _meant_for(request: Mapping[str, object], further: Mapping[str, Any]) -> Mapping[str, Any]:
    """The further fields of one call's body. What stands under a call's own name, such as
    `streamAssistRequest`, goes into that call alone.
    """
    return {
        name: value
        for name, value in further.items()
        if name in request or not name.endswith("Request")
    }


def _merged(body: Mapping[str, object], further: Mapping[str, object]) -> dict[str, object]:
    """Merge objects, however deep; any other value replaces what stands there."""
    merged = dict(body)
    for name, value in further.items():
        known = merged.get(name)
        merged[name] = (
            _merged(known, value) if isinstance(known, dict) and isinstance(value, dict) else value
        )
    return merged


def _headers(endpoints: Endpoints, bearer: str) -> dict[str, str]:
    return {**endpoints.api_headers, "Authorization": f"Bearer {bearer}"}


def _object(reply: Reply, denied: type[UpstreamError]) -> Mapping[str, Any]:
    answer = decode_body(reply.body or b"{}")
    if isinstance(answer, dict):
        error_object = google_errors.in_stream(answer)
        if error_object is not None:
            raise google_errors.from_error(error_object, denied=denied)
        return answer
    raise UpstreamProtocolError("the upstream's answer is not an object")
