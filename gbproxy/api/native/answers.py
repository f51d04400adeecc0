"""The answers about sessions and in them, as the API's description tells them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from gbproxy.api.error_object import ErrorObject
from gbproxy.domain.events import FinishReason
from gbproxy.web.operations import AnswerModel


class SessionEntry(AnswerModel):
    """Times are Unix seconds."""

    session_id: str
    created_at: int
    expires_at: int
    last_used_at: int | None = Field(description="null until the first message")


class SessionList(AnswerModel):
    sessions: list[SessionEntry]


class SessionUsage(AnswerModel):
    """Estimated: the upstream counts nothing."""

    input_tokens: int
    output_tokens: int
    reasoning_tokens: int
    total_tokens: int
    gbproxy_estimated: Literal[True]


class SessionFile(AnswerModel):
    """A picture, video or other file that the model has made: `url`, a link that needs no key, or
    `data`, its bytes in base64, where it came with them.
    """

    name: str | None
    mime_type: str
    url: str | None = None
    data: str | None = None


class SessionCitation(AnswerModel):
    """A source for the answer's characters `start` to `end` (code points, end exclusive)."""

    start: int
    end: int
    url: str
    title: str


class ChatAnswer(AnswerModel):
    session_id: str | None = Field(description="null where there is nothing to go on in")
    model: str
    content: str
    thoughts: str | None = None
    finish_reason: FinishReason
    files: list[SessionFile]
    citations: list[SessionCitation]
    usage: SessionUsage


class ChatEvent(AnswerModel):
    """`content` and `thought` have `content`, `file` has `file`, `error` has `error`; `done` has
    the rest.
    """

    type: Literal["content", "thought", "file", "done", "error"]
    content: str | None = None
    file: SessionFile | None = None
    session_id: str | None = None
    model: str | None = None
    finish_reason: FinishReason | None = None
    files: list[SessionFile] | None = None
    citations: list[SessionCitation] | None = None
    usage: SessionUsage | None = None
    error: ErrorObject | None = None
