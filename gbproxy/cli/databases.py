"""The database of a command's settings, and the audit lines of what a command changes in it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING, Any

from gbproxy.cli.environment import user_at_host
from gbproxy.cli.terminal import CommandError, without_log

if TYPE_CHECKING:
    from gbproxy.settings import Settings
    from gbproxy.storage.database import Database

Change = tuple[str, str | None, dict[str, Any]]  # what was done, to which id, details


def prepare(settings: Settings) -> str | None:
    """Make or migrate the tables, as a start does. Returns the revision that was found. Raises
    CommandError.
    """
    from gbproxy.storage.prepare import CannotBeUsed, prepare
    from gbproxy.storage.tables import REVISION

    with without_log():
        try:
            before = prepare(settings.database_address, settings.encryption_keys)
        except CannotBeUsed as error:
            raise CommandError(str(error)) from error
        if before != REVISION:
            with opened(settings) as database:
                revisions = {"before": before, "after": REVISION}
                tell(database, [("database.migrated", None, revisions)])
    return before


def is_prepared(settings: Settings) -> bool:
    """False for a database without tables; nothing is changed. Raises CommandError for one that
    cannot be read as it is.
    """
    from gbproxy.storage.encryption import WrongSecretKey
    from gbproxy.storage.prepare import CannotBeUsed, inspect
    from gbproxy.storage.tables import REVISION

    try:
        status = inspect(settings.database_address, settings.encryption_keys)
    except CannotBeUsed as error:
        raise CommandError(str(error)) from error
    if status.key_fits is False:
        raise CommandError(str(WrongSecretKey()))
    if status.revision not in (None, REVISION):
        raise CommandError(
            f"DATABASE_URL: its tables are those of another version (revision {status.revision},"
            f" here {REVISION}): use that version, or bring them up to date first (gbproxy migrate)"
        )
    return status.revision is not None


@contextmanager
def opened(settings: Settings) -> Iterator[Database]:
    """The settings' database. Raises CommandError while that is away."""
    from gbproxy.errors import StorageUnavailable
    from gbproxy.storage.database import Database

    with closing(Database(settings.database_address)) as database:
        try:
            yield database
        except StorageUnavailable as error:
            raise CommandError("the database cannot be used; nothing was done") from error


def tell(database: Database, changes: Iterable[Change]) -> None:
    """Leave an audit line of each for the next gateway on the database. What was done stays done
    where that cannot be stored.
    """
    from gbproxy.errors import StorageUnavailable
    from gbproxy.storage.audit import UntoldChanges

    untold = UntoldChanges(database, time.time)
    who = {"by": "cli", "who": user_at_host(), "address": "local"}
    with suppress(StorageUnavailable):
        for did, item, details in changes:
            untold.add({"did": did, "object": item, "details": details, **who})
