"""Connections through a SOCKS5 proxy, with every user and password. Source: RFC 1928, RFC 1929

PySocks leaves out a user without a password, and garbles the length of one with more than 127
bytes.
"""

from __future__ import annotations

import socket
from typing import Any

import socks  # type: ignore[import-untyped]
from urllib3.contrib.socks import SOCKSConnection, SOCKSHTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

VERSION = socks.PROXY_TYPE_SOCKS5
_NO_AUTHENTICATION, _BY_PASSWORD = b"\x05\x00", b"\x05\x02"


class Connection(SOCKSConnection):
    """urllib3's, over a socket that shows the proxy whatever user and password there are."""

    def _new_conn(self) -> Any:
        try:
            return self._connected()
        except TimeoutError as error:
            raise ConnectTimeoutError(self, "no connection in time") from error
        except (socks.ProxyError, OSError) as error:
            if isinstance(getattr(error, "socket_err", None), TimeoutError):
                raise ConnectTimeoutError(self, "no connection in time") from error
            raise NewConnectionError(self, "no connection through the proxy") from error

    def _connected(self) -> _Socket:
        """A socket that leads to the host. The proxy's addresses are tried in turn."""
        options = self._socks_options
        address = (str(options["proxy_host"]).strip("[]"), options["proxy_port"] or 1080)
        failure: Exception = OSError("the proxy has no address")
        for family, kind, protocol, _, _ in socket.getaddrinfo(*address, type=socket.SOCK_STREAM):
            sock = _Socket(family, kind, protocol)
            try:
                for option in self.socket_options or ():
                    sock.setsockopt(*option)
                sock.settimeout(self.timeout)
                sock.set_proxy(
                    options["socks_version"],
                    *address,
                    options["rdns"],
                    options["username"],
                    options["password"],
                )
                sock.connect((self.host.strip("[]"), self.port))
            except (socks.ProxyError, OSError) as error:
                sock.close()
                failure = error
            else:
                return sock
        raise failure


class SecureConnection(Connection, SOCKSHTTPSConnection):
    pass


class _Socket(socks.socksocket):  # type: ignore[misc]
    def _SOCKS5_request(self, conn: Any, cmd: bytes, dst: tuple[str, int]) -> tuple[Any, Any]:
        user, password = (value or b"" for value in self.proxy[4:])
        with conn.makefile("wb") as writer, conn.makefile("rb", 0) as reader:
            writer.write(b"\x05\x02\x00\x02" if user or password else b"\x05\x01\x00")
            writer.flush()
            chosen = self._readall(reader, 2)
            if chosen == _BY_PASSWORD and (user or password):
                writer.write(
                    b"\x01" + bytes((len(user),)) + user + bytes((len(password),)) + password
                )
                writer.flush()
                if self._readall(reader, 2)[1:] != b"\x00":
                    raise socks.SOCKS5AuthError("the proxy refuses this user and password")
            elif chosen != _NO_AUTHENTICATION:
                raise socks.SOCKS5AuthError("the proxy wants another way of signing in, or is none")
            writer.write(b"\x05" + cmd + b"\x00")
            resolved = self._write_SOCKS5_address(dst, writer)
            writer.flush()
            version, status, _ = self._readall(reader, 3)
            if (version, status) != (5, 0):
                raise socks.SOCKS5Error(
                    socks.SOCKS5_ERRORS.get(status, "the proxy answers what is not SOCKS5")
                )
            bound = self._read_SOCKS5_address(reader)
        super(socks.socksocket, self).settimeout(self._timeout)
        return resolved, bound
