"""The model that follows instructions, whatever schemas these hold."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gbproxy.domain.tools import FunctionTool, Tools
from gbproxy.emulation.tool_calls import wording
from gbproxy.simulator.widget.obedient import follow
from tests.support.tool_calls import MARK

ODD: tuple[Any, ...] = (None, 1, 1.5, True, "x", [], [[]], [{}], {}, {"a": 1})


@pytest.mark.parametrize("keyword", ["type", "properties", "required", "items", "enum"])
@pytest.mark.parametrize("odd", ODD, ids=json.dumps)
@pytest.mark.parametrize("place", ["outer", "inner"])
def test_a_schema_that_is_none_is_followed_as_far_as_it_can_be_read(
    keyword: str, odd: Any, place: str
) -> None:
    inner = {"type": "array", "items": {"type": "string"}}
    schema: dict[str, Any] = {"type": "object", "properties": {"a": inner}, "required": ["a"]}
    (schema if place == "outer" else inner)[keyword] = odd
    tools = Tools((FunctionTool("weather", "", schema),))
    prompt = f"{wording.instruction(tools, MARK)}\n\nWhat is the weather?"

    assert follow([prompt], "as_told", "fenced") is not None
