"""The files that workers count in, and what is left of a worker that has ended."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from prometheus_client import mmap_dict
from prometheus_client.multiprocess import MultiProcessCollector

from gbproxy.observability import multiprocess

KEY = mmap_dict.mmap_key("calls", "calls_total", ("verb",), ("get",), "Calls")


@pytest.fixture
def folder() -> Iterator[Path]:
    made = multiprocess.create()
    yield made
    multiprocess.remove(made, os.getpid())


def counted(folder: Path, pid: int, value: float, kind: str = "counter") -> Path:
    """What a worker of this id has counted."""
    path = folder / f"{kind}_{pid}.db"
    file = mmap_dict.MmapedDict(str(path))
    file.write_value(KEY, value, 0.0)
    file.close()
    return path


def total(folder: Path) -> float:
    with multiprocess.locked_files(folder) as files:
        return sum(
            sample.value
            for metric in MultiProcessCollector.merge(files)
            for sample in metric.samples
        )


def test_counts_of_the_ended_are_kept_without_their_files(folder: Path) -> None:
    ended = [counted(folder, 11, 2.0), counted(folder, 12, 3.0)]
    counted(folder, 13, 4.0)

    assert multiprocess.merge_ended(folder, [11])
    assert multiprocess.merge_ended(folder, [12])

    assert total(folder) == 9.0
    assert [file for file in ended if file.exists()] == []


def test_nothing_is_added_up_while_somebody_reads(folder: Path) -> None:
    file = counted(folder, 11, 2.0)

    with multiprocess.locked_files(folder):
        assert not multiprocess.merge_ended(folder, [11])

    assert file.exists()
    assert multiprocess.merge_ended(folder, [11])
    assert total(folder) == 2.0


def test_the_ended_are_those_who_have_left_files_and_are_no_more(folder: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        gone = process.pid
    for pid in (0, gone, os.getpid()):
        counted(folder, pid, 1.0)

    assert multiprocess.ended_processes(folder) == {gone}


def test_a_worker_that_has_counted_nothing_may_end(folder: Path) -> None:
    assert multiprocess.merge_ended(folder, [11])
    multiprocess.remove_gauges(folder, 11)

    assert total(folder) == 0


def test_what_the_ended_held_is_free(folder: Path) -> None:
    file = counted(folder, 11, 2.0, "gauge_livesum")

    multiprocess.remove_gauges(folder, 11)

    assert not file.exists()


def test_a_file_that_has_just_been_opened_is_passed_over(folder: Path) -> None:
    (folder / "counter_11.db").touch()

    assert total(folder) == 0


def test_the_room_for_this_process_is_reserved_and_empty(folder: Path) -> None:
    multiprocess.reserve_files(folder)
    multiprocess.reserve_files(folder)

    made = [path for path in folder.iterdir() if path.suffix == ".db"]
    assert {path.name.rpartition("_")[2] for path in made} == {f"{os.getpid()}.db"}
    assert all(path.stat().st_blocks * 512 >= path.stat().st_size > 0 for path in made)
    assert total(folder) == 0


def test_a_directory_is_its_makers_own(folder: Path, tmp_path: Path) -> None:
    assert multiprocess.is_own(folder)
    assert not multiprocess.is_own(tmp_path)
    assert not multiprocess.is_own(folder.with_name("gbproxy-metrics-1-inherited"))

    multiprocess.remove(folder, os.getpid() + 1)
    assert folder.exists()
    multiprocess.remove(folder, os.getpid())
    assert not folder.exists()
    assert not multiprocess.is_own(folder)


def test_what_a_killed_server_has_left_is_removed_and_what_serves_is_not(tmp_path: Path) -> None:
    killed, serving, foreign = (
        tmp_path / f"gbproxy-metrics-{name}" for name in ("1-a", "1-b", "1-c")
    )
    for made in (killed, serving, foreign):
        made.mkdir()
    (killed / "alive").touch()
    with (serving / "alive").open("wb") as held:
        fcntl.flock(held, fcntl.LOCK_SH)

        # all are younger than a minute: their locks may still be on the way
        multiprocess.remove_abandoned(tmp_path)
        young = set(tmp_path.iterdir())
        multiprocess.remove_abandoned(tmp_path, clock=lambda: time.time() + 3600)

    assert young == {killed, serving, foreign}
    assert set(tmp_path.iterdir()) == {serving, foreign}


def test_a_directory_is_held_as_long_as_a_process_that_uses_it_lives(tmp_path: Path) -> None:
    own = multiprocess.create(tmp_path)
    making = (
        "import pathlib, sys; from gbproxy.observability import multiprocess;"
        " multiprocess.create(pathlib.Path(sys.argv[1]))"
    )
    subprocess.run([sys.executable, "-c", making, str(tmp_path)], check=True)
    before = len(list(tmp_path.iterdir()))

    multiprocess.remove_abandoned(tmp_path, clock=lambda: time.time() + 3600)

    assert before == 2
    assert list(tmp_path.iterdir()) == [own]


def test_a_page_that_is_being_read_is_waited_for(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted(folder, 11, 2.0)
    begun, read = threading.Event(), threading.Event()

    def hold() -> None:
        with multiprocess.locked_files(folder):
            begun.set()
            assert read.wait(30)

    def read_meanwhile(seconds: float) -> None:
        """What happens while somebody waits."""
        read.set()
        reading.result(30)

    with ThreadPoolExecutor(1) as threads:
        reading = threads.submit(hold)
        assert begun.wait(30)
        monkeypatch.setattr(time, "sleep", read_meanwhile)
        assert multiprocess.merge_ended(folder, [11])
        monkeypatch.undo()

    assert read.is_set()
