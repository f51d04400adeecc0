"""Where a program's own files are on this machine, and what is in them."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gbproxy.connect.program import ConfigFile

_MAX_BYTES = 1024 * 1024
_PRIVATE = 0o600  # of a new file: it may hold a key


class CannotChange(Exception):
    """The file cannot be read or written; the message says why."""


def home(environ: Mapping[str, str], system: str = os.name) -> Path:
    """The home directory: `HOME`, on Windows `USERPROFILE`. Raises CannotChange."""
    given = environ.get("USERPROFILE" if system == "nt" else "HOME")
    try:
        return Path(given) if given else Path.home()
    except RuntimeError as error:
        raise CannotChange("there is no home directory: set HOME") from error


def location(file: ConfigFile, environ: Mapping[str, str], system: str = os.name) -> Path:
    """The file's path on this machine. All of these programs have their files below the home
    directory on macOS and Windows too. Raises CannotChange.
    """
    for variable, below in file.folder_variables:
        if environ.get(variable):
            folder = Path(environ[variable], below)
            break
    else:
        folder = home(environ, system) / file.folder
    try:
        names = [name for name in file.names if (folder / name).exists()] or file.names[-1:]
    except OSError as error:
        raise CannotChange(f"{folder} cannot be looked into: {error.strerror}") from error
    return folder / names[0]


@dataclass(frozen=True, slots=True)
class Original:
    """A file as it was found: behind all symbolic links; `text` is None where there is none."""

    path: Path
    text: str | None
    mode: int = _PRIVATE

    @classmethod
    def read(cls, path: Path) -> Original:
        """Raises CannotChange."""
        try:
            real = path.resolve()
            if not real.exists():
                return cls(real, None)
            found = real.stat()
            if not stat.S_ISREG(found.st_mode):
                raise CannotChange("it is not a regular file")
            if found.st_size > _MAX_BYTES:
                raise CannotChange("it is larger than 1 MB")
            return cls(real, real.read_bytes().decode("utf-8"), stat.S_IMODE(found.st_mode))
        except UnicodeDecodeError as error:
            raise CannotChange("it is not text in UTF-8") from error
        except OSError as error:
            raise CannotChange(error.strerror or str(error)) from error
        except RuntimeError as error:  # before Python 3.13
            raise CannotChange("its symbolic links lead in a circle") from error
