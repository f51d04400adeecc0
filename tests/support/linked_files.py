"""Files that messages link to: web servers on loopback under public addresses, by way of a proxy."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support import file_server
from tests.support.file_server import FileServer, Serve
from tests.support.relays import Address, Proxy


class LeadingProxy(Proxy):
    """A proxy that takes some addresses for others, and knows of each how often it was asked."""

    def __init__(self) -> None:
        self.leads: dict[str, Address] = {}
        super().__init__("socks5h")

    def _ask_target(self, peer: socket.socket) -> Address:
        host, port = super()._ask_target(peer)
        return self.leads.get(host, (host, port))

    def asked_for(self, host: str) -> int:
        return sum(each.startswith(f"{host}:") for each in self.asked)

    @contextmanager
    def serving(self, host: str, serve: Serve) -> Iterator[FileServer]:
        """Answer everything that this public address is asked for."""
        with file_server.serving(serve) as server:
            self.leads[host] = ("127.0.0.1", server.port)
            try:
                yield server
            finally:
                del self.leads[host]
