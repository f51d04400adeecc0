"""What columns of many tables have in common: points in time, and keys of accounts."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import (
    BindParameter,
    Column,
    ColumnElement,
    DateTime,
    Dialect,
    TypeDecorator,
    func,
)

from gbproxy.domain.account import ID_IN_KEY, IDENTITY_CHARS


class Instant(TypeDecorator[float]):
    """A point in time: Unix seconds in Python, UTC in the database."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: float | None, dialect: Dialect) -> datetime | None:
        return None if value is None else datetime.fromtimestamp(value, UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> float | None:
        if value is None:
            return None
        # SQLite gives back what it was given, without the zone.
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()


def has_id(account_key: Column[str], account_id: BindParameter[str]) -> ColumnElement[bool]:
    """True for a row of the account with this id, whichever upstream identity it had then."""
    return func.substr(account_key, ID_IN_KEY + 1) == account_id


def has_identity(account_key: Column[str], identities: BindParameter[str]) -> ColumnElement[bool]:
    """True for a row of an account with one of these upstream identities, whatever its id was."""
    return func.substr(account_key, 1, IDENTITY_CHARS).in_(identities)
