"""The gateway as users run it: gunicorn in a process of its own, usually in front of a simulator.

    with serving(upstream.environment(), LOG_LEVEL="debug") as served:
        reply = served.ask("Hello", stream=True)

Nothing of the tests' own environment reaches it, and it never outlives its `with` block.
"""

from __future__ import annotations

import contextlib
import glob
import http.client
import json
import os
import random
import re
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, Any, TypeVar
from urllib.parse import urlsplit

from flask import Flask

from gbproxy import settings
from gbproxy.api.format import Format
from gbproxy.app import EXTENSION, FORMATS, create_app
from gbproxy.domain.account import WIDGET, Account
from gbproxy.domain.catalogue import built_in_names
from gbproxy.domain.models import Model
from gbproxy.outbound.fetch import FileFetcher
from gbproxy.sessions.prewarmed import PREWARMED_PER_ACCOUNT
from gbproxy.simulator import SWITCH_VALUES, RecordedRequest, Simulator
from gbproxy.simulator.widget.model import reply_to
from gbproxy.upstreams.base import Upstream
from tests.support.polling import until

ROOT = Path(__file__).resolve().parents[2]
KEY = "sk-test-9f2c41d07ab84e5e"
FORGETFUL = (
    sys.executable,
    "-m",
    "gunicorn",
    "-c",
    "tests/support/forgetful.conf.py",
    "gbproxy.app:create_app()",
)
WITHOUT_PREWARMING = (*FORGETFUL[:-1], "gbproxy.app:create_app(prewarmed=0)")
GUNICORN = (sys.executable, "-m", "gunicorn", "-c", "gunicorn.conf.py", "gbproxy.app:create_app()")
# Where what is tested is not how soon a request goes on without the database.
PATIENT = (sys.executable, "-m", "gunicorn", "-c", "tests/support/patient.conf.py", GUNICORN[-1])
DONE = "[DONE]"

# How long this waits on a busy machine; none of it is a promise of the gateway's.
_START_S = 60.0
_STOP_S = 30.0
_WAIT_S = 30.0

_PORTS = range(20_000, 32_000)  # below those that the system gives to outgoing connections

T = TypeVar("T")
LogLine = dict[str, Any]
Messages = Sequence[Mapping[str, Any]]


@contextmanager
def serving(
    environment: Mapping[str, str], *, command: Sequence[str] = GUNICORN, **overrides: str | None
) -> Iterator[Served]:
    """Start the gateway with these settings (None takes one away) and give it once it is ready."""
    port = str(free_port())
    # A stream that a test leaves behind must not hold up an end that the test asks for.
    stopping = {"GRACEFUL_TIMEOUT_S": "2", "DRAIN_DELAY_S": "0"}
    defaults = {"HOST": "127.0.0.1", "PORT": port, "API_KEYS": KEY, **stopping}
    wanted = {**defaults, **environment, **overrides}
    given = {name: value for name, value in wanted.items() if value is not None}
    with process(command, given, ended_by=signal.SIGQUIT) as running:  # gunicorn's quick end
        served = Served(running, f"http://127.0.0.1:{given['PORT']}", given.get("API_KEYS", ""))
        served.wait_until_ready()
        yield served


@contextmanager
def in_process(
    environment: Mapping[str, str],
    *,
    upstream: Upstream | None = None,
    upstreams: Mapping[str, Upstream] | None = None,
    accounts: Collection[Account] = (),
    models: Collection[Model] = (),
    prewarmed: int = PREWARMED_PER_ACCOUNT,
    fetcher: FileFetcher | None = None,
    formats: Sequence[Format] = FORMATS,
    **overrides: str,
) -> Iterator[InProcess]:
    """The same app with the same settings, without a server: for what does not depend on one.

    `upstream`: in the widget's place; the rest as for `create_app`.
    """
    values = {"HOST": "127.0.0.1", "API_KEYS": KEY, **environment, **overrides}
    app = create_app(
        settings.load(values, built_in_names()),
        upstreams={**({} if upstream is None else {WIDGET: upstream}), **(upstreams or {})},
        accounts=accounts,
        models=models,
        prewarmed=prewarmed,
        fetcher=fetcher,
        formats=formats,
    )
    with contextlib.closing(app.extensions[EXTENSION]):
        yield InProcess(app)


@contextmanager
def process(
    command: Sequence[str],
    environment: Mapping[str, str],
    *,
    ended_by: signal.Signals = signal.SIGTERM,
) -> Iterator[Process]:
    """Run a command from the repository's root, in a clean environment and a session of its own."""
    kept = {
        n: v
        for n, v in os.environ.items()
        if n in ("PATH", "HOME", "LANG", "TMPDIR") or n.startswith("COVERAGE_")
    }
    popen = subprocess.Popen(
        command,
        cwd=ROOT,
        env={**kept, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    running = Process(popen, ended_by)
    try:
        yield running
    finally:
        running.close()


def free_port() -> int:
    """A port on which nobody listens. No other process of these tests gets it before somebody
    does.
    """
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    own = _PORTS[number :: int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))]
    while True:
        port = random.SystemRandom().choice(own)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return port


class Process:
    """A running command and all that it has written so far, stdout and stderr apart."""

    def __init__(self, popen: subprocess.Popen[bytes], ended_by: signal.Signals) -> None:
        self._popen = popen
        self._ended_by = ended_by
        self._condition = threading.Condition()
        self._written: dict[str, list[str]] = {"stdout": [], "stderr": []}
        self._readers = [
            threading.Thread(target=self._read, args=(name, stream), daemon=True)
            for name, stream in (("stdout", popen.stdout), ("stderr", popen.stderr))
        ]
        for reader in self._readers:
            reader.start()

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def stdout(self) -> str:
        with self._condition:
            return "".join(self._written["stdout"])

    @property
    def stderr(self) -> str:
        with self._condition:
            return "".join(self._written["stderr"])

    def wait_for(self, find: Callable[[], T | None], timeout_s: float = _WAIT_S) -> T:
        """Wait for a result of `find`, which is called whenever something was written. Raises
        TimeoutError with the output.
        """
        deadline = time.monotonic() + timeout_s
        with self._condition:
            while True:
                found = find()
                if found is not None:
                    return found
                left = deadline - time.monotonic()
                if left <= 0:
                    raise TimeoutError(f"not seen in:\n{self.stdout}\n{self.stderr}")
                self._condition.wait(left)

    def wait(self, timeout_s: float = _STOP_S) -> int:
        """The exit status, once the process has ended and all its output is here."""
        status = self._popen.wait(timeout_s)
        for reader in self._readers:
            reader.join(timeout_s)
        return status

    def poll(self) -> int | None:
        return self._popen.poll()

    def signal(self, number: signal.Signals) -> None:
        self._popen.send_signal(number)

    def close(self) -> None:
        """End the process and its children, gently first."""
        self._popen.send_signal(self._ended_by)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._popen.wait(_STOP_S)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._popen.pid, signal.SIGKILL)  # what is left of the session that we began
        self.wait()
        for stream in (self._popen.stdout, self._popen.stderr):
            assert stream is not None
            stream.close()

    def _read(self, name: str, stream: IO[bytes]) -> None:
        for line in stream:
            with self._condition:
                self._written[name].append(line.decode("utf-8", "backslashreplace"))
                self._condition.notify_all()


class Asking(ABC):
    """How a chat completion is asked for, whatever carries the request."""

    key: str

    @abstractmethod
    def request(
        self,
        method: str,
        path: str,
        body: bytes | str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply: ...

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}

    def post(self, body: object, headers: Mapping[str, str] | None = None) -> Reply:
        """A chat completion request with the key."""
        return self.request(
            "POST", "/v1/chat/completions", json.dumps(body), {**self.headers, **(headers or {})}
        )

    def ask(
        self,
        question: str | Messages = "What is the moon made of?",
        *,
        stream: bool = False,
        headers: Mapping[str, str] | None = None,
        **fields: Any,
    ) -> Reply:
        """Ask one question, or send messages. Further fields go with it; one that is None takes its
        default away.
        """
        messages = (
            [{"role": "user", "content": question}] if isinstance(question, str) else list(question)
        )
        body = {"model": "gemini-auto", "messages": messages, "stream": stream, **fields}
        return self.post(
            {name: value for name, value in body.items() if value is not None}, headers
        )


class InProcess(Asking):
    """The app by Flask's test client, a fresh one for each request."""

    key = KEY

    def __init__(self, app: Flask) -> None:
        self.app = app

    def request(
        self,
        method: str,
        path: str,
        body: bytes | str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        with self.app.test_client().open(
            path, method=method, data=body, headers=dict(headers or {})
        ) as response:
            return Reply(
                response.status_code, message(response.headers.items()), response.get_data()
            )


class Served(Asking):
    """A gateway that serves at `url` and takes `key`."""

    def __init__(self, running: Process, url: str, key: str) -> None:
        self.process = running
        self.url = url
        self.key = key
        address = urlsplit(url)
        self.address = (address.hostname or "", address.port or 0)

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def stderr(self) -> str:
        return self.process.stderr

    def stop(self) -> int:
        """Ask it to end, as an operator does, and give its exit status."""
        self.process.signal(signal.SIGTERM)
        return self.process.wait()

    # The log

    def log_lines(self) -> list[LogLine]:
        """Every line on stdout, each of which is one JSON object."""
        lines = [json.loads(line) for line in self.process.stdout.splitlines()]
        assert all(isinstance(line, dict) for line in lines)
        return lines

    def events(self, name: str, predicate: Callable[[LogLine], object] = bool) -> list[LogLine]:
        return [line for line in self.log_lines() if line["event"] == name and predicate(line)]

    def wait_for_event(
        self, name: str, predicate: Callable[[LogLine], object] = bool, timeout_s: float = _WAIT_S
    ) -> LogLine:
        """The first log line of that event, as soon as it is there."""
        return self.process.wait_for(
            lambda: next(iter(self.events(name, predicate)), None), timeout_s
        )

    def log_of(self, reply: Reply, event: str = "request.done") -> LogLine:
        """The log line of the request that got this reply."""
        return self.wait_for_event(
            event, lambda line: line["request_id"] == reply.headers["x-request-id"]
        )

    # Requests

    def wait_until_ready(self) -> None:
        until(
            self._is_ready,
            _START_S,
            hopeless=lambda: self.process.poll() is not None,
            message=lambda: f"the gateway did not start:\n{self.process.stdout}\n{self.stderr}",
        )

    def _is_ready(self) -> bool:
        with contextlib.suppress(OSError, http.client.HTTPException):
            return self.request("GET", "/readyz", timeout_s=1.0).status == 200
        return False

    def request(
        self,
        method: str,
        path: str,
        body: bytes | str | Iterable[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = 30.0,
    ) -> Reply:
        """One request on a connection of its own, read to the end. An iterable goes out in
        chunks.
        """
        connection = http.client.HTTPConnection(*self.address, timeout=timeout_s)
        with contextlib.closing(connection):
            connection.request(
                method, path, body.encode() if isinstance(body, str) else body, dict(headers or {})
            )
            response = connection.getresponse()
            return Reply(response.status, response.headers, response.read())

    def send(self, data: bytes, *, finish: bool = False, timeout_s: float = 15.0) -> bytes:
        """Write these bytes on a fresh socket and read what comes back, up to the end of the
        connection.

        `finish` says with a FIN that nothing more comes.
        """
        with socket.create_connection(self.address, timeout=timeout_s) as sock:
            sock.sendall(data)
            if finish:
                sock.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: sock.recv(65536), b""))

    def call(self) -> Call:
        """A raw connection on which to ask, and which to leave in any way."""
        return Call(self)

    def worker_pids(self) -> frozenset[int]:
        """The workers' process ids."""
        return frozenset(
            map(int, Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split())
        )

    def pieces(self, request_id: str = "pieces") -> Generator[bytes]:
        """Ask with `stream` on a raw socket; the chunks of the body, each as soon as it is here."""
        body = json.dumps(
            {"stream": True, "messages": [{"role": "user", "content": "Count"}]}
        ).encode()
        head = (
            "POST /v1/chat/completions HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer"
            f" {self.key}\r\nContent-Type: application/json\r\nContent-Length:"
            f" {len(body)}\r\nx-request-id: {request_id}\r\n\r\n"
        )
        with socket.create_connection(self.address, timeout=_WAIT_S) as sock:
            sock.sendall(head.encode() + body)
            _, buffer = _receive_until(sock, b"\r\n\r\n", b"")
            while True:
                size, buffer = _receive_until(sock, b"\r\n", buffer)
                chunk = int(size, 16)
                if chunk == 0:
                    return
                while len(buffer) < chunk + 2:
                    buffer += _receive(sock)
                yield buffer[:chunk]
                buffer = buffer[chunk + 2 :]


class Call:
    """One connection to a gateway: what was asked may be read in parts, or left before its end."""

    def __init__(self, served: Served) -> None:
        self._served = served
        self._sock = socket.create_connection(served.address, timeout=_WAIT_S)
        self._buffer = b""

    def __enter__(self) -> Call:
        return self

    def __exit__(self, *_: object) -> None:
        self._sock.close()

    def request(
        self, question: str | Messages = "Hello", *, stream: bool = True, request_id: str = "call"
    ) -> bytes:
        """The bytes of a chat completion request."""
        messages = (
            [{"role": "user", "content": question}] if isinstance(question, str) else list(question)
        )
        body = json.dumps({"stream": stream, "messages": messages}).encode()
        head = (
            "POST /v1/chat/completions HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer"
            f" {self._served.key}\r\nContent-Type: application/json\r\nContent-Length:"
            f" {len(body)}\r\nx-request-id: {request_id}\r\n\r\n"
        )
        return head.encode() + body

    def ask(
        self, question: str | Messages = "Hello", *, stream: bool = True, request_id: str = "call"
    ) -> Call:
        self.send(self.request(question, stream=stream, request_id=request_id))
        return self

    def send(self, data: bytes) -> None:
        self._sock.sendall(data)

    def send_what_fits(self, data: bytes) -> None:
        """As much of it as the systems on both sides take in without anybody reading."""
        self._sock.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while data:
                data = data[self._sock.send(data) :]
        self._sock.settimeout(_WAIT_S)

    def wait_at_most(self, seconds: float) -> None:
        """From now on `read` raises TimeoutError when nothing comes for so long."""
        self._sock.settimeout(seconds)

    def receive_little(self) -> None:
        """Let the system take in as little as it may of what is not read."""
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)

    def read(self) -> bytes:
        """Wait for bytes and return all that have come; b"" at the end of the connection."""
        if not self._buffer:
            return self._sock.recv(65536)
        data, self._buffer = self._buffer, b""
        return data

    def read_until(self, mark: bytes) -> bytes:
        """Everything up to this mark and with it."""
        before, self._buffer = _receive_until(self._sock, mark, self._buffer)
        return before + mark

    def wait_for(self, *marks: bytes) -> None:
        """Wait until these marks have come, one behind the other, and leave all to be read."""
        wanted = re.compile(b".*".join(map(re.escape, marks)), re.DOTALL)
        while not wanted.search(self._buffer):
            self._buffer += _receive(self._sock)

    def reply(self) -> Reply:
        """The next answer on this connection, to its end."""
        head = self.read_until(b"\r\n\r\n")
        reply = Reply.parse(head)
        if reply.headers["Transfer-Encoding"] == "chunked":
            return Reply(reply.status, reply.headers, b"".join(self._chunks()))
        return Reply(
            reply.status, reply.headers, self._exactly(int(reply.headers["Content-Length"]))
        )

    def leave(self, how: str = "fin") -> None:
        """Go away: `fin` closes, `rst` resets, `half` only says that nothing more will be sent."""
        if how == "half":
            self._sock.shutdown(socket.SHUT_WR)
            return
        if how == "rst":
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._sock.close()

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self.read_until(b"\r\n"), 16):
            yield self._exactly(size)
            self.read_until(b"\r\n")
        self.read_until(b"\r\n")

    def _exactly(self, size: int) -> bytes:
        while len(self._buffer) < size:
            self._buffer += _receive(self._sock)
        data, self._buffer = self._buffer[:size], self._buffer[size:]
        return data


def resident_bytes(pid: int) -> int:
    """How much memory a process holds."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) * 1024


def _receive_until(sock: socket.socket, mark: bytes, buffer: bytes) -> tuple[bytes, bytes]:
    while mark not in buffer:
        buffer += _receive(sock)
    before, _, after = buffer.partition(mark)
    return before, after


def _receive(sock: socket.socket) -> bytes:
    data = sock.recv(65536)
    if not data:
        raise ConnectionError("the connection ended in the middle of the answer")
    return data


@dataclass(frozen=True)
class Reply:
    """An answer of the gateway, streamed or not, under the same names."""

    status: int
    headers: http.client.HTTPMessage  # by any case; None for what is not there
    body: bytes

    @classmethod
    def parse(cls, data: bytes) -> Reply:
        """An answer as it came over the wire, with a Content-Length or up to the end."""
        head, _, body = data.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        pairs = (line.partition(":") for line in lines[1:])
        headers = message((name, value.strip()) for name, _, value in pairs)
        return cls(int(lines[0].split()[1]), headers, body)

    def json(self) -> Any:
        assert self.headers["Content-Type"].partition(";")[0] == "application/json", self.body
        return json.loads(self.body)

    @property
    def streamed(self) -> bool:
        return self.headers["Content-Type"].partition(";")[0] == "text/event-stream"

    @cached_property
    def frames(self) -> list[Any]:
        """The data of every event: parsed, but for a `[DONE]`."""
        return parse_frames(self.body)

    @property
    def chunks(self) -> list[dict[str, Any]]:
        return [frame for frame in self.frames if frame != DONE and "error" not in frame]

    @property
    def choices(self) -> list[dict[str, Any]]:
        bodies = self.chunks if self.streamed else [self.json()]
        return [choice for body in bodies for choice in body["choices"]]

    @property
    def text(self) -> str:
        return self._joined("content")

    @property
    def reasoning(self) -> str:
        return self._joined("reasoning_content")

    @property
    def refusal(self) -> str:
        return self._joined("refusal")

    @property
    def deltas(self) -> list[str]:
        return [text for choice in self.choices if (text := choice["delta"].get("content"))]

    @property
    def finish_reason(self) -> str | None:
        return next(
            (reason for choice in self.choices if (reason := choice["finish_reason"])), None
        )

    @property
    def model(self) -> str:
        models = (
            {chunk["model"] for chunk in self.chunks} if self.streamed else {self.json()["model"]}
        )
        assert len(models) == 1
        return str(models.pop())

    @property
    def succeeded(self) -> bool:
        """True if any client would take this for a whole answer."""
        if self.status != 200:
            return False
        return self.frames[-1] == DONE or self.finish_reason is not None if self.streamed else True

    @property
    def error(self) -> dict[str, Any]:
        """The error: the body, or the last event of a stream."""
        found = self.frames[-1] if self.streamed else self.json()
        assert found.keys() == {"error"}
        assert found["error"].keys() == {"message", "type", "param", "code"}
        error: dict[str, Any] = found["error"]
        return error

    def _joined(self, field: str) -> str:
        parts = [choice.get("delta") or choice.get("message") or {} for choice in self.choices]
        return "".join(part.get(field) or "" for part in parts)


def message(headers: Iterable[tuple[str, str]]) -> http.client.HTTPMessage:
    made = http.client.HTTPMessage()
    for name, value in headers:
        made[name] = value
    return made


def parse_frames(body: bytes) -> list[Any]:
    """The data of every event of a stream that ends after a whole one."""
    assert body == b"" or body.endswith(b"\n\n"), body[-200:]
    events = [event for event in body.split(b"\n\n") if event]
    datas = [
        event.removeprefix(b"data: ").decode() for event in events if not event.startswith(b":")
    ]
    return [data if data == DONE else json.loads(data) for data in datas]


class SharedUpstream(Simulator):
    """A simulator that serves one test after the other and shows each of them only its own
    requests.
    """

    _first = 0
    _known: frozenset[str] = frozenset()

    def reset(self) -> None:
        """Everything as at the start, but for the cookies and tokens, which the gateway goes on
        using.
        """
        self.clear_scripts()
        self.set(**{name: values[0] for name, values in SWITCH_VALUES.items()})
        self.model = reply_to
        self._first = len(super().requests)
        self._known = frozenset(id_ for id_, session in self.sessions.items() if session.turns)

    @property
    def requests(self) -> list[RecordedRequest]:
        return super().requests[self._first :]

    def alive_sessions(self) -> list[str]:
        """Those in which something was said in this test, and that are not deleted."""
        return [
            s.short_name
            for id_, s in self.sessions.items()
            if not s.deleted and s.turns and id_ not in self._known
        ]

    def questions(self) -> list[str]:
        """The questions of this test's stream calls, without those of refused tokens."""
        accepted = [
            request for request in self.calls("widgetStreamAssist") if request.csesidx is not None
        ]
        asked = [request.body["streamAssistRequest"] for request in accepted]
        return [request["query"]["parts"][0]["text"] for request in asked]


@contextmanager
def fronting(
    upstream: SharedUpstream, settings: Mapping[str, str], *, prewarms: bool = True
) -> Iterator[Front]:
    """A gateway that many tests may use: what one of them teaches it can be taken from it before
    the next.

    Without `prewarms` each request opens its own session and nothing else does, so that a test knows
    who makes which call.
    """
    with tempfile.TemporaryDirectory() as folder:
        forget_socket = f"{folder}/forget"
        environment = upstream.environment() | settings | {"FORGET_SOCKET": forget_socket}
        workers = int(environment.get("WEB_CONCURRENCY", "1"))
        with serving(environment, command=FORGETFUL if prewarms else WITHOUT_PREWARMING) as gateway:
            yield Front(upstream, gateway, forget_socket, workers)


@dataclass(frozen=True)
class Front:
    """A gateway and the simulator behind it."""

    upstream: SharedUpstream
    gateway: Served
    forget_socket: str  # where each worker listens: with its process id behind it
    workers: int = 1

    def renew(self) -> None:
        """Both as new, but for the cookies and tokens, which the gateway goes on using, and its
        prewarmed sessions.
        """
        self.upstream.reset()
        self.forget()

    def forget(self) -> None:
        """Let every worker forget what it has learnt of its accounts."""
        until(lambda: len(self._listening()) == self.workers, _START_S)
        for path in self._listening():
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(_WAIT_S)
                connection.connect(path)
                assert connection.recv(16) == b"forgotten"

    def _listening(self) -> list[str]:
        return glob.glob(f"{self.forget_socket}.*")
