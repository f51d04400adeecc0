"""The contract of a client format. A format is one package below `api/` and one line in `app.py`.

It gives the app

* its errors (`ErrorFormat`): body and headers, and the paths and headers that also find the format
  of a request that reaches no route: a 404, a full gateway, bytes that are no HTTP;
* its routes (`blueprints`), each of which is `answer(surface, parse, encoder)`:
  `parse(body, principal)` makes a `ParsedChat` of a body, and the `Encoder` that is made from that
  writes events as bytes,
* the models and files, where clients of several formats ask for them at one path (`ModelViews`,
  `FileViews`).

Not its work: keys and limits, the body's size and time, the status before the first event,
heartbeats, clients that leave, and the commit of the conversation. That is `web/`, the same for
all. A format knows no other format.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from flask import Blueprint, Response, request

from gbproxy.accounts.available_models import AvailableModels
from gbproxy.accounts.model_cards import ModelCards
from gbproxy.conversations import ClientSessions
from gbproxy.domain import jsontext
from gbproxy.domain.chat import ChatRequest
from gbproxy.domain.choices import collect_choices
from gbproxy.domain.events import ChatStream
from gbproxy.domain.media import MediaDelivery
from gbproxy.domain.principal import Principal
from gbproxy.errors import BadRequest
from gbproxy.gateway import Gateway
from gbproxy.media.uploads import Uploads
from gbproxy.observability import request_context
from gbproxy.storage.responses import ResponseRows
from gbproxy.web import auth
from gbproxy.web.body import read_json
from gbproxy.web.encoding import Encoder
from gbproxy.web.errors import ErrorFormat
from gbproxy.web.operations import Parameter, Schema
from gbproxy.web.side_by_side import merged
from gbproxy.web.streaming import StreamResponder

# What `answer` reads beside the body, for the descriptions of chat routes.
CONVERSATION = Parameter(
    name="X-Conversation-Id",
    place="header",
    description="the conversation to go on in, for clients that send only their new message",
)

# JSON leaves these as they are, but readers that split text, not bytes, into lines take them for
# ends of lines.
_LINE_ENDS = ("\x85", "\u2028", "\u2029")


@dataclass(frozen=True, slots=True, kw_only=True)
class Surface:
    """The services that the routes of a format use."""

    gateway: Gateway
    models: AvailableModels
    model_cards: ModelCards
    client_sessions: ClientSessions
    responder: StreamResponder
    # for formats that have a place for images beside the text
    images_in_chat: MediaDelivery
    max_file_bytes: int  # of each file in a message
    response_rows: ResponseRows
    uploads: Uploads
    check_key: Callable[[], None]  # for routes that need a key
    check_limits: Callable[[], None]  # for routes that go to a model: needs a key, and counts
    public_url: str | None  # None: clients reach the gateway where each request has

    def address(self, path: str) -> str:
        """The URL at which the client of the request that Flask is handling reaches a path."""
        return (self.public_url or request.url_root).rstrip("/") + path


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelViews:
    """Answers `GET /v1/models` and `GET /v1/models/{name}`, and the models of their JSON. Raises
    ModelNotFound.
    """

    list_all: Callable[[], Response]
    retrieve: Callable[[str], Response]
    list_schema: Schema | None = None
    list_parameters: tuple[Parameter, ...] = ()
    entry_schema: Schema | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FileViews:
    """Answers for uploaded files where clients of several formats ask for them at one path, and the
    models of their form and their JSON. Raises NotFound. `headers`: of every answer.
    """

    create: Callable[[], Response]
    list_all: Callable[[], Response]
    retrieve: Callable[[str], Response]
    remove: Callable[[str], Response]
    form: Schema
    list_schema: Schema
    list_parameters: tuple[Parameter, ...]
    file_schema: Schema
    created_schema: Schema
    removed_schema: Schema
    headers: Callable[[], Mapping[str, str]] = dict


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """One client format. `models` and `files`: for those of its clients that ask at a path of
    several formats, found by `errors` as for an error.
    """

    errors: ErrorFormat
    blueprints: Callable[[Surface], Iterable[Blueprint]]
    models: Callable[[Surface], ModelViews] | None = None
    files: Callable[[Surface], FileViews] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedChat:
    """A body that was understood. `ignored` names parameters without effect, for
    `x-gbproxy-ignored`; a format adds what its encoder needs to know.
    """

    chat: ChatRequest
    ignored: tuple[str, ...] = ()


Parsed = TypeVar("Parsed", bound=ParsedChat)


def answer(
    surface: Surface,
    parse: Callable[[dict[str, Any], Principal], Parsed],
    encoder: Callable[[Parsed], Encoder],
    choices_encoder: Callable[[Parsed], Encoder] | None = None,
    *,
    stream: Callable[[ChatRequest], ChatStream] | None = None,
) -> Response:
    """Answer the request that Flask is handling. Raises GatewayError, which the app renders.

    `choices_encoder`: of a format that knows several answers to one request. `stream`: in place of
    the gateway's own, of a format that answers some requests without it.
    """
    parsed = read_json(lambda body: parse(body, auth.principal()))
    return answer_parsed(surface, parsed, encoder, choices_encoder, stream=stream)


def answer_parsed(
    surface: Surface,
    parsed: Parsed,
    encoder: Callable[[Parsed], Encoder],
    choices_encoder: Callable[[Parsed], Encoder] | None = None,
    *,
    stream: Callable[[ChatRequest], ChatStream] | None = None,
) -> Response:
    """As `answer`, for a body that was read already."""
    chat = parsed.chat
    conversation = request.headers.get("X-Conversation-Id")
    if conversation:
        if chat.choices > 1:
            raise BadRequest("n must be 1 where X-Conversation-Id names a conversation", param="n")
        chat = replace(chat, conversation=conversation)
    log_fields = request_context.current().log_fields
    log_fields["stream"] = chat.is_streamed
    if parsed.ignored:
        log_fields["ignored"] = parsed.ignored
    responder = surface.responder
    if chat.choices > 1 and choices_encoder is not None:
        several = merged(lambda: surface.gateway.streams(chat))
        writer = choices_encoder(parsed)
        if chat.is_streamed:
            return responder.stream(several, writer)
        return responder.whole(several, writer, collect_choices)
    deliver = responder.stream if chat.is_streamed else responder.whole
    return deliver((stream or surface.gateway.stream)(chat), encoder(parsed))


def count_tokens(surface: Surface, parse: Callable[[dict[str, Any], Principal], ParsedChat]) -> int:
    """The tokens of the request that Flask is handling, which asks for nothing else. Raises
    GatewayError.
    """
    parsed = read_json(lambda body: parse(body, auth.principal()))
    if parsed.ignored:
        request_context.current().log_fields["ignored"] = parsed.ignored
    return surface.gateway.count_tokens(parsed.chat)


def quote(text: str) -> bytes:
    """A JSON string that no client splits: characters stay as they are but for line ends of
    Unicode.
    """
    quoted = jsontext.encode_bytes(text)
    for end in _LINE_ENDS:
        if end in text:  # which takes a twentieth of the time that the same search in bytes takes
            quoted = quoted.replace(end.encode(), b"\\u%04x" % ord(end))
    return quoted


def encode_line(value: object) -> bytes:
    """JSON that no client splits, as `quote` for a text."""
    encoded = jsontext.encode_bytes(value)
    for end in _LINE_ENDS:
        encoded = encoded.replace(end.encode(), b"\\u%04x" % ord(end))
    return encoded
