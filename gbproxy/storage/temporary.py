"""Temporary databases, gone with the processes that use them, and the reclaiming of those whose
processes were killed.
"""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import tempfile
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from sqlalchemy import exc, select, text

from gbproxy.domain.account import identity_of
from gbproxy.storage import engines
from gbproxy.storage.sessions import SessionRows
from gbproxy.storage.tables import sessions

log = logging.getLogger(__name__)

_PREFIX = "gbproxy-database-"
_FILE = "gbproxy.db"
_ALIVE = "alive"
_SESSIONS = (
    select(sessions.c.account_key, sessions.c.name),
    text("SELECT account_id, name FROM sessions"),  # by a server of an earlier version
)

# by directory; the system releases one when the last process that has it ends
_locks: dict[Path, int] = {}


def new_folder() -> Path:
    """Make a directory for a temporary database, closed to other users, and locked by this process
    and those that it forks.
    """
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
    making = folder / f"{_ALIVE}.new"
    _locks[folder] = os.open(making, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    fcntl.flock(_locks[folder], fcntl.LOCK_SH)
    making.rename(folder / _ALIVE)  # renamed, so that it is never there without its lock
    return folder


def url_in(folder: Path) -> str:
    return f"sqlite:///{folder}/{_FILE}"


def remove(folder: Path, made_by: int) -> None:
    """Remove a temporary database's directory, if this process has made it, and is no fork of
    that.
    """
    if os.getpid() == made_by:
        shutil.rmtree(folder, ignore_errors=True)
        if folder in _locks:
            os.close(_locks.pop(folder))


def reclaim_abandoned(rows: SessionRows, identities: Collection[str]) -> None:
    """Remove the temporary databases that no process uses any more, and mark the upstream sessions
    that they knew for deletion.

    `identities`: the upstream identities whose sessions can be deleted; other sessions are
    forgotten. Raises StorageUnavailable: then the databases stay for another time.
    """
    for folder in _abandoned():
        found = _sessions(folder)
        ours = [
            (account_key, name)
            for account_key, name in found
            if identity_of(account_key) in identities
        ]
        rows.add_for_deletion(ours)
        shutil.rmtree(folder, ignore_errors=True)
        log.warning(
            "database.left", extra={"sessions": len(ours), "others": len(found) - len(ours)}
        )


def _abandoned() -> Iterator[Path]:
    """Directories of ours that no process holds; each is locked while it is yielded, so that only
    one process reclaims it.
    """
    for folder in sorted(Path(tempfile.gettempdir()).glob(f"{_PREFIX}*")):
        lock = _seized(folder)
        if lock is not None:
            try:
                yield folder
            finally:
                os.close(lock)


def _seized(folder: Path) -> int | None:
    with suppress(OSError):  # another user's, or just being made or removed
        if folder.lstat().st_uid != os.geteuid():
            return None
        lock = os.open(folder / _ALIVE, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            return None
        return lock
    return None


def _sessions(folder: Path) -> Sequence[tuple[str, str]]:
    """Account key and name of each; none of a file that cannot be read, or that its server had not
    filled yet.
    """
    if not (folder / _FILE).exists():
        return []
    for statement in _SESSIONS:
        with (
            suppress(exc.SQLAlchemyError),
            engines.unpooled(engines.parse(url_in(folder))).connect() as connection,
        ):
            return [(account_key, name) for account_key, name in connection.execute(statement)]
    return []
