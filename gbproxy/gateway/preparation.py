"""What a request needs before it is asked: its model, the emulation of what the upstreams lack, the
size of its prompt.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from gbproxy.accounts.available_models import AvailableModels
from gbproxy.domain.chat import ChatRequest
from gbproxy.emulation.request_emulation import RequestEmulation
from gbproxy.emulation.roles import PromptSize
from gbproxy.gateway.files import RequestFiles
from gbproxy.gateway.request_state import RequestState
from gbproxy.gateway.requested_model import requested_model
from gbproxy.observability import request_context
from gbproxy.upstreams.registry import Upstreams

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Preparation:
    """`shows_thoughts`: where a request does not say."""

    models: AvailableModels
    upstreams: Upstreams
    emulation: Callable[[ChatRequest], RequestEmulation]
    shows_thoughts: bool

    def state(self, chat: ChatRequest, files: RequestFiles) -> RequestState:
        """The state of a request that nothing was asked for yet. Raises ModelNotFound, and
        BadRequest where the model makes no images.
        """
        model = requested_model(chat, self.models)
        if chat.model and chat.model != model.id:
            log.info(
                "model.mapped",
                extra={"asked": chat.model[:100], "used": model.id, "reason": "name"},
            )
        emulation = self.emulation(chat)
        upstreams = self.upstreams.capabilities(model.names)
        sizes = emulation.sizes(upstreams)
        size = next(iter(sizes.values()), PromptSize(0, 0))
        request_context.current().log_fields |= {"model": model.id, "prompt_chars": size.chars}
        return RequestState(
            chat,
            model,
            self.models.counted_as(model),
            emulation,
            upstreams,
            sizes,
            size,
            files,
            self.shows_thoughts,
        )
