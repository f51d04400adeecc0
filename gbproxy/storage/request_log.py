"""The log of requests that are over: without contents, kept for days, at most MOST_ROWS of them.

Rows lie in the order of time, so a page, a search and a span of time each read what they show.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Select,
    bindparam,
    delete,
    func,
    literal_column,
    null,
    select,
)
from sqlalchemy.sql.elements import UnaryExpression
from sqlalchemy.sql.operators import custom_op

from gbproxy.domain.clock import Rest
from gbproxy.storage.database import Database
from gbproxy.storage.statements import HotStatement
from gbproxy.storage.tables import request_log as rows
from gbproxy.storage.upserts import insert

MOST_ROWS = 1_000_000  # of all days; the oldest go first
DAY_S = 86_400.0
CLIENT_GONE = "client_gone"  # in place of an error's code: the client left

Dimension = Literal["model", "key", "account"]

_SHIFT = 10  # bits of an id that stand behind its time
_NUMBERS = (1 << _SHIFT) - 1
_SLICE_S = 900.0  # counted at a time
# By then all rows are written that belong to a slice.
_SETTLED_SLICES = 4
_REMOVED_AT_ONCE = 25  # a transaction of SQLite's holds up everything else in its worker
_MOST_REMOVALS = 800  # of one trim; the next goes on

_c = rows.c
_SHOWN = [each for each in _c if each.name != "id"]
_COUNT = HotStatement(
    select(func.count()).where(_c.id >= bindparam("first"), _c.id < bindparam("end"))
)
_OLDEST = HotStatement(select(func.min(_c.id)))
_REMOVE = delete(rows).where(
    _c.id.in_(
        select(_c.id).where(_c.id < bindparam("end")).order_by(_c.id).limit(bindparam("most"))
    )
)
# Steps of a tenth of the time itself at most: few groups, of which percentiles are taken.
_STEPS_MS = (
    (200, 10), (500, 25), (1000, 50), (2000, 100), (5000, 250), (10_000, 500), (20_000, 1000),
    (50_000, 2500), (100_000, 5000), (1_000_000_000, 10_000),
)  # fmt: skip
_first_ms: ColumnElement[int] = literal_column(
    " ".join(
        (
            "CASE",
            *(
                f"WHEN ttft_ms < {end} THEN ttft_ms / {step} * {step} + {step // 2}"
                for end, step in _STEPS_MS
            ),
            "END",
        )
    )
)
_DIMENSIONS: Mapping[Dimension, tuple[ColumnElement[Any], ColumnElement[Any]]] = {
    "model": (_c.model, null()),
    "key": (_c.key, _c.key_name),
    "account": (_c.account, _c.account_name),
}


def _sums(dimension: Dimension) -> Select[Any]:
    id_, name = _DIMENSIONS[dimension]
    named = () if dimension == "model" else (name,)
    return (
        select(
            literal_column(f"'{dimension}'"),
            id_,
            name,
            _c.code,
            _first_ms,
            func.count(),
            func.coalesce(func.sum(_c.input_tokens), 0),
            func.coalesce(func.sum(_c.output_tokens), 0),
        )
        .where(_c.id >= bindparam("first"), _c.id < bindparam("end"))
        .group_by(id_, *named, _c.code, _first_ms)
    )


_TOTALS = [HotStatement(_sums(dimension)) for dimension in _DIMENSIONS]
# The first of these that is searched for leads to the fewest rows, as a rule.
_BY_SELECTIVITY = ("request_id", "code", "account", "key", "model", "status")


@dataclass(frozen=True, slots=True)
class LoggedRequest:
    """`ended_at`: Unix seconds; `cursor`: its place in the log; `key`: the fingerprint; `account`:
    the id. Names are those of that time. `code`: of its error, `client_gone` where the client left.
    """

    cursor: int
    request_id: str
    key: str | None
    key_name: str | None
    surface: str
    model: str | None
    account: str | None
    account_name: str | None
    status: int
    code: str | None
    ttft_ms: int | None
    duration_ms: int
    input_tokens: int | None
    output_tokens: int | None
    attempts: int
    is_streamed: bool

    @property
    def ended_at(self) -> float:
        return time_of(self.cursor)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is searched for: each value that is given must be met; of several, one of them."""

    key: tuple[str, ...] = ()
    model: tuple[str, ...] = ()
    account: tuple[str, ...] = ()
    status: tuple[int, ...] = ()
    code: tuple[str, ...] = ()
    request_id: tuple[str, ...] = ()


class Total(NamedTuple):
    """How many requests of one model, key or account were alike; each request is in one of each
    dimension. `id` and `name`: of the dimension, None without one; `first_ms`: about, None without
    a first token.
    """

    dimension: Dimension
    id: str | None
    name: str | None
    code: str | None
    first_ms: int | None
    requests: int
    input_tokens: int
    output_tokens: int


def id_at(moment: float) -> int:
    """The least id of a row of this moment, in Unix seconds."""
    return int(moment * 1_000_000) << _SHIFT


def new_id(moment: float, number: int) -> int:
    """The id of a row of this moment; `number` tells it from others of the same microsecond."""
    return id_at(moment) | (number & _NUMBERS)


def time_of(id_: int) -> float:
    """When the request of this row was over, in Unix seconds."""
    return (id_ >> _SHIFT) / 1_000_000


class RequestLogRows:
    """Calls raise StorageUnavailable. `clock`: Unix seconds."""

    def __init__(
        self,
        database: Database,
        clock: Callable[[], float],
        *,
        most: int = MOST_ROWS,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._database = database
        self._clock = clock
        self._most = most
        self._sleep = sleep
        self._add = insert(database, rows).on_conflict_do_nothing(index_elements=["id"])
        self._slices: dict[int, int] = {}  # rows of each that is over

    def add(self, values: Sequence[Mapping[str, Any]]) -> None:
        """Store rows; one that is stored already is left as it is."""

        def insert_all(connection: Connection) -> None:
            connection.execute(self._add, values)

        self._database.transact(insert_all)

    def page(self, wanted: Wanted, most: int, before: int | None = None) -> Sequence[LoggedRequest]:
        """The newest first; of those older than `before`, a row's cursor. Rows that come meanwhile
        change nothing about older ones.
        """
        statement = select(_c.id, *_SHOWN).order_by(_c.id.desc()).limit(most)
        if before is not None:
            statement = statement.where(_c.id < before)
        leads = True
        for name in _BY_SELECTIVITY:
            given = getattr(wanted, name)
            if given:
                column = _c[name] if leads else self._unindexed(_c[name])
                is_one = column == given[0] if len(given) == 1 else column.in_(given)
                statement = statement.where(is_one)
                leads = False
        return [LoggedRequest(*row) for row in self._database.fetch(statement)]

    def _unindexed(self, column: Column[Any]) -> ColumnElement[Any]:
        """The column, but not by its index: SQLite keeps no statistics, and would take any of those
        that fit.
        """
        if self._database.kind == "postgresql":
            return column
        return UnaryExpression(column, operator=custom_op("+"), type_=column.type)

    def totals(self, since: float, until: float) -> Sequence[Total]:
        """What was over from `since` to before `until`, in Unix seconds, in groups."""
        values = {"first": id_at(since), "end": id_at(until)}
        rest = Rest(self._sleep)
        totals: list[Total] = []
        for statement in _TOTALS:  # one by one: others go on between
            # PostgreSQL sums integers up as other numbers.
            totals += [
                Total._make((*row[:6], int(row[6]), int(row[7])))
                for row in self._database.fetch(statement, values)
            ]
            rest.if_due()
        return totals

    def trim(self, kept_s: float) -> int:
        """Remove what is older, and what is more than may be kept. Returns how many rows."""
        removed = self._remove(self._clock() - kept_s, _MOST_REMOVALS * _REMOVED_AT_ONCE)
        return removed + self._remove(self._clock(), self._count() - self._most)

    def _remove(self, before: float, most: int) -> int:
        """Remove the oldest rows, in small transactions with a rest between."""
        removed, rest = 0, Rest(self._sleep)
        most = min(most, _MOST_REMOVALS * _REMOVED_AT_ONCE)
        while removed < most:
            at_once = min(_REMOVED_AT_ONCE, most - removed)
            values = {"end": id_at(before), "most": at_once}
            count = self._database.change(_REMOVE, values)
            removed += count
            if count < at_once:
                break
            rest.if_due()
        if removed:
            self._forget_slices()
        return removed

    def _count(self) -> int:
        """All rows. By slices, of which those that are over are not counted again: counting a
        million at once would hold up everything else in this worker.
        """
        oldest = self._database.fetch(_OLDEST)[0][0]
        if oldest is None:
            return 0
        slices = range(int(time_of(oldest) // _SLICE_S), int(self._clock() // _SLICE_S) + 1)
        known = {number: self._slices[number] for number in slices if number in self._slices}
        rest = Rest(self._sleep)
        for number in slices:
            if number not in known:
                first, end = id_at(number * _SLICE_S), id_at((number + 1) * _SLICE_S)
                known[number] = self._database.fetch(_COUNT, {"first": first, "end": end})[0][0]
                rest.if_due()
        self._slices = {number: known[number] for number in slices[:-_SETTLED_SLICES]}
        return sum(known.values())

    def _forget_slices(self) -> None:
        """Of slices from which rows were removed, the number is not known any more."""
        oldest = self._database.fetch(_OLDEST)[0][0]
        first = 0 if oldest is None else time_of(oldest) // _SLICE_S
        self._slices = {number: rows for number, rows in self._slices.items() if number > first}
