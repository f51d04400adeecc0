"""The paths of the Responses API.

Source: https://platform.openai.com/docs/api-reference/responses
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

from flask import Blueprint, Response, jsonify, request

from gbproxy.api.error_object import ErrorBody
from gbproxy.api.format import CONVERSATION, Surface, answer, count_tokens
from gbproxy.api.openai.responses import compaction, field_names, large_values
from gbproxy.api.openai.responses.answers import (
    CompactedConversation,
    DeletedResponse,
    InputItems,
    InputTokens,
    ResponseEvent,
    ResponseObject,
)
from gbproxy.api.openai.responses.body import ResponseBody
from gbproxy.api.openai.responses.encoder import ResponseEncoder
from gbproxy.api.openai.responses.listing import PAGE, Page
from gbproxy.api.openai.responses.request import ParsedResponse, parse
from gbproxy.api.openai.responses.stored import History
from gbproxy.api.openai.responses.summary_encoder import SummaryEncoder, SummaryStreamEncoder
from gbproxy.domain.principal import Principal
from gbproxy.errors import BadRequest
from gbproxy.web import auth
from gbproxy.web.operations import Operation, described

Reading = Callable[[dict[str, Any], Principal], ParsedResponse]


def blueprints(surface: Surface) -> Iterator[Blueprint]:
    """One for each label by which metrics and dashboards know the routes."""
    history = History(surface.response_rows)
    reading = partial(parse, max_file_bytes=surface.max_file_bytes, history=history)
    yield _answered(surface, reading, history)
    yield _counted(surface, reading)
    yield _stored(surface, history)


def _answered(surface: Surface, reading: Reading, history: History) -> Blueprint:
    bp = Blueprint("openai_responses", __name__)
    bp.before_request(surface.check_limits)

    def encoder(parsed: ParsedResponse) -> ResponseEncoder:
        kind = SummaryStreamEncoder if parsed.wants_compaction else ResponseEncoder
        return kind(parsed, history.keep)

    def summary_encoder(parsed: ParsedResponse) -> SummaryEncoder:
        return SummaryEncoder(parsed, history.keep)

    @bp.post("/v1/responses")
    @bp.post("/responses")
    @described(
        Operation(
            tag="OpenAI",
            summary="Answer as a response",
            request=ResponseBody,
            answers={200: (ResponseObject,)},
            events=ResponseEvent,
            parameters=(CONVERSATION,),
        )
    )
    def create() -> Response:
        with field_names.in_errors():
            return answer(surface, partial(_answering, reading), encoder)

    @bp.post("/v1/responses/compact")
    @bp.post("/responses/compact")
    @described(
        Operation(
            tag="OpenAI",
            summary="Summarize a conversation",
            request=ResponseBody,
            answers={200: (CompactedConversation,)},
        )
    )
    def compact() -> Response:
        with field_names.in_errors():
            return answer(surface, partial(_summarizing, reading), summary_encoder)

    return bp


def _counted(surface: Surface, reading: Reading) -> Blueprint:
    bp = Blueprint("openai_response_tokens", __name__)
    bp.before_request(surface.check_key)

    @bp.post("/v1/responses/input_tokens")
    @bp.post("/responses/input_tokens")
    @described(
        Operation(
            tag="OpenAI",
            summary="Count the tokens of a request for a response",
            request=ResponseBody,
            answers={200: (InputTokens,)},
        )
    )
    def count() -> Response:
        with field_names.in_errors():
            counted = count_tokens(surface, reading)
        return jsonify(object="response.input_tokens", input_tokens=counted)

    return bp


def _stored(surface: Surface, history: History) -> Blueprint:
    bp = Blueprint("openai_stored_responses", __name__)
    bp.before_request(surface.check_key)

    @bp.get("/v1/responses/<response_id>")
    @bp.get("/responses/<response_id>")
    @described(
        Operation(tag="OpenAI", summary="A stored response", answers={200: (ResponseObject,)})
    )
    def retrieve(response_id: str) -> Response:
        if request.args.get("stream", "").lower() in ("true", "1"):
            raise BadRequest("stream: a stored response is not streamed again", param="stream")
        return _json(history.response(auth.principal(), response_id))

    @bp.delete("/v1/responses/<response_id>")
    @bp.delete("/responses/<response_id>")
    @described(
        Operation(
            tag="OpenAI", summary="Delete a stored response", answers={200: (DeletedResponse,)}
        )
    )
    def delete(response_id: str) -> Response:
        history.remove(auth.principal(), response_id)
        return jsonify(id=response_id, object="response", deleted=True)

    @bp.post("/v1/responses/<response_id>/cancel")
    @bp.post("/responses/<response_id>/cancel")
    @described(
        Operation(tag="OpenAI", summary="Refused: it has ended", answers={400: (ErrorBody,)})
    )
    def cancel(response_id: str) -> Response:
        history.response(auth.principal(), response_id)
        raise BadRequest("only a response in the background can be cancelled; this one has ended")

    @bp.get("/v1/responses/<response_id>/input_items")
    @bp.get("/responses/<response_id>/input_items")
    @described(
        Operation(
            tag="OpenAI",
            summary="What a stored response answers",
            answers={200: (InputItems,)},
            parameters=PAGE,
        )
    )
    def input_items(response_id: str) -> Response:
        page = Page.of(request.args)
        return _json(page.of_items(history.input_items(auth.principal(), response_id)))

    return bp


def _answering(reading: Reading, body: dict[str, Any], principal: Principal) -> ParsedResponse:
    """A request whose items are held no longer than they are needed: only to be stored."""
    parsed = reading(body, principal)
    if parsed.body.is_stored:
        return replace(parsed, earlier=[])
    fields = parsed.body.model_copy(update={"input": None})
    return replace(parsed, earlier=[], items=[], body=fields)


def _summarizing(reading: Reading, body: dict[str, Any], principal: Principal) -> ParsedResponse:
    """A request whose answer is the summary of all its items."""
    parsed = reading({**body, "stream": False, "store": False}, principal)
    if parsed.wants_compaction:  # by an item: it is asked for already
        return parsed
    return replace(parsed, chat=compaction.asking(parsed.chat))


def _json(value: object) -> Response:
    """An answer that may hold large files, which are written piece by piece."""
    length, pieces = large_values.encoded(value)
    response = Response(pieces, mimetype="application/json")
    response.content_length = length
    return response
