"""Switches of what the elements of a stream hold."""

from __future__ import annotations

from dataclasses import dataclass

from gbproxy.simulator.scripting.switches import SwitchGroup, switch


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
