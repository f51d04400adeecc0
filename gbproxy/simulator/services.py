"""The services of the simulator and the switches of all; a further service adds its lines here."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from gbproxy.simulator.http.connection import Request
from gbproxy.simulator.scripting.service import Call, Context, Service
from gbproxy.simulator.widget import switches as widget
from gbproxy.simulator.widget.service import WidgetService


@dataclass(frozen=True)
class Switches(widget.WidgetSwitches):
    """The behaviour in force: one base class for each service that has switches of its own.

    Raises ValueError for an unknown name or value.
    """


# A further service adds its groups to these.
GROUPS = widget.GROUPS

SPECS: dict[str, dataclasses.Field[Any]] = {
    spec.name: spec for group in GROUPS for spec in dataclasses.fields(group)
}

SWITCH_VALUES: Mapping[str, tuple[object, ...]] = MappingProxyType(
    {name: tuple(spec.metadata["values"]) for name, spec in SPECS.items()}
)
"""Every switch with the values worth trying, the default first."""

MAIN_FLOW_VALUES: Mapping[str, tuple[object, ...]] = MappingProxyType(
    {
        name: tuple(v for v in values if v not in SPECS[name].metadata["breaks"])
        for name, values in SWITCH_VALUES.items()
    }
)
"""SWITCH_VALUES without those under which no client can succeed."""


ServiceFactory = Callable[[Context], Service[Switches]]
FURTHER_SERVICES: tuple[ServiceFactory, ...] = ()
"""The services beside the widget, one line each."""


class Router:
    """Asks one service after the other whether a request is its own.

    The widget is asked last and takes what is left. `hosts` are the names by which clients reach
    the services, `streams` the names of the calls whose answers have elements.
    """

    def __init__(self, context: Context, further: Iterable[ServiceFactory] = ()) -> None:
        self.widget = WidgetService(context)
        self._further = [make(context) for make in (*FURTHER_SERVICES, *further)]
        services: tuple[Service[Switches], ...] = (*self._further, self.widget)
        self.hosts = [host for service in services for host in service.hosts]
        self.streams = {name for service in services for name in service.streams}

    def accept(self, request: Request, switches: Switches) -> Call:
        """The request as a call of the service that knows it. The lock is held."""
        for service in self._further:
            call = service.accept(request, switches)
            if call is not None:
                return call
        return self.widget.accept(request, switches)
