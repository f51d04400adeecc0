"""The upstreams, by name, over the one HTTP client."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gbproxy.bootstrap.foundation import Foundation
from gbproxy.domain.account import WIDGET
from gbproxy.outbound import HttpClient
from gbproxy.outbound.configured import make_client
from gbproxy.upstreams.base import Upstream
from gbproxy.upstreams.registry import Upstreams
from gbproxy.upstreams.widget.auth import WidgetAuth
from gbproxy.upstreams.widget.bodies import WidgetSettings
from gbproxy.upstreams.widget.endpoints import EndpointMap
from gbproxy.upstreams.widget.widget import Widget


@dataclass(frozen=True, slots=True)
class UpstreamParts:
    outbound: HttpClient
    sign_in: WidgetAuth
    by_name: Upstreams


def make_upstreams(base: Foundation, further: Mapping[str, Upstream]) -> UpstreamParts:
    """`further`, by name: beside the widget, or in its place."""
    settings, storage, meter = base.settings, base.storage, base.meter
    outbound, endpoints = make_client(settings, HttpClient), EndpointMap.from_settings(settings)
    sign_in = WidgetAuth(
        outbound, endpoints, tokens=storage.tokens, cookies=storage.cookies, meter=meter
    )
    widget = Widget(outbound, sign_in, endpoints, WidgetSettings.from_settings(settings), meter)
    return UpstreamParts(outbound, sign_in, Upstreams({WIDGET: widget, **further}))
