"""What a live configuration says of an account's models and tools, and that nothing in it can do
harm.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gbproxy.domain.models import AccountCapabilities
from gbproxy.upstreams.widget import live_configuration

WHOLE: dict[str, Any] = {
    "uiSettings": {
        "modelConfigInfo": {
            "resolvedModels": [
                {"modelId": id_}
                for id_ in ("auto", "gemini-fast", "gemini-3.8-flash", "gemini-4-neon")
            ],
            "defaultModelId": "gemini-3.8-flash",
            "autoModelId": "auto",
        },
        "modelConfigs": {"gemini-4-argon": "MODEL_ENABLED", "gemini-4-neon": "MODEL_DISABLED"},
        "features": {
            "disable-image-generation": "FEATURE_STATE_ON",
            "disable-video-generation": "FEATURE_STATE_OFF",
            "model-selector": "FEATURE_STATE_ON",
        },
    },
    "assistantSettings": {
        "webGroundingType": "WEB_GROUNDING_TYPE_DISABLED",
        "defaultWebGroundingToggleOff": True,
    },
}


def test_models_and_tools_are_read() -> None:
    assert live_configuration.read(WHOLE) == AccountCapabilities(
        listed=("gemini-fast", "gemini-3.8-flash", "gemini-4-argon"),
        disabled=frozenset({"gemini-4-neon"}),
        automatic=frozenset({"auto"}),
        tools_on=frozenset({"videoGenerationSpec"}),
        tools_off=frozenset({"imageGenerationSpec", "webGroundingSpec"}),
    )


@pytest.mark.parametrize("name", ["widgetConfig", "lookupWidgetConfigResponse", "anything"])
def test_it_may_stand_under_a_name(name: str) -> None:
    assert live_configuration.read({"other": 1, name: WHOLE}) == live_configuration.read(WHOLE)


@pytest.mark.parametrize(
    ("web", "on"),
    [
        ("WEB_GROUNDING_TYPE_GOOGLE_SEARCH", True),
        ("WEB_GROUNDING_TYPE_ENTERPRISE_WEB_SEARCH", True),
        ("WEB_GROUNDING_TYPE_DISABLED", False),
        ("WEB_GROUNDING_TYPE_UNSPECIFIED", None),
        ("else", None),
        (None, None),
    ],
)
def test_web_grounding_is_on_or_off_or_nothing_is_said(web: object, on: bool | None) -> None:
    found = live_configuration.read({"assistantSettings": {"webGroundingType": web}})

    assert ("webGroundingSpec" in found.tools_on, "webGroundingSpec" in found.tools_off) == (
        on is True,
        on is False,
    )


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(st.data())
def test_whatever_stands_in_a_field_harms_nothing(data: st.DataObject) -> None:
    """Any part of it is replaced by any JSON: what is read is of the right kinds, and all ids can
    be sent.
    """

    def spoilt(value: object) -> object:
        if data.draw(st.integers(0, 5)) == 0:
            return data.draw(json_values)
        if isinstance(value, dict):
            return {key: spoilt(each) for key, each in value.items()}
        return [spoilt(each) for each in value] if isinstance(value, list) else value

    spoiled = spoilt(WHOLE)
    found = live_configuration.read(spoiled if isinstance(spoiled, dict) else {})

    assert all(isinstance(id_, str) and id_.isascii() and id_.isprintable() for id_ in found.listed)
    assert found.tools_on.isdisjoint(found.tools_off)
