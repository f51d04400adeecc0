"""The JSON bodies of the widget's calls. Source: docs/upstream.md, calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Self

from gbproxy.domain.account import WIDGET, Account
from gbproxy.domain.chat import TextPart
from gbproxy.domain.jsontext import encode_bytes
from gbproxy.settings import Settings
from gbproxy.upstreams.base import UpstreamRequest
from gbproxy.upstreams.stream_assist.response import MAX_ANSWER_BYTES
from gbproxy.upstreams.widget.credential import credential_of
from gbproxy.upstreams.widget.session_names import SessionForm

# All others are empty objects.
_TOOL_SPECS: Mapping[str, object] = {"toolRegistry": "default_tool_registry"}


@dataclass(frozen=True, slots=True)
class WidgetSettings:
    """Settings of every question beside its text, and of the reading of its answer."""

    framing: Literal["json", "sse"] = "json"
    session: SessionForm = "create"
    # further fields of the body of each call
    body: Mapping[str, Any] = field(default_factory=dict, repr=False)
    language_code: str = "en-US"
    time_zone: str = "UTC"
    status_lines: Sequence[str] = ()  # headlines that count as thoughts
    max_answer_bytes: int = MAX_ANSWER_BYTES
    prompt_max_chars: int | None = None

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        return cls(
            framing=settings.upstream_stream,
            session=settings.upstream_session,
            body=settings.upstream_body,
            language_code=settings.language_code,
            time_zone=settings.time_zone,
            status_lines=settings.status_lines,
            max_answer_bytes=int(settings.max_answer_mb * 1024 * 1024),
            prompt_max_chars=settings.prompt_max_chars,
        )


def question(
    account: Account, request: UpstreamRequest, session: str, settings: WidgetSettings
) -> bytes:
    """The body of `widgetStreamAssist`; `session` is the name as it is sent."""
    assist: dict[str, object] = {
        "session": session,
        "query": {"parts": [{"text": _text(request) or " "}]},  # an empty text gets an empty answer
        "filter": "",
        "fileIds": list(request.file_ids),
        "answerGenerationMode": "NORMAL",
        "toolsSpec": {tool: _TOOL_SPECS.get(tool, {}) for tool in request.model.tools},
        "languageCode": settings.language_code,
        "userMetadata": {"timeZone": settings.time_zone},
        "assistSkippingMode": "REQUEST_ASSIST",  # without it greetings are skipped
    }
    model_id = request.model.name_at(WIDGET)
    if model_id is not None:
        assist["assistGenerationConfig"] = {"modelId": model_id}
    return call(account, {"streamAssistRequest": assist}, settings)


def call(account: Account, request: Mapping[str, object], settings: WidgetSettings) -> bytes:
    """The envelope that every widget call has, with UPSTREAM_BODY merged into it."""
    envelope = {
        "configId": credential_of(account).config_id,
        "additionalParams": {"token": "-"},
        **request,
    }
    if settings.body:
        envelope = _merged(envelope, _meant_for(request, settings.body))
    return encode_bytes(envelope)


def configuration(account: Account, settings: WidgetSettings, *, names_view: bool = False) -> bytes:
    """The body of `lookupWidgetConfig`, which has no envelope; `names_view`: with the fields that
    newer callers send.
    """
    body: dict[str, object] = {"widgetConfigId": credential_of(account).config_id}
    if names_view:
        body["languageCode"] = settings.language_code
        region = settings.language_code.rpartition("-")[2]
        if len(region) == 2 and region.isupper():
            body["regionCode"] = region
        body["modelInfoView"] = "END_USER_WEB"
    return encode_bytes(_merged(body, _meant_for({}, settings.body)))


def _text(request: UpstreamRequest) -> str:
    """Without roles, a request is one message of one text (`Capabilities.roles`)."""
    [message] = request.messages
    [part] = message.parts
    if not isinstance(part, TextPart):
        raise TypeError(f"a prompt is a text, not a {type(part).__name__}")
    return part.text


def _meant_for(request: Mapping[str, object], further: Mapping[str, Any]) -> Mapping[str, Any]:
    """The further fields of one call's body. A field of one call's name, such as
    `streamAssistRequest`, goes into that call alone.
    """
    return {
        name: value
        for name, value in further.items()
        if name in request or not name.endswith("Request")
    }


def _merged(body: Mapping[str, object], further: Mapping[str, object]) -> dict[str, object]:
    """Merge objects, however deep; any other value replaces what stands there."""
    merged = dict(body)
    for name, value in further.items():
        known = merged.get(name)
        merged[name] = (
            _merged(known, value) if isinstance(known, dict) and isinstance(value, dict) else value
        )
    return merged
