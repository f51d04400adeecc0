"""From an address to a database that can be used: its tables made, its key known. Done once, before any process forks."""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import exc

from gbproxy.errors import StorageUnavailable
from gbproxy.storage import keycheck, migrate
from gbproxy.storage.database import Database
from gbproxy.storage.keycheck import WrongSecretKey
from gbproxy.storage.migrate import CannotMigrate
from gbproxy.storage.secrets import Cipher


class CannotBeUsed(Exception):
    """Why, in words for the user who has set DATABASE_URL and SECRET_KEY; no secret is in it."""


def prepare(url: str, secret_keys: Sequence[str], *, temporary: bool = False, patience_s: float = 15.0) -> None:
    """Make or change the tables, and see whether the key is this database's.

    A server that cannot be reached is waited for, `patience_s` seconds at most: it may be starting too. Raises CannotBeUsed.
    """
    try:
        database = Database(url, temporary=temporary)
    except (exc.ArgumentError, ValueError):
        raise CannotBeUsed("DATABASE_URL: is no address of a database") from None
    try:
        if temporary:
            migrate.create(database)
        else:
            migrate.migrate(database, patience_s=patience_s)
        with database.patiently():
            keycheck.check(database, Cipher(secret_keys))
    except CannotMigrate as error:
        raise CannotBeUsed(f"DATABASE_URL: {error}") from error
    except StorageUnavailable as error:
        raise CannotBeUsed("DATABASE_URL: the database cannot be used; the log says why") from error
    except WrongSecretKey as error:
        raise CannotBeUsed(str(error)) from error
    finally:
        database.close()


def new_folder() -> Path:
    """A directory for a temporary database, closed to other users."""
    return Path(tempfile.mkdtemp(prefix="gbproxy-database-"))


def url_in(folder: Path) -> str:
    return f"sqlite:///{folder}/gbproxy.db"


def private_database() -> Database:
    """A temporary database that is ready, and gone with the object; for a program that embeds the gateway."""
    folder = new_folder()
    database = Database(url_in(folder), temporary=True)
    weakref.finalize(database, remove, folder, os.getpid())
    migrate.create(database)
    database.close()
    return database


def remove(folder: Path, made_by: int) -> None:
    """Remove a temporary database's directory, in the process that has made it; not in those that it has forked."""
    if os.getpid() == made_by:
        shutil.rmtree(folder, ignore_errors=True)
