"""Searches the request log by what an administrator types: names, ids, codes."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from gbproxy.errors import BadRequest
from gbproxy.storage.request_log import LoggedRequest, RequestLogRows, Wanted

FILTERS = ("key", "model", "account", "status", "code", "request_id")
COLUMNS = (
    "time", "request_id", "key", "key_name", "surface", "model", "account", "account_name",
    "status", "code", "ttft_ms", "duration_ms", "input_tokens", "output_tokens", "attempts",
    "is_streamed",
)  # fmt: skip
PAGE_ROWS = 50
MOST_ROWS_OF_A_PAGE = 500
_CSV_ROWS = 200  # read at a time: others go on between
_MOST_CHARS = 1000  # of a filter
_LARGEST = 2**63 - 1  # number of a column
# With one of these at its beginning a cell is a formula for spreadsheets.
# Source: https://owasp.org/www-community/attacks/CSV_Injection
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")

Names = Callable[[], Iterable[tuple[str, str]]]


@dataclass(frozen=True, slots=True)
class Page:
    """`next`: where older requests begin, for `before`; None: there are none."""

    requests: Sequence[LoggedRequest]
    next: str | None


class RequestSearch:
    """`keys`: fingerprint and name of each key; `accounts`: id and name of each account. `days`:
    for how long requests are kept, 0: the log is off.

    Calls raise StorageUnavailable.
    """

    def __init__(self, rows: RequestLogRows, days: float, keys: Names, accounts: Names) -> None:
        self.days = days
        self._rows = rows
        self._keys = keys
        self._accounts = accounts

    def page(
        self, given: Mapping[str, str], before: str | None = None, most: int = PAGE_ROWS
    ) -> Page:
        """The newest requests that meet all `FILTERS` that are given. Raises BadRequest."""
        start = None if not before else min(_number(before, "before"), _LARGEST)
        found = self._rows.page(self._wanted(given), most + 1, start)
        shown = found[:most]
        return Page(shown, str(shown[-1].cursor) if len(found) > most else None)

    def csv(self, given: Mapping[str, str]) -> Iterator[str]:
        """All of them as CSV, in pieces. Raises BadRequest at once."""
        return self._lines(self._wanted(given))

    def _lines(self, wanted: Wanted) -> Iterator[str]:
        yield _csv_of([COLUMNS])
        before: int | None = None
        while True:
            found = self._rows.page(wanted, _CSV_ROWS, before)
            if found:
                yield _csv_of(map(_cells, found))
                before = found[-1].cursor
            if len(found) < _CSV_ROWS:
                return

    def _wanted(self, given: Mapping[str, str]) -> Wanted:
        texts = {name: given.get(name, "").strip().replace("\0", "") for name in FILTERS}
        for name, text in texts.items():
            if len(text) > _MOST_CHARS:
                raise BadRequest(f"{name} is too long", param=name)
        status = texts["status"]
        return Wanted(
            key=_by_name(texts["key"], self._keys),
            model=_one(texts["model"]),
            account=_by_name(texts["account"], self._accounts),
            status=(_number(status, "status", most_digits=3),) if status else (),
            code=_one(texts["code"]),
            request_id=_one(texts["request_id"]),
        )


def time_text(moment: float) -> str:
    """UTC to the millisecond, by ISO 8601."""
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds")


def _one(text: str) -> tuple[str, ...]:
    return (text,) if text else ()


def _by_name(text: str, known: Names) -> tuple[str, ...]:
    """The ids of all that have this name, and the text as an id itself."""
    if not text:
        return ()
    return tuple(dict.fromkeys([text, *(id_ for id_, name in known() if name == text)]))


def _number(text: str, param: str, most_digits: int = 19) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= most_digits):
        raise BadRequest(f"{param} must be a number", param=param)
    return int(text)


def _csv_of(lines: Iterable[Iterable[object]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows(lines)
    return text.getvalue()


def _cells(request: LoggedRequest) -> list[object]:
    values = asdict(request) | {"time": time_text(request.ended_at)}
    return [_cell(values[name]) for name in COLUMNS]


def _cell(value: object) -> object:
    if isinstance(value, bool):
        return "true" if value else "false"
    is_formula = isinstance(value, str) and value.startswith(_FORMULA)
    return f"'{value}" if is_formula else value
