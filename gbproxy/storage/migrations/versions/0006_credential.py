"""One encrypted JSON for all that an account signs in with, and the name of the upstream that reads
it.
"""

from __future__ import annotations

import logging

import sqlalchemy as sa
from alembic import context, op

from gbproxy.storage.encryption import Cipher, Unreadable, WrongSecretKey

revision = "0006"
down_revision = "0005"

log = logging.getLogger(__name__)

# As they were then: later revisions may rename them.
_OLD = sa.table(
    "accounts",
    sa.column("id", sa.String),
    sa.column("csesidx", sa.String),
    sa.column("config_id", sa.String),
    sa.column("credentials", sa.LargeBinary),
)
_NEW = sa.table("accounts", sa.column("id", sa.String), sa.column("credential", sa.LargeBinary))
_FACTS = sa.table("facts", sa.column("name", sa.String), sa.column("value", sa.LargeBinary))


def upgrade() -> None:
    cipher: Cipher = context.config.attributes["cipher"]
    _check(cipher)
    converted = _converted(cipher)
    with op.batch_alter_table("accounts") as table:
        table.add_column(
            sa.Column("upstream", sa.String, nullable=False, server_default=sa.text("'widget'"))
        )
        # One cannot be added without a value for the rows that are there.
        table.alter_column("credentials", new_column_name="credential")
        table.drop_column("csesidx")
        table.drop_column("config_id")
    with op.batch_alter_table("accounts") as table:
        table.alter_column("upstream", server_default=None)
    for id_, credential in converted.items():
        op.execute(_NEW.update().where(_NEW.c.id == id_).values(credential=credential))


def _check(cipher: Cipher) -> None:
    """Raises WrongSecretKey: nothing can be converted by another key, nor is to be changed."""
    known = (
        op.get_bind()
        .execute(sa.select(_FACTS.c.value).where(_FACTS.c.name == "secret_key"))
        .scalar_one_or_none()
    )
    if known is not None:
        try:
            cipher.decrypt(known)
        except Unreadable:
            raise WrongSecretKey from None


def _converted(cipher: Cipher) -> dict[str, bytes]:
    """By the account's id, its credential."""
    converted = {}
    for row in op.get_bind().execute(sa.select(_OLD)):
        try:
            secrets = cipher.decrypt(row.credentials)
        except Unreadable:
            # It was left out before, and still is: by a key that was given up long ago.
            log.error("secret.unreadable", extra={"table": "accounts", "account": row.id})
            continue
        values = {"csesidx": row.csesidx, "config_id": row.config_id, **secrets}
        converted[row.id] = cipher.encrypt(values)
    return converted
