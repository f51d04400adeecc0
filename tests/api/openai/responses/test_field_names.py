"""Errors of what lies behind this API name its fields as its clients have sent them."""

from __future__ import annotations

import pytest

from gbproxy.api.openai.responses import field_names
from gbproxy.errors import BadRequest, ContextLengthExceeded, GatewayError


@pytest.mark.parametrize(
    ("error", "param"),
    [
        (ContextLengthExceeded("Too long.", param="messages"), "input"),
        (BadRequest("No such model.", param="model"), "model"),
        (BadRequest("Not JSON."), None),
    ],
)
def test_an_error_names_the_field_of_this_api(error: GatewayError, param: str | None) -> None:
    with pytest.raises(GatewayError) as raised, field_names.in_errors():
        raise error

    assert raised.value is error
    assert raised.value.param == param
