"""Validates bodies by pydantic's models; the client is told the first thing that is wrong."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from gbproxy.errors import BadRequest

Body = TypeVar("Body", bound=BaseModel)


def validated(model: type[Body], body: dict[str, Any], field_names: Collection[str]) -> Body:
    """The body as this model has it. `field_names`: of the model and those inside it, as unions put
    the names of their branches into a location too.

    Raises BadRequest, whose `param` names the place that is wrong: `messages[0].role`.
    """
    try:
        return model.model_validate(body)
    except ValidationError as error:
        raise _bad_request(error, field_names) from error


def _bad_request(error: ValidationError, field_names: Collection[str]) -> BadRequest:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    names = [step for step in first["loc"] if isinstance(step, int) or step in field_names]
    param = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in names).lstrip(
        "."
    )
    # its words name our own classes
    what = "must be an object" if first["type"] == "model_type" else first["msg"]
    return BadRequest(f"{param or 'body'}: {what}", param=param or None)
