"""Live configuration: the models and tools that it switches off; and too large a prompt."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gbproxy.simulator import LIVING_MODELS, RETIRED_MODELS, Simulator
from tests.support.widget_client import Client, parse_array, text_of

SPECS = {"image": "imageGenerationSpec", "video": "videoGenerationSpec", "web": "webGroundingSpec"}


def model(client: Client, model_id: str) -> int:
    return client.ask("2+2", assistGenerationConfig={"modelId": model_id}).status_code


def test_the_configuration_lists_the_models_that_may_be_asked(
    upstream: Simulator, client: Client
) -> None:
    upstream.set(
        known_models=("gemini-3.8-flash", "gemini-4-argon"), disabled_models=("gemini-4-argon",)
    )

    configuration = client.configuration(languageCode="en-US", view="MODEL_INFO").json()

    ui = configuration["uiSettings"]
    assert configuration["configId"] == client.account.config_id
    assert [each["modelId"] for each in ui["modelConfigInfo"]["resolvedModels"]] == [
        "gemini-auto",
        "gemini-fast",
        "gemini-3.8-flash",
    ]
    assert ui["modelConfigInfo"]["defaultModelId"] == "gemini-3.8-flash"
    assert ui["modelConfigInfo"]["autoModelId"] == "gemini-auto"
    assert ui["modelConfigs"] == {
        "gemini-3.8-flash": "MODEL_ENABLED",
        "gemini-4-argon": "MODEL_DISABLED",
    }
    asked = ("gemini-3.8-flash", "gemini-fast", "gemini-auto", "gemini-4-argon")
    assert [model(client, id_) for id_ in asked] == [200, 200, 200, 400]
    assert ui["features"]["disable-image-generation"] == "FEATURE_STATE_OFF"
    assert (
        configuration["assistantSettings"]["webGroundingType"] == "WEB_GROUNDING_TYPE_GOOGLE_SEARCH"
    )


def test_the_configuration_of_another_is_denied(client: Client) -> None:
    assert client.post("lookupWidgetConfig", {"widgetConfigId": "other"}).status_code == 403
    assert (
        client.post("lookupWidgetConfig", {"configId": client.account.config_id}).status_code == 400
    )
    assert client.post("lookupWidgetConfig", {}, token="x").status_code == 401


@pytest.mark.parametrize(
    ("switch", "status", "is_json"),
    [
        ("absent", 404, True),
        ("empty", 200, True),
        ("403", 403, True),
        ("500", 500, True),
        ("html", 200, False),
        ("garbage", 200, False),
    ],
)
def test_the_configuration_may_not_be_had(
    upstream: Simulator, client: Client, switch: str, status: int, is_json: bool
) -> None:
    upstream.set(widget_config=switch)

    response = client.configuration()

    assert response.status_code == status
    if is_json:
        assert (
            response.json() == {}
            if switch == "empty"
            else response.json()["error"]["code"] == status
        )
    else:
        with pytest.raises(json.JSONDecodeError):
            response.json()
    assert client.ask("2+2").status_code == 200


def test_the_configuration_may_have_models_only_for_who_names_a_view(
    upstream: Simulator, client: Client
) -> None:
    upstream.set(widget_config_view="wanted")

    assert client.configuration().json()["uiSettings"] == {}
    fuller = client.configuration(modelInfoView="END_USER_WEB").json()
    assert "modelConfigInfo" in fuller["uiSettings"]


def test_the_configuration_may_be_of_other_types_and_under_a_name(
    upstream: Simulator, client: Client
) -> None:
    upstream.set(widget_config_wrapper="widgetConfig", extra_fields=True)
    assert "modelConfigInfo" in client.configuration().json()["widgetConfig"]["uiSettings"]

    upstream.set(widget_config="wrong_types", widget_config_wrapper="none")

    ui = client.configuration().json()["uiSettings"]
    assert not any(isinstance(value, dict) for value in ui.values())


@pytest.mark.parametrize("refusal", ["400", "404", "silent"])
def test_a_retired_model_is_refused_like_an_unknown_one(
    upstream: Simulator, client: Client, refusal: str
) -> None:
    upstream.set(unknown_model=refusal)

    assert {model(client, id_) for id_ in LIVING_MODELS} == {200}
    assert {model(client, id_) for id_ in RETIRED_MODELS} == {
        200 if refusal == "silent" else int(refusal)
    }
    listed = client.configuration().json()["uiSettings"]["modelConfigInfo"]["resolvedModels"]
    assert {each["modelId"] for each in listed} == {"gemini-auto", "gemini-fast", *LIVING_MODELS}

    upstream.set(retired_models=())

    assert {model(client, id_) for id_ in (*RETIRED_MODELS, *LIVING_MODELS)} == {200}


@pytest.mark.parametrize("tool", SPECS)
@pytest.mark.parametrize("answer", ["400", "400_nameless", "403", "silence"])
def test_a_tool_that_is_off_is_refused_or_met_with_silence(
    upstream: Simulator, client: Client, tool: str, answer: str
) -> None:
    upstream.set(tools_off=(tool,), tools_off_answer=answer)
    rest: dict[str, Any] = {spec: {} for name, spec in SPECS.items() if name != tool}

    asked = client.ask("2+2")
    without = client.ask("2+2", toolsSpec=rest)

    assert asked.status_code == (200 if answer == "silence" else int(answer[:3]))
    if answer == "silence":
        assert text_of(asked.json()) == ""
    assert text_of(without.json()) == "2+2 = **4**"


def test_the_configuration_says_which_tools_are_off(upstream: Simulator, client: Client) -> None:
    upstream.set(tools_off=("image", "video", "web"))

    configuration = client.configuration().json()

    features = configuration["uiSettings"]["features"]
    assert [features[f"disable-{name}-generation"] for name in ("image", "video")] == [
        "FEATURE_STATE_ON"
    ] * 2
    assert configuration["assistantSettings"]["webGroundingType"] == "WEB_GROUNDING_TYPE_DISABLED"
    with pytest.raises(ValueError, match="tools_off"):
        upstream.set(tools_off=("canvas",))


@pytest.mark.parametrize("way", ["message", "reason", "in_stream"])
def test_too_large_a_prompt_is_told_in_three_ways(
    upstream: Simulator, client: Client, way: str
) -> None:
    upstream.set(max_prompt_chars=10, prompt_too_large=way)

    response = client.ask("x" * 11)

    (element,) = parse_array(response.content)
    assert response.status_code == (200 if way == "in_stream" else 400)
    assert element["error"]["status"] == "INVALID_ARGUMENT"
    reasons = [detail["reason"] for detail in element["error"].get("details", [])]
    assert reasons == ([] if way == "message" else ["PROMPT_TOO_LARGE"])
    assert client.ask("x" * 10).status_code == 200
