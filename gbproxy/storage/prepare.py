"""Prepares the database of the settings: its tables, and the key that it is used with. Done once,
before any process forks.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sqlalchemy import exc

from gbproxy.errors import StorageUnavailable
from gbproxy.observability.meter import SILENT, Meter
from gbproxy.storage import engines, migrate
from gbproxy.storage.api_keys import ApiKeyStore
from gbproxy.storage.database import Database
from gbproxy.storage.encryption import (
    Cipher,
    WrongSecretKey,
    check_secret_key,
    secret_key_fits,
)
from gbproxy.storage.migrate import CannotMigrate
from gbproxy.storage.tables import REVISION
from gbproxy.storage.temporary import new_folder, remove, url_in


class CannotBeUsed(Exception):
    """The message is for the user who has set DATABASE_URL and SECRET_KEY; no secret is in it.
    `may_pass`: the database is away or locked, and may be usable later as it is.
    """

    def __init__(self, message: str, *, may_pass: bool = False) -> None:
        super().__init__(message)
        self.may_pass = may_pass


def prepare(
    url: str, secret_keys: Sequence[str], *, temporary: bool = False, patience_s: float = 15.0
) -> str | None:
    """Create or migrate the tables, and check that the key is this database's. Returns the revision
    that was found.

    A server that cannot be reached is waited for, `patience_s` seconds at most: it may be starting
    too. Raises CannotBeUsed.
    """
    database, cipher = _database(url, temporary=temporary), Cipher(secret_keys)
    before = None
    try:
        if temporary:
            migrate.create(database)
        else:
            before = migrate.migrate(database, cipher, timeout_s=patience_s)
        with database.long_timeout():
            check_secret_key(database, cipher)
    except CannotMigrate as error:
        raise CannotBeUsed(f"DATABASE_URL: {error}", may_pass=error.may_pass) from error
    except StorageUnavailable as error:
        raise _away() from error
    except WrongSecretKey as error:
        raise CannotBeUsed(str(error)) from error
    finally:
        database.close()
    return before


@dataclass(frozen=True, slots=True)
class DatabaseStatus:
    """`revision`: None before the first migration; `key_fits`: None if no key was ever used with
    it.
    """

    kind: Literal["sqlite", "postgresql"]
    revision: str | None
    key_fits: bool | None


def inspect(url: str, secret_keys: Sequence[str]) -> DatabaseStatus:
    """Read a database's status and change nothing. Raises CannotBeUsed."""
    database = _database(url)
    if database.kind == "sqlite" and not Path(str(database.url.database)).exists():
        return DatabaseStatus(database.kind, None, None)  # to connect would make the file
    try:
        with engines.unpooled(database.url).connect() as connection:
            revision = migrate.revision(connection)
            fits = secret_key_fits(connection, Cipher(secret_keys)) if revision else None
    except exc.SQLAlchemyError as error:
        raise CannotBeUsed(
            f"DATABASE_URL: the database cannot be used: {engines.reason(error)}"
        ) from error
    return DatabaseStatus(database.kind, revision, fits)


def find_fault(url: str, secret_keys: Sequence[str]) -> str | None:
    """Find out what `prepare` would raise, and change nothing. The message, or None."""
    try:
        status = inspect(url, secret_keys)
    except CannotBeUsed as error:
        return str(error)
    if status.revision is not None and status.revision > REVISION:
        return f"DATABASE_URL: {migrate.NEWER}"
    return str(WrongSecretKey()) if status.key_fits is False else None


def _database(url: str, *, temporary: bool = False) -> Database:
    try:
        return Database(url, temporary=temporary)
    except (exc.ArgumentError, ValueError):
        raise CannotBeUsed("DATABASE_URL: is no address of a database") from None


def limited_keys(url: str) -> Sequence[str]:
    """The names of the stored client keys that have a limit. The database must be prepared. Raises
    CannotBeUsed.
    """
    database = Database(url)
    try:
        return ApiKeyStore(database).limited()
    except StorageUnavailable as error:
        raise _away() from error
    finally:
        database.close()


def _away() -> CannotBeUsed:
    return CannotBeUsed(
        "DATABASE_URL: the database cannot be used; the log says why", may_pass=True
    )


def private_database(meter: Meter = SILENT) -> Database:
    """Create a temporary database that is gone with the object, for a program that embeds the
    gateway.
    """
    folder = new_folder()
    database = Database(url_in(folder), temporary=True, meter=meter)
    weakref.finalize(database, remove, folder, os.getpid())
    migrate.create(database)
    database.close()
    return database
