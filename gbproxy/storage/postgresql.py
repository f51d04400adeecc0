"""psycopg's connection with a limit in time: a server that says nothing must not hold requests for ever."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg.pq import TransactionStatus


class Bounded(psycopg.Connection[Any]):
    """Ends itself when a statement is not answered within `statement_s` seconds; None: waits."""

    statement_s: float | None = None

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        try:
            return super().wait(gen, interval, self.statement_s if timeout is None else timeout)
        except psycopg.OperationalError:
            if self.pgconn.transaction_status == TransactionStatus.ACTIVE:
                self.pgconn.finish()  # its answer may still come, and would be taken for another's
            raise


def connect(statement_s: float | None, *arguments: Any, **keywords: Any) -> Bounded:
    connection = Bounded.connect(*arguments, autocommit=True, **keywords)
    if statement_s is not None:
        connection.statement_s = statement_s
        connection.execute(f"SET statement_timeout = {round(statement_s * 1000)}".encode())
    return connection
