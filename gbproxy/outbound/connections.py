"""urllib3's connections, which connect by a deadline and send a request in one piece."""

from __future__ import annotations

import contextlib
import copy
import os
import socket
import ssl
import threading
import time
from collections.abc import Iterable
from concurrent.futures import Future
from typing import Any

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import (
    ConnectTimeoutError,
    NewConnectionError,
    ProtocolError,
)
from urllib3.util.connection import allowed_gai_family

from gbproxy.outbound import socks5
from gbproxy.outbound.timeouts import Deadline


class Connection(HTTPConnection):
    """Connects by a deadline, to the last step."""

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
        connecting, self._connecting = self._connecting, None
        if connecting is not None:
            connecting.close()

    @property
    def is_connected(self) -> bool:
        return self.sock is not None and is_quiet(self.sock)

    def send_request(self, pieces: Iterable[bytes], deadline: Deadline) -> None:
        """Send head and body. Raises OSError, ProtocolError, and UpstreamTimeout when the deadline
        passes between two pieces: a peer may take them ever so slowly.
        """
        sock = self.sock
        try:
            for piece in pieces:
                if deadline.is_over():
                    raise deadline.overrun()
                sock.settimeout(deadline.connect_timeout)
                # `sendall` of gevent asks the system for the size of its buffer first.
                sent = sock.send(piece)
                if sent < len(piece):
                    sock.sendall(memoryview(piece)[sent:])
        except (BrokenPipeError, ConnectionResetError):
            pass  # there may be an answer all the same
        except TimeoutError as error:
            if deadline.is_over():
                raise deadline.overrun() from error
            raise ProtocolError("the request could not be sent in time") from error


class SecureConnection(Connection, HTTPSConnection):
    pass


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


def is_quiet(sock: Any) -> bool:
    """True if nothing has come to an idle connection but session tickets, which TLS 1.3 sends after
    the handshake. Anything else is its end, or bytes that no request asked for.

    Asks the socket itself: to poll it goes through gevent's loop (saves 14 µs of a call). Never
    left out, however young the connection is: an answer to nobody (408) may come at any moment, and
    would be taken for the next request's.
    """
    try:
        sock.settimeout(0)
        sock.recv(1)
    except (BlockingIOError, ssl.SSLWantReadError):
        return True
    except (OSError, ValueError):
        return False
    return False
