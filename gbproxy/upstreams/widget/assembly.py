"""The widget upstream's parts, out of the settings."""

from __future__ import annotations

from gbproxy.observability.meter import Meter
from gbproxy.outbound import HttpClient
from gbproxy.settings import Settings
from gbproxy.upstreams.widget.auth import WidgetAuth
from gbproxy.upstreams.widget.bodies import WidgetSettings
from gbproxy.upstreams.widget.endpoints import EndpointMap
from gbproxy.upstreams.widget.widget import Widget


def make_endpoints(settings: Settings) -> EndpointMap:
    further = {name: value.get_secret_value() for name, value in settings.upstream_headers.items()}
    return EndpointMap(
        page_url=settings.gemini_business_url,
        api_base_url=settings.api_base_url,
        headers={"User-Agent": settings.user_agent, **further},
        server_timeout_s=round(settings.request_timeout_s),
    )


def make_widget(
    settings: Settings, client: HttpClient, auth: WidgetAuth, endpoints: EndpointMap, meter: Meter
) -> Widget:
    widget_settings = WidgetSettings(
        framing=settings.upstream_stream,
        session=settings.upstream_session,
        body=settings.upstream_body,
        language_code=settings.language_code,
        time_zone=settings.time_zone,
        status_lines=settings.status_lines,
        max_answer_bytes=int(settings.max_answer_mb * 1024 * 1024),
        prompt_max_chars=settings.prompt_max_chars,
    )
    return Widget(client, auth, endpoints, widget_settings, meter)
