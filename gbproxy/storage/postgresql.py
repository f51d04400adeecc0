"""psycopg's connection with a limit in time: a server that says nothing must not hold requests for
ever.

The limit is kept here, and nothing is set in the server's session: a pooler in between gives that
to others. What has come by its end counts: it may have passed while this process was held up, and
says nothing of the server then.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

import psycopg
from psycopg.pq import TransactionStatus

_CANCEL_S = 3.0
_LATE_S = 0.2  # of the limit, from when this process looks: for what has come meanwhile


class Bounded(psycopg.Connection[Any]):
    """Ends itself when a statement is not answered within `left_s()` seconds; None: waits.

    With it ends what the server is still doing for it, and might do for long: waiting for a lock,
    for instance.
    """

    left_s: Callable[[], float] | None = None
    _is_given_up = False

    @property
    def broken(self) -> bool:
        return self._is_given_up or super().broken

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        if timeout is None and self.left_s is not None and not self._is_given_up:
            gen = _within(self.left_s(), gen)
        try:
            return super().wait(gen, interval, timeout)
        except psycopg.OperationalError:
            if self._is_active:
                self.close()  # the answer may still come, and would be taken for another's
            raise

    def close(self) -> None:
        if self._is_given_up:
            return
        if self._is_active:
            self._is_given_up = True
            threading.Thread(target=self._cancel_and_close, name="cancelling", daemon=True).start()
        else:
            super().close()

    @property
    def _is_active(self) -> bool:
        return self.pgconn.transaction_status == TransactionStatus.ACTIVE

    def _cancel_and_close(self) -> None:
        """In this order: a pooler finds what is to be cancelled by the connection that has asked
        for it.
        """
        with suppress(psycopg.Error):
            self.cancel_safe(timeout=_CANCEL_S)
        super().close()


def _within(seconds: float, steps: Generator[int, int, Any]) -> Generator[int, int, Any]:
    """psycopg's steps of waiting, which end with OperationalError when time is up."""
    until, is_late = time.monotonic() + seconds - _LATE_S, False
    try:
        awaited = next(steps)
        while True:
            came = yield awaited
            if time.monotonic() >= until:
                if is_late:
                    raise psycopg.OperationalError("the server does not answer in time")
                until, is_late = time.monotonic() + _LATE_S, True
            awaited = steps.send(came)
    except StopIteration as end:
        return end.value


def connect(left_s: Callable[[], float] | None, *arguments: Any, **keywords: Any) -> Bounded:
    """`left_s`: how many seconds may still be waited for what is being done; None: waits."""
    if left_s is None:
        return Bounded.connect(*arguments, autocommit=True, **keywords)
    connection = _connected(left_s(), arguments, keywords)
    connection.left_s = left_s
    return connection


def _connected(within_s: float, arguments: Any, keywords: Any) -> Bounded:
    """Connect aside: psycopg waits for two seconds at least, and for a name's address as long as
    that takes.
    """
    opening: Future[Bounded] = Future()

    def work() -> None:
        try:
            opening.set_result(Bounded.connect(*arguments, autocommit=True, **keywords))
        except Exception as error:  # noqa: BLE001  it is raised where it is waited for
            opening.set_exception(error)

    threading.Thread(target=work, name="connecting", daemon=True).start()
    try:
        with suppress(TimeoutError):
            return opening.result(max(0.0, within_s - _LATE_S))
        return opening.result(min(_LATE_S, within_s))  # no longer, where time was up before
    except TimeoutError:
        opening.add_done_callback(_close)
        raise psycopg.errors.ConnectionTimeout("the server cannot be reached in time") from None
    except BaseException:  # the client has left
        opening.add_done_callback(_close)
        raise


def _close(opened: Future[Bounded]) -> None:
    if opened.exception() is None:
        opened.result().close()
