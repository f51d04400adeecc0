"""The content of a backup as JSON.

Version 1 has, by table, the rows of `BackupRows`: each with the columns that the table had when it
was written. Columns that were added since may be missing, and so may `times`; columns that this
version does not have are refused, as they may limit what a key is allowed.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

from gbproxy.backup.envelope import BackupError
from gbproxy.storage.backup import COLUMNS, REQUIRED, BackupRow, BackupRows
from gbproxy.version import __version__


def write(rows: BackupRows, clock: Callable[[], float] = time.time) -> bytes:
    """`clock`: Unix seconds."""
    tables = {each.name: [dict(row) for row in getattr(rows, each.name)] for each in fields(rows)}
    content = {"made_at": clock(), "made_by": __version__, **tables}
    return json.dumps(content, ensure_ascii=False).encode("utf-8", "surrogatepass")


def read(content: bytes) -> BackupRows:
    """Raises BackupError when this version cannot use it."""
    try:
        tables = {"times": [], **json.loads(content)}
        return BackupRows(
            **{
                each.name: tuple(_row(each.name, row) for row in tables[each.name])
                for each in fields(BackupRows)
            }
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise BackupError("the content of the file is none of a backup") from None


def _row(table: str, row: Mapping[str, Any]) -> BackupRow:
    unknown = sorted(row.keys() - set(COLUMNS[table]))
    if unknown:
        raise BackupError(
            f"the file has {', '.join(unknown)} of {table}, which this gbproxy does not know:"
            " import it with a newer one"
        )
    if any(row.get(name) is None for name in REQUIRED[table]):
        raise ValueError
    return {name: row.get(name) for name in COLUMNS[table]}
