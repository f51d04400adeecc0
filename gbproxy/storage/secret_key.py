"""Does SECRET_KEY belong to this database? And when it has a new first key: everything is encrypted
anew by that one.
"""

from __future__ import annotations

import logging

from sqlalchemy import Column, Connection, Table, bindparam, insert, select, text, update
from sqlalchemy import inspect as schema

from gbproxy.domain.account import id_of
from gbproxy.storage.database import Database
from gbproxy.storage.secrets import Cipher, Unreadable
from gbproxy.storage.tables import accounts, cookies, metadata_entries, tokens

log = logging.getLogger(__name__)

_NAME = "secret_key"
_KNOWN = select(metadata_entries.c.value).where(metadata_entries.c.name == _NAME)
_KNOWN_BEFORE_0007 = text(f"SELECT value FROM facts WHERE name = '{_NAME}'")  # noqa: S608
_ENCRYPTED = (accounts.c.credential, cookies.c.cookies, tokens.c.bearer)


class WrongSecretKey(Exception):
    """What the database holds was encrypted by another key."""

    def __init__(self) -> None:
        super().__init__(
            "SECRET_KEY: none of its keys has encrypted what this database holds. Give the key that"
            " it was used with (several, comma-separated, rotate: the new one first, the old one"
            " behind it), or start with an empty database; without the key the stored credentials"
            " are lost"
        )


def check(database: Database, cipher: Cipher) -> None:
    """Raises WrongSecretKey. Of a new database, or with a new first key, this key is noted as the
    one in use.
    """
    known = database.fetch(_KNOWN)
    if known and cipher.is_by_first_key(known[0].value):
        return  # as nearly always; what follows needs a server that takes writes
    database.transact(lambda connection: _check(connection, cipher))


def fits(connection: Connection, cipher: Cipher) -> bool | None:
    """Whether one of the keys is this database's, without changing anything; None: no key was ever
    used with it.
    """
    is_older = not schema(connection).has_table(metadata_entries.name)
    known = connection.execute(_KNOWN_BEFORE_0007 if is_older else _KNOWN).scalar_one_or_none()
    if known is None:
        return None
    try:
        cipher.decrypt(known)
    except Unreadable:
        return False
    return True


def _check(connection: Connection, cipher: Cipher) -> None:
    if connection.dialect.name == "postgresql":  # on SQLite a transaction is alone anyway
        connection.exec_driver_sql("LOCK TABLE metadata IN EXCLUSIVE MODE")
    known = connection.execute(_KNOWN).scalar_one_or_none()
    if known is None:
        connection.execute(
            insert(metadata_entries), {"name": _NAME, "value": cipher.encrypt(_NAME)}
        )
        return
    if cipher.is_by_first_key(known):
        return
    try:
        renewed = cipher.renew(known)
    except Unreadable:
        raise WrongSecretKey from None
    values = sum(_renew(connection, cipher, column) for column in _ENCRYPTED)
    connection.execute(
        update(metadata_entries).where(metadata_entries.c.name == _NAME), {"value": renewed}
    )
    log.info("secret_key.rotated", extra={"values": values})


def _renew(connection: Connection, cipher: Cipher, column: Column[bytes]) -> int:
    """Encrypt a column anew; how many values that were. What cannot be read stays as it is."""
    table: Table = column.table
    (key,) = table.primary_key.columns
    rows = connection.execute(select(key, column)).all()
    changed = []
    for row_key, encrypted in rows:
        try:
            changed.append({"row_key": row_key, "renewed": cipher.renew(encrypted)})
        except Unreadable:
            log.error(
                "secret.unreadable",
                extra={
                    "table": table.name,
                    "account": row_key if table is accounts else id_of(row_key),
                },
            )
    if changed:
        connection.execute(
            update(table).where(key == bindparam("row_key")).values({column: bindparam("renewed")}),
            changed,
        )
    return len(changed)
