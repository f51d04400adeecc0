"""The mock upstream and the load generator: compiled here, started here."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.loads import Load
from bench.processes import Child, running

HERE = Path(__file__).resolve().parent
BUILD = HERE / "build"
KEY = "sk-bench-9f8e7d6c5b4a39281706"

_FLAGS = ("-O2", "-Wall", "-Wextra")


class Unusable(Exception):
    """This machine lacks something that the benchmark cannot do without; the message says what."""


@dataclass(frozen=True, slots=True)
class Tools:
    """The programs, and whether the mock can speak TLS."""

    mock: Path
    load: Path
    has_tls: bool


@dataclass(frozen=True, slots=True)
class Cores:
    """The core of each process, by number. With two cores the tools share one."""

    subject: int
    mock: int
    load: int


@dataclass(frozen=True, slots=True)
class Upstream:
    """A running mock."""

    child: Child
    port: int
    tls_port: int

    def get(self, path: str) -> dict[str, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", path)
            answer: dict[str, Any] = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        return answer

    def calls(self) -> int:
        """How many calls have reached it so far, whatever for."""
        counts = self.get("/stats")
        return sum(
            counts[name]
            for name in ("tokens", "sessions_made", "sessions_deleted", "files", "streams")
        )


def choose_cores() -> Cores:
    """The last core for the subject, the first ones for the tools."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise Unusable(
            "the benchmark needs two cores: one for the subject, one for what measures it"
        )
    return Cores(subject=cores[-1], mock=cores[0], load=cores[1] if len(cores) > 2 else cores[0])


def compiler() -> str:
    found = os.environ.get("CC") or next(
        filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None
    )
    if not found:
        raise Unusable(
            "a C compiler is needed (cc, gcc or clang): on Debian and Ubuntu, apt install gcc"
            " libc6-dev"
        )
    return found


def build(cc: str) -> Tools:
    """Compile both; the mock with TLS where OpenSSL's headers are."""
    BUILD.mkdir(exist_ok=True)
    _require(_compile(cc, "load"), "load.c")
    with_tls = _compile(cc, "mock", "-DWITH_TLS", libraries=("-lssl", "-lcrypto"))
    if with_tls.returncode:
        _require(_compile(cc, "mock"), "mock.c")
    return Tools(BUILD / "mock", BUILD / "load", has_tls=not with_tls.returncode)


def _compile(
    cc: str, name: str, *flags: str, libraries: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    command = [cc, *_FLAGS, *flags, "-o", str(BUILD / name), str(HERE / f"{name}.c"), *libraries]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)  # noqa: S603


def _require(compiled: subprocess.CompletedProcess[str], source: str) -> None:
    if compiled.returncode:
        raise Unusable(f"{source} could not be compiled:\n{compiled.stderr[-2000:]}")


@contextmanager
def upstream(tools: Tools, core: int, certificate: tuple[Path, Path] | None) -> Iterator[Upstream]:
    """Run the mock, with a TLS port when there is a certificate and its key."""
    command = [str(tools.mock)]
    if certificate:
        command += [f"cert={certificate[0]}", f"key={certificate[1]}"]
    with running("mock", command, core, BUILD / "mock.log") as child:
        line = child.process.stdout.readline() if child.process.stdout else ""
        if not line:
            raise Unusable(f"the mock upstream did not start: {child.last_words()}")
        ports = json.loads(line)
        yield Upstream(child, ports["port"], ports["tls_port"])


def run_load(
    tools: Tools, core: int, load: Load, port: int, meanwhile: Callable[[], None]
) -> dict[str, Any]:
    """Put a load on a port. Calls `meanwhile` ten times a second; returns what load.c prints."""
    options = {
        "port": port,
        "path": "/v1/chat/completions",
        "key": KEY,
        "slots": load.slots,
        "requests": load.requests,
        "seconds": load.seconds,
        "chunks": load.chunks,
        "ramp_ms": load.ramp_ms,
        "limit_s": load.limit_s,
        **_bodies(load),
    }
    command = [str(tools.load), *(f"{name}={value}" for name, value in options.items())]
    with running("load", command, core, BUILD / "load.log") as child:
        while child.process.poll() is None:
            meanwhile()
            time.sleep(0.1)
        line = child.process.stdout.read() if child.process.stdout else ""
        if child.process.returncode or not line:
            raise Unusable(f"the load generator failed: {child.last_words()}")
    result: dict[str, Any] = json.loads(line)
    return result


def _bodies(load: Load) -> dict[str, object]:
    """Where the requests' bodies are. Conversations are begun by the warm-up, which keeps them, and
    continued by the load itself.
    """
    first, kept, turn = (
        BUILD / name for name in ("body.jsonl", "conversations.jsonl", "turn.json")
    )
    first.write_text(f"{load.body()}\n" * max(1, load.conversations))
    if not load.conversations:
        return {"body": first}
    turn.write_text(load.turn())
    if load.is_warm_up:
        return {"body": first, "turn": turn, "turns": 1, "keep": kept}
    return {"body": kept, "turn": turn, "turns": load.turns}
