"""What is read of stored responses, also of those that an earlier version has stored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from gbproxy.api.openai.responses.stored import History
from gbproxy.domain import jsontext
from gbproxy.domain.principal import ANONYMOUS
from gbproxy.storage.responses import ResponseRows
from tests.support.background import FragileDatabase
from tests.support.clock import Clock
from tests.support.databases import CIPHER

TRIGGER = {"type": "compaction_trigger", "id": "item_1"}
SUMMARY = {"type": "compaction", "id": "cmp_1", "encrypted_content": "…"}


@pytest.fixture
def rows(database: FragileDatabase, clock: Clock) -> ResponseRows:
    return ResponseRows(database, CIPHER, clock)


def message(said: str) -> dict[str, Any]:
    return {"type": "message", "id": f"msg_{said}", "role": "user", "content": said}


def test_of_a_conversation_with_a_summary_no_item_asks_for_one_again(rows: ResponseRows) -> None:
    def store(id_: str, previous: str | None, asked: Sequence[object], answered: object) -> None:
        content = {"input": asked, "response": {"id": id_, "output": [answered]}}
        sealed = rows.seal(jsontext.encode_bytes(content))
        rows.add(ANONYMOUS.key_digest, id_, previous, sealed)

    store("one", None, [message("a")], message("b"))
    store("two", "one", [message("c"), TRIGGER], SUMMARY)
    store("three", "two", [message("d")], message("e"))
    history = History(rows)

    assert history.items(ANONYMOUS, "one") == [message("a"), message("b")]
    assert history.items(ANONYMOUS, "three") == [SUMMARY, message("d"), message("e")]
    assert history.input_items(ANONYMOUS, "two") == [message("a"), message("b"), message("c")]
    assert history.input_items(ANONYMOUS, "three") == [SUMMARY, message("d")]
