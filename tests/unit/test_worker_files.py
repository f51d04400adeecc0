"""The files that workers count in, and what is left of a worker that has ended."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import mmap_dict
from prometheus_client.multiprocess import MultiProcessCollector

from gbproxy.observability import worker_files

KEY = mmap_dict.mmap_key("calls", "calls_total", ("verb",), ("get",), "Calls")


@pytest.fixture
def folder() -> Iterator[Path]:
    made = worker_files.make()
    yield made
    worker_files.remove(made, os.getpid())


def counted(folder: Path, pid: int, value: float, kind: str = "counter") -> Path:
    """What a worker of this id has counted."""
    path = folder / f"{kind}_{pid}.db"
    file = mmap_dict.MmapedDict(str(path))
    file.write_value(KEY, value, 0.0)
    file.close()
    return path


def total(folder: Path) -> float:
    with worker_files.readable(folder) as files:
        return sum(sample.value for metric in MultiProcessCollector.merge(files) for sample in metric.samples)


def test_counts_of_the_ended_are_kept_without_their_files(folder: Path) -> None:
    ended = [counted(folder, 11, 2.0), counted(folder, 12, 3.0)]
    counted(folder, 13, 4.0)

    assert worker_files.add_up(folder, [11])
    assert worker_files.add_up(folder, [12])

    assert total(folder) == 9.0
    assert [file for file in ended if file.exists()] == []


def test_nothing_is_added_up_while_somebody_reads(folder: Path) -> None:
    file = counted(folder, 11, 2.0)

    with worker_files.readable(folder):
        assert not worker_files.add_up(folder, [11])

    assert file.exists()
    assert worker_files.add_up(folder, [11])
    assert total(folder) == 2.0


def test_the_ended_are_those_who_have_left_files_and_are_no_more(folder: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        gone = process.pid
    for pid in (0, gone, os.getpid()):
        counted(folder, pid, 1.0)

    assert worker_files.ended(folder) == {gone}


def test_a_worker_that_has_counted_nothing_may_end(folder: Path) -> None:
    assert worker_files.add_up(folder, [11])
    worker_files.forget_gauges(folder, 11)

    assert total(folder) == 0


def test_what_the_ended_held_is_free(folder: Path) -> None:
    file = counted(folder, 11, 2.0, "gauge_livesum")

    worker_files.forget_gauges(folder, 11)

    assert not file.exists()


def test_a_file_that_has_just_been_opened_is_passed_over(folder: Path) -> None:
    (folder / "counter_11.db").touch()

    assert total(folder) == 0


def test_the_room_for_this_process_is_reserved_and_empty(folder: Path) -> None:
    worker_files.reserve(folder)
    worker_files.reserve(folder)

    made = [path for path in folder.iterdir() if path.suffix == ".db"]
    assert {path.name.rpartition("_")[2] for path in made} == {f"{os.getpid()}.db"}
    assert all(path.stat().st_blocks * 512 >= path.stat().st_size > 0 for path in made)
    assert total(folder) == 0


def test_what_a_killed_server_has_left_is_removed_and_nothing_that_is_in_use(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom pathlib import Path\nfrom gbproxy.observability import worker_files\n"
        "print(worker_files.make(Path(sys.argv[1])), flush=True)\nsys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        left = Path(process.stdout.readline().strip())
        own = worker_files.make(tmp_path)
        during = left.exists()
        process.kill()

    other = worker_files.make(tmp_path)

    assert (during, left.exists(), own.exists(), other.exists()) == (True, False, True, True)


def test_a_directory_is_its_makers_own(folder: Path, tmp_path: Path) -> None:
    assert worker_files.is_own(folder)
    assert not worker_files.is_own(tmp_path)
    assert not worker_files.is_own(folder.with_name("gbproxy-metrics-1-inherited"))

    worker_files.remove(folder, os.getpid() + 1)
    assert folder.exists()
    worker_files.remove(folder, os.getpid())
    assert not folder.exists()
    assert not worker_files.is_own(folder)
