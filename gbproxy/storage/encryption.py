"""Encryption at rest under SECRET_KEY, and the check that the key belongs to this database.

Fernet under keys derived from SECRET_KEY: the first key encrypts, all of them decrypt. With a new
first key everything that is stored is encrypted anew.
"""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Sequence
from functools import partial
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from sqlalchemy import Column, Connection, Table, bindparam, insert, select, text, update
from sqlalchemy import inspect as schema

from gbproxy.domain.account import id_of
from gbproxy.storage.database import Database
from gbproxy.storage.tables import (
    accounts,
    cookies,
    file_chunks,
    files,
    metadata_entries,
    responses,
    tokens,
)

log = logging.getLogger(__name__)

_CONTEXT = b"gbproxy storage"  # other uses of SECRET_KEY have contexts of their own
_NAME = "secret_key"
_KNOWN = select(metadata_entries.c.value).where(metadata_entries.c.name == _NAME)
_KNOWN_BEFORE_0007 = text(f"SELECT value FROM facts WHERE name = '{_NAME}'")  # noqa: S608
_ENCRYPTED = (accounts.c.credential, cookies.c.cookies, tokens.c.bearer)
_AT_ONCE = 16  # values of up to a few hundred KB, in one transaction
_ENCRYPTED_CONTENTS = (responses.c.content, files.c.about, file_chunks.c.content)


class Unreadable(Exception):
    """None of the keys has encrypted this, or it was changed since."""


class Cipher:
    """Encrypts values, each as JSON, for the database."""

    def __init__(self, secret_keys: Sequence[str]) -> None:
        """`secret_keys`: at least one; the first is the one in use, the others are earlier ones."""
        self._all = MultiFernet([_fernet(key) for key in secret_keys])
        self._first = _fernet(secret_keys[0])

    def encrypt(self, value: object) -> bytes:
        return self.encrypt_bytes(json.dumps(value, ensure_ascii=False).encode())

    def decrypt(self, encrypted: bytes) -> Any:
        """The value. Raises Unreadable."""
        return json.loads(self.decrypt_bytes(encrypted))

    def encrypt_bytes(self, content: bytes) -> bytes:
        """For contents that are encoded already, and large."""
        return self._first.encrypt(content)

    def decrypt_bytes(self, encrypted: bytes) -> bytes:
        """Raises Unreadable."""
        try:
            return self._all.decrypt(encrypted)
        except InvalidToken:
            raise Unreadable from None

    def is_by_first_key(self, encrypted: bytes) -> bool:
        try:
            self._first.decrypt(encrypted)
        except InvalidToken:
            return False
        return True

    def knows(self, encrypted: bytes) -> bool:
        try:
            self.decrypt_bytes(encrypted)
        except Unreadable:
            return False
        return True

    def renew(self, encrypted: bytes) -> bytes:
        """The same value, encrypted by the first key. Raises Unreadable."""
        try:
            return self._all.rotate(encrypted)
        except InvalidToken:
            raise Unreadable from None


def derived_key(secret_key: str, context: bytes) -> bytes:
    """A key of 32 bytes for one use of SECRET_KEY; each use has a context of its own."""
    derivation = HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=context)
    return derivation.derive(secret_key.encode())


def _fernet(secret_key: str) -> Fernet:
    return Fernet(base64.urlsafe_b64encode(derived_key(secret_key, _CONTEXT)))


class WrongSecretKey(Exception):
    """The secrets in the database were encrypted by another key."""

    def __init__(self) -> None:
        super().__init__(
            "SECRET_KEY: none of its keys has encrypted what this database holds. Give the key that"
            " it was used with (several, comma-separated, rotate: the new one first, the old one"
            " behind it), or start with an empty database; without the key the stored credentials"
            " are lost"
        )


def check_secret_key(database: Database, cipher: Cipher) -> None:
    """Raises WrongSecretKey. Of a new database, or with a new first key, this key is noted as the
    one in use.
    """
    known = database.fetch(_KNOWN)
    if known and cipher.is_by_first_key(known[0].value):
        return  # as nearly always; what follows needs a server that takes writes
    contents = 0
    if known and cipher.knows(known[0].value):
        contents = sum(_renew_contents(database, cipher, each) for each in _ENCRYPTED_CONTENTS)
    database.transact(lambda connection: _check(connection, cipher, contents))


def secret_key_fits(connection: Connection, cipher: Cipher) -> bool | None:
    """True when one of the keys is this database's; nothing is changed. None: no key was ever used
    with it.
    """
    is_older = not schema(connection).has_table(metadata_entries.name)
    known = connection.execute(_KNOWN_BEFORE_0007 if is_older else _KNOWN).scalar_one_or_none()
    if known is None:
        return None
    return cipher.knows(known)


def _check(connection: Connection, cipher: Cipher, contents: int) -> None:
    """`contents`: how many values beside the secrets were encrypted anew."""
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
    log.info("secret_key.rotated", extra={"values": values + contents})


def _renew_contents(database: Database, cipher: Cipher, column: Column[bytes]) -> int:
    """Encrypt what clients have stored anew, a few values at a time: gigabytes in one transaction
    would lock others out. Only then the new key is noted, so that a start which is broken off is
    gone on with by the next. Returns how many; what cannot be read, or is changed meanwhile, stays.
    """
    table: Table = column.table
    keys = tuple(table.primary_key.columns)
    of_row = [key == bindparam(f"of_{key.name}") for key in keys]
    get = select(column).where(*of_row)
    put = (
        update(table)
        .where(*of_row, column == bindparam("known"))
        .values({column: bindparam("renewed")})
    )

    def renew(connection: Connection, some: Sequence[Any]) -> int:
        count = 0
        for row in some:
            values = {f"of_{key.name}": value for key, value in zip(keys, row, strict=True)}
            known = connection.execute(get, values).scalar_one_or_none()
            renewed = _renewed(cipher, known)
            if renewed is not None:
                put_values = {**values, "known": known, "renewed": renewed}
                count += connection.execute(put, put_values).rowcount
        return count

    rows = database.fetch(select(*keys))
    return sum(
        database.transact(partial(renew, some=rows[at : at + _AT_ONCE]))
        for at in range(0, len(rows), _AT_ONCE)
    )


def _renewed(cipher: Cipher, known: bytes | None) -> bytes | None:
    if known is None or cipher.is_by_first_key(known):
        return None
    try:
        return cipher.renew(known)
    except Unreadable:
        return None


def _renew(connection: Connection, cipher: Cipher, column: Column[bytes]) -> int:
    """Encrypt a column anew. Returns how many values; what cannot be read stays as it is."""
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
