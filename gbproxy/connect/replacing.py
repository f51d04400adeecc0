"""Files are written anew: all or none, each in one step, with what was there kept beside."""

from __future__ import annotations

import itertools
import os
import stat
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from gbproxy.connect.files import CannotChange, Original

_WRITTEN = "{path} cannot be written: {why}; nothing was changed"


def replace_all(changes: Sequence[tuple[Original, str]]) -> list[Path | None]:
    """Give each file its new text. Returns where what was in it is kept, None where nothing was.

    Raises CannotChange, which names the file, and then all are as they were: also when one is
    read-only, or has changed since it was read.
    """
    steps = [_Replacement(original) for original, _ in changes]
    try:
        for step, (_, text) in zip(steps, changes, strict=True):
            with _named(step.original.path, _WRITTEN):
                step.prepare(text)
        for step in steps:
            with _named(step.original.path, _WRITTEN):
                step.put()
    except BaseException:
        _take_back(steps)
        raise
    return [step.copy for step in steps]


def _take_back(steps: Sequence[_Replacement]) -> None:
    """Put back all that can be. Raises CannotChange with those that cannot."""
    left = []
    for step in steps:
        try:
            with _named(step.original.path, "{path} is changed and cannot be put back: {why}"):
                step.take_back()
        except CannotChange as error:
            left.append(str(error))
    if left:
        raise CannotChange("; ".join(left))


@dataclass(slots=True)
class _Replacement:
    """`new`: the new text, `copy`: what is there, both beside the file."""

    original: Original
    new: Path | None = None
    copy: Path | None = None
    is_put: bool = False

    def prepare(self, text: str) -> None:
        path, mode = self.original.path, self.original.mode
        if not mode & stat.S_IWUSR:
            raise CannotChange("it is read-only")
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if Original.read(path) != self.original:
            raise CannotChange("it has changed meanwhile: try again")
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        self.new = Path(name)
        self._fill(handle, self.new, text)
        if self.original.text is not None:
            handle, self.copy = _open_copy(path, mode)
            self._fill(handle, self.copy, self.original.text)

    def put(self) -> None:
        if self.new is not None:
            os.replace(self.new, self.original.path)
            self.is_put = True

    def take_back(self) -> None:
        if not self.is_put:
            for path in filter(None, (self.new, self.copy)):
                path.unlink(missing_ok=True)
        elif self.copy is not None:
            os.replace(self.copy, self.original.path)
        else:
            self.original.path.unlink()

    def _fill(self, handle: int, path: Path, text: str) -> None:
        """Write a file with the mode that the original has, and its owner."""
        with os.fdopen(handle, "wb") as file:
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())
        path.chmod(self.original.mode)
        if self.original.text is not None and hasattr(os, "chown"):
            owner = self.original.path.stat()
            os.chown(path, owner.st_uid, owner.st_gid)


def _open_copy(path: Path, mode: int) -> tuple[int, Path]:
    for number in itertools.count(1):
        copy = path.with_name(f"{path.name}.bak{number if number > 1 else ''}")
        with suppress(FileExistsError):
            return os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), copy
    raise AssertionError("unreachable")


@contextmanager
def _named(path: Path, message: str) -> Iterator[None]:
    """Raises CannotChange with this message for what goes wrong."""
    try:
        yield
    except CannotChange as error:
        raise CannotChange(message.format(path=path, why=error)) from error
    except OSError as error:
        why = error.strerror or error
        raise CannotChange(message.format(path=path, why=why)) from error
