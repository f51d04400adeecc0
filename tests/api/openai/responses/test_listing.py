"""Pages of a response's input items."""

from __future__ import annotations

import pytest

from gbproxy.api.openai.responses.listing import Page
from gbproxy.errors import BadRequest

ITEMS = [{"id": f"msg_{i}"} for i in range(5)]


def ids(**arguments: str) -> list[str]:
    return [item["id"] for item in Page.of(arguments).of_items(ITEMS)["data"]]


def test_the_newest_come_first_unless_asked_otherwise() -> None:
    assert ids() == ["msg_4", "msg_3", "msg_2", "msg_1", "msg_0"]
    assert ids(order="asc", limit="2") == ["msg_0", "msg_1"]
    assert ids(order="asc", after="msg_1", limit="2") == ["msg_2", "msg_3"]
    assert ids(after="msg_1") == ["msg_0"]
    assert ids(after="msg_0") == []


def test_a_page_tells_its_ends_and_if_there_is_more() -> None:
    page = Page.of({"limit": "2"}).of_items(ITEMS)
    empty = Page.of({}).of_items([])

    assert (page["first_id"], page["last_id"], page["has_more"]) == ("msg_4", "msg_3", True)
    assert (empty["first_id"], empty["last_id"], empty["has_more"]) == (None, None, False)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("limit", "0"),
        ("limit", "101"),
        ("limit", "1001"),
        ("limit", "-1"),
        ("limit", "many"),
        ("limit", "²"),
        ("order", "up"),
        ("after", "msg_9"),
    ],
)
def test_what_is_wrong_is_refused_by_its_name(name: str, value: str) -> None:
    with pytest.raises(BadRequest) as refused:
        Page.of({name: value}).of_items(ITEMS)

    assert refused.value.param == name
