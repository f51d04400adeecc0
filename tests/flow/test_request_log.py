"""The request log of a real gateway: of all workers, soon after the request, and none lost when it
is stopped. Nothing that was said is in the database.
"""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

from tests.support.polling import until
from tests.support.serving import PATIENT, Served, SharedUpstream, serving

ADMIN_KEY = "ak-test-5b3c9e71d2f84a60"
SECRET_KEY = "a-secret-key-for-tests-1"
SAID = "the-secret-question"


def logged(gateway: Served) -> dict[str, dict[str, Any]]:
    """By request id."""
    reply = gateway.request(
        "GET", "/api/admin/requests?limit=500", headers={"Authorization": f"Bearer {ADMIN_KEY}"}
    )
    return {each["request_id"]: each for each in reply.json()["requests"]}


def ask(gateway: Served, id_: str, *, stream: bool) -> None:
    question = {"messages": [{"role": "user", "content": SAID}], "stream": stream}
    headers = {
        "Authorization": f"Bearer {gateway.key}",
        "Content-Type": "application/json",
        "x-request-id": id_,
    }
    reply = gateway.request("POST", "/v1/chat/completions", json.dumps(question), headers)
    assert reply.status == 200


def test_requests_of_all_workers_are_logged_and_none_is_lost_at_the_end(tmp_path: Path) -> None:
    file = tmp_path / "gbproxy.db"
    settings = {
        "ADMIN_KEY": ADMIN_KEY,
        "SECRET_KEY": SECRET_KEY,
        "DATABASE_URL": f"sqlite:///{file}",
        "WEB_CONCURRENCY": "2",
        "GRACEFUL_TIMEOUT_S": "20",
    }
    with (
        SharedUpstream() as upstream,
        serving({**upstream.environment(), **settings}, command=PATIENT) as gateway,
    ):
        ask(gateway, "streamed", stream=True)
        ask(gateway, "whole", stream=False)
        gateway.request(
            "GET", "/v1/models", headers={"Authorization": "Bearer no", "x-request-id": "refused"}
        )
        until(lambda: logged(gateway).keys() == {"streamed", "whole", "refused"})
        rows = logged(gateway)
        last = [f"last-{number}" for number in range(8)]
        for id_ in last:
            ask(gateway, id_, stream=True)
        gateway.stop()

    assert rows["streamed"]["is_streamed"]
    assert not rows["whole"]["is_streamed"]
    for id_ in ("streamed", "whole"):
        row = rows[id_]
        assert (row["status"], row["code"], row["surface"]) == (200, None, "openai_chat")
        assert (row["model"], row["account_name"], row["attempts"]) == ("gemini-auto", "default", 1)
        assert 0 < row["ttft_ms"] <= row["duration_ms"]
        assert row["input_tokens"] > 0
        assert row["output_tokens"] > 0
    assert (rows["refused"]["status"], rows["refused"]["code"]) == (401, "invalid_api_key")
    with sqlite3.connect(file) as database:
        found = {id_ for (id_,) in database.execute("SELECT request_id FROM request_log")}
        dump = "\n".join(database.iterdump())
    database.close()
    assert found == {"streamed", "whole", "refused", *last}
    assert SAID not in dump
