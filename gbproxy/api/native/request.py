"""The body of a chat in a session -> ChatRequest."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import AliasChoices, BaseModel, ConfigDict, Discriminator, Field, Tag

from gbproxy.api import unknown_parameters
from gbproxy.api.format import ParsedChat
from gbproxy.domain import attachment
from gbproxy.domain.attachment import Attachment, LinkedAttachment
from gbproxy.domain.chat import ChatRequest, Message, TextPart
from gbproxy.domain.media import APART
from gbproxy.domain.principal import Principal
from gbproxy.domain.slices import Work
from gbproxy.errors import BadRequest
from gbproxy.gateway.files import MOST_FILES
from gbproxy.web.validation import validated


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")


class FileBody(_Strict):
    """A file: `data`, base64 or a data URL, or the `url` from which the gateway fetches it."""

    data: str | None = None
    url: str | None = None
    name: str | None = None
    mime_type: str | None = None


def _kind(value: object) -> str:
    return "url" if isinstance(value, str) else "file"


File = Annotated[
    Annotated[str, Tag("url")] | Annotated[FileBody, Tag("file")], Discriminator(_kind)
]


class ChatBody(_Strict):
    """A message in a session, or in one for this message only."""

    message: str = Field("", description="Required, but for a message that has files.")
    session_id: str | None = Field(
        None,
        validation_alias=AliasChoices("session_id", "session"),
        description="Also read as `session`. Without one: a session for this message only.",
    )
    files: list[File] | None = Field(
        None,
        max_length=MOST_FILES,
        fail_fast=True,
        description="Data URLs, http(s) URLs, or objects with `data` or `url`.",
    )
    model: str | None = None
    stream: bool | None = None
    include_reasoning: bool | None = Field(
        None, description="Show the model's thoughts; THOUGHTS says what holds without it."
    )


_PARAMETERS = frozenset((*ChatBody.model_fields, "session"))
_FIELD_NAMES = _PARAMETERS | FileBody.model_fields.keys()


def parse(body: dict[str, Any], principal: Principal, max_file_bytes: int) -> ParsedChat:
    """Raises BadRequest or RequestTooLarge, whose `param` names the field that is wrong."""
    fields = validated(ChatBody, body, _FIELD_NAMES)
    with Work() as work:
        files = [
            _file(file, f"files[{i}]", max_file_bytes, work.rest)
            for i, file in enumerate(fields.files or ())
        ]
    if not fields.message.strip() and not files:
        raise BadRequest("message must not be empty", param="message")
    message = Message("user", (TextPart(fields.message), *files))
    session_id = fields.session_id or None
    chat = ChatRequest(
        (message,),
        fields.model,
        show_thoughts=fields.include_reasoning,
        principal=principal,
        conversation=session_id,
        is_streamed=bool(fields.stream),
        is_kept=session_id is not None,
        media=APART,
    )
    return ParsedChat(chat=chat, ignored=tuple(unknown_parameters.named(body, _PARAMETERS)))


def _file(
    file: str | FileBody, place: str, max_bytes: int, rest: Callable[[], None]
) -> Attachment | LinkedAttachment:
    """`rest` is called every few milliseconds of long work."""
    if isinstance(file, str):
        return attachment.of_url(file, place, max_bytes, rest=rest)
    name, label = file.name or "", file.mime_type or ""
    if file.url is not None and file.data is None:
        return attachment.of_url(file.url, f"{place}.url", max_bytes, name=name, rest=rest)
    if file.data is not None and file.url is None:
        place = f"{place}.data"
        return attachment.of_data(file.data, place, max_bytes, label=label, name=name, rest=rest)
    raise BadRequest(f"{place} must have either data or url", param=place)
