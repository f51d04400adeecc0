"""Processes that are pinned to a core, watched, and ended with us whatever happens. Linux only: it
reads /proc.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

_STOP_S = 5.0
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)
_PROC = Path("/proc")


class Child:
    """A process of ours and all that it starts."""

    def __init__(self, name: str, process: subprocess.Popen[str], log: Path) -> None:
        self.name = name
        self.process = process
        self.log = log

    @property
    def pid(self) -> int:
        return self.process.pid

    def pids(self) -> list[int]:
        """The process and its descendants, parents first."""
        parents = _parents()
        tree = [self.pid]
        for known in tree:
            tree += sorted(pid for pid, parent in parents.items() if parent == known)
        return tree

    def serving_pids(self) -> list[int]:
        """The processes that have started no others: of a master and its worker the worker."""
        parents = set(_parents().values())
        return [pid for pid in self.pids() if pid not in parents]

    def cpu_s(self) -> float:
        """CPU seconds used so far by the whole tree."""
        return sum(_cpu_s(pid) for pid in self.pids())

    def rss_mb(self) -> float:
        """Resident memory of the serving processes."""
        return sum(_memory_kb(pid, "smaps_rollup", "Rss") for pid in self.serving_pids()) / 1024

    def pss_mb(self) -> float:
        """The same, where memory that is shared with the master counts in part."""
        return sum(_memory_kb(pid, "smaps_rollup", "Pss") for pid in self.serving_pids()) / 1024

    def quick_rss_mb(self) -> float:
        """Like `rss_mb`, cheap enough for many times a second."""
        return sum(_memory_kb(pid, "status", "VmRSS") for pid in self.serving_pids()) / 1024

    def last_words(self) -> str:
        """The end of what it wrote."""
        try:
            return self.log.read_text("utf-8", "replace")[-1500:]
        except OSError:
            return ""

    def stop(self) -> None:
        """End it: politely, then for sure, and with it whatever it started and left behind."""
        if self.process.poll() is None:
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(_STOP_S)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)  # its own group: nothing else is in it
        self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()


@contextmanager
def running(
    name: str,
    command: Sequence[str],
    core: int,
    log: Path,
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> Iterator[Child]:
    """Run a command on one core; its output goes to `log`, but for what is read from its
    `stdout`.
    """

    def prepare() -> None:
        os.sched_setaffinity(0, {core})
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)

    with log.open("w") as sink:
        process = subprocess.Popen(  # noqa: S603  commands of our own
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if env is None else sink,
            stderr=sink,
            env=env,
            cwd=cwd,
            text=True,
            start_new_session=True,  # Ctrl-C reaches us alone, and we end it
            preexec_fn=prepare,
        )
    child = Child(name, process, log)
    try:
        yield child
    finally:
        child.stop()


def core_busy_s(core: int) -> float:
    """Seconds that a core has been busy since the machine started, whoever used it."""
    for line in (_PROC / "stat").read_text().splitlines():
        name, *ticks = line.split()
        if name == f"cpu{core}":
            idle = int(ticks[3]) + int(ticks[4])
            return (sum(map(int, ticks[:8])) - idle) / os.sysconf("SC_CLK_TCK")
    raise ValueError(f"there is no core {core}")


def wait_until_quiet(child: Child, within_s: float = 3.0) -> bool:
    """Wait until a process has next to nothing left to do. False when it did not come to rest."""
    deadline = time.monotonic() + within_s
    quiet = 0
    used = child.cpu_s()
    while quiet < 2:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
        used, before = child.cpu_s(), used
        quiet = quiet + 1 if used - before < 0.005 else 0
    return True


def _parents() -> dict[int, int]:
    """Each process's parent."""
    found: dict[int, int] = {}
    for entry in _PROC.iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):  # it has ended meanwhile
                found[int(entry.name)] = int(
                    (entry / "stat").read_text().rpartition(")")[2].split()[1]
                )
    return found


def _cpu_s(pid: int) -> float:
    """From the scheduler's own count in ns; where the kernel has none, from ticks of 10 ms."""
    try:
        tasks = list((_PROC / str(pid) / "task").iterdir())
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9
    except (OSError, IndexError):
        pass
    try:
        fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _memory_kb(pid: int, file: str, name: str) -> float:
    with contextlib.suppress(OSError):
        for line in (_PROC / str(pid) / file).read_text().splitlines():
            if line.startswith(f"{name}:"):
                return float(line.split()[1])
    return 0.0
