"""Switches of questions (live configuration, models) and of the elements that answer them."""

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
        "403",
        "precondition",
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
    widget_config_view: str = switch(
        "optional",
        "wanted",
        fact="a configuration that is asked for without `modelInfoView` has models and features, or"
        " neither",
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
        "400_nameless",
        "403",
        "silence",
        fact="a question that asks for a tool that is off: refused, with or without naming it, or"
        " answered with nothing",
        certainty="unknown",
    )


@dataclass(frozen=True)
class MannerSwitches(SwitchGroup):
    """Ways of the model where it is told how to call functions, or to answer in JSON."""

    tool_manner: str = switch(
        "as_told",
        "all_at_once",
        "other_fence",
        "chatter",
        "wrong_name",
        "wrong_json",
        "broken_json",
        "wrong_types",
        "cut_short",
        "answers_itself",
        "escaped",
        "prose",
        "never",
        fact=(
            "a call is written as it was told, several where the question names several things, or"
            " in a form of the model's own; with words around it, a wrong name, Python's literals,"
            " JSON without its last brackets, arguments of wrong types, its second half left out,"
            " an invented result behind it or its mark escaped; or it says in words that there is"
            " no such tool, until it is corrected, or always"
        ),
        certainty="unknown",
    )
    json_manner: str = switch(
        "fenced",
        "bare",
        "chatter",
        "wrong_type",
        "prose",
        "never",
        fact=(
            "JSON that is asked for comes in a fence, bare, with words around it, of the wrong type"
            " or not at all, until it is corrected, or always"
        ),
        certainty="unknown",
    )
    heeds_corrections: bool = switch(
        True,
        False,
        fact="told what is wrong with it, the model writes its answer as it was told, or as before",
        certainty="unknown",
    )


@dataclass(frozen=True)
class ElementSwitches(SwitchGroup):
    """Elements of the stream."""

    wrapper: str = switch(
        "widget",
        "bare",
        fact="elements are wrapped in `streamAssistResponse`, on the official API they are not",
        certainty="certain",
    )
    u_token: str = switch(
        "first",
        "every",
        "never",
        fact="which elements carry a uToken",
        certainty="certain",
    )
    session_info: str = switch(
        "end",
        "everywhere",
        "empty_then_full",
        fact="which elements carry sessionInfo; the last that is not empty counts",
        certainty="certain",
    )
    session_info_name: str = switch(
        "as_created",
        "full",
        fact=(
            "sessionInfo names the session as createSession does, or in full, as downloads need it"
        ),
        certainty="one source",
    )
    status_lines: str = switch(
        "flagged",
        "unflagged_headlines",
        "joined",
        "separate",
        fact=(
            "thoughts come word by word, as headline and prose, or joined; all carry `thought:"
            " true` (unflagged_headlines: the headlines do not)"
        ),
        certainty="inferred",
    )
    suggestions: bool = switch(
        True,
        False,
        fact="answers end with inlineData of type application/json+suggestions",
        certainty="one source",
    )
    metadata_only: bool = switch(
        False,
        True,
        fact="elements without an answer, without content, or with nothing but metadata",
        certainty="certain",
    )
    final: str = switch(
        "empty_with_diagnostics",
        "without_diagnostics",
        "carries_last_text",
        "repeats_text",
        fact="what the SUCCEEDED element holds; diagnosticInfo repeats the whole text",
        certainty="one source",
    )
    state: str = switch(
        "present",
        "absent",
        fact="whether unfinished elements say IN_PROGRESS",
        certainty="inferred",
    )
    extra_fields: bool = switch(
        False,
        True,
        fact="fields that no client knows, sprinkled over every answer",
        certainty="inferred",
    )
    citations: bool = switch(
        False,
        True,
        fact="grounding segments with UTF-8 byte offsets as strings, and references",
        certainty="certain",
    )
    verdict: str = switch(
        "none",
        "ALLOW",
        "WATCH_CLOSELY",
        fact=(
            "the last element also tells a policy verdict, perhaps one that no client knows; only"
            " BLOCK refuses"
        ),
        certainty="one source",
    )
    connector_errors: bool = switch(
        False,
        True,
        fact="answers also list connectors that could not sign in (connectorAuthErrors)",
        certainty="one source",
    )
