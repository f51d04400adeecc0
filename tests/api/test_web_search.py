"""The ways to ask for a web search, and what the answer says of its sources."""

from __future__ import annotations

import json
from typing import Any

import pytest
from openai.types.chat import ChatCompletion

from gbproxy.api.openai.encoder import CompletionEncoder
from gbproxy.api.openai.request import parse
from gbproxy.api.openai.web_search import is_wanted
from gbproxy.domain.events import Answer, Citation, Done, Started, TextDelta
from gbproxy.errors import BadRequest

FUNCTION = {"type": "function", "function": {"name": "f", "parameters": {}}}
SEARCH = {"type": "web_search"}
SOURCE = Citation(0, 3, "https://example.com/r", "Ex\u2028ample", "example.com")


def parsed(**fields: Any) -> tuple[bool, tuple[str, ...]]:
    """True if a search is wanted, and what is ignored."""
    found = parse({"messages": [{"role": "user", "content": "Hi"}], **fields})
    return found.chat.web_search, found.ignored


@pytest.mark.parametrize(
    "fields",
    [
        {"web_search_options": {}},
        {"web_search_options": True},
        {"enable_search": True},
        {"web_search": True},
        {"web_search": {}},
        {"tools": [SEARCH]},
        {"tools": [{"type": "web_search_preview"}]},
        {"tools": [{"type": "web_search_preview_2025_03_11"}]},
        {"tools": [{"type": "web_search", "web_search": {"enable": True}}]},
    ],
)
def test_a_search_is_asked_for_in_many_ways(fields: dict[str, Any]) -> None:
    assert parsed(**fields) == (True, ())


@pytest.mark.parametrize(
    ("fields", "ignored"),
    [
        ({}, ()),
        ({"web_search_options": None, "tools": []}, ()),
        ({"web_search_options": False}, ("web_search_options",)),
        ({"enable_search": False}, ("enable_search",)),
        ({"enable_search": {}}, ("enable_search",)),
        ({"web_search": "yes"}, ("web_search",)),
        ({"web_search": {"enable": False}}, ("web_search",)),
        ({"tools": [{"type": "web_search", "web_search": {"enable": False}}]}, ()),
        ({"tools": [SEARCH], "tool_choice": "none"}, ()),
    ],
)
def test_what_asks_for_none_narrows_nothing(
    fields: dict[str, Any], ignored: tuple[str, ...]
) -> None:
    wanted, named = parsed(**fields)

    assert not wanted
    assert set(named) - {"tools", "tool_choice"} == set(ignored)


@pytest.mark.parametrize("value", [True, 7, "x", [], {}, {"enable": 7}, [{}]], ids=repr)
def test_no_way_of_asking_is_refused_for_its_type(value: object) -> None:
    parsed(web_search_options=value, enable_search=value, web_search=value)


def test_functions_beside_a_search_do_not_hide_it() -> None:
    assert parsed(tools=[FUNCTION, SEARCH], tool_choice="auto")[0]


@pytest.mark.parametrize("type_", [None, 7, [], "web_searching", "function"])
def test_a_tool_of_another_kind_is_no_search(type_: object) -> None:
    assert not is_wanted({}, [{"type": type_}], None)


def test_settings_of_the_search_that_have_no_effect_are_named() -> None:
    options = {"search_context_size": "low", "user_location": {"type": "approximate"}}

    assert parsed(web_search_options=options) == (
        True,
        ("web_search_options.search_context_size", "web_search_options.user_location"),
    )


def test_a_required_search_is_refused_as_nobody_can_promise_it() -> None:
    with pytest.raises(BadRequest) as caught:
        parsed(tools=[SEARCH], tool_choice="required")

    assert caught.value.param == "tool_choice"


# Annotations


def encoder(**fields: Any) -> CompletionEncoder:
    return CompletionEncoder(parse({"messages": [{"role": "user", "content": "Hi"}], **fields}))


def test_sources_come_in_one_chunk_before_the_finish_reason() -> None:
    made = encoder(stream=True)
    events = (Started("m"), TextDelta("Tea."), SOURCE, Citation(4, 4, "https://other.org/"), Done())

    body = b"".join(made.feed(event) for event in events)

    *_, sources, finish, done = body.decode().split("\n\n")[:-1]
    [choice] = json.loads(sources.removeprefix("data: "))["choices"]
    assert choice["finish_reason"] is None
    assert choice["delta"] == {
        "annotations": [
            {
                "type": "url_citation",
                "url_citation": {
                    "start_index": 0,
                    "end_index": 3,
                    "title": "Ex\u2028ample",
                    "url": "https://example.com/r",
                },
            },
            {
                "type": "url_citation",
                "url_citation": {
                    "start_index": 4,
                    "end_index": 4,
                    "title": "https://other.org/",
                    "url": "https://other.org/",
                },
            },
        ]
    }
    assert "\u2028" not in sources  # where readers of lines would split it
    [last] = json.loads(finish.removeprefix("data: "))["choices"]
    assert (last["delta"], last["finish_reason"]) == ({}, "stop")
    assert done == "data: [DONE]"


def test_a_source_is_called_by_its_site_where_it_has_no_title() -> None:
    body = encoder().whole(Answer("m", "Tea.", citations=[Citation(0, 3, "u", "", "example.com")]))

    message = ChatCompletion.model_validate_json(body, strict=True).choices[0].message
    assert message.annotations is not None
    [annotation] = message.annotations
    assert annotation.url_citation.title == "example.com"


@pytest.mark.parametrize("citations", [[], [Citation(0, 3, "", "A file of the company")]])
def test_without_an_address_there_is_no_annotation(citations: list[Citation]) -> None:
    body = encoder().whole(Answer("m", "Tea.", citations=citations))

    assert "annotations" not in json.loads(body)["choices"][0]["message"]
