"""The ways in which clients ask a chat completion for a web search, and what of them has no effect.

Sources: https://platform.openai.com/docs/guides/tools-web-search (`web_search_options`, and the
Responses API's tools, which chat programs send here too); `enable_search` and `web_search` are what
programs send that were made for other servers. A search that is wanted narrows the upstream's own
tools to its web grounding; the model decides for itself when to use it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

PARAMETERS = ("web_search_options", "enable_search", "web_search")

_TOOL = "web_search"  # also with a version: web_search_preview, web_search_2025_08_26
_WITHOUT_EFFECT = ("search_context_size", "user_location")  # of web_search_options


def is_wanted(
    parameters: Mapping[str, Any], tools: Collection[Mapping[str, Any]] | None, tool_choice: object
) -> bool:
    """True if one of PARAMETERS or a tool asks for it."""
    return any(_is_on(name, value) for name, value in parameters.items()) or (
        tool_choice != "none"
        and any(is_tool(tool) and _is_enabled(tool.get(_TOOL)) for tool in tools or ())
    )


def is_tool(tool: Mapping[str, Any]) -> bool:
    """True for an entry of `tools` that is no function but a web search."""
    type_ = tool.get("type")
    return isinstance(type_, str) and (type_ == _TOOL or type_.startswith(f"{_TOOL}_"))


def ignored(parameters: Mapping[str, Any]) -> list[str]:
    """The names of what was given and has no effect, such as `web_search_options.user_location`."""
    names = [
        name for name, value in parameters.items() if value is not None and not _is_on(name, value)
    ]
    options = parameters.get("web_search_options")
    if isinstance(options, Mapping):
        given = (name for name in _WITHOUT_EFFECT if options.get(name) is not None)
        names += (f"web_search_options.{name}" for name in given)
    return names


def _is_on(name: str, value: object) -> bool:
    if name == "web_search_options":  # in OpenAI's API its presence asks, whatever it holds
        return value is not None and value is not False
    return value is True or (name == _TOOL and isinstance(value, Mapping) and _is_enabled(value))


def _is_enabled(settings: object) -> bool:
    """False where a program's settings say so: `{"enable": false}`."""
    return not (isinstance(settings, Mapping) and settings.get("enable") is False)
