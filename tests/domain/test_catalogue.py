"""Which names a client may use, and what each means upstream."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gbproxy.accounts.available_models import configured_models
from gbproxy.domain.account import WIDGET, QuotaClass
from gbproxy.domain.catalogue import BUILT_IN, Catalogue, built_in_names
from gbproxy.domain.models import ALL_TOOLS, Model
from gbproxy.errors import ModelNotFound
from gbproxy.settings import ModelSettings


def catalogue(*changes: dict[str, Any], default: str = "gemini-auto") -> Catalogue:
    return Catalogue(default, configured_models(ModelSettings(**change) for change in changes))


# Names


@pytest.mark.parametrize("model", BUILT_IN, ids=lambda model: model.id)
def test_a_built_in_id_is_that_model(model: Model) -> None:
    assert catalogue().resolve(model.id) is model


def test_the_built_in_catalogue_is_the_documented_one() -> None:
    ids = [model.id for model in catalogue().all()]

    assert ids == [
        "gemini-auto",
        "gemini-3.8-flash",
        "gemini-3.1-pro-preview",
        "gemini-3.7-flash",
        "gemini-3.6-flash",
        "gemini-3.5-flash",
        "gemini-3.5-flash-lite",
        "gemini-3-flash-preview",
        "gemini-3-pro-preview",
        "gemini-2.5-pro",
        "gemini-2.5-flash",
        "gemini-2.5-flash-lite",
        "gemini-imagen",
        "gemini-veo",
    ]
    aliases = {
        "auto",
        "business-gemini",
        "gemini-3-flash",
        "gemini-3-pro",
        "gemini-3.1-pro",
        "gemini-business",
        "gemini-flash-latest",
        "gemini-flash-lite-latest",
        "gemini-pro-latest",
        "nano-banana",
        "nano-banana-2",
        "nano-banana-pro",
    }
    assert built_in_names() == {*ids, *aliases}


def test_the_automatic_model_has_no_id_upstream_and_all_tools() -> None:
    automatic = catalogue().resolve("gemini-auto")

    assert (automatic.name_at(WIDGET), automatic.tools) == (None, ALL_TOOLS)


@pytest.mark.parametrize("name", [None, ""])
def test_a_request_without_a_model_gets_the_default(name: str | None) -> None:
    assert catalogue(default="gemini-2.5-pro").resolve(name).id == "gemini-2.5-pro"


@pytest.mark.parametrize(
    ("name", "id_", "quota", "tool"),
    [
        ("gpt-image-2.5", "gemini-imagen", "images", "imageGenerationSpec"),
        ("chatgpt-image-latest", "gemini-imagen", "images", "imageGenerationSpec"),
        ("dall-e-3", "gemini-imagen", "images", "imageGenerationSpec"),
        ("imagen-4.0-generate-001", "gemini-imagen", "images", "imageGenerationSpec"),
        ("veo-3.1-lite-generate", "gemini-veo", "videos", "videoGenerationSpec"),
        ("gemini-auto-video", "gemini-auto", "videos", "videoGenerationSpec"),
    ],
)
def test_names_of_models_that_make_media(name: str, id_: str, quota: str, tool: str) -> None:
    model = catalogue().resolve(name)

    assert (model.id, model.name_at(WIDGET)) == (id_, None)
    assert (model.quota, model.tools) == (quota, (tool,))
    assert model.makes_media


@pytest.mark.parametrize(
    ("alias", "id_"),
    [
        ("gemini-business", "gemini-auto"),
        ("business-gemini", "gemini-auto"),
        ("auto", "gemini-auto"),
        ("gemini-3.1-pro", "gemini-3.1-pro-preview"),
        ("gemini-3-flash", "gemini-3-flash-preview"),
        ("gemini-3-pro", "gemini-3-pro-preview"),
        ("nano-banana-2", "gemini-imagen"),
        ("nano-banana-pro", "gemini-imagen"),
    ],
)
def test_an_alias_is_its_model(alias: str, id_: str) -> None:
    assert catalogue().resolve(alias).id == id_


@pytest.mark.parametrize("alias", ["auto", "nano-banana-2", "gemini-3-pro"])
def test_a_built_in_alias_may_be_given_to_another_model(alias: str) -> None:
    for id_ in ("mine", "gemini-auto", "gemini-veo"):
        assert catalogue({"id": id_, "aliases": [alias]}).resolve(alias).id == id_


def test_an_id_that_an_account_lists_goes_before_a_built_in_alias_and_behind_a_configured_one() -> (
    None
):
    there = Model("gemini-3.1-pro", {WIDGET: "gemini-3.1-pro"})
    listed = {there.id: there}.get
    mine = catalogue({"id": "mine", "aliases": [there.id]})

    assert catalogue().resolve("gemini-3.1-pro", listed) is there
    assert catalogue().resolve("gemini-3.1-pro-search", listed).id == there.id
    assert mine.resolve("gemini-3.1-pro", listed).id == "mine"


@pytest.mark.parametrize(
    "name",
    [
        "gpt-4o",
        "gpt-5-mini",
        "gpt-3.5-turbo",
        "o1",
        "o1-preview",
        "o3",
        "o3-mini",
        "o4-mini",
        "claude-sonnet-4-5",
        "chatgpt-4o-latest",
        "codex-mini-latest",
    ],
)
def test_other_vendors_names_get_the_default(name: str) -> None:
    assert catalogue(default="gemini-2.5-flash").resolve(name).id == "gemini-2.5-flash"


@pytest.mark.parametrize(
    "name",
    [
        "GPT-4o",
        "my-gpt-4o",
        "o2",
        "llama-3",
        "gemini-auto ",
        " ",
        "models/",
        "gemini-",
        "gemini-9 x",
        f"gemini-{'9' * 64}",
    ],
)
def test_an_unknown_name_is_not_found_and_the_error_names_the_field(name: str) -> None:
    with pytest.raises(ModelNotFound) as caught:
        catalogue().resolve(name)

    assert (caught.value.status, caught.value.code, caught.value.param) == (
        404,
        "model_not_found",
        "model",
    )
    assert repr(name) in caught.value.message


def test_a_very_long_unknown_name_is_not_repeated_in_full() -> None:
    with pytest.raises(ModelNotFound) as caught:
        catalogue().resolve("x" * 10_000)

    assert len(caught.value.message) < 200


def test_looking_up_a_foreign_name_does_not_give_the_default() -> None:
    with pytest.raises(ModelNotFound):
        catalogue().get("gpt-4o")


def test_the_native_prefix_is_taken_off() -> None:
    assert catalogue().get("models/gemini-2.5-pro").id == "gemini-2.5-pro"


# Suffixes

SEARCH, IMAGE = ("webGroundingSpec",), ("imageGenerationSpec",)


@pytest.mark.parametrize(
    ("name", "id_", "upstream_id", "tools", "quota"),
    [
        ("gemini-auto-search", "gemini-auto", None, SEARCH, "text"),
        ("gemini-business-search", "gemini-auto", None, SEARCH, "text"),
        ("models/gemini-2.5-pro-search", "gemini-2.5-pro", "gemini-2.5-pro", SEARCH, "text"),
        ("gemini-auto-image", "gemini-auto", None, IMAGE, "images"),
        ("gemini-4-neon-search", "gemini-4-neon", "gemini-4-neon", SEARCH, "text"),
        ("gemini-9-flash-image", "gemini-9-flash-image", "gemini-9-flash-image", IMAGE, "images"),
        (
            "gemini-3-pro-image-preview",
            "gemini-3-pro-image-preview",
            "gemini-3-pro-image-preview",
            IMAGE,
            "images",
        ),
        ("gemini-3-pro-image", "gemini-3-pro-image", "gemini-3-pro-image", IMAGE, "images"),
        ("gemini-3-pro-search", "gemini-3-pro-preview", "gemini-3-pro-preview", SEARCH, "text"),
        ("auto-image", "gemini-auto", None, IMAGE, "images"),
        ("gpt-4o-search-preview", "gemini-auto", None, SEARCH, "text"),
        ("gpt-4o-mini-search-preview-2025-03-11", "gemini-auto", None, SEARCH, "text"),
        ("gpt-5-search-api", "gemini-auto", None, SEARCH, "text"),
        ("claude-sonnet-4-5-search", "gemini-auto", None, SEARCH, "text"),
    ],
)
def test_a_suffix_narrows_the_tools_and_the_id_stays_the_model_s(
    name: str, id_: str, upstream_id: str | None, tools: tuple[str, ...], quota: QuotaClass
) -> None:
    model = catalogue().resolve(name)

    assert (model.id, model.name_at(WIDGET)) == (id_, upstream_id)
    assert (model.tools, model.quota) == (tools, quota)


def test_whatever_stands_in_for_a_narrowed_model_is_as_narrow_and_each_comes_once() -> None:
    models = catalogue()

    chains = [
        models.chain(models.resolve(f"{name}-search")) for name in ("gemini-2.5-pro", "gpt-4")
    ]
    painting = models.chain(models.resolve("gemini-9-image"))

    assert [[(model.id, model.tools) for model in chain] for chain in chains] == [
        [(id_, SEARCH) for id_ in ("gemini-2.5-pro", "gemini-3.1-pro-preview", "gemini-auto")],
        [("gemini-auto", SEARCH)],
    ]
    assert [(model.id, model.tools) for model in painting] == [
        ("gemini-9-image", IMAGE),
        ("gemini-auto", IMAGE),
    ]


def test_a_name_of_the_catalogue_goes_before_a_suffix() -> None:
    models = catalogue(
        {"id": "re-search"}, {"id": "gemini-image", "aliases": ["gemini-auto-search"]}
    )

    assert models.resolve("re-search").tools == ALL_TOOLS
    assert models.resolve("gemini-auto-search").id == "gemini-image"
    assert models.resolve("re-search-search").tools == SEARCH


@pytest.mark.parametrize("name", ["plain-search", "plain-image", "none-such-search", "-search"])
def test_a_suffix_for_a_tool_that_the_model_lacks_makes_no_model(name: str) -> None:
    with pytest.raises(ModelNotFound, match=repr(name)):
        catalogue({"id": "plain", "tools": []}).resolve(name)


def test_a_model_without_the_tool_is_not_narrowed_to_it() -> None:
    painter = catalogue({"id": "painter", "tools": list(IMAGE), "quota": "images"}).get("painter")

    assert painter.narrowed_to("webGroundingSpec") is painter


# Fallbacks


def ids(models: Catalogue, name: str, *allowed: str) -> list[str]:
    chain = models.chain(models.resolve(name), lambda id_: not allowed or id_ in allowed)
    return [model.id for model in chain]


@pytest.mark.parametrize(
    ("name", "following"),
    [
        ("gemini-2.5-flash", ["gemini-3.8-flash", "gemini-auto"]),
        ("gemini-2.5-flash-lite", ["gemini-3.5-flash-lite", "gemini-3.8-flash", "gemini-auto"]),
        ("gemini-2.5-pro", ["gemini-3.1-pro-preview", "gemini-auto"]),
        ("gemini-3-pro-preview", ["gemini-3.1-pro-preview", "gemini-auto"]),
        ("gemini-3-flash-preview", ["gemini-3.8-flash", "gemini-auto"]),
        ("gemini-3.5-flash", ["gemini-3.8-flash", "gemini-auto"]),
        ("gemini-3.6-flash", ["gemini-3.8-flash", "gemini-auto"]),
        ("gemini-3.7-flash", ["gemini-3.8-flash", "gemini-auto"]),
        ("gemini-3.8-flash", ["gemini-auto"]),
        ("gemini-3.1-pro-preview", ["gemini-auto"]),
        ("gemini-auto", []),
    ],
)
def test_fallbacks_are_followed_and_the_last_resort_is_automatic(
    name: str, following: list[str]
) -> None:
    assert ids(catalogue(), name) == [name, *following]


@pytest.mark.parametrize("name", ["gemini-4-neon", "models/gemini-4-neon"])
def test_an_unknown_gemini_name_is_asked_for_as_it_is_and_followed_by_the_default(
    name: str,
) -> None:
    models = catalogue(default="gemini-2.5-flash")

    found = models.resolve(name)

    assert found == Model("gemini-4-neon", {WIDGET: "gemini-4-neon"})
    assert ids(models, name) == [
        "gemini-4-neon",
        "gemini-2.5-flash",
        "gemini-3.8-flash",
        "gemini-auto",
    ]
    with pytest.raises(ModelNotFound):
        models.get(name)


def test_what_a_key_may_not_use_stands_in_for_nothing() -> None:
    assert ids(catalogue(), "gemini-2.5-flash", "gemini-auto") == [
        "gemini-2.5-flash",
        "gemini-auto",
    ]


def test_fallbacks_that_lead_in_a_circle_are_each_tried_once() -> None:
    models = catalogue({"id": "a", "successor": "b"}, {"id": "b", "successor": "a"})

    assert ids(models, "a") == ["a", "b", "gemini-auto"]


@pytest.mark.parametrize(
    "change",
    [
        {"quota": "images"},
        {"tools": ["imageGenerationSpec"]},
        {"tools": ["imageGenerationSpec", "videoGenerationSpec"]},
    ],
)
def test_no_text_stands_in_for_pictures(change: dict[str, Any]) -> None:
    assert ids(catalogue({"id": "painter", **change}), "painter") == ["painter"]


def test_what_stands_in_has_no_tool_that_was_not_asked_for() -> None:
    models = catalogue(
        {"id": "plain", "tools": ["webGroundingSpec"], "successor": "gemini-3.8-flash"}
    )

    chain = models.chain(models.resolve("plain"))

    assert [(model.id, model.tools) for model in chain] == [
        (id_, ("webGroundingSpec",)) for id_ in ("plain", "gemini-3.8-flash", "gemini-auto")
    ]


def test_a_fallback_that_is_not_in_the_catalogue_is_none() -> None:
    assert ids(catalogue({"id": "old", "successor": "never-heard-of"}), "old") == [
        "old",
        "gemini-auto",
    ]


# MODELS


def test_a_new_model_is_asked_for_by_its_own_id_with_all_tools() -> None:
    models = catalogue({"id": "gemini-4"})

    assert models.resolve("gemini-4") == Model(
        "gemini-4", {WIDGET: "gemini-4"}, ALL_TOOLS, "text", (), None
    )
    assert models.all()[-1].id == "gemini-4"


def test_everything_about_a_new_model_can_be_said() -> None:
    models = catalogue(
        {
            "id": "painter",
            "upstream": "gemini-9-image",
            "tools": ["imageGenerationSpec"],
            "quota": "images",
            "aliases": ["dall-e-3"],
            "successor": "gemini-auto",
        }
    )

    painter = models.resolve("dall-e-3")
    assert painter == Model(
        "painter",
        {WIDGET: "gemini-9-image"},
        ("imageGenerationSpec",),
        "images",
        ("dall-e-3",),
        "gemini-auto",
    )
    assert ids(models, "painter") == ["painter", "gemini-auto"]


def test_a_change_keeps_what_it_does_not_name_and_its_place_in_the_list() -> None:
    models = catalogue({"id": "gemini-3-pro-preview", "tools": ["webGroundingSpec"]})

    changed = models.resolve("gemini-3-pro-preview")
    assert changed.tools == ("webGroundingSpec",)
    assert (changed.name_at(WIDGET), changed.successor) == (
        "gemini-3-pro-preview",
        "gemini-3.1-pro-preview",
    )
    assert [model.id for model in models.all()] == [model.id for model in BUILT_IN]


def test_a_change_to_automatic_takes_the_upstream_id_away() -> None:
    models = catalogue({"id": "gemini-2.5-pro", "upstream": None}, {"id": "mine", "upstream": None})

    assert models.resolve("gemini-2.5-pro").name_at(WIDGET) is None
    assert models.resolve("mine").name_at(WIDGET) is None


def test_a_change_may_switch_every_tool_off() -> None:
    models = catalogue({"id": "gemini-auto", "tools": []})

    assert models.resolve("gemini-auto").tools == ()


def test_null_means_not_given_where_it_could_mean_nothing_else() -> None:
    models = catalogue({"id": "gemini-auto", "tools": None, "quota": None, "aliases": None})

    assert models.resolve("gemini-auto") == BUILT_IN[0]


def test_a_change_gives_a_model_further_names() -> None:
    models = catalogue({"id": "gemini-3.8-flash", "aliases": ["claude-flash"]})

    [model] = {models.resolve(name) for name in ("claude-flash", "gemini-flash-latest")}
    assert (model.id, model.aliases) == (
        "gemini-3.8-flash",
        ("gemini-flash-latest", "claude-flash"),
    )


def test_a_change_may_take_a_fallback_away() -> None:
    models = catalogue({"id": "gemini-3-pro-preview", "successor": None})

    assert ids(models, "gemini-3-pro-preview") == ["gemini-3-pro-preview", "gemini-auto"]


def test_a_fallback_may_be_named_by_its_alias() -> None:
    models = catalogue({"id": "old", "successor": "gemini-business"})

    assert ids(models, "old") == ["old", "gemini-auto"]


def test_foreign_looking_names_in_the_catalogue_are_what_it_says() -> None:
    models = catalogue(
        {"id": "gpt-4o", "upstream": "gemini-2.5-pro"}, {"id": "fast", "aliases": ["o3-mini"]}
    )

    assert models.resolve("gpt-4o").name_at(WIDGET) == "gemini-2.5-pro"
    assert models.resolve("o3-mini").id == "fast"
    assert models.resolve("gpt-4").id == "gemini-auto"


def test_an_id_wins_over_an_alias_of_the_same_name() -> None:
    models = catalogue({"id": "mine", "aliases": ["gemini-2.5-pro"]})

    assert models.resolve("gemini-2.5-pro").id == "gemini-2.5-pro"


def test_the_default_may_be_an_alias_or_a_new_model() -> None:
    assert catalogue(default="gemini-business").resolve(None).id == "gemini-auto"
    assert catalogue({"id": "mine"}, default="mine").resolve("gpt-4o").id == "mine"


@pytest.mark.parametrize(
    ("cooling", "tools"),
    [
        ((), ALL_TOOLS),
        (("text",), ALL_TOOLS),
        (("images",), ("webGroundingSpec", "toolRegistry", "videoGenerationSpec")),
        (("videos", "images", "text"), ("webGroundingSpec", "toolRegistry")),
    ],
)
def test_a_model_may_do_without_the_tools_whose_quota_rests(
    cooling: tuple[QuotaClass, ...], tools: tuple[str, ...]
) -> None:
    model = catalogue().resolve("gemini-2.5-pro")

    found = model.without(cooling)

    assert (found.tools, replace(found, tools=model.tools)) == (tools, model)


def test_a_model_for_pictures_keeps_its_tool() -> None:
    model = Model("pictures", {WIDGET: None}, ("imageGenerationSpec",), "images")

    assert model.without(["images", "videos"]) == model
