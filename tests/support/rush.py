"""A worker's worth of greenlets that all claim at once: `python -m tests.support.rush URL WORKER
GREENLETS HEAD`.

Patched as under gunicorn. Begins when a line comes on stdin; prints as JSON what was claimed and
how long the hub stood.
"""

from __future__ import annotations

from gevent import monkey

monkey.patch_all()

import json  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402
from collections.abc import Callable  # noqa: E402
from functools import partial  # noqa: E402
from typing import TypeVar  # noqa: E402

import gevent  # noqa: E402

from gbproxy.errors import StorageUnavailable  # noqa: E402
from gbproxy.storage.database import Database  # noqa: E402
from gbproxy.storage.sessions import SessionRows  # noqa: E402

_BEAT_S = 0.002
_PAUSE_S = 0.1
# of a call: one that has failed may have been done on a server that was late, and its session is
# lost
_PATIENT_S = 30.0
_sleep = monkey.get_original("time", "sleep")

T = TypeVar("T")


class Heart:
    """Beats every two milliseconds, and knows by how much a beat was late at most; and by how much
    one of a thread was, which only the machine holds up.
    """

    def __init__(self) -> None:
        self.late_s = 0.0
        self.machine_late_s = 0.0
        self._stopped = False
        self._beating = gevent.spawn(self._beat)
        self._thread = gevent.get_hub().threadpool.spawn(self._beat_in_a_thread)

    def _beat(self) -> None:
        while True:
            before = time.perf_counter()
            gevent.sleep(_BEAT_S)  # the lateness of its end is what is measured
            self.late_s = max(self.late_s, time.perf_counter() - before - _BEAT_S)

    def _beat_in_a_thread(self) -> None:
        while not self._stopped:
            before = time.perf_counter()
            _sleep(_BEAT_S)
            late_s = time.perf_counter() - before - _BEAT_S
            self.machine_late_s = max(self.machine_late_s, late_s)

    def stop(self) -> None:
        self._beating.kill()
        self._stopped = True
        self._thread.get()


def persistently(call: Callable[[], T]) -> T:
    """A request would do without the database when that has no time for it; here nobody gives
    up.
    """
    while True:
        try:
            return call()
        except StorageUnavailable:
            gevent.sleep(_PAUSE_S)  # as a client that is told to come back later


def main(url: str, worker: str, greenlets: int, head: bytes) -> None:
    database = Database(url, request_timeout_s=_PATIENT_S)
    rows = SessionRows(database, time.time, lambda: worker)
    persistently(lambda: rows.claim_history(b"\x00" * 32))  # imports and connects
    print("ready", flush=True)  # noqa: T201
    sys.stdin.readline()
    heart = Heart()
    claimed: list[str] = []

    def claim() -> None:
        while (session := persistently(lambda: rows.claim_history(head))) is not None:
            claimed.append(session.name)
            # What a request does at its end: one more write, in competition with all others.
            kept = {
                "history_digest": b"\x02" * 32,
                "key_digest": b"\xaa" * 32,
                "conversation": "c",
                "expires_at": time.time() + 60,
            }
            persistently(partial(rows.commit, session, **kept))

    gevent.joinall([gevent.spawn(claim) for _ in range(greenlets)], raise_error=True)
    heart.stop()
    database.close()
    late_ms = (heart.late_s - heart.machine_late_s) * 1000
    print(json.dumps({"claimed": claimed, "late_ms": late_ms}))  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), bytes.fromhex(sys.argv[4]))
