"""What is not certain about the upstream, as switches: one value of each is in force at a time.

Every field says which fact of docs/upstream.md it stands for and how sure that fact is. A client should
work with every value; those under which it cannot succeed (a dead credential) are listed as `breaks`.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

CERTAINTIES = ("certain", "one family", "one source", "inferred", "unknown")


def _switch(
    *values: object,
    fact: str,
    certainty: str,
    breaks: tuple[object, ...] = (),
    open_ended: bool = False,
    pattern: str = "",
) -> Any:
    """A field whose default is the first of `values`; open-ended ones take any value of that type."""
    if certainty not in CERTAINTIES:
        raise ValueError(f"unknown certainty: {certainty}")
    metadata = {
        "values": values,
        "fact": fact,
        "certainty": certainty,
        "breaks": breaks,
        "open_ended": open_ended,
        "pattern": pattern,
    }
    return field(default=values[0], metadata=metadata)


@dataclass(frozen=True)
class Switches:
    """The behaviour in force. Raises ValueError for an unknown name or value."""

    # Credentials
    getoxsrf: str = _switch(
        "ok",
        "refreshcookies",
        "refreshcookies_dead",
        "refreshcookies_elsewhere",
        "login",
        "account_chooser",
        "401",
        "403",
        "html",
        "eof",
        "missing_fields",
        "500",
        "503",
        "garbage",
        fact="how the key for the token is refused or given; an expired cookie shows as a redirect",
        certainty="certain",
        breaks=(
            "refreshcookies_dead",
            "refreshcookies_elsewhere",
            "login",
            "account_chooser",
            "401",
            "403",
            "html",
            "eof",
            "missing_fields",
            "500",
            "503",
            "garbage",
        ),
    )
    elsewhere_url: str = _switch(
        "http://evil.invalid/auth/refreshcookies",
        fact="where refreshcookies_elsewhere points; a client must not take its cookies there",
        certainty="inferred",
        open_ended=True,
    )
    refreshcookies_answer: str = _switch(
        "redirect",
        "page",
        fact="refreshcookies renews the cookie and redirects to `continue`, or answers 200",
        certainty="one source",
    )
    nid_triggers_refresh: bool = _switch(
        True,
        False,
        fact="a NID cookie sent to getoxsrf makes it redirect to refreshcookies",
        certainty="one source",
    )
    bad_cookie: str = _switch(
        "login",
        "401",
        "403",
        fact="how getoxsrf refuses a cookie or csesidx that it does not know",
        certainty="certain",
    )
    host_c_oses: str = _switch(
        "optional",
        "required",
        fact="whether the second session cookie is needed",
        certainty="unknown",
    )
    xsrf_prefix: str = _switch(
        "newline",
        "bare",
        "none",
        "spaces",
        fact="what stands before the JSON of getoxsrf",
        certainty="certain",
    )
    xsrf_key_uses: str = _switch(
        "many",
        "one",
        fact="whether one key may sign several tokens",
        certainty="unknown",
    )
    bad_token: str = _switch(
        "401",
        "u_token_only",
        fact="a refused token shows as 401, or on a stream as 200 with nothing but a uToken",
        certainty="one source",
    )
    clock_skew_s: float = _switch(
        0.0,
        3600.0,
        -3600.0,
        fact="the server's clock against the host's; the Date header tells it",
        certainty="inferred",
        open_ended=True,
    )

    # Sessions and files
    unknown_config: int = _switch(
        401,
        403,
        fact="how an unknown configId is refused on create; on list it is always 403",
        certainty="unknown",
    )
    session_name: str = _switch(
        "short",
        "full",
        fact="createSession answers `collections/…`; the official API answers `projects/…`",
        certainty="certain",
    )
    create_session_transient: int = _switch(
        0,
        1,
        fact="this many first createSession calls fail though nothing is wrong with them",
        certainty="one source",
        open_ended=True,
    )
    create_session_transient_status: int = _switch(
        400,
        500,
        fact="the status of those transient failures",
        certainty="one source",
    )
    dash_session: str = _switch(
        "creates",
        "refused",
        fact="streaming to `sessions/-` makes a session; its name comes in sessionInfo",
        certainty="one source",
    )
    file_ids_elsewhere: str = _switch(
        "400",
        "ignored",
        fact="what fileIds of another session do",
        certainty="unknown",
    )
    file_uri: str = _switch(
        "accepted",
        "refused",
        fact="addContextFile takes `fileUri` in place of the contents",
        certainty="one source",
    )
    model_armor: bool = _switch(
        False,
        True,
        fact="uploads are refused with reason MODEL_ARMOR_VIOLATION",
        certainty="certain",
        breaks=(True,),
    )
    download_body: str = _switch(
        "raw",
        "base64_headers",
        "base64_bare",
        fact="media come as bytes, or as base64 text with or without x-goog-safety headers",
        certainty="certain",
    )
    download_redirect: bool = _switch(
        False,
        True,
        fact="the download answers with one redirect on the same origin",
        certainty="certain",
    )

    # What the stream accepts
    known_models: tuple[str, ...] = _switch(
        (
            "gemini-2.5-flash",
            "gemini-2.5-pro",
            "gemini-3-flash-preview",
            "gemini-3-pro-preview",
            "gemini-3.1-pro-preview",
            "gemini-3.5-flash",
            "gemini-3-pro-image-preview",
        ),
        fact="the model ids that are served",
        certainty="one family",
        open_ended=True,
    )
    unknown_model: str = _switch(
        "400",
        "404",
        "silent",
        fact="an unknown modelId is refused in one way or another, or served by the default model",
        certainty="unknown",
    )
    greeting_skipped: bool = _switch(
        True,
        False,
        fact="a greeting without assistSkippingMode is skipped",
        certainty="certain",
    )
    max_prompt_chars: int = _switch(
        0,
        1_000_000,
        fact="longer prompts are 400 INVALID_ARGUMENT; 0: no limit",
        certainty="unknown",
        open_ended=True,
    )
    stream_error_shape: str = _switch(
        "object",
        "array",
        fact="an error before the first element is an object, or wrapped in a one-element array",
        certainty="inferred",
    )

    # Framing of the stream
    honours_alt_sse: bool = _switch(
        True,
        False,
        fact="`alt=sse` gives server-sent events, or is ignored",
        certainty="unknown",
    )
    sse_lines: str = _switch(
        "lf",
        "crlf",
        fact="line ends of server-sent events",
        certainty="unknown",
    )
    sse_comments: bool = _switch(
        False,
        True,
        fact="comments between server-sent events",
        certainty="inferred",
    )
    sse_multiline: bool = _switch(
        False,
        True,
        fact="one event's JSON spread over several `data:` lines",
        certainty="inferred",
    )
    layout: str = _switch(
        "pretty",
        "compact",
        "crlf",
        "newline_comma",
        "padded",
        fact="white space inside and between the elements of the array",
        certainty="certain",
    )
    ascii_escapes: bool = _switch(
        False,
        True,
        fact="text beyond ASCII comes as UTF-8, or as \\uXXXX with surrogate pairs",
        certainty="inferred",
    )
    cuts: str = _switch(
        "none",
        "1",
        "7",
        "random",
        "joined",
        fact="where the body is cut: at elements, every N bytes, anywhere, or only at pauses",
        certainty="certain",
        pattern=r"none|random|joined|[1-9]\d*",
    )
    transfer: str = _switch(
        "chunked",
        "content_length",
        "close",
        fact="how the end of a body is told",
        certainty="certain",
    )
    gzip: bool = _switch(
        False,
        True,
        fact="bodies are compressed for clients that accept gzip, flushed after each element",
        certainty="inferred",
    )

    # Elements of the stream
    wrapper: str = _switch(
        "widget",
        "bare",
        fact="elements are wrapped in `streamAssistResponse`, on the official API they are not",
        certainty="certain",
    )
    u_token: str = _switch(
        "first",
        "every",
        "never",
        fact="which elements carry a uToken",
        certainty="certain",
    )
    session_info: str = _switch(
        "end",
        "everywhere",
        "empty_then_full",
        fact="which elements carry sessionInfo; the last that is not empty counts",
        certainty="certain",
    )
    status_lines: str = _switch(
        "flagged",
        "unflagged_headlines",
        "joined",
        "separate",
        fact="thoughts come word by word, as headline and prose, or joined; all carry `thought: true`"
        " (unflagged_headlines: the headlines do not)",
        certainty="inferred",
    )
    suggestions: bool = _switch(
        True,
        False,
        fact="answers end with inlineData of type application/json+suggestions",
        certainty="one source",
    )
    metadata_only: bool = _switch(
        False,
        True,
        fact="elements without an answer, without content, or with nothing but metadata",
        certainty="certain",
    )
    final: str = _switch(
        "empty_with_diagnostics",
        "without_diagnostics",
        "carries_last_text",
        "repeats_text",
        fact="what the SUCCEEDED element holds; diagnosticInfo repeats the whole text",
        certainty="one source",
    )
    state: str = _switch(
        "present",
        "absent",
        fact="whether unfinished elements say IN_PROGRESS",
        certainty="inferred",
    )
    extra_fields: bool = _switch(
        False,
        True,
        fact="fields that no client knows, sprinkled over every answer",
        certainty="inferred",
    )
    citations: bool = _switch(
        False,
        True,
        fact="grounding segments with UTF-8 byte offsets as strings, and references",
        certainty="certain",
    )

    # Pace
    word_delay_s: float = _switch(
        0.0,
        0.002,
        fact="pause between the words of an answer that no script governs",
        certainty="inferred",
        open_ended=True,
    )
    first_byte_delay_s: float = _switch(
        0.0,
        0.02,
        fact="silence before the first byte of an answer; seconds for text, a minute for media",
        certainty="one source",
        open_ended=True,
    )
    control_delay_s: float = _switch(
        0.0,
        0.02,
        fact="delay of every call but the stream and downloads: sign-in, sessions, lists, uploads",
        certainty="inferred",
        open_ended=True,
    )

    def __post_init__(self) -> None:
        for spec in dataclasses.fields(self):
            _check(spec, getattr(self, spec.name))

    def changed(self, **changes: object) -> Switches:
        """A copy with other values. Raises ValueError for an unknown name or value."""
        for name, value in changes.items():
            spec = SPECS.get(name)
            if spec is None:
                raise ValueError(f"no switch is called {name!r}")
            if isinstance(value, list):
                changes[name] = tuple(value)
            elif isinstance(spec.default, float) and type(value) is int:
                changes[name] = float(value)
        return dataclasses.replace(self, **changes)  # type: ignore[arg-type]  # checked above


SPECS: dict[str, dataclasses.Field[Any]] = {spec.name: spec for spec in dataclasses.fields(Switches)}

SWITCH_VALUES: Mapping[str, tuple[object, ...]] = MappingProxyType(
    {name: tuple(spec.metadata["values"]) for name, spec in SPECS.items()}
)
"""Every switch with the values worth trying, the default first."""

MAIN_FLOW_VALUES: Mapping[str, tuple[object, ...]] = MappingProxyType(
    {
        name: tuple(v for v in values if v not in SPECS[name].metadata["breaks"])
        for name, values in SWITCH_VALUES.items()
    }
)
"""SWITCH_VALUES without those under which no client can succeed."""


def _check(spec: dataclasses.Field[Any], value: object) -> None:
    if type(value) is not type(spec.default):
        kind = type(spec.default).__name__
        raise ValueError(f"{spec.name} takes a {kind}, not {value!r}")
    if spec.metadata["pattern"]:
        if not re.fullmatch(spec.metadata["pattern"], str(value)):
            raise ValueError(f"{spec.name} cannot be {value!r}")
    elif not spec.metadata["open_ended"] and value not in spec.metadata["values"]:
        known = ", ".join(map(str, spec.metadata["values"]))
        raise ValueError(f"{spec.name} is one of {known}, not {value!r}")
