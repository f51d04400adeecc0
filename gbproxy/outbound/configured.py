"""The clients that the settings describe."""

from __future__ import annotations

from typing import TypeVar

from gbproxy.outbound.client import HttpClient
from gbproxy.outbound.fetch import FileFetcher
from gbproxy.outbound.timeouts import Timeouts
from gbproxy.settings import Settings

Client = TypeVar("Client", bound=HttpClient)


def make_client(settings: Settings, kind: type[Client]) -> Client:
    """The HTTP client for the upstreams, with the settings' timeouts, proxy and certificates."""
    return kind(
        timeouts=Timeouts(
            settings.connect_timeout_s, settings.read_timeout_s, settings.request_timeout_s
        ),
        proxy=_proxy(settings),
        ca_bundle=settings.ca_bundle,
        pool_size=settings.worker_connections,
    )


def make_fetcher(settings: Settings) -> FileFetcher:
    """What fetches the files that clients link to."""
    return FileFetcher(proxy=_proxy(settings), ca_bundle=settings.ca_bundle)


def _proxy(settings: Settings) -> str | None:
    return settings.proxy.get_secret_value() if settings.proxy else None
