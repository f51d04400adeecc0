"""What speaks to the upstream."""

from __future__ import annotations

from pathlib import Path
from typing import TypedDict

from gbproxy.engine.storing import Storage
from gbproxy.observability.meter import Meter
from gbproxy.outbound import HttpClient, Timeouts
from gbproxy.settings import Settings
from gbproxy.upstreams.widget.auth import WidgetAuth
from gbproxy.upstreams.widget.endpoints import EndpointMap
from gbproxy.upstreams.widget.widget import Widget, WidgetSettings


class OutboundOptions(TypedDict):
    """As `HttpClient` takes them."""

    timeouts: Timeouts
    proxy: str | None
    ca_bundle: Path | None
    pool_size: int


def outbound(settings: Settings) -> HttpClient:
    return HttpClient(**outbound_options(settings))


def outbound_options(settings: Settings) -> OutboundOptions:
    return {
        "timeouts": Timeouts(
            settings.connect_timeout_s, settings.read_timeout_s, settings.request_timeout_s
        ),
        "proxy": settings.proxy.get_secret_value() if settings.proxy else None,
        "ca_bundle": settings.ca_bundle,
        "pool_size": settings.worker_connections,
    }


def endpoints(settings: Settings) -> EndpointMap:
    further = {name: value.get_secret_value() for name, value in settings.upstream_headers.items()}
    return EndpointMap(
        page_url=settings.gemini_business_url,
        api_base_url=settings.api_base_url,
        headers={"User-Agent": settings.user_agent, **further},
        server_timeout_s=round(settings.request_timeout_s),
    )


def sign_in(door: HttpClient, known: EndpointMap, storage: Storage, meter: Meter) -> WidgetAuth:
    return WidgetAuth(
        door,
        known,
        tokens=storage.tokens,
        cookies=storage.cookies,
        meter=meter,
    )


def widget(
    settings: Settings, door: HttpClient, auth: WidgetAuth, known: EndpointMap, meter: Meter
) -> Widget:
    told = WidgetSettings(
        framing=settings.upstream_stream,
        session=settings.upstream_session,
        body=settings.upstream_body,
        language_code=settings.language_code,
        time_zone=settings.time_zone,
        status_lines=settings.status_lines,
        max_answer_bytes=int(settings.max_answer_mb * 1024 * 1024),
    )
    return Widget(door, auth, known, told, meter)
