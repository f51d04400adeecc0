"""A connection that stands ready: whoever asks next waits neither for TCP nor for TLS.

urllib3 has no way to open a connection without a request, so this reaches into its pool. Where that
is not found as expected, nothing is opened ahead.
"""

from __future__ import annotations

from typing import Any

from urllib3.connection import HTTPConnection
from urllib3.util.wait import wait_for_read

_POOL_PARTS = ("_get_conn", "_put_conn", "_prepare_proxy", "proxy", "scheme")


def warm(pool: Any, connect_s: float) -> None:
    """Open a connection unless one stands ready in this pool of urllib3's. Raises what urllib3 and
    the system raise.
    """
    waiting = getattr(getattr(pool, "pool", None), "queue", None)
    if not isinstance(waiting, list) or not all(hasattr(pool, part) for part in _POOL_PARTS):
        return
    # The one that is taken next is only looked at: a request that comes now must find it, and it
    # may just have been taken.
    if waiting and waiting[-1] is not None and _is_silent(waiting[-1]):
        return
    connection = pool._get_conn()
    try:
        if not connection.is_connected:
            connection.timeout = connect_s
            if pool.proxy is not None and pool.scheme == "https":
                pool._prepare_proxy(connection)
            else:
                connection.connect()
    except BaseException:
        connection.close()
        raise
    finally:
        pool._put_conn(connection)


def _is_silent(connection: HTTPConnection) -> bool:
    """Whether it is open and nothing waits to be read."""
    sock = connection.sock
    try:
        return sock is not None and not wait_for_read(sock, timeout=0.0)
    except (OSError, ValueError):  # closed at this moment
        return False
