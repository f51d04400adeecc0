"""The files of counts of a server's processes, from which each of them can render the sum.

prometheus_client writes one file of each kind per process, named by its process id, and reads them
all. Added here: their directory, reserved space (a write to a mapped file on a full disk would kill
the process), and the counts of processes that have ended, merged into the files of process 0, which
does not exist.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"  # prometheus_client reads it when it is imported

_MEMORY = Path("/dev/shm")  # noqa: S108  each server makes a directory of its own in it
_PREFIX = "gbproxy-metrics-"
_ALIVE = "alive"
_NEW_S = 60.0  # a newer directory may be without its lock yet
_FILE_BYTES = {"counter": 128 * 1024, "histogram": 512 * 1024, "gauge_livesum": 256 * 1024}
_MERGED = ("counter", "histogram")
_ENDED_PID = 0
_TRIES, _READ_S = 10, 0.02  # to wait for a page that is just being read


def create(memory: Path = _MEMORY) -> Path:
    """Create a directory for the files of this process and of those that it will fork; in memory
    where the system has a file system there.
    """
    in_memory = memory.is_dir() and os.access(memory, os.W_OK | os.X_OK)
    parent = memory if in_memory else Path(tempfile.gettempdir())
    remove_abandoned(parent)
    folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=parent))
    # Never closed: the system releases the lock when the last process that inherited it has ended,
    # however it ended.
    fcntl.flock(
        os.open(folder / _ALIVE, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600), fcntl.LOCK_SH
    )
    return folder


def remove_abandoned(parent: Path, clock: Callable[[], float] = time.time) -> None:
    """Remove the directories of servers that were killed. They are told by their lock: a process id
    means nothing in another container.
    """
    for folder in parent.glob(f"{_PREFIX}*"):
        with suppress(OSError):  # another user's, or just being removed
            if clock() - folder.stat().st_mtime > _NEW_S and _is_abandoned(folder):
                shutil.rmtree(folder, ignore_errors=True)


def _is_abandoned(folder: Path) -> bool:
    with (folder / _ALIVE).open("rb") as alive:
        try:
            fcntl.flock(alive, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def is_own(folder: Path) -> bool:
    """True if this process created it, not one from which the environment was inherited."""
    return folder.name.startswith(f"{_PREFIX}{os.getpid()}-") and folder.is_dir()


def remove(folder: Path, made_by: int) -> None:
    """Remove the directory, if this is the process that created it."""
    if os.getpid() == made_by:
        shutil.rmtree(folder, ignore_errors=True)


def reserve_files(folder: Path) -> None:
    """Create this process' files before their first use, with all the space they will need."""
    for kind, size in _FILE_BYTES.items():
        with suppress(OSError), _file(folder, kind, os.getpid()).open("xb") as file:
            os.posix_fallocate(file.fileno(), 0, size)


@contextmanager
def locked_files(folder: Path) -> Iterator[list[str]]:
    """Lock the files, so that none is merged meanwhile, and yield their paths. Blocks the thread,
    event loop included, while a merge runs.
    """
    with (folder / "lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        yield [str(file) for file in sorted(folder.glob("*.db")) if file.stat().st_size]


def ended_processes(folder: Path) -> set[int]:
    """The ids of processes that have ended and whose counts are not merged yet."""
    pids = {
        int(file.stem.rpartition("_")[2])
        for kind in _MERGED
        for file in folder.glob(f"{kind}_*.db")
    }
    return {pid for pid in pids - {_ENDED_PID} if not _is_alive(pid)}


def merge_ended(folder: Path, ended: Collection[int]) -> bool:
    """Merge the counts of these processes and remove their files. False if a reader holds the lock
    for too long: to be tried again later.
    """
    with (folder / "lock").open("ab") as lock:
        if not _wait_for_readers(lock):
            return False
        for kind in _MERGED:
            _merge(_file(folder, kind, _ENDED_PID), [_file(folder, kind, pid) for pid in ended])
    return True


def _wait_for_readers(lock: IO[bytes]) -> bool:
    """Take the lock from readers, which need milliseconds; False if they hold it too long."""
    for _ in range(_TRIES):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_READ_S)
        else:
            return True
    return False


def _merge(total: Path, ended: Collection[Path]) -> None:
    from prometheus_client import mmap_dict  # not before VARIABLE is set

    counts: Any = mmap_dict.MmapedDict
    left = [file for file in ended if file.exists()]
    values: Counter[str] = Counter()
    for file in (total, *left):
        if file.exists() and file.stat().st_size:
            for key, value, _, _ in counts.read_all_values_from_file(str(file)):
                values[key] += value
    new = total.with_suffix(".new")
    new.unlink(missing_ok=True)
    written = counts(str(new))
    for key, value in values.items():
        written.write_value(key, value, 0.0)
    written.close()
    new.replace(total)
    for file in left:
        file.unlink()


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's process with the same id
        return True
    return True


def remove_gauges(folder: Path, pid: int) -> None:
    """Remove the gauges of a process that has ended: it holds nothing any more."""
    _file(folder, "gauge_livesum", pid).unlink(missing_ok=True)


def _file(folder: Path, kind: str, pid: int) -> Path:
    return folder / f"{kind}_{pid}.db"
