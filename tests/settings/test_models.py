"""The entries of MODELS, and DEFAULT_MODEL."""

from __future__ import annotations

import pytest

from gbproxy.domain.catalogue import built_in_names
from gbproxy.settings import SettingsError, load
from tests.support.environments import KNOWN, models, problem_of, problems_of


@pytest.mark.parametrize("variable", ["ACCOUNTS", "MODELS"])
@pytest.mark.parametrize(
    "value",
    ["{", "hunter2", '{"a": 1}', '"hunter2"', "[" * 100_000, "[" + "1" * 5000 + "]", "[hunter2]"],
)
def test_what_is_no_json_array_is_refused_and_not_shown(variable: str, value: str) -> None:
    problem = problem_of({variable: value})

    assert problem.startswith(f"{variable}: ")
    assert "a JSON array" in problem
    assert "hunter2" not in problem


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        (
            {"id": "mine", "successor": "none-such"},
            "MODELS[0].successor: is no model of the catalogue",
        ),
        (
            {"id": "mine", "fallback": "none-such"},
            "MODELS[0].fallback: is no model of the catalogue",
        ),
        ({"id": "mine", "fallback": "mine"}, "MODELS[0].fallback: leads back to mine"),
        (
            {"id": "mine", "aliases": ["my"], "fallback": "my"},
            "MODELS[0].fallback: leads back to mine",
        ),
        (
            {"id": "gemini-auto", "fallback": "gemini-business"},
            "MODELS[0].fallback: leads back to gemini-auto",
        ),
        (
            {"id": "mine", "aliases": ["gemini-2.5-pro"]},
            "MODELS[0].aliases: gemini-2.5-pro is a model of the catalogue itself",
        ),
    ],
)
def test_a_name_in_models_that_could_never_work_is_a_mistake(
    entry: dict[str, object], problem: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        load(models(entry), KNOWN)

    assert caught.value.problems == [problem]


def test_a_built_in_alias_may_be_given_to_another_model() -> None:
    loaded = load(models({"id": "mine", "aliases": ["auto", "gemini-3.1-pro"]}), built_in_names())

    assert loaded.models[0].aliases == ("auto", "gemini-3.1-pro")


def test_fallbacks_that_lead_in_a_circle_are_a_mistake_of_each() -> None:
    problems = problems_of(
        models(
            {"id": "a", "fallback": "b"},
            {"id": "b", "fallback": "c"},
            {"id": "c", "fallback": "b"},
            {"id": "d", "fallback": "gemini-auto"},
        )
    )

    assert problems == [
        "MODELS[1].fallback: leads back to b",
        "MODELS[2].fallback: leads back to c",
    ]


def test_a_chain_of_fallbacks_has_an_end() -> None:
    chain = [{"id": f"m{n}", "fallback": f"m{n + 1}"} for n in range(5)]

    assert problems_of(models(*chain, {"id": "m5"})) == [
        "MODELS[0].fallback: 5 models follow; at most 4 may"
    ]
    assert load(models(*chain[1:], {"id": "m5"}), KNOWN).models[0].fallback == "m2"


def test_a_model_entry_keeps_apart_what_is_given_and_what_is_not() -> None:
    full = {
        "id": "pro",
        "upstream": None,
        "tools": ["webGroundingSpec"],
        "quota": "images",
        "aliases": ["p"],
        "successor": "gemini-2.5-pro",
    }

    first, second = load(models(full, {"id": "vendor/m:1"})).models

    assert (first.id, first.upstream, "upstream" in first.model_fields_set) == ("pro", None, True)
    assert (first.tools, first.quota, first.aliases) == (("webGroundingSpec",), "images", ("p",))
    assert first.successor == "gemini-2.5-pro"
    assert (second.upstream, "upstream" in second.model_fields_set) == (None, False)
    assert (second.tools, second.quota, second.aliases, second.successor) == (
        None,
        None,
        None,
        None,
    )


@pytest.mark.parametrize(
    ("bad", "field"),
    [
        ({}, ".id"),
        ({"id": 5}, ".id"),
        ({"id": ""}, ".id"),
        ({"id": "a b"}, ".id"),
        ({"id": "m" * 129}, ".id"),
        ({"id": "m", "upstream": 5}, ".upstream"),
        ({"id": "m", "tools": ["hammer"]}, ".tools[0]"),
        ({"id": "m", "tools": "webGroundingSpec"}, ".tools"),
        ({"id": "m", "quota": "gold"}, ".quota"),
        ({"id": "m", "aliases": ["ok", "not ok"]}, ".aliases[1]"),
        ({"id": "m", "successor": "\n"}, ".successor"),
        ({"id": "m", "colour": 1}, ".colour"),
        ({"id": "m", "a\nb": 1}, ".?"),
        ({"id": "m", "\ud800": 1}, ""),
        ("m", ""),
    ],
)
def test_a_bad_model_is_named_by_its_index_and_field(bad: object, field: str) -> None:
    assert problem_of(models({"id": "fine"}, bad)).startswith(f"MODELS[1]{field}: ")


@pytest.mark.parametrize(
    "second", [{"id": "m"}, {"id": "n", "aliases": ["m"]}, {"id": "n", "aliases": ["x"]}]
)
def test_two_model_entries_cannot_share_a_name(second: dict[str, object]) -> None:
    problem = problem_of(models({"id": "m", "aliases": ["x", "m"]}, second))

    assert problem.startswith("MODELS: entries 0 and 1 have the same id or alias, ")


@pytest.mark.parametrize("name", ["gemini-2.5-pro", "mine", "my-alias"])
def test_the_default_model_may_be_any_of_the_catalogue(name: str) -> None:
    environ = {"DEFAULT_MODEL": name, **models({"id": "mine", "aliases": ["my-alias"]})}

    assert load(environ, KNOWN).default_model == name


def test_an_unknown_default_model_is_refused_with_the_known_ones() -> None:
    problem = problem_of({"DEFAULT_MODEL": "gpt-4o", **models({"id": "mine"})})

    assert problem.startswith("DEFAULT_MODEL: ")
    assert problem.endswith("gemini-2.5-pro, gemini-auto, gemini-business, mine")


def test_the_default_model_is_not_looked_up_without_a_catalogue() -> None:
    assert load({"DEFAULT_MODEL": "anything"}).default_model == "anything"


def test_the_older_name_of_the_automatic_model_is_read_as_the_new_one() -> None:
    environ = {"DEFAULT_MODEL": "gemini-business"}

    assert load(environ, frozenset({"gemini-auto"})).default_model == "gemini-auto"
    assert (
        load({**environ, **models({"id": "gemini-business"})}, KNOWN).default_model
        == "gemini-business"
    )
