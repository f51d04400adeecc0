"""A connection that stands ready: whoever asks next waits neither for TCP nor for TLS.

urllib3 has no way to open a connection without a request, so this reaches into its pool. Where that is not found as
expected, nothing is opened ahead.
"""

from __future__ import annotations

import ssl
from typing import Any

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.contrib.socks import SOCKSHTTPConnectionPool, SOCKSHTTPSConnectionPool
from urllib3.util.wait import wait_for_read

from gbproxy.observability import trace
from gbproxy.outbound import socks5

_POOL_PARTS = ("_get_conn", "_put_conn", "_prepare_proxy", "proxy", "scheme")


class _Tells(HTTPConnection):
    """Notes when a request has gone out as a whole: what is waited for from then on is the upstream's answer."""

    def getresponse(self) -> Any:
        trace.current().has_sent()
        return super().getresponse()


class _OutlivesTickets(_Tells, HTTPSConnection):
    """With TLS 1.3 a server sends tickets after the handshake; urllib3 takes anything unread for the connection's end."""

    @property
    def is_connected(self) -> bool:
        return super().is_connected or (self.sock is not None and _has_tickets_only(self.sock))


class _Socks(_OutlivesTickets, socks5.SecureConnection):
    pass


class _PlainSocks(_Tells, socks5.Connection):
    pass


class _PlainPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Tells


class _Pool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _OutlivesTickets


class _PlainSocksPool(SOCKSHTTPConnectionPool):
    ConnectionCls = _PlainSocks


class _SocksPool(SOCKSHTTPSConnectionPool):
    ConnectionCls = _Socks


POOLS = {"http": _PlainPool, "https": _Pool}
SOCKS_POOLS = {"http": _PlainSocksPool, "https": _SocksPool}


def warm(pool: Any, connect_s: float) -> None:
    """Open a connection unless one stands ready in this pool of urllib3's. Raises what urllib3 and the system raise."""
    waiting = getattr(getattr(pool, "pool", None), "queue", None)
    if not isinstance(waiting, list) or not all(hasattr(pool, part) for part in _POOL_PARTS):
        return
    # The one that is taken next is only looked at: a request that comes now must find it, and it may just have been taken.
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


def _has_tickets_only(sock: Any) -> bool:
    """Take in what has arrived: tickets leave nothing to be read. Anything else nobody has asked for, or it is the end."""
    timeout = sock.gettimeout()
    try:
        sock.settimeout(0)
        sock.recv(1)
    except ssl.SSLWantReadError:
        sock.settimeout(timeout)
        return True
    except (OSError, ValueError):
        return False
    return False
