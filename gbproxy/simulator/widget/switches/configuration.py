"""The widget's live configuration: whether it can be read, and what it switches off."""

from __future__ import annotations

from dataclasses import dataclass

from gbproxy.simulator.scripting.switches import switch


@dataclass(frozen=True)
class ConfigurationSwitches:
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
