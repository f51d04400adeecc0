"""conf/nginx.conf before one gateway or several, by a real nginx."""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import signal
import socket
import ssl
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from gbproxy.simulator.http.certificates import make_certificates
from tests.support.polling import until
from tests.support.serving import KEY, ROOT, Process, Reply, free_port, process

CONF = ROOT / "conf/nginx.conf"
NGINX = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}{os.pathsep}/usr/sbin")
needs_nginx = pytest.mark.skipif(
    NGINX is None and os.environ.get("CI") != "true",
    reason="nginx is not here: make ci-deps installs it",
)

Address = tuple[str, int]


@dataclass(frozen=True)
class Front:
    """A running nginx, and how it is asked."""

    running: Process
    port: int
    trust: ssl.SSLContext
    logs: Path

    @contextmanager
    def asked(
        self, method: str, path: str, body: bytes | None = None, **headers: str
    ) -> Iterator[http.client.HTTPResponse]:
        connection = http.client.HTTPSConnection(
            "127.0.0.1", self.port, timeout=15, context=self.trust
        )
        with contextlib.closing(connection):
            connection.request(method, path, body, {"Authorization": f"Bearer {KEY}", **headers})
            yield connection.getresponse()

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Reply:
        with self.asked(method, path, body, **headers) as response:
            return Reply(response.status, response.headers, response.read())

    def turn_to(self, gateways: Sequence[Address]) -> None:
        """Ask these from now on; what others are answering goes on."""
        before = _workers(self.running.pid)
        written(self.logs, self.port, gateways)
        self.running.signal(signal.SIGHUP)
        # The old workers end with their last answer; the new ones are there before those stop.
        until(lambda: _workers(self.running.pid) - before, 30)


def _workers(pid: int) -> frozenset[str]:
    return frozenset(Path(f"/proc/{pid}/task/{pid}/children").read_text().split())


@contextmanager
def nginx(directory: Path, *gateways: Address) -> Iterator[Front]:
    """nginx with the file as it is, but for where it listens, whom it asks and where it writes."""
    assert NGINX is not None, "CI runs with nginx: make ci-deps installs it"
    port = free_port()
    authority, _ = make_certificates(directory)
    conf = written(directory, port, gateways)
    base = [NGINX, "-p", str(directory), "-e", str(directory / "early.log"), "-c", str(conf)]
    checked = subprocess.run([*base, "-t"], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
    assert "warn" not in checked.stderr
    user = "user root; " if os.geteuid() == 0 else ""  # others may not enter a test's directory
    with process([*base, "-g", f"{user}daemon off;"], {}) as running:
        front = Front(running, port, ssl.create_default_context(cafile=authority), directory)
        wait_until_open(front)
        yield front


def written(directory: Path, port: int, gateways: Sequence[Address]) -> Path:
    text = CONF.read_text()
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = "".join(f"{kind}_temp_path {directory}/{kind};\n" for kind in kinds)
    servers = "".join(
        f"server {host}:{port} max_fails=3 fail_timeout=2s;\n" for host, port in gateways
    )
    for found, instead in (
        ("listen 443 ssl;", f"listen 127.0.0.1:{port} ssl;"),
        ("server 127.0.0.1:8080;", servers),
        ("/etc/ssl/gbproxy/fullchain.pem", f"{directory}/server.pem"),
        ("/etc/ssl/gbproxy/key.pem", f"{directory}/server.pem"),
        ("/var/log/nginx/", f"{directory}/"),
        ("/run/nginx.pid", f"{directory}/nginx.pid"),
        ("worker_rlimit_nofile 16384;", ""),  # more than others than root may ask for
        ("worker_connections 8192;", "worker_connections 256;"),
        ("http {\n", f"http {{\n{temporary}"),
        # its client's: it has one too where no gateway has answered
        ("request=$upstream_http_x_request_id", "request=$http_x_request_id"),
    ):
        assert found in text
        text = text.replace(found, instead)
    conf = directory / "nginx.conf"
    conf.write_text(text)
    return conf


def wait_until_open(front: Front) -> None:
    def is_open() -> bool:
        with (
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", front.port), timeout=1),
        ):
            return True
        return False

    until(
        is_open,
        hopeless=lambda: front.running.poll() is not None,
        message=lambda: f"nginx did not start:\n{front.running.stderr}",
    )
