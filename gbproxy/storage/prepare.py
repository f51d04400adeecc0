"""From an address to a database that can be used: its tables made, its key known. Done once, before
any process forks.
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
from gbproxy.storage import secret_key as keycheck
from gbproxy.storage.api_keys import ApiKeyRows
from gbproxy.storage.database import Database, reason
from gbproxy.storage.migrate import CannotMigrate
from gbproxy.storage.secret_key import WrongSecretKey
from gbproxy.storage.secrets import Cipher
from gbproxy.storage.tables import REVISION
from gbproxy.storage.temporary import new_folder, remove, url_in


class CannotBeUsed(Exception):
    """Why, in words for the user who has set DATABASE_URL and SECRET_KEY; no secret is in it."""


def prepare(
    url: str, secret_keys: Sequence[str], *, temporary: bool = False, patience_s: float = 15.0
) -> str | None:
    """Make or change the tables, and see whether the key is this database's; the revision that it
    was at.

    A server that cannot be reached is waited for, `patience_s` seconds at most: it may be starting
    too. Raises CannotBeUsed.
    """
    database, cipher = _database(url, temporary=temporary), Cipher(secret_keys)
    before = None
    try:
        if temporary:
            migrate.create(database)
        else:
            before = migrate.migrate(database, cipher, patience_s=patience_s)
        with database.patiently():
            keycheck.check(database, cipher)
    except CannotMigrate as error:
        raise CannotBeUsed(f"DATABASE_URL: {error}") from error
    except StorageUnavailable as error:
        raise CannotBeUsed("DATABASE_URL: the database cannot be used; the log says why") from error
    except WrongSecretKey as error:
        raise CannotBeUsed(str(error)) from error
    finally:
        database.close()
    return before


@dataclass(frozen=True, slots=True)
class Seen:
    """A database as it is found: its revision, None before the first; `key_fits` None: no key was
    ever used with it.
    """

    kind: Literal["sqlite", "postgresql"]
    revision: str | None
    key_fits: bool | None


def look(url: str, secret_keys: Sequence[str]) -> Seen:
    """How a database is, without changing anything in it. Raises CannotBeUsed."""
    database = _database(url)
    if database.kind == "sqlite" and not Path(str(database.url.database)).exists():
        return Seen(database.kind, None, None)  # to connect would make the file
    try:
        with engines.patient(database.url).connect() as connection:
            revision = migrate.revision(connection)
            fits = keycheck.fits(connection, Cipher(secret_keys)) if revision else None
    except exc.SQLAlchemyError as error:
        raise CannotBeUsed(f"DATABASE_URL: the database cannot be used: {reason(error)}") from error
    return Seen(database.kind, revision, fits)


def fault(url: str, secret_keys: Sequence[str]) -> str | None:
    """What would end a start with a database, as `prepare` says it; None when nothing does. Nothing
    is changed in it.
    """
    try:
        seen = look(url, secret_keys)
    except CannotBeUsed as error:
        return str(error)
    if seen.revision is not None and seen.revision > REVISION:
        return f"DATABASE_URL: {migrate.NEWER}"
    return str(WrongSecretKey()) if seen.key_fits is False else None


def _database(url: str, *, temporary: bool = False) -> Database:
    try:
        return Database(url, temporary=temporary)
    except (exc.ArgumentError, ValueError):
        raise CannotBeUsed("DATABASE_URL: is no address of a database") from None


def limited_keys(url: str) -> Sequence[str]:
    """The names of the client keys with a limit that is counted, in a database that is prepared.
    Raises CannotBeUsed.
    """
    database = Database(url)
    try:
        return ApiKeyRows(database).limited()
    except StorageUnavailable as error:
        raise CannotBeUsed("DATABASE_URL: the database cannot be used; the log says why") from error
    finally:
        database.close()


def private_database(meter: Meter = SILENT) -> Database:
    """A temporary database that is ready, and gone with the object; for a program that embeds the
    gateway.
    """
    folder = new_folder()
    database = Database(url_in(folder), temporary=True, meter=meter)
    weakref.finalize(database, remove, folder, os.getpid())
    migrate.create(database)
    database.close()
    return database
