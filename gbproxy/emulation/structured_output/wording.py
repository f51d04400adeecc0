"""What the model is told of the JSON that is asked for.

It is told that a program reads what it writes: a page's own instructions often ask for prose, and
to be commanded makes models wary.
"""

from __future__ import annotations

import json

from gbproxy.domain.response_format import ResponseFormat

_OBJECT = "A program reads {answer}: it has to be one JSON object, and nothing else."
_SCHEMA = (
    "A program reads {answer}{purpose}: it has to be one JSON value that holds to the JSON schema"
    " below, and nothing else.\n\n{schema}"
)
_FORM = (
    "\n\nComplete JSON, no comments in it, no text before or behind it. What you want to say has"
    " its place in the values."
)
_REMINDER = "(A program reads {answer}, as before: one JSON {what}, and nothing else.)"
_AGAIN = (
    "The program could not use your last answer: {reason}. Please write the whole JSON {what} once"
    " more, corrected, and nothing else."
)

_ANSWER = "your answer"
_ANSWER_IN_WORDS = "your answer where you call no function"


def instruction(form: ResponseFormat, *, has_tools: bool) -> str:
    """For a session that knows nothing of the format yet."""
    answer = _ANSWER_IN_WORDS if has_tools else _ANSWER
    if form.schema is None:
        return _OBJECT.format(answer=answer) + _FORM
    named = f', "{form.name}"' if form.name else ""
    described = f" ({form.description})" if form.description else ""
    schema = json.dumps(form.schema, ensure_ascii=False, separators=(",", ":"))
    return _SCHEMA.format(answer=answer, purpose=named + described, schema=schema) + _FORM


def reminder(form: ResponseFormat, *, has_tools: bool) -> str:
    """For a session that was told of the format already: without its schema."""
    answer = _ANSWER_IN_WORDS if has_tools else _ANSWER
    return _REMINDER.format(answer=answer, what=_what(form))


def ask_again(reason: str, form: ResponseFormat) -> str:
    """The corrective turn; `reason` says what is wrong with the last answer."""
    return _AGAIN.format(reason=reason, what=_what(form))


def _what(form: ResponseFormat) -> str:
    return "object" if form.schema is None else "value that holds to the schema"
