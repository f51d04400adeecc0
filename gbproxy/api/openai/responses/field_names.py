"""The names that this API has for fields which the gateway knows by those of a chat completion."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from gbproxy.errors import GatewayError

_NAMES = {"messages": "input", "response_format": "text.format"}


def named(param: str | None) -> str | None:
    """The field that an error is about, as this API's clients know it."""
    return None if param is None else _NAMES.get(param, param)


@contextmanager
def in_errors() -> Iterator[None]:
    """Errors that are raised within name their fields so."""
    try:
        yield
    except GatewayError as error:
        error.param = named(error.param)
        raise
