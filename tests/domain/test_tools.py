"""Tools as a request declares them: what may be called, and when two calls are the same."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gbproxy.domain.tools import (
    NO_TOOLS,
    CustomTool,
    FunctionTool,
    Grammar,
    ToolChoice,
    Tools,
    canonical_arguments,
)

READ = FunctionTool("read", "Read a file", {"type": "object", "properties": {"path": {}}})
PATCH = CustomTool("patch", grammar=Grammar("lark", "start: WORD"))
TOOLS = Tools((READ, PATCH))


@pytest.mark.parametrize(
    ("choice", "offered", "is_required"),
    [
        (ToolChoice(), (READ, PATCH), False),
        (ToolChoice("none"), (), False),
        (ToolChoice("required"), (READ, PATCH), True),
        (ToolChoice.named("patch"), (PATCH,), True),
        (ToolChoice("auto", frozenset({"read", "gone"})), (READ,), False),
    ],
)
def test_a_choice_says_which_tools_are_offered(
    choice: ToolChoice, offered: tuple[object, ...], is_required: bool
) -> None:
    tools = Tools(TOOLS.declared, choice)

    assert tools.offered == offered
    assert tools.is_required is is_required


def test_a_digest_tells_apart_whatever_the_model_has_to_be_told() -> None:
    others = [
        NO_TOOLS,
        TOOLS,
        Tools((PATCH, READ)),
        Tools((READ,)),
        Tools((FunctionTool("read", "Read", READ.parameters), PATCH)),
        Tools((FunctionTool("read", "Read a file", {}), PATCH)),
        Tools((READ, CustomTool("patch"))),
        Tools(TOOLS.declared, ToolChoice("required")),
        Tools(TOOLS.declared, ToolChoice("auto", frozenset({"read"}))),
        Tools(TOOLS.declared, is_parallel=False),
    ]

    assert len({each.digest() for each in others}) == len(others)
    assert NO_TOOLS.digest() == b""


def test_a_digest_does_not_depend_on_the_order_of_a_schemas_keys() -> None:
    parameters = {"properties": {"path": {}}, "type": "object"}

    assert (
        Tools((FunctionTool("read", "Read a file", parameters), PATCH)).digest() == TOOLS.digest()
    )


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("", "{}"),
        (" {}\n", "{}"),
        ('{"b": 1.0, "a": [1, 2.50]}', '{"a":[1,2.5],"b":1}'),
        ('{"a":"\\u00e9"}', '{"a":"é"}'),
        (" no JSON ", "no JSON"),
        ("[" * 100_000, "[" * 100_000),
    ],
)
def test_arguments_are_the_same_however_they_were_written(text: str, canonical: str) -> None:
    assert canonical_arguments(text) == canonical


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)


@given(values)
def test_clients_may_write_arguments_in_their_own_way(value: object) -> None:
    wide = json.dumps(value, indent=2, ensure_ascii=True, sort_keys=True)
    compact = json.dumps(value, separators=(",", ":"), ensure_ascii=False)

    assert canonical_arguments(wide) == canonical_arguments(compact)
