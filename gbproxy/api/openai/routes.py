"""The paths of OpenAI's API: chat completions, and those that this gateway does not offer.

Source: https://platform.openai.com/docs/api-reference
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from flask import Blueprint, Response, jsonify, request

from gbproxy.api import not_offered
from gbproxy.api.format import CONVERSATION, ModelViews, Surface, answer
from gbproxy.api.openai import agent_models, images, model_entry
from gbproxy.api.openai.answers import Completion, CompletionChunk, ModelEntry, ModelList
from gbproxy.api.openai.choices import ChoicesEncoder
from gbproxy.api.openai.encoder import CompletionEncoder
from gbproxy.api.openai.request import CompletionBody, parse
from gbproxy.api.openai.responses import routes as responses
from gbproxy.domain.catalogue import no_such
from gbproxy.domain.models import Model
from gbproxy.web import auth
from gbproxy.web.operations import Operation, Parameter, described

_NOT_OFFERED = (
    "/v1/audio/<path:rest>",
    "/v1/completions",
    "/v1/embeddings",
    "/v1/fine_tuning/<path:rest>",
    "/v1/images/variations",
    "/v1/moderations",
    *not_offered.with_all_below(
        "/v1/assistants",
        "/v1/batches",
        "/v1/containers",
        "/v1/conversations",
        "/v1/evals",
        "/v1/realtime",
        "/v1/skills",
        "/v1/threads",
        "/v1/uploads",
        "/v1/vector_stores",
        "/v1/videos",
    ),
)


_CLIENT_VERSION = Parameter(
    name="client_version",
    place="query",
    description="of the Codex CLI: the models come also in the form that it reads",
)


def blueprints(surface: Surface) -> Iterator[Blueprint]:
    """One for each label by which metrics and dashboards know the routes."""
    yield _chat(surface)
    yield from responses.blueprints(surface)
    yield images.blueprint(surface)
    paths = not_offered.also_unversioned(_NOT_OFFERED)
    yield not_offered.blueprint("openai_missing", surface, "OpenAI", paths)


def models(surface: Surface) -> ModelViews:
    """The models that a key may use, with what programs read of them."""
    models = surface.models

    def entry(model: Model) -> dict[str, Any]:
        return model_entry.render(model, surface.model_cards.of(model))

    def list_all() -> Response:
        usable = [model for model in models.all() if auth.principal().may_use(model.id)]
        listed: dict[str, Any] = {"object": "list", "data": [entry(model) for model in usable]}
        if _CLIENT_VERSION.name in request.args:
            writers = [model for model in usable if not model.makes_media]
            listed["models"] = [
                agent_models.render(model, surface.model_cards.of(model), place)
                for place, model in enumerate(writers, 1)
            ]
        return jsonify(listed)

    def retrieve(name: str) -> Response:
        model = models.get_with_suffix(name)
        if not auth.principal().may_use(model.id):
            raise no_such(name)
        return jsonify(entry(model))

    return ModelViews(
        list_all=list_all,
        retrieve=retrieve,
        list_schema=ModelList,
        list_parameters=(_CLIENT_VERSION,),
        entry_schema=ModelEntry,
    )


def _chat(surface: Surface) -> Blueprint:
    bp = Blueprint("openai_chat", __name__)
    bp.before_request(surface.check_limits)
    read = partial(parse, max_file_bytes=surface.max_file_bytes, media=surface.images_in_chat)

    @bp.post("/v1/chat/completions")
    @bp.post("/chat/completions")
    @described(
        Operation(
            tag="OpenAI",
            summary="Answer a chat",
            request=CompletionBody,
            answers={200: (Completion,)},
            events=CompletionChunk,
            parameters=(CONVERSATION,),
        )
    )
    def create() -> Response:
        return answer(surface, read, CompletionEncoder, ChoicesEncoder)

    return bp
