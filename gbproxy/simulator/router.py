"""Chooses the service that answers a request. A further service is one line here."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from gbproxy.simulator.http.connection import Request
from gbproxy.simulator.scripting.service import Call, Context, Service
from gbproxy.simulator.switches import Switches
from gbproxy.simulator.widget.service import WidgetService

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
