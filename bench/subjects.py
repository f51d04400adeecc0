"""The subjects measured: nothing, nginx, the bare recipe, two gateways in FastAPI, and gbproxy.

Each is one process that serves (gunicorn's master beside it), on one core, between the same client
and the same upstream.
"""

from __future__ import annotations

import http.client
import os
import shutil
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bench.processes import Child, running
from bench.tools import BUILD, HERE, KEY, Unusable, Upstream
from gbproxy.cli.serve import gunicorn_command

ROOT = HERE.parent

_READY_S = 20.0

Framing = Literal["openai", "array", "sse"]


@dataclass(frozen=True, slots=True)
class Site:
    """Where a subject is to run, and what it is to talk to."""

    core: int
    upstream: Upstream
    ca: Path | None


@dataclass(frozen=True, slots=True)
class Variant:
    """How a subject is to be set up: what it reads from the upstream, and through what."""

    subject: str
    framing: Framing
    tls: bool = False
    calls: int = (
        1  # of a peer: 3 to make and delete a session for each answer. Others do as they do
    )

    def __str__(self) -> str:
        calls = f", {self.calls} calls" if self.calls > 1 else ""
        return f"{self.subject}, {self.framing}{', TLS' if self.tls else ''}{calls}"


@dataclass(frozen=True, slots=True)
class Subject:
    """Something that answers on a port. Without a child it is the mock itself."""

    variant: Variant
    port: int
    child: Child | None = None
    ready_s: float = 0.0
    rss_idle_mb: float = 0.0
    pss_idle_mb: float = 0.0


@contextmanager
def direct(variant: Variant, site: Site) -> Iterator[Subject]:
    """The upstream without anything in between."""
    yield Subject(variant, site.upstream.port)


def find_nginx() -> str | None:
    """The program that NGINX names, or the installed one."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"
    return shutil.which(os.environ.get("NGINX") or "nginx", path=path)


def nginx(variant: Variant, site: Site) -> AbstractContextManager[Subject]:
    """nginx that passes everything on as it comes, and understands nothing of it. Raises Unusable
    where there is none.
    """
    program = find_nginx()
    if program is None:
        raise Unusable("nginx is not installed: `make ci-deps` installs it")
    port = _free_port()
    folder = BUILD / ("nginx-tls" if variant.tls else "nginx")
    for name in ("", "body", "proxy", "other"):
        (folder / name).mkdir(exist_ok=True)
    (folder / "nginx.conf").write_text(_nginx_configuration(folder, port, site, tls=variant.tls))
    command = [program, "-p", f"{folder}/", "-e", "stderr", "-c", str(folder / "nginx.conf")]
    return _serving(variant, command, _environment(), port, site, "/stats")


def bare(variant: Variant, site: Site) -> AbstractContextManager[Subject]:
    """The recipe in peers/bare.py, under gunicorn with one worker of gevent's."""
    port = _free_port()
    command = [sys.executable, "-m", "gunicorn", "--config", str(HERE / "peers/bare_gunicorn.py")]
    command += ["--bind", f"127.0.0.1:{port}", "bench.peers.bare:app"]
    return _serving(variant, command, _peer_environment(variant, site), port, site, "/health")


def fastapi(variant: Variant, site: Site) -> AbstractContextManager[Subject]:
    """A gateway in peers/, under uvicorn with one worker."""
    port = _free_port()
    command = [sys.executable, "-m", "uvicorn", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--loop", "uvloop", "--http", "httptools", "--log-level", "warning"]
    command += ["--no-access-log", "--backlog", "4096", "--timeout-keep-alive", "75"]
    command.append(f"bench.peers.{variant.subject.replace('+', '_')}:app")
    return _serving(variant, command, _peer_environment(variant, site), port, site, "/health")


def gbproxy(variant: Variant, site: Site) -> AbstractContextManager[Subject]:
    """This gateway as it is delivered, under gunicorn with one worker: keys, sessions, logs and
    all.
    """
    port = _free_port()
    origin = _origin(variant, site)
    env = _environment(
        HOST="127.0.0.1",
        PORT=str(port),
        API_KEYS=KEY,
        METRICS_KEY=KEY,
        SECURE_C_SES="CSE.bench",
        HOST_C_OSES="COS.bench",
        CSESIDX="123456789",
        CONFIG_ID="11111111-2222-4333-8444-555555555555",
        GEMINI_BUSINESS_URL=origin,
        API_BASE_URL=f"{origin}/v1alpha",
        UPSTREAM_STREAM="sse" if variant.framing == "sse" else "json",
        WEB_CONCURRENCY="1",
        WORKER_CONNECTIONS="2000",
        ACCOUNT_CONCURRENCY="2000",
        GRACEFUL_TIMEOUT_S="1",
        DRAIN_DELAY_S="0",
    )
    if site.ca is not None:
        env["CA_BUNDLE"] = str(site.ca)
    return _serving(variant, gunicorn_command(), env, port, site, "/readyz")


START: dict[str, Callable[[Variant, Site], AbstractContextManager[Subject]]] = {
    "direct": direct,
    "nginx": nginx,
    "bare": bare,
    "fastapi+aiohttp": fastapi,
    "fastapi+httpx": fastapi,
    "gbproxy": gbproxy,
}


def start(variant: Variant, site: Site) -> AbstractContextManager[Subject]:
    return START[variant.subject](variant, site)


@contextmanager
def _serving(
    variant: Variant, command: list[str], env: dict[str, str], port: int, site: Site, probe: str
) -> Iterator[Subject]:
    log = BUILD / f"{variant.subject}-{variant.calls}.log"
    started = time.monotonic()
    with running(variant.subject, command, site.core, log, env=env, cwd=ROOT) as child:
        while not _answers(port, probe):
            if child.process.poll() is not None or time.monotonic() - started > _READY_S:
                raise Unusable(f"{variant} did not start:\n{child.last_words()}")
            time.sleep(0.01)
        ready_s = time.monotonic() - started
        time.sleep(0.5)
        yield Subject(variant, port, child, ready_s, child.rss_mb(), child.pss_mb())


def _environment(**values: str) -> dict[str, str]:
    """Nothing of the caller's settings reaches a subject."""
    kept = {
        name: os.environ[name]
        for name in ("PATH", "LANG", "LC_ALL", "TMPDIR", "PYTHONPATH")
        if name in os.environ
    }
    return {**kept, **values}


def _peer_environment(variant: Variant, site: Site) -> dict[str, str]:
    env = _environment(
        BENCH_UPSTREAM=_origin(variant, site),
        BENCH_KEY=KEY,
        BENCH_FRAMING=variant.framing,
        BENCH_CALLS=str(variant.calls),
    )
    if site.ca is not None:
        env["BENCH_CA"] = str(site.ca)
    return env


def _origin(variant: Variant, site: Site) -> str:
    return (
        f"https://127.0.0.1:{site.upstream.tls_port}"
        if variant.tls
        else f"http://127.0.0.1:{site.upstream.port}"
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answers(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _nginx_configuration(folder: Path, port: int, site: Site, *, tls: bool) -> str:
    upstream_port = site.upstream.tls_port if tls else site.upstream.port
    verified = (
        f"proxy_ssl_verify on; proxy_ssl_trusted_certificate {site.ca}; proxy_ssl_name localhost;"
        if tls
        else ""
    )
    return f"""\
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 8192; }}
http {{
  access_log off;
  client_max_body_size 8m;
  client_body_buffer_size 4m;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/other;
  uwsgi_temp_path {folder}/other;
  scgi_temp_path {folder}/other;
  keepalive_requests 100000000;
  upstream mock {{
    server 127.0.0.1:{upstream_port};
    keepalive 2000;
    keepalive_requests 100000000;
  }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{
      proxy_pass {"https" if tls else "http"}://mock;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_buffering off;
      {verified}
    }}
  }}
}}
"""
