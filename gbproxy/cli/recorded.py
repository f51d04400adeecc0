"""The upstream's calls for one account, apart from all others, over a client that keeps what it
carries.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass

from gbproxy.bootstrap import Services, make_client
from gbproxy.observability.meter import SILENT
from gbproxy.outbound.recording import RecordingHttpClient
from gbproxy.settings import Settings
from gbproxy.upstreams.widget.assembly import make_endpoints, make_widget
from gbproxy.upstreams.widget.auth import NoTokens, WidgetAuth
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
def recorded(services: Services, settings: Settings | None = None) -> Iterator[RecordedUpstream]:
    """`settings`: in place of the services', to try something else."""
    settings = settings or services.settings
    with closing(make_client(settings, RecordingHttpClient)) as client:
        endpoints = make_endpoints(settings)
        auth = WidgetAuth(client, endpoints, tokens=NoTokens(), cookies=services.storage.cookies)
        yield RecordedUpstream(auth, make_widget(settings, client, auth, endpoints, SILENT), client)
