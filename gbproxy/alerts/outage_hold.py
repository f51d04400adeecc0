"""Who tells that the database is away: who takes a hold, for all workers and replicas in Redis.

Without Redis it is a file, for the workers of one machine: replicas on several machines tell once
each then. The file notes what Redis holds, too, as that may lose it.
"""

from __future__ import annotations

import fcntl
import math
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol, TextIO

from gbproxy.domain.account import short_digest
from gbproxy.errors import StorageUnavailable
from gbproxy.rate_limits.store import LimitStore


class BeingTaken(Exception):
    """Another worker takes the hold at this moment: ask again."""


class Hold(Protocol):
    def take(self, for_s: float) -> float | None:
        """Take it for so many seconds. None, or if another has it when that took it: Unix seconds.
        Raises BeingTaken.
        """
        ...

    def taken_at(self, for_s: float) -> float | None:
        """When it was taken, Unix seconds; None if that is `for_s` seconds ago or more."""
        ...


class FileHold:
    """A hold for the processes of one user on one machine: a file with the time of the last one."""

    def __init__(self, folder: Path, subject: str, clock: Callable[[], float] = time.time) -> None:
        self._path = folder / f"gbproxy-alert-{os.getuid()}-{short_digest(subject)}"
        self._clock = clock

    def take(self, for_s: float) -> float | None:
        with self._locked() as file:
            # A folder in which nothing can be written: better told by each than by none.
            at = self._read(file, for_s) if file else None
            if file and at is None:
                self._write(file, self._clock())
        return at

    def taken_at(self, for_s: float) -> float | None:
        try:
            with self._path.open(errors="replace") as file:
                return self._read(file, for_s)
        except OSError:
            return None

    def note(self, at: float) -> None:
        """Note that it was taken elsewhere. Raises BeingTaken."""
        with self._locked() as file:
            if file:
                self._write(file, at)

    @contextmanager
    def _locked(self) -> Iterator[TextIO | None]:
        try:
            opened = os.open(self._path, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, 0o600)
        except OSError:
            yield None
            return
        with os.fdopen(opened, "r+", errors="replace") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise BeingTaken from None
            yield file

    def _read(self, file: TextIO, for_s: float) -> float | None:
        text = file.read(40)
        if not re.fullmatch(r"[0-9]+\.[0-9]+", text):
            return None
        at = float(text)
        return at if 0 <= self._clock() - at < for_s else None

    def _write(self, file: TextIO, at: float) -> None:
        file.seek(0)
        file.truncate()
        file.write(f"{at:.3f}")


class SharedHold:
    """The hold in Redis; in the file while that is away.

    `subject` is the database: gateways on another one may share the Redis.
    """

    def __init__(
        self,
        redis: LimitStore,
        file: FileHold,
        subject: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._redis = redis
        self._file = file
        self._name = f"alert:database:{short_digest(subject)}:at"
        self._clock = clock

    def take(self, for_s: float) -> float | None:
        at = self._file.taken_at(for_s)
        if at is not None:
            return at
        with suppress(StorageUnavailable):
            at = self._taken_in_redis(for_s)
            with suppress(BeingTaken):
                self._file.note(self._clock() if at is None else at)
            return at
        return self._file.take(for_s)

    def taken_at(self, for_s: float) -> float | None:
        at = self._file.taken_at(for_s)
        if at is None:
            with suppress(StorageUnavailable):
                return self._redis.read(self._name) or None
        return at

    def _taken_in_redis(self, for_s: float) -> float | None:
        # A sum of one addend: the time, which so is there for all.
        now = self._clock()
        if self._redis.add_below(self._name, int(now), 1, math.ceil(for_s)):
            return None
        return self._redis.read(self._name) or now
