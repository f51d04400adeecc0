"""The files in which the processes of one server keep their counts, so that each of them can tell
the sum.

prometheus_client writes one file of each kind for each process, named by its process id, and reads
them all. Added here: where they are, room that is reserved (a write into a file that the disk has
no room for would kill the process), and what remains of processes that have ended: their counts are
added up into the files of process 0, which there is not.
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

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"  # prometheus_client reads it, once, when it is imported

_MEMORY = Path("/dev/shm")  # noqa: S108  each server makes a directory of its own in it
_PREFIX = "gbproxy-metrics-"
_ALIVE = "alive"
_YOUNG_S = 60.0  # that between a directory and its lock a moment passes does no harm then
_ROOM_BYTES = {"counter": 128 * 1024, "histogram": 512 * 1024, "gauge_livesum": 256 * 1024}
_KEPT = ("counter", "histogram")
_ENDED = 0
_TRIES, _READ_S = 10, 0.02  # how long a page that is just being read is waited for


def make(memory: Path = _MEMORY) -> Path:
    """A directory for the files of this process and of those that it will fork; in memory, where
    the system has that.
    """
    in_memory = memory.is_dir() and os.access(memory, os.W_OK | os.X_OK)
    parent = memory if in_memory else Path(tempfile.gettempdir())
    sweep(parent)
    folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=parent))
    # Never closed: the system lets go of it when the last process that has inherited it is no more,
    # however that ended.
    fcntl.flock(
        os.open(folder / _ALIVE, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600), fcntl.LOCK_SH
    )
    return folder


def sweep(parent: Path, clock: Callable[[], float] = time.time) -> None:
    """Remove what servers have left that were killed. By a lock, as a process id means nothing in
    another container.
    """
    for folder in parent.glob(f"{_PREFIX}*"):
        with suppress(OSError):  # somebody else's, or just being removed
            if clock() - folder.stat().st_mtime > _YOUNG_S and _is_left(folder):
                shutil.rmtree(folder, ignore_errors=True)


def _is_left(folder: Path) -> bool:
    with (folder / _ALIVE).open("rb") as alive:
        try:
            fcntl.flock(alive, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def is_own(folder: Path) -> bool:
    """Whether this very process has made it, and not one that has passed on its environment."""
    return folder.name.startswith(f"{_PREFIX}{os.getpid()}-") and folder.is_dir()


def remove(folder: Path, made_by: int) -> None:
    """Remove the directory, in the process that has made it."""
    if os.getpid() == made_by:
        shutil.rmtree(folder, ignore_errors=True)


def reserve(folder: Path) -> None:
    """Make this process' files before their first use, with all the room that they will need."""
    for kind, size in _ROOM_BYTES.items():
        with suppress(OSError), _file(folder, kind, os.getpid()).open("xb") as file:
            os.posix_fallocate(file.fileno(), 0, size)


@contextmanager
def readable(folder: Path) -> Iterator[list[str]]:
    """The files as they are to be read; meanwhile none of them is added up. Waits for the system,
    not for the event loop.
    """
    with (folder / "lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        yield [str(file) for file in sorted(folder.glob("*.db")) if file.stat().st_size]


def ended(folder: Path) -> set[int]:
    """The processes that have left counts and are no more: also those that could not be seen to
    when they ended.
    """
    pids = {
        int(file.stem.rpartition("_")[2]) for kind in _KEPT for file in folder.glob(f"{kind}_*.db")
    }
    return {pid for pid in pids - {_ENDED} if not _is_alive(pid)}


def add_up(folder: Path, ended: Collection[int]) -> bool:
    """Keep what these processes have counted, without their files. False: somebody reads for long;
    try again later.
    """
    with (folder / "lock").open("ab") as lock:
        if not _is_free(lock):
            return False
        for kind in _KEPT:
            _add_up(_file(folder, kind, _ENDED), [_file(folder, kind, pid) for pid in ended])
    return True


def _is_free(lock: IO[bytes]) -> bool:
    """Whether nobody reads, and nobody may from now on. A page is read in milliseconds: it is
    waited for.
    """
    for _ in range(_TRIES):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_READ_S)
        else:
            return True
    return False


def _add_up(total: Path, ended: Collection[Path]) -> None:
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
    except PermissionError:  # somebody else's, who has got the same number
        return True
    return True


def forget_gauges(folder: Path, pid: int) -> None:
    """What a process held is free once it has ended."""
    _file(folder, "gauge_livesum", pid).unlink(missing_ok=True)


def _file(folder: Path, kind: str, pid: int) -> Path:
    return folder / f"{kind}_{pid}.db"
