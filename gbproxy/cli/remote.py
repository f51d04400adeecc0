"""A running gateway, called over HTTP with a key: its admin API and its chat completions."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any

from gbproxy.cli.environment import user_header
from gbproxy.cli.terminal import CannotBegin, CommandError, printable
from gbproxy.domain.chat import ChatRequest, TextPart
from gbproxy.domain.events import ChatEvent, ChatStream, Done, FinishReason, TextDelta, ThoughtDelta
from gbproxy.errors import UpstreamError, UpstreamProtocolError
from gbproxy.outbound import HttpClient, StreamedReply, Timeouts
from gbproxy.settings import network
from gbproxy.upstreams.decoding.event_stream import EventReader
from gbproxy.version import __version__

_COLLECTIONS = ("/api/admin/accounts", "/api/admin/keys", "/api/admin/models")
_TIMEOUTS = Timeouts(connect_s=10, read_s=150, request_s=3600)


def address(text: str) -> str:
    """A gateway's base URL without the /v1 that chat programs want. Raises CannotBegin."""
    try:
        return network.base_url(text.strip()).removesuffix("/v1")
    except ValueError as error:
        raise CannotBegin(f"--url {error}") from error


@contextmanager
def connect(url: str, key: str) -> Iterator[RemoteGateway]:
    """A client of the gateway at `url` (as `address` returns it), until the end of the block."""
    with closing(HttpClient(_TIMEOUTS, pool_size=1)) as outbound:
        yield RemoteGateway(url, key, outbound)


class RemoteGateway:
    """Every call raises CommandError, with the gateway's own message where its answer has one."""

    def __init__(self, url: str, key: str, outbound: HttpClient) -> None:
        self._url = url
        self._outbound = outbound
        self._headers = {
            "Authorization": f"Bearer {key}",
            "Content-Type": "application/json",
            "User-Agent": f"gbproxy/{__version__}",
            "Accept-Encoding": "gzip, deflate",
        }

    def ask(self, method: str, path: str, body: object = None) -> Mapping[str, Any]:
        """Make one call and return the JSON object of its answer, an empty one for none."""
        data = None if body is None else json.dumps(body).encode()
        try:
            reply = self._outbound.request(
                method, f"{self._url}{path}", {**self._headers, **user_header()}, data
            )
        except UpstreamError as error:
            raise self._unreachable(error) from error
        if reply.status == 404 and path in _COLLECTIONS:
            raise CommandError(
                f"{self._url} offers no {path}: it runs without ADMIN_KEY, or is another version or"
                " program"
            )
        return json_object(reply.status, reply.body, self._url)

    def stream(self, chat: ChatRequest) -> ChatStream:
        """Yield the events of one answer as they arrive, as `Gateway.stream` does."""
        try:
            with self._outbound.stream(
                "POST", f"{self._url}/v1/chat/completions", self._headers, _body(chat)
            ) as reply:
                if reply.status != 200:
                    raise error_of(reply.status, reply.read_body(), self._url)
                yield from self._events(reply)
        except UpstreamProtocolError as error:
            raise self._cut_off() from error
        except UpstreamError as error:
            raise self._unreachable(error) from error

    def _events(self, reply: StreamedReply) -> Iterator[ChatEvent]:
        reader = EventReader()
        ended: Done | None = None
        for data in reply.reads():
            for chunk in reader.feed(data):
                if "error" in chunk:
                    raise error_of(200, json.dumps(chunk).encode(), self._url)
                for event in _events_of(chunk):
                    if isinstance(event, Done):
                        ended = event
                    else:
                        yield event
        if ended is None:
            raise self._cut_off()
        yield ended

    def _unreachable(self, error: UpstreamError) -> CommandError:
        # outbound's messages call every server that it asks the upstream
        return CommandError(
            f"{self._url} cannot be asked: {error.message.replace('upstream', 'gateway')}"
        )

    def _cut_off(self) -> CommandError:
        return CommandError("the connection to the gateway ended before the answer was whole")


def _body(chat: ChatRequest) -> bytes:
    messages = [
        {
            "role": message.role,
            "content": "\n".join(part.text for part in message.parts if isinstance(part, TextPart)),
        }
        for message in chat.messages
    ]
    body = {"stream": True, "messages": messages, "include_reasoning": chat.show_thoughts}
    return json.dumps({**body, **({"model": chat.model} if chat.model else {})}).encode()


def _events_of(chunk: Mapping[str, Any]) -> Iterator[ChatEvent]:
    for choice in chunk.get("choices") or ():
        delta = choice.get("delta") or {}
        if thought := delta.get("reasoning_content"):
            yield ThoughtDelta(thought)
        if text := delta.get("content"):
            yield TextDelta(text)
        if reason := choice.get("finish_reason"):
            filtered: FinishReason = "content_filter"
            yield Done(filtered if reason == filtered else "stop")


def json_object(status: int, body: bytes, gateway: str) -> Mapping[str, Any]:
    """The JSON object of a gateway's response, {} for an empty body; `gateway` names it in errors.

    Raises CommandError for an error status and for anything else than a JSON object.
    """
    if not 200 <= status < 300:
        raise error_of(status, body, gateway)
    if not body:
        return {}
    answer = _parsed(body)
    if answer is None:
        raise CommandError(
            f"what answers at {gateway} is no gateway of this kind: its answer is not a JSON object"
        )
    return answer


def error_of(status: int, body: bytes, gateway: str) -> CommandError:
    """The error of a response: the gateway's message, or the status where the body has none."""
    error = (_parsed(body) or {}).get("error")
    message = error.get("message") if isinstance(error, dict) else None
    if not isinstance(message, str) or not message:
        return CommandError(
            f"what answers at {gateway} is no gateway of this kind, or out of order: status"
            f" {status}"
        )
    return CommandError(printable(message))


def _parsed(body: bytes) -> Mapping[str, Any] | None:
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return answer if isinstance(answer, dict) else None
