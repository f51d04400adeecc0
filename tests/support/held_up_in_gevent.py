"""Uses a database in a process that gevent has patched and that is held up meanwhile, and prints how
many calls have failed.
"""

from __future__ import annotations

if __name__ == "__main__":
    from gevent import monkey

    monkey.patch_all()

import sys

import gevent
from gevent.monkey import get_original
from sqlalchemy import text

from gbproxy.errors import StorageUnavailable
from gbproxy.storage.database import REQUEST_TIMEOUT_S, Database

HELD_UP_S = 3 * REQUEST_TIMEOUT_S  # by then a server on a busy machine has answered
ROUNDS = 2
_hold_up = get_original("time", "sleep")  # the whole process, and takes nothing from the server


def failures(url: str, *, calls: int, is_connected: bool) -> int:
    """Of calls that have waited for a round of the event loop more each time."""
    return sum(_failed(url, calls, is_connected, rounds) for rounds in range(ROUNDS))


def _failed(url: str, calls: int, is_connected: bool, rounds: int) -> int:
    database = Database(url)
    if is_connected:
        gevent.joinall([gevent.spawn(_is_answered, database) for _ in range(calls)])
    greenlets = [gevent.spawn(_is_answered, database) for _ in range(calls)]
    for _ in range(rounds):
        gevent.sleep(0)
    _hold_up(HELD_UP_S)
    failed = sum(not greenlet.get() for greenlet in greenlets)
    database.close()
    return failed


def _is_answered(database: Database) -> bool:
    try:
        database.fetch(text("SELECT 1"))
    except StorageUnavailable:
        return False
    return True


if __name__ == "__main__":
    told = (
        failures(sys.argv[1], calls=1, is_connected=True),
        failures(sys.argv[1], calls=1, is_connected=False),
        failures(sys.argv[1], calls=20, is_connected=True),
    )
    sys.stdout.write(str(told))
