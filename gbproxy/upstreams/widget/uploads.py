"""Files that are put into a session. Source: docs/upstream.md, files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gbproxy.domain.account import Account
from gbproxy.domain.attachment import Attachment
from gbproxy.errors import GatewayError, TokenRefused
from gbproxy.observability.meter import Meter, UpstreamCall
from gbproxy.outbound import HttpClient, Reply
from gbproxy.upstreams.widget import context_files, verbs
from gbproxy.upstreams.widget.auth import WidgetAuth
from gbproxy.upstreams.widget.bodies import WidgetSettings
from gbproxy.upstreams.widget.context_files import FileBody
from gbproxy.upstreams.widget.endpoints import EndpointMap, Endpoints
from gbproxy.upstreams.widget.tokens import FailedRenewals, TokenRetry, suspected


class Uploads:
    """Safe for use by many threads at once. `failed_renewals`: of questions too."""

    def __init__(
        self,
        client: HttpClient,
        auth: WidgetAuth,
        endpoints: EndpointMap,
        settings: WidgetSettings,
        meter: Meter,
        failed_renewals: FailedRenewals,
    ) -> None:
        self._client = client
        self._auth = auth
        self._endpoints = endpoints
        self._settings = settings
        self._meter = meter
        self._failed_renewals = failed_renewals

    def add(self, account: Account, session: str, attachment: Attachment) -> str:
        """Put a file into a session; returns its id. A refused token is replaced once, a refused
        type by a plainer one. Raises AccountSuspected where the refusal may be the account's fault
        or the file's.
        """
        sent = attachment
        body = FileBody(account, session, attachment, self._settings)
        endpoints = self._endpoints.of(account)
        tokens, asked = TokenRetry(self._auth, account), 0
        while True:
            try:
                return context_files.file_id(self._upload(endpoints, tokens.next(), body))
            except TokenRefused as error:
                asked += 1
                if not self._failed_renewals.may_ask_again(tokens, asked):
                    raise _not_asked(suspected(error)) from error
            except GatewayError as error:
                plainer = context_files.relabelled(error, sent)
                if plainer is not None:
                    sent, body = plainer, FileBody(account, session, plainer, self._settings)
                    continue
                blamed = _not_asked(context_files.blamed(error, attachment))
                if blamed is error:
                    raise
                raise blamed from error

    def _upload(self, endpoints: Endpoints, bearer: str, body: FileBody) -> Mapping[str, Any]:
        """Unlike other calls it may take as long as an answer may: a large file has to go up."""
        verb = "widgetAddContextFile"
        url, headers = f"{endpoints.api_url}/{verb}", endpoints.headers_with(bearer)
        with (
            UpstreamCall(self._meter, verbs.word(verb)),
            self._client.stream("POST", url, headers, body) as streamed,
        ):
            reply = Reply(streamed.status, streamed.headers, (), streamed.read_body())
            return verbs.answered(verb, reply)


def _not_asked(error: GatewayError) -> GatewayError:
    """Of a file, nothing that its session was asked: the question is still to come."""
    error.was_taken = False
    return error
