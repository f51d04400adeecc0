"""The Gemini Business widget API: sessions and streamed answers.

Source: docs/upstream.md, sessions, stream-assist request, framing.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from gbproxy.domain.account import Account
from gbproxy.domain.events import FLUSH, ChatStream
from gbproxy.domain.models import Model
from gbproxy.errors import (
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
from gbproxy.observability import trace
from gbproxy.observability.meter import SILENT, Meter, UpstreamCall
from gbproxy.observability.trace import Phase
from gbproxy.outbound import Outbound, Reply
from gbproxy.upstreams import failures
from gbproxy.upstreams.endpoints import EndpointMap, Endpoints
from gbproxy.upstreams.reading import MAX_ANSWER_BYTES, AnswerReading
from gbproxy.upstreams.widget_auth import Token, WidgetAuth

log = logging.getLogger(__name__)

# When a session is to be opened.
_MAY_PASS = (ContextLengthExceeded, RequestRefused, SessionGone, UpstreamError, UpstreamUnclear)
_NOT_TAKEN = (400, 401, 403, 413, 429, 503)  # by these a question is refused at the door
_WITHOUT_SESSION = ("widgetCreateSession", "widgetListSessions")
_WORDS = {  # what metrics call a verb
    "widgetCreateSession": "createSession",
    "widgetListSessions": "listSessions",
    "widgetDeleteSession": "deleteSession",
}
_TOOL_SPECS: Mapping[str, object] = {"toolRegistry": "default_tool_registry"}  # all others are empty objects


@dataclass(frozen=True, slots=True)
class WidgetSettings:
    """What every question says beside its text, and how its answer is read."""

    framing: Literal["json", "sse"] = "json"
    language_code: str = "en-US"
    time_zone: str = "UTC"
    status_lines: frozenset[str] = frozenset()
    max_answer_bytes: int = MAX_ANSWER_BYTES


class Widget:
    """The port `Upstream`, filled by the widget API."""

    def __init__(
        self,
        outbound: Outbound,
        auth: WidgetAuth,
        endpoints: EndpointMap,
        settings: WidgetSettings | None = None,
        meter: Meter = SILENT,
    ) -> None:
        self._outbound = outbound
        self._meter = meter
        self._auth = auth
        self._endpoints = endpoints
        self._settings = settings or WidgetSettings()

    def open_session(self, account: Account) -> str:
        request = {"createSessionRequest": {"session": {"name": "", "displayName": ""}}}
        try:
            answer = self._call(account, "widgetCreateSession", request)
        except (ContextLengthExceeded, UpstreamError) as error:
            if type(error) not in _MAY_PASS:
                raise
            # Nothing of the client's request is in it, so this is not the client's fault; it may pass (docs/upstream.md).
            raise UpstreamBroken(f"the upstream would not open a session ({error.message})") from error
        session = answer.get("session") or _dict(answer.get("createSessionResponse")).get("session")
        name = _dict(session).get("name")
        if not isinstance(name, str) or not name:
            raise UpstreamProtocolError("the upstream opened a session without a name")
        return name

    def probe(self, account: Account) -> None:
        """The cheapest call that shows whether the credentials are good: one entry of the list of sessions."""
        listed = {"pageSize": 1, "pageToken": "", "orderBy": "update_time desc", "filter": ""}
        self._call(account, "widgetListSessions", {"listSessionsRequest": listed})

    def sign_in_ahead(self, account: Account, older_than_s: float) -> bool:
        return self._auth.refresh_ahead(account, older_than_s)

    def warm(self, accounts: Iterable[Account]) -> None:
        for url in {self._endpoints.of(account).api_url for account in accounts}:
            self._outbound.warm(url)

    def delete_session(self, account: Account, session: str) -> None:
        try:
            self._call(account, "widgetDeleteSession", {"deleteSessionRequest": {"name": session}})
        except (SessionGone, UpstreamProtocolError):  # the body of a 200 has no meaning here, so it may be anything
            return

    def stream(self, prompt: str, model: Model, account: Account, session: str) -> ChatStream:
        """Yield the answer as it arrives. A refused token is replaced once, as long as nothing has been said."""
        body = self._body(account, {"streamAssistRequest": self._assist_request(prompt, model, session)})
        endpoints = self._endpoints.of(account)
        url = f"{endpoints.api_url}/widgetStreamAssist{'?alt=sse' if self._settings.framing == 'sse' else ''}"
        tokens = _Tokens(self._auth, account)
        while True:
            bearer = _not_taken(tokens.next)
            said = False
            trace.current().asks()
            try:
                with (
                    UpstreamCall(self._meter, "streamAssist"),
                    self._outbound.stream("POST", url, _headers(endpoints, bearer), body) as reply,
                ):
                    if reply.status != 200:
                        error = failures.from_reply(reply.status, reply.headers, reply.read_body())
                        error.was_taken = reply.status not in _NOT_TAKEN
                        raise error
                    answer = AnswerReading(reply, self._settings.status_lines, self._settings.max_answer_bytes)
                    while (events := answer.read()) is not None:
                        for event in events:
                            said = True
                            yield event
                        if not answer.ended:
                            yield FLUSH
                return
            except TokenRefused as error:
                trace.current().phase = Phase.CONNECTING  # signing in again
                if not tokens.may_try_another() or said:
                    raise _refused(error) from error

    def _call(self, account: Account, verb: str, request: Mapping[str, object]) -> Mapping[str, Any]:
        """A call with one JSON object in return. A refused token is replaced once."""
        body = self._body(account, request)
        tokens = _Tokens(self._auth, account)
        while True:
            try:
                return self._post(self._endpoints.of(account), tokens.next(), verb, body)
            except TokenRefused as error:
                if not tokens.may_try_another():
                    raise _refused(error) from error

    def _post(self, endpoints: Endpoints, bearer: str, verb: str, body: bytes) -> Mapping[str, Any]:
        denied = ConfigRefused if verb in _WITHOUT_SESSION else SessionDenied
        with UpstreamCall(self._meter, _WORDS[verb]):
            reply = self._outbound.call("POST", f"{endpoints.api_url}/{verb}", _headers(endpoints, bearer), body)
            if reply.status != 200:
                raise failures.from_reply(reply.status, reply.headers, reply.body, denied=denied)
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
        if model.upstream is not None:
            request["assistGenerationConfig"] = {"modelId": model.upstream}
        return request

    def _body(self, account: Account, request: Mapping[str, object]) -> bytes:
        envelope = {"configId": account.config_id, "additionalParams": {"token": "-"}, **request}
        return json.dumps(envelope, ensure_ascii=False, separators=(",", ":")).encode()


@dataclass(slots=True)
class _Tokens:
    """The tokens that one call tries: until one is refused whose sign-in began after the first refusal.

    That says something about the account; what was signed before may have been as bad as the one that was refused.
    """

    _auth: WidgetAuth
    _account: Account
    _token: Token | None = None
    _refused_at: float | None = None
    _after: float = -math.inf

    def next(self) -> str:
        self._token = self._auth.token(self._account, self._after)
        return self._token.bearer

    def may_try_another(self) -> bool:
        """The last one was refused."""
        if self._token is None:
            return True
        refused_at = self._auth.discard(self._account, self._token.bearer)
        if self._refused_at is None:
            self._refused_at = refused_at
            return True
        self._after = self._refused_at
        return self._token.born_at < self._refused_at


def _not_taken(sign_in: Callable[[], str]) -> str:
    """A question whose sign-in fails has not been asked."""
    try:
        return sign_in()
    except GatewayError as error:
        error.was_taken = False
        raise


def _headers(endpoints: Endpoints, bearer: str) -> dict[str, str]:
    return {**endpoints.api_headers, "Authorization": f"Bearer {bearer}"}


def _refused(error: GatewayError) -> CredentialRefused:
    return CredentialRefused(
        f"{error.message}, also a fresh one: CONFIG_ID may belong to another account, "
        "or the account must be signed in again and its cookies renewed"
    )


def _object(reply: Reply, denied: type[CredentialRefused]) -> Mapping[str, Any]:
    try:
        answer = json.loads(reply.body or b"{}")
    except (ValueError, RecursionError) as error:
        raise UpstreamProtocolError("the upstream's answer is not JSON") from error
    if isinstance(answer, dict):
        error_object = failures.in_stream(answer)
        if error_object is not None:
            raise failures.from_error(error_object, denied=denied)
        return answer
    raise UpstreamProtocolError("the upstream's answer is not an object")


def _dict(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
