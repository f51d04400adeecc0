"""psycopg's connection with a limit in time: a server that says nothing must not hold requests for ever."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import psycopg
from psycopg.pq import TransactionStatus

_STATEMENT_S = 5.0  # the server's own limit, for what nobody waits for any more


class Bounded(psycopg.Connection[Any]):
    """Ends itself when a statement is not answered within `left_s()` seconds; None: waits."""

    left_s: Callable[[], float] | None = None

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        if timeout is None and self.left_s is not None:
            timeout = self.left_s()
        try:
            return super().wait(gen, interval, timeout)
        except psycopg.OperationalError:
            if self.pgconn.transaction_status == TransactionStatus.ACTIVE:
                self.pgconn.finish()  # its answer may still come, and would be taken for another's
            raise


def connect(left_s: Callable[[], float] | None, *arguments: Any, **keywords: Any) -> Bounded:
    """`left_s`: how many seconds may still be waited for what is being done; None: waits."""
    if left_s is None:
        return Bounded.connect(*arguments, autocommit=True, **keywords)
    connection = _connected(left_s(), arguments, keywords)
    connection.left_s = left_s
    connection.execute(f"SET statement_timeout = {round(_STATEMENT_S * 1000)}".encode())
    return connection


def _connected(within_s: float, arguments: Any, keywords: Any) -> Bounded:
    """Connect aside: psycopg waits for two seconds at least, and for a name's address as long as that takes."""
    opening: Future[Bounded] = Future()

    def work() -> None:
        try:
            opening.set_result(Bounded.connect(*arguments, autocommit=True, **keywords))
        except Exception as error:  # noqa: BLE001  it is raised where it is waited for
            opening.set_exception(error)

    threading.Thread(target=work, name="connecting", daemon=True).start()
    try:
        return opening.result(within_s)
    except TimeoutError:
        opening.add_done_callback(_close)
        raise psycopg.errors.ConnectionTimeout("the server cannot be reached in time") from None
    except BaseException:  # the client has left
        opening.add_done_callback(_close)
        raise


def _close(opened: Future[Bounded]) -> None:
    if opened.exception() is None:
        opened.result().close()
