"""What backups are read from and written to, and the passphrase that they are encrypted under."""

from __future__ import annotations

import getpass
import os
import sys
import warnings
from collections.abc import Mapping

from gbproxy.cli.terminal import CannotBegin, CommandError

VARIABLE = "BACKUP_PASSPHRASE"
_LEAST_CHARS = 8
_MAX_FILE_BYTES = 256 * 1024 * 1024
_MODE = 0o600


def passphrase(descriptor: int | None, given: Mapping[str, str], *, is_new: bool) -> str:
    """From the file descriptor, the environment, or typed. Raises CannotBegin."""
    if descriptor is not None:
        chosen = _read_passphrase(descriptor)
    else:
        chosen = given.get(VARIABLE) or _typed(is_new=is_new)
    if not chosen:
        raise CannotBegin(f"a passphrase is needed: typed, in {VARIABLE}, or by --passphrase-fd")
    if is_new and len(chosen) < _LEAST_CHARS:
        raise CannotBegin(f"the passphrase must have at least {_LEAST_CHARS} characters")
    return chosen


def _typed(*, is_new: bool) -> str:
    """ "" where there is no terminal that would not show what is typed. Raises CannotBegin."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", getpass.GetPassWarning)
        try:
            passphrase = getpass.getpass("Passphrase: ")
            if is_new and getpass.getpass("The same passphrase again: ") != passphrase:
                raise CannotBegin("the two passphrases differ")
        except (EOFError, getpass.GetPassWarning):
            return ""
    return passphrase


def _read_passphrase(descriptor: int) -> str:
    """The first line, without its end."""
    try:
        with os.fdopen(descriptor, "rb", closefd=False) as opened:
            return opened.readline().rstrip(b"\r\n").decode()
    except (OSError, ValueError) as error:
        raise CannotBegin(f"--passphrase-fd {descriptor} cannot be read") from error


def read_file(name: str) -> bytes:
    """`-`: standard input. Raises CannotBegin, and CommandError for a file that is too large."""
    try:
        if name == "-":
            file = sys.stdin.buffer.read(_MAX_FILE_BYTES + 1)
        else:
            with open(name, "rb") as opened:
                file = opened.read(_MAX_FILE_BYTES + 1)
    except OSError as error:
        raise CannotBegin(f"the backup cannot be read: {error.strerror}") from error
    if len(file) > _MAX_FILE_BYTES:
        raise CommandError("this is no backup of gbproxy's: it is too large")
    return file


def write_file(name: str, content: bytes) -> None:
    """Never over another file, and never half of it."""
    if name == "-":
        sys.stdout.flush()
        sys.stdout.buffer.write(content)
        return
    try:
        descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _MODE)
        try:
            with os.fdopen(descriptor, "wb") as opened:
                opened.write(content)
                opened.flush()
                os.fsync(opened.fileno())
        except OSError:
            os.unlink(name)
            raise
    except OSError as error:
        raise CommandError(f"the backup cannot be written: {error.strerror}") from error
