"""The request log's rows: pages that stay as they are, searches, sums, and what is removed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, text

from gbproxy.request_log.overview import Overview
from gbproxy.storage.database import Database
from gbproxy.storage.migrate import migrate
from gbproxy.storage.request_log import RequestLogRows, Total, Wanted, new_id
from tests.support.clock import NOON, Clock
from tests.support.databases import CIPHER, Open
from tests.support.delays import Delays
from tests.support.logged_requests import logged

HOUR_S = 3600.0
DAY_S = 24 * HOUR_S
EVERYTHING = Wanted()


@pytest.fixture
def rows(database: Database, clock: Clock) -> RequestLogRows:
    return RequestLogRows(database, clock, most=5, sleep=lambda s: None)


def found(rows: RequestLogRows, wanted: Wanted = EVERYTHING) -> list[str]:
    return [each.request_id for each in rows.page(wanted, 100)]


def test_a_row_comes_back_as_it_was(rows: RequestLogRows) -> None:
    rows.add([logged(NOON + 0.123456, request_id="it")])

    (each,) = rows.page(Wanted(), 10)

    assert each.ended_at == pytest.approx(NOON + 0.123456, abs=2e-6)
    assert (each.request_id, each.key, each.key_name) == ("it", "0f", "laptop")
    assert (each.account, each.account_name, each.model) == ("a1", "anna", "gemini-auto")
    assert (each.status, each.code, each.is_streamed) == (200, None, True)
    assert (each.ttft_ms, each.duration_ms, each.attempts) == (400, 2000, 1)
    assert (each.input_tokens, each.output_tokens) == (10, 20)


def test_what_is_written_twice_is_there_once(rows: RequestLogRows) -> None:
    """As after a connection that broke while it was told that all is stored."""
    rows.add([logged(NOON, request_id="one")])

    rows.add([logged(NOON, request_id="one"), logged(NOON + 1, request_id="two")])

    assert found(rows) == ["two", "one"]


def test_pages_go_on_where_the_last_ended_while_new_rows_come(rows: RequestLogRows) -> None:
    rows.add([logged(NOON + n, request_id=str(n)) for n in range(4)])
    first = rows.page(Wanted(), 2)
    rows.add([logged(NOON + 9, request_id="new")])

    second = rows.page(Wanted(), 2, first[-1].cursor)

    assert [each.request_id for each in (*first, *second)] == ["3", "2", "1", "0"]


@pytest.mark.parametrize(
    "wanted",
    [
        Wanted(key=("else", "it")),
        Wanted(model=("it",)),
        Wanted(account=("it",)),
        Wanted(status=(429,)),
        Wanted(code=("it",)),
        Wanted(request_id=("it",)),
        Wanted(key=("it",), model=("it",), status=(429,)),
    ],
)
def test_each_field_is_searched(rows: RequestLogRows, wanted: Wanted) -> None:
    its = dict.fromkeys(("key", "model", "account", "code", "request_id"), "it")
    rows.add([logged(NOON), logged(NOON + 1, status=429, **its), logged(NOON + 2)])

    assert found(rows, wanted) == ["it"]


def test_a_search_and_a_sum_use_an_index(tmp_path: Path, opened: Open) -> None:
    """In SQLite. PostgreSQL's planner goes by statistics: below it is timed."""
    database = opened(f"sqlite:///{tmp_path}/gbproxy.db")
    migrate(database, CIPHER)
    plans = {
        "key = 'x'": "ix_request_log_key_id",
        "model = 'x'": "ix_request_log_model_id",
        "account = 'x'": "ix_request_log_account_id",
        "status = 429": "ix_request_log_status_id",
        "code = 'x'": "ix_request_log_code_id",
        "request_id = 'x'": "ix_request_log_request_id",
        "id >= 1 AND id < 2": "INTEGER PRIMARY KEY",
    }
    for condition, index in plans.items():
        query = f"SELECT * FROM request_log WHERE {condition} ORDER BY id DESC LIMIT 50"
        plan = " ".join(
            str(each[3]) for each in database.fetch(text(f"EXPLAIN QUERY PLAN {query}"))
        )

        assert index in plan
        assert "TEMP B-TREE" not in plan


def test_sums_are_by_all_that_tells_requests_apart(rows: RequestLogRows) -> None:
    rows.add([
        logged(NOON, ttft_ms=401),
        logged(NOON + 1, ttft_ms=419),
        logged(NOON + 2, ttft_ms=None, code="overloaded", input_tokens=None, output_tokens=None),
        logged(NOON + 60, ttft_ms=3),
    ])  # fmt: skip

    totals = rows.totals(NOON, NOON + 60)

    assert set(totals) == {
        Total(*of, *each)
        for of in (
            ("model", "gemini-auto", None),
            ("key", "0f", "laptop"),
            ("account", "a1", "anna"),
        )
        for each in ((None, 412, 2, 20, 40), ("overloaded", None, 1, 0, 0))
    }


@pytest.mark.parametrize(
    ("ttft_ms", "about_ms"),
    [(0, 5), (99, 95), (200, 212), (999, 975), (1000, 1050), (9999, 9750), (61_000, 62_500)],
)
def test_a_first_token_is_summed_to_within_a_tenth(
    rows: RequestLogRows, ttft_ms: int, about_ms: int
) -> None:
    rows.add([logged(NOON, ttft_ms=ttft_ms)])

    assert {each.first_ms for each in rows.totals(NOON, NOON + 1)} == {about_ms}


def test_old_rows_and_too_many_go(rows: RequestLogRows, clock: Clock) -> None:
    rows.add([logged(NOON - 3 * DAY_S - n, request_id="old") for n in range(120)])
    rows.add([logged(NOON - n * 0.4 * HOUR_S, request_id=str(n)) for n in range(7)])

    removed = rows.trim(3 * DAY_S - 1)

    assert removed == 122
    assert found(rows) == ["0", "1", "2", "3", "4"]
    rows.add([logged(NOON + 60, request_id="new"), logged(NOON - 0.1 * HOUR_S, request_id="late")])
    clock.now += HOUR_S
    assert rows.trim(3 * DAY_S) == 2
    assert found(rows) == ["new", "0", "late", "1", "2"]
    assert rows.trim(0) == 5
    assert rows.trim(0) == 0


ONE_OF_A_MILLION = {
    "sqlite": "WITH RECURSIVE series(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM series WHERE n <"
    " 999999)",
    "postgresql": "WITH series(n) AS (SELECT generate_series(CAST(0 AS BIGINT), 999999))",
}
FILL = """INSERT INTO request_log (id, request_id, key, key_name, surface, model, account,
 account_name, status, code, ttft_ms, duration_ms, input_tokens, output_tokens, attempts,
 is_streamed) {series}
 SELECT {first} + n * {step}, 'request-' || n, 'key' || n % 7, 'name' || n % 7, 'openai_chat',
 'model' || n % 5, 'account' || n % 11, 'name' || n % 11,
 CASE WHEN n % 50 = 0 THEN 429 ELSE 200 END,
 CASE WHEN n = 500 THEN 'seldom' WHEN n % 50 = 0 THEN 'rate_limit_exceeded' END,
 n * 37 % 9000, 2000, 10, 20, 1, n % 2 = 0 FROM series"""


@contextmanager
def closing_engine(database: Database) -> Iterator[Engine]:
    engine = create_engine(database.url)
    yield engine
    engine.dispose()


@pytest.mark.slow
def test_a_million_rows_are_searched_and_summed_up_quickly(
    database: Database, clock: Clock
) -> None:
    rows = RequestLogRows(database, clock, sleep=lambda s: None)
    first, end = new_id(NOON - DAY_S, 0), new_id(NOON, 0)
    fill = FILL.format(
        series=ONE_OF_A_MILLION[database.kind], first=first, step=(end - first) // 1_000_000
    )
    # Without the short limit of time that statements of the gateway have.
    with closing_engine(database) as engine, engine.begin() as connection:
        connection.execute(text(fill))
        connection.execute(text("ANALYZE" if database.kind == "postgresql" else "SELECT 1"))

    def took_s(act: Callable[[], object]) -> float:
        with Delays() as machine:
            began_at = time.perf_counter()
            act()
            took_s = time.perf_counter() - began_at
        return took_s - machine.total_s

    searches = {
        "all": EVERYTHING,
        "request id": Wanted(request_id=("request-500000",)),
        "a frequent key": Wanted(key=("key3",)),
        "a seldom error": Wanted(code=("seldom",)),
        "an error of an account": Wanted(code=("rate_limit_exceeded",), account=("account3",)),
        "no such account": Wanted(account=("none",), model=("model1",), status=(200,)),
        "what excludes itself": Wanted(key=("key0",), code=("seldom",)),
    }
    times = {
        name: took_s(lambda wanted=wanted: rows.page(wanted, 51))  # type: ignore[misc]
        for name, wanted in searches.items()
    }
    slices = [
        took_s(lambda start=start: rows.totals(start, start + 300))  # type: ignore[misc]
        for start in range(int(NOON - DAY_S), int(NOON), 300)
    ]
    overview = Overview(rows, 7, clock)
    once, again = took_s(lambda: overview.report("day")), took_s(lambda: overview.report("day"))
    trimmed = took_s(lambda: rows.trim(7 * DAY_S))
    said = {**times, "longest slice": max(slices), "day": once, "day again": again, "trim": trimmed}

    assert len(rows.page(EVERYTHING, 51)) == 51
    assert overview.report("day").summary.all.requests > 950_000
    # Of milliseconds each; a busy machine takes its time.
    assert max(times.values()) < 1, said
    assert max(slices) < 1, said
