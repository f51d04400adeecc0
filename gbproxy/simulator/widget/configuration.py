"""lookupWidgetConfig: the models that an account may use, and what is switched off for it.

Source: docs/upstream.md, live configuration.
"""

from __future__ import annotations

from typing import Any

from gbproxy.simulator.http.actions import JSON_TYPE, End, Write, html_reply, http_head, json_reply
from gbproxy.simulator.scripting.actions import Script
from gbproxy.simulator.scripting.google_errors import (
    RefusedError,
    http_error,
    invalid,
    permission_denied,
)
from gbproxy.simulator.widget.accounts import Account, edition_of, location_of
from gbproxy.simulator.widget.sessions import ENGINE
from gbproxy.simulator.widget.switches import WidgetSwitches
from gbproxy.simulator.widget.verbs import json_object

JsonObject = dict[str, Any]

LOOKUP = "lookupWidgetConfig"
AUTO_MODEL_ID = "gemini-auto"
PSEUDO_MODEL_IDS = (AUTO_MODEL_ID, "gemini-fast")
"""Ids of the list that stand for no model of their own."""
_DEFAULT_MODEL_ID = "gemini-3.8-flash"
_FIELDS = {
    "widgetConfigId",
    "additionalParams",
    "experimentIdsForLogging",
    "languageCode",
    "location",
    "modelInfoView",
    "regionCode",
    "view",
}


def answer(body: bytes, account: Account, switches: WidgetSwitches) -> Script:
    """Answer lookupWidgetConfig as the switches want it. Raises RefusedError."""
    wanted = json_object(body)
    if set(wanted) - _FIELDS:
        raise invalid("Invalid JSON payload received. Unknown name.")
    if wanted.get("widgetConfigId") != account.config_id:
        raise permission_denied()
    match switches.widget_config:
        case "absent":
            raise RefusedError(404, "NOT_FOUND", "Method not found.")
        case "403":
            raise permission_denied()
        case "500":
            return http_error(500, "INTERNAL", "Internal error encountered.")
        case "html":
            return html_reply(200, "Sign in")
        case "garbage":
            return (
                http_head(200, JSON_TYPE),
                Write(b'{"uiSettings": {"modelConfigInfo": [{'),
                End(),
            )
        case "empty":
            return json_reply(200, {})
        case "wrong_types":
            return _wrapped(
                {"uiSettings": {"modelConfigInfo": ["x"], "modelConfigs": 3, "features": "none"}},
                switches,
            )
        case _:
            configuration = _configuration(account, switches)
            if switches.widget_config_view == "wanted" and "modelInfoView" not in wanted:
                configuration["uiSettings"] = {}
            return _wrapped(configuration, switches)


def is_served(model_id: str, switches: WidgetSwitches) -> bool:
    """True if a question may name this model."""
    if model_id in (*switches.retired_models, *switches.disabled_models):
        return False
    return model_id in switches.known_models or model_id in PSEUDO_MODEL_IDS


def _wrapped(value: JsonObject, switches: WidgetSwitches) -> Script:
    name = switches.widget_config_wrapper
    return json_reply(200, value if name == "none" else {name: value})


def _configuration(account: Account, switches: WidgetSwitches) -> JsonObject:
    off = set(switches.tools_off)
    models = [id_ for id_ in switches.known_models if id_ not in switches.retired_models]
    kept = [id_ for id_ in models if id_ not in switches.disabled_models]
    ui: JsonObject = {
        "interactionType": "SEARCH_WITH_ANSWER",
        "features": {
            "model-selector": "FEATURE_STATE_ON",
            "disable-image-generation": _state(on="image" in off),
            "disable-video-generation": _state(on="video" in off),
            "disable-canvas": "FEATURE_STATE_OFF",
        },
        "modelConfigs": {
            id_: "MODEL_ENABLED" if id_ in kept else "MODEL_DISABLED" for id_ in models
        },
        "modelConfigInfo": {
            "resolvedModels": [_model(id_) for id_ in (*PSEUDO_MODEL_IDS, *kept)],
            "defaultModelId": _DEFAULT_MODEL_ID if _DEFAULT_MODEL_ID in kept else AUTO_MODEL_ID,
            "autoModelId": AUTO_MODEL_ID,
        },
    }
    web = "WEB_GROUNDING_TYPE_DISABLED" if "web" in off else "WEB_GROUNDING_TYPE_GOOGLE_SEARCH"
    parent = (
        f"projects/{account.project_number}/locations/{location_of(account, switches)}/{ENGINE}"
    )
    return {
        "name": f"{parent}/widgetConfigs/default_search_widget_config",
        "configId": account.config_id,
        "displayName": edition_of(account, switches).title,
        "uiSettings": ui,
        "assistantSettings": {"webGroundingType": web, "defaultWebGroundingToggleOff": False},
        **({"futureField": {"note": "not for you"}} if switches.extra_fields else {}),
    }


def _model(model_id: str) -> JsonObject:
    """As the page's selector shows it."""
    family = "FLASH" if "flash" in model_id or "fast" in model_id else "PRO"
    title = model_id.replace("-", " ").title()
    shown: JsonObject = {
        "modelId": model_id,
        "displayName": title,
        "label": title,
        "family": family,
    }
    return {
        **shown,
        "isPreview": model_id.endswith("-preview"),
        "promoted": model_id == _DEFAULT_MODEL_ID,
    }


def _state(*, on: bool) -> str:
    return "FEATURE_STATE_ON" if on else "FEATURE_STATE_OFF"
