"""The upstream's calls for one account, apart from all others, over a connection that keeps what it
carries.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from gbproxy.engine import calling
from gbproxy.engine.building import Services
from gbproxy.observability.meter import SILENT
from gbproxy.outbound.recording import RecordingHttpClient
from gbproxy.settings import Settings
from gbproxy.storage.tokens_cookies import CookieRows
from gbproxy.upstreams.widget.auth import WidgetAuth
from gbproxy.upstreams.widget.widget import Widget


@dataclass(frozen=True, slots=True)
class RecordedUpstream:
    """It signs in anew, whatever tokens are stored; cookies that are renewed on the way are kept
    for all.
    """

    auth: WidgetAuth
    widget: Widget
    outbound: RecordingHttpClient


@contextmanager
def recorded(engine: Services, settings: Settings | None = None) -> Iterator[RecordedUpstream]:
    """`settings`: in place of the engine's, to try something else."""
    settings = settings or engine.settings
    outbound = RecordingHttpClient(**calling.outbound_options(settings))
    try:
        endpoints = calling.endpoints(settings)
        auth = WidgetAuth(outbound, endpoints, cookies=CookieRows(engine.database, engine.cipher))
        yield RecordedUpstream(
            auth, calling.widget(settings, outbound, auth, endpoints, SILENT), outbound
        )
    finally:
        outbound.close()
