"""OpenAI's API: chat completions and models. Source:
https://platform.openai.com/docs/api-reference
"""

from __future__ import annotations

from collections.abc import Iterator

from flask import Blueprint

from gbproxy.api.format import Format, Surface
from gbproxy.api.openai import chat, models, unsupported
from gbproxy.api.openai.errors import ERRORS


def _blueprints(surface: Surface) -> Iterator[Blueprint]:
    yield chat.blueprint(surface)
    yield models.blueprint(surface)
    yield unsupported.blueprint(surface)


FORMAT = Format(errors=ERRORS, blueprints=_blueprints)
