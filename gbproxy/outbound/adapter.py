"""The transport: requests' HTTPAdapter with one TLS context, over our pools of connections."""

from __future__ import annotations

import socket
import ssl
from functools import cache
from pathlib import Path
from typing import Any

import certifi
import requests
import requests.adapters
from urllib3.connection import HTTPConnection

from gbproxy.outbound.answer import Answer
from gbproxy.outbound.pools import POOLS, SOCKS_POOLS
from gbproxy.settings.network import ProxyAddress

# By default the system buffers up to 32 MB of each answer that is not read.
SOCKET_OPTIONS = (
    *HTTPConnection.default_socket_options,
    (socket.SOL_SOCKET, socket.SO_RCVBUF, 512 * 1024),
)
_KNOWN_URLS = 1024


class Adapter(requests.adapters.HTTPAdapter):
    """An HTTPAdapter with one TLS context for all its connections: reading the CA bundle costs 10
    ms each time.

    For one proxy, or none. It keeps no cookies of an answer: `set_cookies` reads the header.
    """

    def __init__(self, ca_bundle: Path | None, pool_size: int, proxy: ProxyAddress | None) -> None:
        self._context = tls_context(ca_bundle)
        self._proxy = proxy
        # By address: to look for one, and to take the address apart, takes longer than sending.
        self._pools: dict[str | None, Any] = {}
        self._targets: dict[str | None, str] = {}
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
            _keep(self._pools, request.url, pool)
        return pool

    def request_url(self, request: requests.PreparedRequest, proxies: Any) -> str:
        target = self._targets.get(request.url)
        if target is None:
            target = super().request_url(request, proxies)
            _keep(self._targets, request.url, target)
        return target

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """Leave trust to the context, which requires a valid certificate and the right host
        name.
        """
        conn.cert_reqs = "CERT_REQUIRED"

    def build_response(self, req: requests.PreparedRequest, resp: Any) -> requests.Response:
        """Give requests' response over an answer of our pools, as `raw`."""
        answer: Answer = resp
        response = requests.Response()
        response.status_code = answer.status
        response.headers = answer.headers  # type: ignore[assignment]  # in any case, too
        response.raw = answer
        response.reason = answer.reason
        response.url = req.url or ""
        response.request = req
        response.connection = self
        return response


def _keep(known: dict[str | None, Any], url: str | None, value: Any) -> None:
    if len(known) >= _KNOWN_URLS:
        known.clear()
    known[url] = value


def tls_context(ca_bundle: Path | None) -> ssl.SSLContext:
    """Trusts the authorities of `ca_bundle` alone, else the system's, else certifi's: that one is
    shared.
    """
    if ca_bundle is None:
        return _shared_context()
    is_dir = ca_bundle.is_dir()
    return ssl.create_default_context(
        cafile=None if is_dir else str(ca_bundle), capath=str(ca_bundle) if is_dir else None
    )


@cache
def _shared_context() -> ssl.SSLContext:
    return public_context()


def public_context() -> ssl.SSLContext:
    """A new one that trusts the system's authorities, else certifi's. It takes 30 ms."""
    context = ssl.create_default_context()
    if not context.cert_store_stats()["x509_ca"] and not _has_ca_directory():
        context.load_verify_locations(certifi.where())
    return context


def _has_ca_directory() -> bool:
    capath = ssl.get_default_verify_paths().capath
    return capath is not None and any(Path(capath).iterdir())
