"""The model of a request and those that answer when its quota is used up, each narrowed to the
tools that the request leaves it.
"""

from __future__ import annotations

from contextlib import suppress

from gbproxy.accounts.available_models import AvailableModels
from gbproxy.domain.catalogue import no_such
from gbproxy.domain.chat import ChatRequest
from gbproxy.domain.models import ALL_TOOLS, Model
from gbproxy.errors import BadRequest


def requested_model(chat: ChatRequest, models: AvailableModels) -> Model:
    """Raises ModelNotFound, also where the key may not use it, and BadRequest where it makes no
    images.
    """
    model = _narrowed(models.resolve(chat.model), chat)
    if not chat.principal.may_use(model.id):
        raise no_such(chat.model or model.id)
    return model


def fallback_models(chat: ChatRequest, models: AvailableModels, model: Model) -> list[Model]:
    """The fallbacks of the request's model, in order, without those that its key may not use or
    that make no images where the request wants one.
    """
    found = []
    for fallback in models.fallbacks(model, chat.principal):
        with suppress(BadRequest):
            found.append(_narrowed(fallback, chat))
    return found


def _narrowed(model: Model, chat: ChatRequest) -> Model:
    """Raises BadRequest when the request wants an image and the model makes none."""
    if chat.makes_image:
        model = model.narrowed_to("imageGenerationSpec")
        if "imageGenerationSpec" not in model.tools:
            raise BadRequest(f"the model {model.id} makes no images", param="model")
    elif chat.web_search:
        model = model.narrowed_to("webGroundingSpec")
    elif chat.tools.declared:  # the model takes the upstream's own for them
        model = model.without_tools(ALL_TOOLS)
    return model
