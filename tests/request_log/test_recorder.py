"""Finished requests wait in memory until they are written; an outage loses none up to a bound."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from gbproxy.errors import StorageUnavailable
from gbproxy.observability.request_context import RequestContext
from gbproxy.request_log.recorder import FLUSH_S, NOT_LOGGED, RequestLog
from gbproxy.storage.database import Database
from gbproxy.storage.prepare import prepare
from gbproxy.storage.request_log import RequestLogRows, Wanted
from tests.support.clock import Clock


class Rows(RequestLogRows):
    """Remembers what it is given; while `is_away` it fails."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(Database("sqlite://"), clock)
        self.is_away = False
        self.added: list[Mapping[str, Any]] = []

    def add(self, values: Sequence[Mapping[str, Any]]) -> None:
        if self.is_away:
            raise StorageUnavailable("away")
        self.added += values

    @property
    def ids(self) -> list[str]:
        return [each["request_id"] for each in self.added]


class Harness:
    def __init__(self, most_waiting: int = 1000) -> None:
        self.clock = Clock()
        self.rows = Rows(self.clock)
        self.log = RequestLog(
            self.rows,
            7,
            key_names=lambda: {"0f": "laptop"},
            account_names=lambda: {"a1": "anna"},
            most_waiting=most_waiting,
            clock=self.clock,
            pause=lambda s: None,
        )

    def record(self, *ids: str, surface: str = "openai_chat", **fields: object) -> None:
        for id_ in ids:
            self.log.record(RequestContext(id_, log_fields=dict(fields)), surface, 200)


@pytest.fixture
def harness() -> Harness:
    return Harness()


def dropped(caplog: pytest.LogCaptureFixture) -> list[int]:
    return [
        vars(each)["requests"] for each in caplog.records if each.message == "request_log.dropped"
    ]


def test_requests_are_written_every_few_seconds(harness: Harness) -> None:
    harness.record("one", "two")
    harness.log.flush_if_due()
    assert harness.rows.ids == []

    harness.clock.now += FLUSH_S
    harness.log.flush_if_due()

    assert harness.rows.ids == ["one", "two"]
    harness.record("three")
    harness.clock.now -= 3600  # the clock was set back
    harness.log.flush_if_due()
    assert harness.rows.ids == ["one", "two", "three"]


def test_a_row_has_what_the_log_line_has_and_the_names(harness: Harness) -> None:
    context = RequestContext(
        "it",
        ttft_ms=412.4,
        attempts=2,
        log_fields={
            "key": "0f", "model": "gemini-auto", "account": "a1", "code": "overloaded",
            "stream": True, "input_tokens": 10, "output_tokens": 20, "prompt_chars": 40,
        },
    )  # fmt: skip
    harness.log.record(context, "openai_chat", 503)

    harness.log.flush()

    (row,) = harness.rows.added
    assert row.pop("duration_ms") >= 0
    assert row.pop("id") >> 10 == int(harness.clock.now * 1_000_000)
    assert row == {
        "request_id": "it", "key": "0f", "key_name": "laptop", "surface": "openai_chat",
        "model": "gemini-auto", "account": "a1", "account_name": "anna", "status": 503,
        "code": "overloaded", "ttft_ms": 412, "input_tokens": 10, "output_tokens": 20,
        "attempts": 2, "is_streamed": True,
    }  # fmt: skip


def test_a_client_that_left_is_an_error_of_its_own(harness: Harness) -> None:
    harness.record("left", client_gone=True)

    harness.log.flush()

    assert harness.rows.added[0]["code"] == "client_gone"


def test_what_no_column_takes_is_made_so_that_it_does(harness: Harness) -> None:
    harness.record("odd", account="a\0\ud800b")

    harness.log.flush()

    assert harness.rows.added[0]["account"] == "a?b"


@pytest.mark.parametrize("surface", sorted(NOT_LOGGED))
def test_administration_and_probes_are_not_logged(harness: Harness, surface: str) -> None:
    harness.record("it", surface=surface)

    harness.log.flush()

    assert harness.rows.ids == []


@pytest.mark.parametrize("status", [404, 405])
def test_what_reached_no_route_is_not_logged(harness: Harness, status: int) -> None:
    harness.log.record(RequestContext("a scan"), "none", status)
    harness.log.record(RequestContext("turned away"), "none", 503)

    harness.log.flush()

    assert harness.rows.ids == ["turned away"]


def test_the_console_s_own_look_at_the_models_is_not_logged(harness: Harness) -> None:
    harness.record("its page", surface="openai_models", key="console")
    harness.record("its question", surface="openai_chat", key="console")
    harness.record("a client", surface="openai_models", key="0f")

    harness.log.flush()

    assert harness.rows.ids == ["its question", "a client"]


def test_an_outage_loses_nothing_up_to_the_bound(caplog: pytest.LogCaptureFixture) -> None:
    harness = Harness(most_waiting=120)
    harness.rows.is_away = True
    for number in range(125):
        harness.record(str(number))
        if number % 50 == 0:
            with pytest.raises(StorageUnavailable):
                harness.log.flush()
    harness.rows.is_away = False

    with caplog.at_level(logging.WARNING, "gbproxy"):
        harness.log.flush()
        harness.log.flush()

    assert harness.rows.ids == [str(number) for number in range(5, 125)]
    assert dropped(caplog) == [5]


def test_at_the_end_all_is_written_once_more(
    harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    harness.record("last")
    harness.log.close()
    assert harness.rows.ids == ["last"]

    harness.rows.is_away = True
    harness.record("lost", "lost too")
    with caplog.at_level(logging.WARNING, "gbproxy"):
        harness.log.close()

    assert dropped(caplog) == [2]


def test_several_batches_are_stored(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/gbproxy.db"
    prepare(url, ["a-secret-key-for-tests-1"])
    database, clock = Database(url), Clock()
    log = RequestLog(RequestLogRows(database, clock), 7, clock=clock, pause=lambda s: None)
    for number in range(120):
        log.record(RequestContext(str(number)), "openai_chat", 200)

    log.flush()

    assert len(log.rows.page(Wanted(), 200)) == 120
    database.close()
