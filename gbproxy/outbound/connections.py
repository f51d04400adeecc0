"""urllib3's connections and their pools, with what is demanded of them here: deadlines, and answers
that ended exactly.
"""

from __future__ import annotations

import contextlib
import copy
import math
import os
import socket
import ssl
import threading
import time
from concurrent.futures import Future
from typing import Any

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.contrib.socks import SOCKSHTTPConnectionPool, SOCKSHTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError
from urllib3.util.connection import allowed_gai_family
from urllib3.util.wait import wait_for_read

from gbproxy.observability import request_context
from gbproxy.outbound import socks5
from gbproxy.outbound.answer import Answer, has_buffered


class Connection(HTTPConnection):
    """Connects by a deadline; is closed after an answer that did not end exactly."""

    _answer: Answer | None = None
    _connecting: socket.socket | None = None  # a second handle, as TLS takes the first one away
    _is_given_up = False

    def connect(self) -> None:
        """Look up the name, connect, shake hands with proxy and TLS: all of it within `timeout`.
        Raises ConnectTimeoutError.

        No single timeout covers that, and a lookup has none. So it is done by a thread, on a
        connection of its own, which is left to itself when its time is over: nothing that it still
        does can touch this one.
        """
        twin = copy.copy(self)
        connecting: Future[None] = Future()

        def work() -> None:
            try:
                super(Connection, twin).connect()
            except BaseException as error:  # noqa: BLE001  it is raised where it is waited for
                connecting.set_exception(error)
            else:
                connecting.set_result(None)

        threading.Thread(target=work, name="connecting", daemon=True).start()
        try:
            connecting.result(self.timeout)
        except BaseException as error:
            self._has_connected_to_proxy = twin._has_connected_to_proxy
            twin._give_up()
            connecting.add_done_callback(lambda _: twin.close())
            if isinstance(error, TimeoutError):
                raise ConnectTimeoutError(self, "connecting took too long") from error
            raise
        vars(self).update(vars(twin))
        self._forget_connecting()

    def _new_conn(self) -> socket.socket:
        sock = self._connect_to_one_of(self._addresses())
        self._connecting = socket.socket(fileno=os.dup(sock.fileno()))
        # Only now: `_give_up` in the other thread either finds the handle or is seen here.
        if self._is_given_up:
            sock.close()
            self._forget_connecting()
            raise TimeoutError("this connection was given up")
        return sock

    def _addresses(self) -> list[str]:
        """The host's addresses in the order to try; the host itself if the lookup fails, so that
        connecting raises the reason.
        """
        try:
            found = socket.getaddrinfo(
                self._dns_host.strip("[]"), self.port, allowed_gai_family(), socket.SOCK_STREAM
            )
        except (OSError, UnicodeError):
            return [self._dns_host]
        return list(dict.fromkeys(str(address[0]) for *_, address in found)) or [self._dns_host]

    def _connect_to_one_of(self, addresses: list[str]) -> socket.socket:
        """Try each for its share of the time that is left: one that does not answer must not use up
        all of it.
        """
        host, timeout_s = self._dns_host, self.timeout
        started = time.monotonic()
        try:
            for left in range(len(addresses), 1, -1):
                self._dns_host = addresses[-left]
                if timeout_s is not None:
                    self.timeout = max(0.001, started + timeout_s - time.monotonic()) / left
                with contextlib.suppress(ConnectTimeoutError, NewConnectionError):
                    return super()._new_conn()
            self._dns_host, self.timeout = addresses[-1], timeout_s
            return super()._new_conn()
        finally:
            self._dns_host, self.timeout = host, timeout_s

    def _give_up(self) -> None:
        """End what is still done to connect."""
        self._is_given_up = True
        if self._connecting is not None:
            with contextlib.suppress(OSError):
                self._connecting.shutdown(socket.SHUT_RDWR)
        self._forget_connecting()

    def _forget_connecting(self) -> None:
        connecting, self._connecting, self._answer = self._connecting, None, None
        if connecting is not None:
            connecting.close()

    def response_class(  # type: ignore[override]
        self, sock: Any, debuglevel: int = 0, method: str | None = None
    ) -> Answer:
        until = math.inf if self.timeout is None else time.monotonic() + self.timeout
        self._answer = Answer(sock, debuglevel, method, until=until)
        return self._answer

    def getresponse(self) -> Any:
        # What is waited for from now on is the upstream's answer.
        request_context.current().note_sent()
        return super().getresponse()

    def end_exchange(self) -> None:
        """The connection is no longer in use: close it unless the last answer ended exactly."""
        answer, self._answer = self._answer, None
        if answer is not None and not answer.ended_exactly:
            self.close()


class SecureConnection(Connection, HTTPSConnection):
    """With TLS 1.3 a server sends tickets after the handshake; urllib3 takes anything unread for
    the connection's end.
    """

    @property
    def is_connected(self) -> bool:
        if self.sock is None or has_buffered(self.sock):
            return False
        return super().is_connected or has_tickets_only(self.sock)


class SocksConnection(Connection, socks5.Connection):
    def _addresses(self) -> list[str]:
        return [self._dns_host]  # which is the proxy's to look up, or the connection's own


class SecureSocksConnection(SecureConnection, socks5.SecureConnection):
    def _addresses(self) -> list[str]:
        return [self._dns_host]


class _TunnelInTls(HTTPSConnection):
    def connect(self) -> None:
        self.sock = self._connect_tls_proxy(self.host, self._new_conn())
        self._has_connected_to_proxy = True
        self._tunnel()


class PlainInSecureProxy(Connection, _TunnelInTls):
    """Plain HTTP in a tunnel through a proxy that is itself spoken to in TLS: urllib3 has only
    forwarding for that.
    """


class _Pool(urllib3.HTTPConnectionPool):
    ConnectionCls: type[Any] = Connection

    def _put_conn(self, conn: Any) -> None:
        if conn is not None:
            conn.end_exchange()
        super()._put_conn(conn)


class _SecurePool(_Pool, urllib3.HTTPSConnectionPool):
    ConnectionCls: type[Any] = SecureConnection


class _SocksPool(_Pool, SOCKSHTTPConnectionPool):
    ConnectionCls = SocksConnection


class _SecureSocksPool(_SecurePool, SOCKSHTTPSConnectionPool):
    ConnectionCls = SecureSocksConnection


POOLS = {"http": _Pool, "https": _SecurePool}
SOCKS_POOLS = {"http": _SocksPool, "https": _SecureSocksPool}


def has_tickets_only(sock: Any) -> bool:
    """True if only session tickets have arrived: reading them leaves nothing. Anything else is the
    end, or bytes that no request asked for.
    """
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


# A connection that stands ready: the next request waits neither for TCP nor for TLS. urllib3 has no
# way to open one without a request, so this reaches into its pool; where that is not as expected,
# nothing is opened ahead.
_POOL_PARTS = ("_get_conn", "_put_conn", "_prepare_proxy", "proxy", "scheme")


def prewarm(pool: Any, connect_s: float) -> None:
    """Open a connection unless one stands ready in this pool of urllib3's. Raises what urllib3 and
    the system raise.
    """
    waiting = getattr(getattr(pool, "pool", None), "queue", None)
    if not isinstance(waiting, list) or not all(hasattr(pool, part) for part in _POOL_PARTS):
        return
    # The one that is taken next is only looked at: a request that comes now must find it, and it
    # may just have been taken.
    if waiting and waiting[-1] is not None and _is_idle(waiting[-1]):
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


def _is_idle(connection: HTTPConnection) -> bool:
    """True if it is open and nothing waits to be read."""
    sock = connection.sock
    try:
        return sock is not None and not wait_for_read(sock, timeout=0.0)
    except (OSError, ValueError):  # closed at this moment
        return False
