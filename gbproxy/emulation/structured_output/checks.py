"""Checks a text against the format that was asked for."""

from __future__ import annotations

from gbproxy.domain import jsontext
from gbproxy.domain.response_format import ResponseFormat
from gbproxy.emulation import json_schema


class FormatChecks:
    """The checks of one request's format; its schema is prepared once."""

    def __init__(self, form: ResponseFormat) -> None:
        self._is_object = form.schema is None
        self._validator = None if form.schema is None else json_schema.validator(form.schema)

    def complaint(self, text: str) -> str | None:
        """What is wrong with this text, in words for the model; None: nothing."""
        try:
            value = jsontext.decode(text)
        except ValueError as error:
            return f"the text {error}"
        if self._is_object:
            return None if isinstance(value, dict) else "it is not a JSON object"
        if self._validator is None:
            return None
        words = json_schema.complaint(self._validator, value)
        return None if words is None else f"at {words}"
