"""What a route takes and gives, declared where the route is defined: `/openapi.json` is made of it.

    @bp.post("/gemini/chat")
    @described(Operation(tag="Sessions", summary="Chat", request=ChatBody, answer=ChatAnswer))
    def create() -> Response: ...

Whether a key is needed is not declared: the check that a blueprint runs says so itself (`secures`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, WithJsonSchema


class AnswerModel(BaseModel):
    """Describes a JSON answer, which has no field but these. Nothing is built of it before somebody
    reads the description.
    """

    model_config = ConfigDict(extra="forbid", defer_build=True, protected_namespaces=())


class FormModel(BaseModel):
    """Describes a form with a file, whose other fields are texts. It parses none."""

    model_config = ConfigDict(extra="allow", defer_build=True, protected_namespaces=())


FormFilePart = Annotated[
    bytes, WithJsonSchema({"type": "string", "contentMediaType": "application/octet-stream"})
]
Schema = type[BaseModel]
Key = Literal["client", "operator"]
View = TypeVar("View", bound=Callable[..., Any])

_OPERATION = "gbproxy_operation"
_KEY = "gbproxy_key"
_TOLD = "gbproxy_told"


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """A header or a part of the query that an operation reads; each may be left out."""

    name: str
    place: Literal["header", "query"]
    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One route. `request`: the model that parses its JSON body; `is_partial`: of which every field
    may be left out; `needs_body` False: the whole body may be. `forms`: what the body may be
    instead, by its type: several models where clients of several formats send theirs, () for bytes.

    `answers`: the JSON of its answer by status, several models where clients of several formats get
    theirs; () for none. `events`: the data of each event, where the answer may be a stream of them.
    `content_type`: of an answer that is not JSON. Errors are not declared: a path has those of its
    format.
    """

    tag: str
    summary: str
    answers: Mapping[int, tuple[Schema, ...]] = field(default_factory=dict)
    request: Schema | None = None
    is_partial: bool = False
    needs_body: bool = True
    forms: Mapping[str, tuple[Schema, ...]] = field(default_factory=dict)
    events: Schema | None = None
    content_type: str = "application/json"
    parameters: tuple[Parameter, ...] = ()


def described(operation: Operation) -> Callable[[View], View]:
    """A decorator that gives a view function its description, below that of its route."""

    def add(view: View) -> View:
        setattr(view, _OPERATION, operation)
        return view

    return add


def operation_of(view: Callable[..., Any]) -> Operation | None:
    found: Operation | None = getattr(view, _OPERATION, None)
    return found


def told_elsewhere(view: View) -> View:
    """A decorator of a view function: what it changes, if anything, is told where it is changed, so
    that no audit line is made of the request.
    """
    setattr(view, _TOLD, True)
    return view


def is_told_elsewhere(view: Callable[..., Any]) -> bool:
    return bool(getattr(view, _TOLD, False))


def secures(key: Key) -> Callable[[View], View]:
    """A decorator of a `before_request` function: it lets nobody pass without such a key."""

    def add(check: View) -> View:
        setattr(check, _KEY, key)
        return check

    return add


def key_of(check: Callable[..., Any]) -> Key | None:
    found: Key | None = getattr(check, _KEY, None)
    return found
