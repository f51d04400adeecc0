"""The paths of Anthropic's API: messages, the count of their tokens, models; and those that this
gateway does not offer.

Source: https://platform.claude.com/docs/en/api
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from flask import Blueprint, Response, jsonify, request

from gbproxy.api import not_offered
from gbproxy.api.anthropic import model_entry
from gbproxy.api.anthropic.answers import (
    AnthropicModel,
    AnthropicModels,
    MessageAnswer,
    MessageEvent,
    TokenCount,
)
from gbproxy.api.anthropic.encoder import MessageEncoder
from gbproxy.api.anthropic.errors import id_header
from gbproxy.api.anthropic.request import MessagesBody, parse
from gbproxy.api.format import CONVERSATION, ModelViews, Surface, answer, count_tokens
from gbproxy.domain.catalogue import no_such
from gbproxy.domain.chat import ChatRequest
from gbproxy.domain.events import ChatStream, Done, Started, Usage
from gbproxy.domain.models import Model
from gbproxy.web import auth
from gbproxy.web.operations import Operation, Parameter, described

_NOT_OFFERED = (
    "/v1/complete",
    *not_offered.with_all_below("/v1/messages/batches"),
)

_PAGES = tuple(
    Parameter(name=name, place="query", description=f"with `anthropic-version`: {meaning}")
    for name, meaning in (
        ("limit", "the most models of a page"),
        ("after_id", "the model behind which the page begins"),
        ("before_id", "the model before which it ends"),
    )
)


def blueprints(surface: Surface) -> Iterator[Blueprint]:
    """One for each label by which metrics and dashboards know the routes."""
    paths = not_offered.also_unversioned(_NOT_OFFERED)
    refused = not_offered.blueprint("anthropic_missing", surface, "Anthropic", paths)
    for blueprint in (_messages(surface), _tokens(surface), refused):
        blueprint.after_request(_with_id)
        yield blueprint


def models(surface: Surface) -> ModelViews:
    """The models that a key may use, also under those of their aliases that agents look for."""
    models = surface.models

    def entry(model: Model, name: str | None = None) -> model_entry.Entry:
        return model_entry.render(model, surface.model_cards.of(model), name)

    def list_all() -> Response:
        may_use = auth.principal().may_use
        entries = [
            entry(model, name)
            for model in models.all()
            if may_use(model.id)
            for name in model_entry.names(model)
        ]
        return _with_id(jsonify(model_entry.page(entries, request.args)))

    def retrieve(name: str) -> Response:
        model = models.get_with_suffix(name)
        if not auth.principal().may_use(model.id):
            raise no_such(name)
        return _with_id(jsonify(entry(model, name if name in model_entry.names(model) else None)))

    return ModelViews(
        list_all=list_all,
        retrieve=retrieve,
        list_schema=AnthropicModels,
        list_parameters=_PAGES,
        entry_schema=AnthropicModel,
    )


def _messages(surface: Surface) -> Blueprint:
    bp = Blueprint("anthropic_messages", __name__)
    bp.before_request(surface.check_limits)
    reading = partial(parse, max_file_bytes=surface.max_file_bytes)

    def stream(chat: ChatRequest) -> ChatStream:
        return _nothing(surface, chat) if chat.max_tokens == 0 else surface.gateway.stream(chat)

    @bp.post("/v1/messages")
    @bp.post("/messages")
    @described(
        Operation(
            tag="Anthropic",
            summary="Answer with a message",
            request=MessagesBody,
            answers={200: (MessageAnswer,)},
            events=MessageEvent,
            parameters=(CONVERSATION,),
        )
    )
    def create() -> Response:
        return answer(surface, reading, MessageEncoder, stream=stream)

    return bp


def _tokens(surface: Surface) -> Blueprint:
    bp = Blueprint("anthropic_tokens", __name__)
    bp.before_request(surface.check_key)
    reading = partial(parse, max_file_bytes=surface.max_file_bytes)

    @bp.post("/v1/messages/count_tokens")
    @bp.post("/messages/count_tokens")
    @described(
        Operation(
            tag="Anthropic",
            summary="Count the tokens of a request",
            request=MessagesBody,
            answers={200: (TokenCount,)},
        )
    )
    def count() -> Response:
        return jsonify(input_tokens=count_tokens(surface, reading))

    return bp


def _nothing(surface: Surface, chat: ChatRequest) -> ChatStream:
    """The answer to a request for no tokens, by which clients fill the API's cache: at once, and
    without the upstream. Raises ModelNotFound.
    """
    counted = surface.gateway.count_tokens(chat)
    yield Started(surface.models.resolve(chat.model).id, counted)
    yield Usage(counted, 0)
    yield Done("length")


def _with_id(response: Response) -> Response:
    response.headers.update(id_header())
    return response
