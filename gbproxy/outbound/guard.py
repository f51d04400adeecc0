"""Opens connections to hosts that clients name, to addresses that were checked and to no others.

A host is looked up once. The address that was checked is the one that is connected to, or that a
proxy is told; the host's name is used for nothing but the Host header, SNI and the certificate. So
a name that leads elsewhere at the next lookup leads nowhere.
"""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Any, TypeVar

from urllib3.connection import ProxyConfig
from urllib3.util import parse_url

from gbproxy.outbound import socks5
from gbproxy.outbound.adapter import SOCKET_OPTIONS, public_context, tls_context
from gbproxy.outbound.addresses import Address, is_public
from gbproxy.outbound.connections import (
    Connection,
    PlainInSecureProxy,
    SecureConnection,
    SecureSocksConnection,
    SocksConnection,
)
from gbproxy.outbound.web_url import WebUrl
from gbproxy.settings.network import ProxyAddress

Resolver = Callable[[str], Iterable[str]]
"""The addresses of a host's name. Raises OSError when there are none."""
Policy = Callable[[Address], bool]
"""True for an address that may be connected to."""

_MOST_ADDRESSES = 4  # that are tried
_CONNECTIONS = {"http": Connection, "https": SecureConnection}
_SOCKS_CONNECTIONS = {"http": SocksConnection, "https": SecureSocksConnection}
_SOCKS_PORT = 1080
_Result = TypeVar("_Result")


class AddressDenied(Exception):
    """The host leads, or one of its addresses leads, where nothing may be fetched."""


class HostUnknown(Exception):
    """The host's name has no address."""


def look_up(name: str) -> Iterable[str]:
    """Ask the system, the hosts file included."""
    return [str(found[4][0]) for found in socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)]


class GuardedConnector:
    """`resolve` and `is_allowed` are for tests; safe for use by many threads at once."""

    def __init__(
        self,
        *,
        proxy: str | None = None,
        ca_bundle: Path | None = None,
        resolve: Resolver = look_up,
        is_allowed: Policy = is_public,
    ) -> None:
        self._proxy = ProxyAddress.parse(proxy) if proxy else None
        self._proxy_tls = tls_context(ca_bundle)
        self._tls = _public_tls_context(ca_bundle)
        self._resolve = resolve
        self._is_allowed = is_allowed

    def connect(self, url: WebUrl, until: float) -> Connection:
        """Connect to the URL's host, `until` a moment of the monotonic clock at the latest.

        Raises AddressDenied, HostUnknown, TimeoutError, and what urllib3 and the system raise.
        """
        addresses = self.addresses(url.host, until)[:_MOST_ADDRESSES]
        for left in range(len(addresses), 0, -1):
            connection: Connection = self._connection(url, str(addresses[-left]))
            # One that does not answer must not use up the time of all.
            connection.timeout = seconds_left(until) / left
            try:
                connection.connect()
            except Exception:
                connection.close()
                if left == 1:
                    raise
            else:
                return connection
        raise HostUnknown

    def addresses(self, host: Address | str, until: float) -> Sequence[Address]:
        """The host's addresses, all of them allowed. Raises AddressDenied when one is not."""
        found = self._found(host, until) if isinstance(host, str) else [host]
        # Also where others are good: which one is connected to is nobody's choice.
        if not all(map(self._is_allowed, found)):
            raise AddressDenied
        return found

    def _found(self, name: str, until: float) -> list[IPv4Address | IPv6Address]:
        try:
            found = _within(seconds_left(until), lambda: list(self._resolve(name)))
        except TimeoutError:
            raise
        except (OSError, UnicodeError) as error:
            raise HostUnknown from error
        return [ip_address(address) for address in dict.fromkeys(found)]

    def _connection(self, url: WebUrl, address: str) -> Any:
        options: dict[str, Any] = {"socket_options": SOCKET_OPTIONS}
        if url.scheme == "https":
            options |= {"ssl_context": self._tls, "server_hostname": url.name}
        if self._proxy is None:
            return _CONNECTIONS[url.scheme](address, url.port, **options)
        proxy = parse_url(self._proxy.url)
        if self._proxy.is_socks:
            return _SOCKS_CONNECTIONS[url.scheme](
                self._socks_options(proxy), address, url.port, **options
            )
        return self._tunnel(url, address, proxy, options)

    def _tunnel(self, url: WebUrl, address: str, proxy: Any, options: dict[str, Any]) -> Any:
        """Also for http: a proxy that is sent a whole URL takes the Host header from that."""
        is_secure = proxy.scheme == "https"
        kind: type[Any] = _CONNECTIONS[url.scheme]
        if is_secure and url.scheme == "http":
            kind, options = PlainInSecureProxy, {**options, "ssl_context": self._tls}
        connection = kind(
            proxy.host,
            proxy.port or (443 if is_secure else 80),
            proxy=proxy,
            proxy_config=ProxyConfig(
                ssl_context=self._proxy_tls,
                use_forwarding_for_https=False,
                assert_hostname=None,
                assert_fingerprint=None,
            ),
            **options,
        )
        shown = self._proxy.authorization if self._proxy is not None else None
        headers = {"Proxy-Authorization": shown} if shown is not None else {}
        connection.set_tunnel(address, url.port, headers, scheme=proxy.scheme)
        return connection

    def _socks_options(self, proxy: Any) -> Any:
        known = self._proxy
        return {
            "socks_version": socks5.VERSION,
            "proxy_host": proxy.host,
            "proxy_port": proxy.port or _SOCKS_PORT,
            "username": known.user if known is not None else None,
            "password": known.password if known is not None else None,
            "rdns": True,  # it is given addresses only
        }


def _public_tls_context(ca_bundle: Path | None) -> ssl.SSLContext:
    """Trusts the public authorities, and CA_BUNDLE's too: a proxy may open TLS on the way."""
    if ca_bundle is None:
        return tls_context(None)
    context = public_context()
    is_dir = ca_bundle.is_dir()
    context.load_verify_locations(
        cafile=None if is_dir else str(ca_bundle), capath=str(ca_bundle) if is_dir else None
    )
    return context


def _within(seconds: float, work: Callable[[], _Result]) -> _Result:
    """The result of `work`, which cannot be interrupted. Raises TimeoutError and leaves it to
    itself when it takes longer.
    """
    done: Future[_Result] = Future()

    def run() -> None:
        try:
            done.set_result(work())
        except BaseException as error:  # noqa: BLE001  it is raised where it is waited for
            done.set_exception(error)

    threading.Thread(target=run, name="looking-up", daemon=True).start()
    return done.result(seconds)


def seconds_left(until: float) -> float:
    """Until this moment of the monotonic clock. Raises TimeoutError when it has passed."""
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError("timed out")
    return left
