"""`make docker-check`: the image built from the unchanged Dockerfile and tried, without Docker and
without a registry.

Wants root, buildah, runc and debootstrap. In place of the base that the Dockerfile pins by its
digest stands one that is made on the spot: a minimal Debian of the machine's own release with the
machine's Python 3.12, or else with its own Python. pip reaches the package index as it is set up on the machine. The containers are run as
`make docker-run` does: read-only, without capabilities, with a tmpfs on /tmp. All of it lives in
one temporary directory. Needs Python's standard library alone.
"""

from __future__ import annotations

import contextlib
import gzip
import http.client
import json
import os
import platform
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[2]
BASE = "localhost/gbproxy-base:python-3.12"
IMAGE = "localhost/gbproxy:checked"
TOOLS = ("buildah", "runc", "debootstrap")
MOST_BYTES = 125 * 1000 * 1000
ALL_S = 900.0
START_S = 30.0
STOP_S = 20.0
NEVER_HELD = ("pip", "flit_core", "pytest", "tests")

# As an engine does with --read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges.
TMPFS = {
    "destination": "/tmp",
    "type": "tmpfs",
    "source": "tmpfs",
    "options": ["noexec", "nosuid", "nodev", "mode=1777"],
}

PROBE = """
import errno, importlib.util, json, os
def refused(path):
    try:
        with open(path, "w"):
            return ""
    except OSError as error:
        return errno.errorcode[error.errno]
places = ["/", "/etc", "/opt/gbproxy", "/opt/gbproxy/bin", os.path.dirname(importlib.util.find_spec("gbproxy").origin), "/tmp", "/dev/shm"]
print(json.dumps({
    "uid": os.getuid(), "gid": os.getgid(), "groups": os.getgroups(),
    "capabilities": next(line.split()[1] for line in open("/proc/self/status") if line.startswith("CapEff")),
    "first": open("/proc/1/cmdline").read().split("\\0"),
    "writing": {place: refused(os.path.join(place, "probe")) for place in places},
    "held": [name for name in %r if importlib.util.find_spec(name)],
}))
"""


class CheckError(Exception):
    """The image is not as it should be; the message says why."""


class Skip(Exception):
    """The check cannot be made here; the message says why."""


def main() -> int:
    signal.signal(signal.SIGALRM, _out_of_time)
    signal.setitimer(signal.ITIMER_REAL, ALL_S)
    try:
        _require_tools()
        with ExitStack() as stack:
            work = Path(
                stack.enter_context(tempfile.TemporaryDirectory(prefix="gbproxy-docker-check-"))
            )
            _check(stack, work)
    except Skip as skip:
        if os.environ.get("CI") == "true":
            say(f"FAILED: {skip}, and CI=true: make ci-deps installs what is needed")
            return 1
        say(f"SKIPPED: {skip}")
        return 0
    except CheckError as error:
        say(f"FAILED: {error}")
        return 1
    say("passed")
    return 0


def _require_tools() -> None:
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        raise Skip(f"no {', '.join(missing)} here (Debian has packages of these names)")
    if os.geteuid() != 0:
        raise Skip("only root can make the base and mount the image")


def _check(stack: ExitStack, work: Path) -> None:
    builder = stack.enter_context(_builder(work))
    python = _machines_python()
    _timed("base made", lambda: _make_base(builder, work / "base", python))
    instead = f"--build-context={_pinned_base()}=container-image://{BASE}"
    _timed("image built", lambda: builder("build", "--pull-never", instead, "--isolation=chroot", "--format=docker", f"--tag={IMAGE}", str(ROOT)))  # fmt: skip

    above = builder.layers(IMAGE)[1:]  # the base is one layer
    stored, sent = sum(layer.stored for layer in above), sum(layer.sent for layer in above)
    say(
        f"layers above the base: {len(above)}, together {stored / 1e6:.1f} MB, compressed"
        f" {sent / 1e6:.1f} MB"
    )
    _require(0 < stored < MOST_BYTES, f"they may have {MOST_BYTES / 1e6:.0f} MB")

    config = builder.config(IMAGE)
    _require(config["StopSignal"] == "SIGTERM", f"StopSignal is {config['StopSignal']}")
    runner = _Runner(work, builder.mounted(IMAGE), config)
    _check_commands(runner)
    _check_serving(runner)


def _check_commands(runner: _Runner) -> None:
    helped = runner.run(["simulate", "--help"])
    _require(helped.returncode == 0 and "--port" in helped.stdout, f"simulate --help: {helped}")
    lost = runner.run([])
    _require(lost.returncode == 2 and "SECURE_C_SES" in lost.stderr, f"without settings: {lost}")
    say("simulate --help works; without settings it says what to set, status 2")
    shown = runner.run(["demo"], {"DEMO_EXIT": "1", "PORT": str(_free_port())})
    _require(shown.returncode == 0 and "simulated model" in shown.stdout, f"demo: {shown}")
    say("demo shows one answer")


def _check_serving(runner: _Runner) -> None:
    port, key = _free_port(), f"sk-check-{secrets.token_urlsafe(24)}"
    with runner.started(["simulate", "--port", "0"]) as simulator:
        account = json.loads(simulator.first_line())["environment"]
        settings = {**account, "API_KEYS": key, "SERVER_PORT": str(port)}
        began = time.monotonic()
        with runner.started([], settings) as gateway:
            _wait(lambda: runner.healthy(gateway), "HEALTHCHECK did not become healthy", gateway)
            say(f"HEALTHCHECK: healthy {time.monotonic() - began:.1f} s after the start")
            _require(not runner.healthy(gateway, SERVER_PORT=str(_free_port())), "HEALTHCHECK finds health on an empty port")  # fmt: skip
            _check_inside(runner, gateway)
            _check_answer(port, key)
            began = time.monotonic()
            _require(gateway.stop() == 0, "the gateway did not end with status 0 after SIGTERM")
            say(f"SIGTERM: ended with status 0 in {time.monotonic() - began:.1f} s")
            _require(gateway.stderr() == "", f"on stderr: {gateway.stderr()}")
        _require(simulator.stop() == 0, "the simulator did not end with status 0 after SIGTERM")


def _check_inside(runner: _Runner, gateway: _Running) -> None:
    seen = json.loads(runner.execute(gateway, ["python", "-I", "-c", PROBE % (NEVER_HELD,)]).stdout)
    _require(
        seen["uid"] == seen["gid"] == 10001 and not set(seen["groups"]) - {10001}, f"runs as {seen}"
    )
    _require(int(seen["capabilities"], 16) == 0, f"capabilities {seen['capabilities']}")
    _require("gunicorn" in " ".join(seen["first"]), f"process 1 is {seen['first']}")
    writable = {place for place, refusal in seen["writing"].items() if not refusal}
    _require(writable == {"/tmp", "/dev/shm"}, f"writing: {seen['writing']}")
    _require(seen["held"] == [], f"the image holds {seen['held']}")
    say(
        "uid 10001, no capabilities, process 1 is gunicorn, read-only but for /tmp and /dev/shm,"
        " neither pip nor tests"
    )


def _check_answer(port: int, key: str) -> None:
    body = {
        "model": "gemini-auto",
        "stream": True,
        "messages": [{"role": "user", "content": "What can you do?"}],
    }
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    with contextlib.closing(connection):
        connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
        response = connection.getresponse()
        text = response.read().decode()
    _require(response.status == 200, f"the answer: {response.status} {text}")
    events = [
        line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: ")
    ]
    _require(events[-1] == "[DONE]", f"the answer is not whole: {text[-300:]}")
    choices = [choice for event in events[:-1] for choice in json.loads(event)["choices"]]
    said = "".join(choice["delta"].get("content") or "" for choice in choices)
    _require(
        bool(said) and choices[-1]["finish_reason"] == "stop",
        f"the answer is not whole: {text[-300:]}",
    )
    say(f"one question asked, answered in {len(events)} events: {said[:60]!r} …")


# The base


def _pinned_base() -> str:
    """What the Dockerfile's stages build on: one image for both."""
    words = [line.split() for line in (ROOT / "Dockerfile").read_text("utf-8").splitlines()]
    bases = {line[1] for line in words if line[:1] == ["FROM"]}
    _require(len(bases) == 1, f"the stages build on {sorted(bases)}")
    return bases.pop()


def _machines_python() -> Path | None:
    """The prefix of a Python 3.12 that can be copied; None when the machine has only the
    distribution's.
    """
    show = "import sys; print(sys.base_prefix, '%d.%d' % sys.version_info[:2])"
    # by which pyenv's python3.12 finds itself
    environment = {**os.environ, "PYENV_VERSION": "3.12"}
    with contextlib.suppress(OSError, subprocess.CalledProcessError, ValueError):
        shown = subprocess.run(
            ["python3.12", "-c", show], env=environment, capture_output=True, text=True, check=True
        )
        prefix, version = shown.stdout.split()
        if prefix != "/usr" and version == "3.12":
            return Path(prefix)
    return None


def _make_base(builder: _Builder, base: Path, python: Path | None) -> None:
    """A root with python and pip on its PATH, as python:3.12-slim has, and with what the machine's
    pip goes by.
    """
    packages = [
        "ca-certificates",
        "netbase",
        "tzdata",
        "python3",
        *([] if python else ["python3-pip", "python3-venv"]),
    ]
    release = platform.freedesktop_os_release().get("VERSION_CODENAME", "stable")
    _run(
        ["debootstrap", "--variant=minbase", f"--include={','.join(packages)}", release, str(base)]
    )
    if python:
        _copy_python(python, base / "usr/local")
        _run(["chroot", str(base), "/sbin/ldconfig"])
    else:
        (base / "usr/local/bin/python").symlink_to("/usr/bin/python3")
    for unused in (
        "var/cache/apt",
        "var/lib/apt/lists",
        "usr/share/doc",
        "usr/share/locale",
        "usr/share/man",
    ):
        shutil.rmtree(base / unused, ignore_errors=True)
    say(
        f"base: Debian {release},"
        f" {_run(['chroot', str(base), '/usr/local/bin/python', '--version']).stdout.strip()}"
    )
    _take_over_pip_settings(base)
    made = builder("from", "scratch").strip()
    builder("add", "--quiet", made, str(base), "/")
    builder(
        "config", "--env=PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin", made
    )
    builder("commit", "--quiet", "--rm", made, BASE)
    shutil.rmtree(base)


def _copy_python(prefix: Path, into: Path) -> None:
    """A Python finds its library from where its program lies; the packages that lie in it stay
    behind, but for pip.
    """
    shutil.copy2(prefix / "bin/python3.12", into / "bin/python3.12")
    for name in ("python", "python3"):
        (into / "bin" / name).symlink_to("python3.12")
    (into / "bin/pip").write_text('#!/bin/sh\nexec python -m pip "$@"\n')
    (into / "bin/pip").chmod(0o755)
    for library in (prefix / "lib").glob("libpython3*.so*"):
        shutil.copy2(library, into / "lib" / library.name)
    from_lib, to_lib = prefix / "lib/python3.12", into / "lib/python3.12"
    ignored = shutil.ignore_patterns("__pycache__", "test", "config-*", "site-packages")
    shutil.copytree(from_lib, to_lib, symlinks=True, ignore=ignored, dirs_exist_ok=True)
    shutil.copytree(
        from_lib / "site-packages/pip", to_lib / "site-packages/pip", dirs_exist_ok=True
    )


def _take_over_pip_settings(base: Path) -> None:
    """Where the index is, and which authorities vouch for it: as pip on this machine has it."""
    command = [sys.executable, "-m", "pip", "config", "list"]
    listed = subprocess.run(
        command, capture_output=True, text=True, check=False
    ).stdout.splitlines()
    listed.sort(key=lambda line: line.startswith(":env:"))  # the environment wins
    values = {
        name.rpartition(".")[2]: value.strip("'")
        for name, _, value in (line.partition("=") for line in listed)
    }
    kept = {
        name: values[name]
        for name in ("index-url", "extra-index-url", "trusted-host", "proxy")
        if name in values
    }
    (base / "etc/pip.conf").write_text(
        "[global]\n" + "".join(f"{name} = {value}\n" for name, value in kept.items())
    )
    authorities = Path("/etc/ssl/certs/ca-certificates.crt")
    if authorities.is_file():
        shutil.copy2(authorities, base / "etc/ssl/certs/ca-certificates.crt")
        with (base / "etc/pip.conf").open("a") as config:
            config.write(f"cert = {authorities}\n")


# buildah


class Layer(NamedTuple):
    """The sizes of a layer in bytes: as it is stored on disk, and as it is sent by a registry."""

    stored: int
    sent: int

    @classmethod
    def read(cls, blob: Path) -> Layer:
        with gzip.open(blob) as layer:
            return cls(sum(map(len, iter(lambda: layer.read(1 << 20), b""))), blob.stat().st_size)


class _Builder:
    """buildah with a store of its own."""

    def __init__(self, work: Path) -> None:
        self.store = work / "store"
        self._work = work
        self._command = ["buildah", f"--root={self.store}", f"--runroot={work / 'run'}"]

    def __call__(self, *arguments: str) -> str:
        return _run([*self._command, *arguments]).stdout

    def layers(self, image: str) -> list[Layer]:
        with tempfile.TemporaryDirectory(dir=self._work) as into:
            self("push", "--quiet", image, f"oci:{into}")
            blobs = Path(into) / "blobs/sha256"
            index = json.loads((Path(into) / "index.json").read_text())
            manifest = json.loads((blobs / _hash(index["manifests"][0])).read_text())
            return [Layer.read(blobs / _hash(layer)) for layer in manifest["layers"]]

    def config(self, image: str) -> dict[str, Any]:
        inspected: dict[str, Any] = json.loads(self("inspect", "--type=image", image))["Docker"][
            "config"
        ]
        return inspected

    def mounted(self, image: str) -> Path:
        made = self("from", "--pull-never", image).strip()
        return Path(self("mount", made).strip())


@contextmanager
def _builder(work: Path) -> Iterator[_Builder]:
    builder = _Builder(work)
    try:
        yield builder
    finally:
        builder("umount", "--all")
        builder("rm", "--all")
        subprocess.run(
            ["umount", str(builder.store / "overlay")], stderr=subprocess.DEVNULL, check=False
        )


# runc


class _Runner:
    """Runs an image's file system as an engine would run the image."""

    def __init__(self, work: Path, root: Path, config: Mapping[str, Any]) -> None:
        self._work = work
        self._root = root
        self._config = config
        self._runc = ["runc", f"--root={work / 'runc'}"]

    def run(
        self, arguments: Sequence[str], settings: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        name, bundle = self._bundle(arguments, settings or {})
        return subprocess.run([*self._runc, "run", f"--bundle={bundle}", name], capture_output=True, text=True, timeout=60, check=False)  # fmt: skip

    @contextmanager
    def started(
        self, arguments: Sequence[str], settings: Mapping[str, str] | None = None
    ) -> Iterator[_Running]:
        name, bundle = self._bundle(arguments, settings or {})
        with (bundle / "stdout").open("wb") as stdout, (bundle / "stderr").open("wb") as stderr:
            command = [*self._runc, "run", f"--bundle={bundle}", name]
            popen = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr
            )
        running = _Running(name, bundle, popen, lambda number: self._kill(name, number))
        try:
            yield running
        finally:
            if popen.poll() is None:
                self._kill(name, "KILL")
                popen.wait(STOP_S)

    def execute(
        self, running: _Running, command: Sequence[str], settings: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """What `docker exec` does; the status is the caller's to judge."""
        given = [f"--env={name}={value}" for name, value in (settings or {}).items()]
        return subprocess.run([*self._runc, "exec", *given, running.name, *command], capture_output=True, text=True, timeout=60, check=False)  # fmt: skip

    def healthy(self, running: _Running, **settings: str) -> bool:
        kind, *command = self._config["Healthcheck"]["Test"]
        _require(kind == "CMD", "HEALTHCHECK goes through a shell")
        return self.execute(running, command, settings).returncode == 0

    def _kill(self, name: str, number: str) -> None:
        subprocess.run(
            [*self._runc, "kill", name, number], capture_output=True, timeout=60, check=False
        )

    def _bundle(self, arguments: Sequence[str], settings: Mapping[str, str]) -> tuple[str, Path]:
        bundle = Path(tempfile.mkdtemp(prefix="bundle-", dir=self._work))
        _run([*self._runc, "spec"], cwd=bundle)
        spec = json.loads((bundle / "config.json").read_text())
        spec["root"] = {"path": str(self._root), "readonly": True}
        spec["mounts"].append(TMPFS)
        # The machine's own network, so that the question can be asked from outside.
        spec["linux"]["namespaces"] = [
            kind for kind in spec["linux"]["namespaces"] if kind["type"] != "network"
        ]
        uid, _, gid = self._config["User"].partition(":")
        environment = [
            *self._config["Env"],
            *(f"{name}={value}" for name, value in settings.items()),
        ]
        spec["process"] = {
            "args": [*self._config["Entrypoint"], *(arguments or self._config["Cmd"])],
            "cwd": self._config["WorkingDir"],
            "env": environment,
            "user": {"uid": int(uid), "gid": int(gid)},
            "capabilities": {},
            "noNewPrivileges": True,
        }
        (bundle / "config.json").write_text(json.dumps(spec))
        return bundle.name, bundle


class _Running:
    """A container that was started."""

    def __init__(
        self, name: str, bundle: Path, popen: subprocess.Popen[bytes], kill: Callable[[str], None]
    ) -> None:
        self.name = name
        self._bundle = bundle
        self._popen = popen
        self._kill = kill

    def ended(self) -> bool:
        return self._popen.poll() is not None

    def stdout(self) -> str:
        return (self._bundle / "stdout").read_text()

    def stderr(self) -> str:
        return (self._bundle / "stderr").read_text()

    def first_line(self) -> str:
        _wait(lambda: "\n" in self.stdout(), "no line was printed", self)
        return self.stdout().splitlines()[0]

    def stop(self) -> int:
        self._kill("TERM")
        return self._popen.wait(STOP_S)


# Small things


def _wait(happened: Callable[[], bool], otherwise: str, running: _Running) -> None:
    # a loop of its own: this program runs without the tests beside it
    deadline = time.monotonic() + START_S
    while not happened():
        if running.ended() or time.monotonic() > deadline:
            raise CheckError(f"{otherwise}:\n{running.stdout()}\n{running.stderr()}")
        time.sleep(0.1)


def _run(command: Sequence[str], cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        output = f"{done.stdout}\n{done.stderr}".strip()[-3000:]
        raise CheckError(f"{' '.join(command)}: status {done.returncode}\n{output}")
    return done


def _hash(descriptor: Mapping[str, str]) -> str:
    return descriptor["digest"].removeprefix("sha256:")


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise CheckError(otherwise)


def _timed(what: str, act: Callable[[], object]) -> None:
    began = time.monotonic()
    act()
    say(f"{what} in {time.monotonic() - began:.0f} s")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _out_of_time(*_: object) -> None:
    raise CheckError(f"not done after {ALL_S:.0f} s")


def say(text: str) -> None:
    sys.stdout.write(f"docker-check: {text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
