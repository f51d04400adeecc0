"""lookupWidgetConfig's answer -> AccountCapabilities. Source: docs/upstream.md, live
configuration.

Which of its fields are filled is not known: a field that is missing, or of an unexpected type, says
nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from gbproxy.domain.models import AccountCapabilities, Tool
from gbproxy.upstreams.decoding.objects import as_list, as_mapping, as_text

_MODEL_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_MAX_MODELS = 200
_DISABLING: Mapping[str, Tool] = {
    "disable-image-generation": "imageGenerationSpec",
    "disable-video-generation": "videoGenerationSpec",
}
_STATES = {"FEATURE_STATE_ON": True, "FEATURE_STATE_OFF": False}
_WEB_IS_OFF = "WEB_GROUNDING_TYPE_DISABLED"
_WEB_IS_ON = re.compile(r"WEB_GROUNDING_TYPE_(?!UNSPECIFIED|DISABLED)[A-Z_]+")


def read(answer: Mapping[str, Any]) -> AccountCapabilities:
    """Read a configuration at the top of the answer or under a name in it."""
    configuration = _unwrapped(answer)
    ui = as_mapping(configuration.get("uiSettings"))
    chosen = as_mapping(ui.get("modelConfigInfo"))
    states = {
        id_: state
        for id_, state in as_mapping(ui.get("modelConfigs")).items()
        if _MODEL_ID.fullmatch(id_)
    }
    disabled = frozenset(id_ for id_, state in states.items() if state == "MODEL_DISABLED")
    automatic = frozenset(_ids([chosen.get("autoModelId")]))
    listed = [
        *_ids(as_mapping(model).get("modelId") for model in as_list(chosen.get("resolvedModels"))),
        *_ids([chosen.get("defaultModelId")]),
        *(id_ for id_, state in states.items() if state == "MODEL_ENABLED"),
    ]
    tools = _tools(configuration, ui)
    return AccountCapabilities(
        listed=tuple(dict.fromkeys(id_ for id_ in listed if id_ not in disabled | automatic))[
            :_MAX_MODELS
        ],
        disabled=disabled,
        automatic=automatic,
        tools_on=frozenset(tool for tool, is_on in tools.items() if is_on),
        tools_off=frozenset(tool for tool, is_on in tools.items() if not is_on),
    )


def is_bare(known: AccountCapabilities) -> bool:
    """True for a configuration that names neither models nor features."""
    features = (known.tools_on | known.tools_off).intersection(_DISABLING.values())
    return not (known.listed or known.disabled or known.automatic or features)


def _unwrapped(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    candidates = (answer, *map(as_mapping, answer.values()))
    return next(
        (each for each in candidates if "uiSettings" in each or "assistantSettings" in each), {}
    )


def _ids(values: Iterable[object]) -> Iterator[str]:
    return (id_ for value in values if _MODEL_ID.fullmatch(id_ := as_text(value)))


def _tools(configuration: Mapping[str, Any], ui: Mapping[str, Any]) -> dict[Tool, bool]:
    """The tools of which something is said, with True for those that are on."""
    features = as_mapping(ui.get("features"))
    found = {
        tool: not _STATES[state]
        for name, tool in _DISABLING.items()
        if (state := as_text(features.get(name))) in _STATES
    }
    web = as_text(as_mapping(configuration.get("assistantSettings")).get("webGroundingType"))
    if web == _WEB_IS_OFF or _WEB_IS_ON.fullmatch(web):
        found["webGroundingSpec"] = web != _WEB_IS_OFF
    return found
