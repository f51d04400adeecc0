"""Switches of what may be asked: the live configuration, models, and what else is looked at."""

from __future__ import annotations

from dataclasses import dataclass

from gbproxy.simulator.scripting.switches import SwitchGroup, switch

RETIRED_MODELS = (
    "gemini-2.5-flash",
    "gemini-2.5-flash-lite",
    "gemini-2.5-pro",
    "gemini-3-pro-preview",
    "gemini-3-pro-image-preview",
)
"""Ids whose end is announced or past: the first three since 20 October 2026, the others since March
and June.
"""

LIVING_MODELS = (
    "gemini-3-flash-preview",
    "gemini-3.1-pro-preview",
    "gemini-3.5-flash",  # deprecated since 8 October 2026, answered by 3.6 flash
    "gemini-3.5-flash-lite",
    "gemini-3.6-flash",
    "gemini-3.7-flash",  # since 8 October 2026 answered by 3.8 flash
    "gemini-3.8-flash",
    "gemini-4-argon",
    "gemini-3.1-flash-image",
    "gemini-3-pro-image",
)
"""Ids that are served in November 2026."""


@dataclass(frozen=True)
class QuestionSwitches(SwitchGroup):
    """Questions: models, and what else the stream accepts."""

    known_models: tuple[str, ...] = switch(
        (*RETIRED_MODELS, *LIVING_MODELS),
        LIVING_MODELS,
        fact=(
            "the model ids that are served at all; by default all that ever were, in the second"
            " value those of November 2026"
        ),
        certainty="one family",
        open_ended=True,
    )
    retired_models: tuple[str, ...] = switch(
        RETIRED_MODELS,
        (),
        fact="ids that have ended; they are refused like unknown ones",
        certainty="certain",
        open_ended=True,
    )
    disabled_models: tuple[str, ...] = switch(
        (),
        ("gemini-4-argon", "gemini-3.1-pro-preview"),
        fact=(
            "ids that an administrator has switched off, as the configuration says; refused like"
            " unknown ones"
        ),
        certainty="one source",
        open_ended=True,
    )
    unknown_model: str = switch(
        "400",
        "404",
        "silent",
        fact="an unknown modelId is refused in one way or another, or served by the default model",
        certainty="unknown",
    )
    greeting_skipped: bool = switch(
        True,
        False,
        fact="a greeting without assistSkippingMode is skipped",
        certainty="certain",
    )
    max_prompt_chars: int = switch(
        0,
        1_000_000,
        fact="longer prompts are refused; 0: no limit",
        certainty="unknown",
        open_ended=True,
    )
    prompt_too_large: str = switch(
        "message",
        "reason",
        "in_stream",
        fact=(
            "too long a prompt is 400 INVALID_ARGUMENT with a message that says so, with the reason"
            " PROMPT_TOO_LARGE and a message that says nothing, or an error with that reason inside"
            " a stream that began with 200"
        ),
        certainty="one source",
    )
    stream_error_shape: str = switch(
        "object",
        "array",
        fact="an error before the first element is an object, or wrapped in a one-element array",
        certainty="inferred",
    )


@dataclass(frozen=True)
class ConfigurationSwitches(SwitchGroup):
    """The live configuration, and the tools that it switches off."""

    widget_config: str = switch(
        "present",
        "absent",
        "empty",
        "403",
        "500",
        "html",
        "garbage",
        "wrong_types",
        fact=(
            "lookupWidgetConfig answers with models and features, is not there (404), is empty,"
            " fails, or answers with a page, with broken JSON, or with JSON of other types"
        ),
        certainty="unknown",
    )
    widget_config_wrapper: str = switch(
        "none",
        "widgetConfig",
        "lookupWidgetConfigResponse",
        fact="the configuration stands at the top of the answer, or under one name",
        certainty="unknown",
    )
    tools_off: tuple[str, ...] = switch(
        (),
        ("image",),
        ("video",),
        ("web",),
        ("image", "video", "web"),
        fact="tools that the configuration switches off: image, video, web",
        certainty="one source",
        pattern=r"\(('(image|video|web)',? ?)*\)",
    )
    tools_off_answer: str = switch(
        "400",
        "403",
        "silence",
        fact="a question that asks for a tool that is off: refused, or answered with nothing",
        certainty="unknown",
    )
