"""The transport: requests' HTTPAdapter with one TLS context, and requests prepared without what a
Session would add.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import certifi
import requests
import requests.adapters
from requests.cookies import RequestsCookieJar
from urllib3.connection import HTTPConnection

from gbproxy.outbound.connections import POOLS, SOCKS_POOLS
from gbproxy.settings.network import ProxyAddress

# By default the system buffers up to 32 MB of each answer that is not read.
SOCKET_OPTIONS = (
    *HTTPConnection.default_socket_options,
    (socket.SOL_SOCKET, socket.SO_RCVBUF, 512 * 1024),
)
_KNOWN_URLS = 1024


class Upload(Protocol):
    """A body that is made while it is sent; its length in bytes is known before."""

    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[bytes]: ...


class Adapter(requests.adapters.HTTPAdapter):
    """An HTTPAdapter with one TLS context for all its connections: reading the CA bundle costs 10
    ms each time.

    For one proxy, or none. It keeps no cookies of an answer: `set_cookies` reads the header.
    """

    def __init__(self, ca_bundle: Path | None, pool_size: int, proxy: ProxyAddress | None) -> None:
        self._context = tls_context(ca_bundle)
        self._proxy = proxy
        # by address: to find one takes a tenth of what sending a request takes
        self._pools: dict[str | None, Any] = {}
        super().__init__(pool_connections=32, pool_maxsize=pool_size)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(
            *args, ssl_context=self._context, socket_options=SOCKET_OPTIONS, **kwargs
        )
        self.poolmanager.pool_classes_by_scheme = POOLS

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        is_socks = proxy.lower().startswith("socks")
        if not is_socks:
            kwargs["proxy_ssl_context"] = self._context
        manager = super().proxy_manager_for(
            proxy, ssl_context=self._context, socket_options=SOCKET_OPTIONS, **kwargs
        )
        manager.pool_classes_by_scheme = SOCKS_POOLS if is_socks else POOLS
        if is_socks and self._proxy is not None:
            known = manager.connection_pool_kw["_socks_options"]
            known.update(username=self._proxy.user, password=self._proxy.password)
        return manager

    def proxy_headers(self, proxy: str) -> dict[str, str]:
        """Sign in to the proxy, in UTF-8; requests would write Latin-1, and no user without a
        password.
        """
        authorization = self._proxy.authorization if self._proxy is not None else None
        return {"Proxy-Authorization": authorization} if authorization is not None else {}

    def get_connection_with_tls_context(
        self, request: requests.PreparedRequest, *args: Any, **kwargs: Any
    ) -> Any:
        pool = self._pools.get(request.url)
        if pool is None or pool.pool is None:  # None: it was closed
            pool = super().get_connection_with_tls_context(request, *args, **kwargs)
            if len(self._pools) >= _KNOWN_URLS:
                self._pools.clear()
            self._pools[request.url] = pool
        return pool

    def build_response(self, req: requests.PreparedRequest, resp: Any) -> requests.Response:
        response = requests.Response()
        response.status_code = resp.status
        response.headers = resp.headers  # in any case, too
        response.raw = resp
        response.reason = resp.reason
        response.url = req.url or ""
        response.request = req
        response.connection = self
        return response

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """Leave trust to the context, which requires a valid certificate and the right host
        name.
        """
        conn.cert_reqs = "CERT_REQUIRED"


def tls_context(ca_bundle: Path | None) -> ssl.SSLContext:
    """Trusts the authorities of `ca_bundle` alone, else the system's, else certifi's."""
    if ca_bundle is not None:
        is_dir = ca_bundle.is_dir()
        return ssl.create_default_context(
            cafile=None if is_dir else str(ca_bundle), capath=str(ca_bundle) if is_dir else None
        )
    context = ssl.create_default_context()
    if not context.cert_store_stats()["x509_ca"] and not _has_ca_directory():
        context.load_verify_locations(certifi.where())
    return context


def _has_ca_directory() -> bool:
    capath = ssl.get_default_verify_paths().capath
    return capath is not None and any(Path(capath).iterdir())


def prepared(
    method: str, url: str, headers: Mapping[str, str], body: bytes | Upload | None
) -> requests.PreparedRequest:
    """A request ready to be sent. The few addresses that are asked are normalized once.

    Raises requests' InvalidURL, InvalidHeader and the like.
    """
    request = requests.PreparedRequest()
    request.method = method
    request.url = _normalized_url(url)
    request.prepare_headers(headers)
    request._cookies = RequestsCookieJar()  # type: ignore[attr-defined]
    request.body = body  # type: ignore[assignment]  # urllib3 takes any iterable
    if body is not None:
        request.headers["Content-Length"] = str(len(body))
    return request


@lru_cache(maxsize=1024)
def _normalized_url(url: str) -> str | None:
    return requests.Request("GET", url).prepare().url
