"""The figures that programs plan by hold for every model, also for the upstream's own choice."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gbproxy.accounts.model_cards import ModelCard, ModelCards
from gbproxy.domain.account import WIDGET
from gbproxy.domain.catalogue import BUILT_IN
from gbproxy.domain.events import estimate_quarter_tokens, whole_tokens
from gbproxy.domain.models import Model
from gbproxy.upstreams.base import Capabilities

NATIVE = "native"
WINDOW, LONGEST_ANSWER = 1_048_576, 65_536
AUTO = BUILT_IN[0]
UNKNOWN = Model("gemini-9-neon", {WIDGET: "gemini-9-neon"})
FOREIGN = Model("llama", {NATIVE: "llama-70b"})


def card(model: Model, **upstreams: Capabilities) -> ModelCard:
    return ModelCards(
        lambda names: {name: upstreams[name] for name in names if name in upstreams}
    ).of(model)


def taking(chars: int | None, **abilities: bool) -> Capabilities:
    return Capabilities(sessions=True, roles=False, prompt_max_chars=chars, **abilities)


@pytest.mark.parametrize("model", BUILT_IN, ids=lambda model: model.id)
def test_a_built_in_model_takes_what_its_upstream_takes(model: Model) -> None:
    found = card(model, widget=taking(400_000))

    assert (found.context_tokens, found.output_tokens) == (100_000, LONGEST_ANSWER)


@pytest.mark.parametrize(
    ("model", "chars", "context", "answer"),
    [
        (AUTO, None, WINDOW, LONGEST_ANSWER),
        (AUTO, 40_000_000, WINDOW, LONGEST_ANSWER),
        (UNKNOWN, 400_000, 100_000, None),
        (UNKNOWN, None, None, None),
        (FOREIGN, 400_000, None, None),
    ],
    ids=["no limit", "a limit beyond the window", "an unknown id", "nothing known", "not served"],
)
def test_a_figure_is_given_where_it_is_known(
    model: Model, chars: int | None, context: int | None, answer: int | None
) -> None:
    found = card(model, widget=taking(chars))

    assert (found.context_tokens, found.output_tokens) == (context, answer)


def test_of_several_upstreams_the_one_that_takes_most_counts() -> None:
    model = Model("both", {WIDGET: "both", NATIVE: "both"})

    assert card(model, widget=taking(4000), native=taking(8000)).context_tokens == 2000
    assert card(model, widget=taking(4000), native=taking(None)).context_tokens is None


@given(st.text(), st.integers(1, 400))
def test_a_prompt_within_the_context_is_never_too_long(text: str, chars: int) -> None:
    found = card(AUTO, widget=taking(chars))

    assert found.context_tokens is not None
    if whole_tokens(estimate_quarter_tokens(text)) <= found.context_tokens:
        assert len(text) <= chars


@pytest.mark.parametrize(
    ("abilities", "inputs", "outputs"),
    [
        ({}, ("text",), ("text",)),
        ({"files_in": True}, ("text", "image", "audio", "file"), ("text",)),
        ({"media_out": True}, ("text",), ("text", "image", "video")),
    ],
)
def test_the_kinds_are_those_that_the_upstream_has(
    abilities: dict[str, bool], inputs: tuple[str, ...], outputs: tuple[str, ...]
) -> None:
    found = card(AUTO, widget=taking(None, **abilities))

    assert (found.inputs, found.outputs) == (inputs, outputs)


def test_a_model_makes_only_what_its_tools_make() -> None:
    found = card(AUTO.narrowed_to("imageGenerationSpec"), widget=taking(None, media_out=True))

    assert (found.outputs, found.has_web_search) == (("text", "image"), False)


@pytest.mark.parametrize(
    ("id_", "title"),
    [
        ("gemini-auto", "Gemini Auto"),
        ("gemini-3.1-pro-preview", "Gemini 3.1 Pro Preview"),
        ("painter", "Painter"),
        ("-", ""),
    ],
)
def test_an_id_is_shown_as_people_read_it(id_: str, title: str) -> None:
    assert card(Model(id_, {WIDGET: None})).display_name == title
