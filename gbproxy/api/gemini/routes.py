"""The paths of the Gemini API: content, its tokens, models; and those that this gateway does not
offer. Google's SDKs of today use `/v1`, those before them `/v1beta`.

Source: https://ai.google.dev/api/all-methods
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

from flask import Blueprint, Response, jsonify, request

from gbproxy.api import not_offered
from gbproxy.api.format import CONVERSATION, ModelViews, Surface, answer, count_tokens
from gbproxy.api.gemini import model_entry, stored_files, uploads
from gbproxy.api.gemini.answers import (
    GenerateContentAnswer,
    GenerateContentEvent,
    GenerateContentEvents,
    GoogleModel,
    GoogleModels,
    GoogleTokenCount,
)
from gbproxy.api.gemini.body import CountTokensBody, GenerateContentBody
from gbproxy.api.gemini.encoder import CandidatesEncoder, ContentEncoder
from gbproxy.api.gemini.framing import Array, Events
from gbproxy.api.gemini.request import ParsedContent, parse, parse_count
from gbproxy.domain.catalogue import no_such
from gbproxy.domain.models import Model
from gbproxy.domain.principal import Principal
from gbproxy.errors import BadRequest
from gbproxy.web import auth
from gbproxy.web.operations import Operation, Parameter, described

VERSIONS = ("/v1beta", "/v1", "/v1alpha")
PREFIXES = (*VERSIONS, *(f"/gemini{version}" for version in VERSIONS))

_TAG = "Gemini"
_ALT = Parameter(name="alt", place="query", description="`sse`: events in place of one array")
_PAGES = (
    Parameter(name="pageSize", place="query", description="the most models of a page"),
    Parameter(name="pageToken", place="query", description="`nextPageToken` of the page before"),
)
_SHARED = "/v1"  # where other APIs have models too

_METHODS = ("generateContent", "streamGenerateContent", "countTokens", "editImage")
_METHODS_NOT_OFFERED = (
    "asyncBatchEmbedContent",
    "batchEmbedContents",
    "batchGenerateContent",
    "embedContent",
    "generateAnswer",
    "predict",
    "predictLongRunning",
)
_RESOURCES_NOT_OFFERED = ("batches", "cachedContents", "fileSearchStores", "interactions")
_OF_OTHERS_TOO = ("/v1/batches",)  # which another format refuses


def blueprints(surface: Surface) -> Iterator[Blueprint]:
    """One for each label by which metrics and dashboards know the routes."""
    yield _content(surface)
    yield _tokens(surface)
    yield _models(surface)
    yield uploads.uploading(surface)
    yield stored_files.blueprint(surface)
    yield _not_offered(surface)
    yield _probes()


def models(surface: Surface) -> ModelViews:
    """The models that a key may use."""

    def entry(model: Model) -> dict[str, Any]:
        return model_entry.render(model, surface.model_cards.of(model))

    @described(
        Operation(tag=_TAG, summary="The models", answers={200: (GoogleModels,)}, parameters=_PAGES)
    )
    def list_all() -> Response:
        may_use = auth.principal().may_use
        entries = [entry(model) for model in surface.models.all() if may_use(model.id)]
        return jsonify(model_entry.page(entries, request.args))

    @described(Operation(tag=_TAG, summary="One model", answers={200: (GoogleModel,)}))
    def retrieve(name: str) -> Response:
        model = surface.models.get_with_suffix(name)
        if not auth.principal().may_use(model.id):
            raise no_such(name)
        return jsonify(entry(model))

    return ModelViews(
        list_all=list_all,
        retrieve=retrieve,
        list_schema=GoogleModels,
        list_parameters=tuple(
            replace(each, description=f"with `x-goog-api-client`: {each.description}")
            for each in _PAGES
        ),
        entry_schema=GoogleModel,
    )


def _content(surface: Surface) -> Blueprint:
    bp = Blueprint("gemini_content", __name__)
    bp.before_request(surface.check_limits)

    def reading(name: str, *, is_streamed: bool) -> Callable[..., ParsedContent]:
        return partial(
            _parse, model=name, is_streamed=is_streamed, max_file_bytes=surface.max_file_bytes
        )

    @described(
        Operation(
            tag=_TAG,
            summary="Generate content",
            request=GenerateContentBody,
            answers={200: (GenerateContentAnswer,)},
            parameters=(CONVERSATION,),
        )
    )
    def generate(name: str) -> Response:
        return answer(
            surface,
            reading(name, is_streamed=False),
            partial(ContentEncoder, framing=Array()),
            partial(CandidatesEncoder, framing=Array()),
        )

    @described(
        Operation(
            tag=_TAG,
            summary="Generate content, streamed",
            request=GenerateContentBody,
            answers={200: (GenerateContentEvents,)},
            events=GenerateContentEvent,
            parameters=(CONVERSATION, _ALT),
        )
    )
    def stream(name: str) -> Response:
        framing = Events() if request.args.get("alt", "").lower() == "sse" else Array()
        return answer(
            surface,
            reading(name, is_streamed=True),
            partial(ContentEncoder, framing=framing),
            partial(CandidatesEncoder, framing=framing),
        )

    @described(
        Operation(
            tag=_TAG,
            summary="Edit pictures, or make one",
            request=GenerateContentBody,
            answers={200: (GenerateContentAnswer,)},
            parameters=(CONVERSATION,),
        )
    )
    def edit_image(name: str) -> Response:
        return answer(
            surface,
            partial(reading(name, is_streamed=False), needs_image=True),
            partial(ContentEncoder, framing=Array()),
            partial(CandidatesEncoder, framing=Array()),
        )

    _add(bp, "generateContent", generate)
    _add(bp, "streamGenerateContent", stream)
    _add(bp, "editImage", edit_image)
    return bp


def _tokens(surface: Surface) -> Blueprint:
    bp = Blueprint("gemini_tokens", __name__)
    bp.before_request(surface.check_key)

    @described(
        Operation(
            tag=_TAG,
            summary="Count the tokens of a request",
            request=CountTokensBody,
            answers={200: (GoogleTokenCount,)},
        )
    )
    def count(name: str) -> Response:
        reading = partial(parse_count, model=name, max_file_bytes=surface.max_file_bytes)
        return jsonify(totalTokens=count_tokens(surface, reading))

    _add(bp, "countTokens", count)
    return bp


def _models(surface: Surface) -> Blueprint:
    """Where models are Google's alone; api/models.py has the path that other APIs share."""
    bp = Blueprint("gemini_models", __name__)
    bp.before_request(surface.check_key)
    views = models(surface)
    for prefix in PREFIXES:
        if prefix != _SHARED:
            path = f"{prefix}/models"
            bp.add_url_rule(path, endpoint=f"list{path}", view_func=views.list_all)
            bp.add_url_rule(
                f"{path}/<path:name>", endpoint=f"retrieve{path}", view_func=views.retrieve
            )
    return bp


def _not_offered(surface: Surface) -> Blueprint:
    methods = (path for method in _METHODS_NOT_OFFERED for path in _method_paths(method))
    roots = (f"{prefix}/{each}" for each in _RESOURCES_NOT_OFFERED for prefix in PREFIXES)
    own = (root for root in roots if root not in _OF_OTHERS_TOO)
    return not_offered.blueprint(
        "gemini_missing", surface, "Google", not_offered.with_all_below(*own), posts=methods
    )


def _probes() -> Blueprint:
    """HEAD on a method of models, which would else ask for a model of that name."""
    bp = Blueprint("gemini_probes", __name__)

    @described(Operation(tag=_TAG, summary="Is there"))
    def there(name: str) -> Response:
        return Response(content_type="application/json", headers={"Allow": "OPTIONS, POST"})

    for method in (*_METHODS, *_METHODS_NOT_OFFERED):
        _add(bp, method, there, http_method="HEAD")
    return bp


def _add(
    bp: Blueprint, method: str, view: Callable[..., Response], *, http_method: str = "POST"
) -> None:
    """Add a method of models, under all prefixes."""
    for path in _method_paths(method):
        bp.add_url_rule(path, endpoint=path, view_func=view, methods=[http_method])


def _method_paths(method: str) -> Iterator[str]:
    """Where a method of models is, under all prefixes."""
    for prefix in PREFIXES:
        yield f"{prefix}/models/<path:name>:{method}"


def _parse(body: dict[str, Any], principal: Principal, **options: Any) -> ParsedContent:
    """Raises BadRequest."""
    parsed = parse(body, principal, **options)
    if parsed.chat.choices > 1 and request.headers.get("X-Conversation-Id"):
        place = "generationConfig.candidateCount"
        raise BadRequest(
            f"{place} must be 1 where X-Conversation-Id names a conversation", param=place
        )
    return parsed
