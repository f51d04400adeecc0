"""A database that an older version has left, tests/storage/database_0005.sql, and what is in it.

As the last release before revision 0006 wrote it, on SQLite, with a simulator as its upstream. It
is brought up to the present: its gateway was killed `DOWN_S` seconds ago.
"""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, MetaData, create_engine, insert, make_url, select

from gbproxy.simulator import Session, Simulator
from gbproxy.storage import engines
from tests.support.databases import ROOT

SECRET_KEY = "made-up-secret-key-of-the-stored-database"
CLIENT_KEY = "sk-gbproxy-PHb-FE0ghLS9oPVkGOHKN-o3LX0VQVCOfNNZuDMwF3I"
"""Of the client whose conversation it is."""

DOWN_S = 40.0  # the deletions that had failed are due again

QUESTION = "Name a moon of Jupiter."
ANSWER = (
    "That is a good question about **Name a moon of Jupiter**. It helps to look at it"
    " from three sides: what Name a moon of Jupiter is made of, why it matters to the"
    " person asking, and where one would begin. Start with the simplest case, work th"
    "rough one concrete example, and the rest tends to fall into place. (A simulated "
    "model wrote this; with a real account you get a real one. 🙂)"
)
CONVERSATION = "11209082924604363836"
"""The upstream session that holds this question and answer, on the account `anna`."""
TO_BE_DELETED = ("11908198825259977391", "16086378737513919726", "12248987360489936979")
"""Sessions of the account `ben`, whose deletion had failed."""

# The cookies that the upstream had given in place of those that the accounts were stored with.
_RENEWED = {
    "1234567891": "CSE.Adw2XSqcfP6gyGSHKkfWde5EBoAgqK-ABM",
    "1234567892": "CSE.Ad_IIESGzOP3C-GCLHw7_weqfnO-s33VZh",
    "1234567893": "CSE.AdRsbRZrhDvcMNHY_KU66L7NPxV0z_SnHA",
}
_MOMENT = re.compile(r"'(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6})'")
_LEFT_AT = re.compile(r"left it at (\S+ \S+), killed")


def restore(url: str) -> None:
    """Put it into an empty database."""
    if make_url(url).get_backend_name() == "sqlite":
        with closing(sqlite3.connect(str(make_url(url).database))) as file:
            file.executescript(_dump())
        return
    with engines.unpooled(engines.parse(url)).connect() as connection:
        _upgrade(connection, "0005")
        _copy(connection)
        connection.commit()


def known_to(upstream: Simulator) -> None:
    """Have the simulator know the accounts, by the cookies in use, and the sessions."""
    while len(upstream.accounts) <= len(_RENEWED):
        upstream.add_account()
    for csesidx, cookie in _RENEWED.items():
        upstream.accounts[csesidx].secure_c_ses = cookie
    anna, ben, _ = _RENEWED
    upstream.add_session(upstream.accounts[anna], CONVERSATION)
    for session_id in TO_BE_DELETED:
        upstream.add_session(upstream.accounts[ben], session_id)


def to_be_deleted(upstream: Simulator) -> list[Session]:
    return [upstream.sessions[session_id] for session_id in TO_BE_DELETED]


def _dump() -> str:
    text = (ROOT / "tests/storage/database_0005.sql").read_text("utf-8")
    left_at = _LEFT_AT.search(text)
    assert left_at is not None
    down = timedelta(seconds=DOWN_S)
    later = datetime.now(UTC).replace(tzinfo=None) - down - datetime.fromisoformat(left_at[1])

    def moved(found: re.Match[str]) -> str:
        moment = datetime.fromisoformat(found[1]) + later
        return f"'{moment.isoformat(' ', 'microseconds')}'"

    return _MOMENT.sub(moved, text)


def _upgrade(connection: Connection, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(ROOT / "gbproxy/storage/migrations"))
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


def _copy(connection: Connection) -> None:
    """All rows of the dump into the tables of its revision."""
    stored, tables = MetaData(), MetaData()
    tables.reflect(connection)
    with create_engine("sqlite://").connect() as memory:
        raw = memory.connection.driver_connection
        assert raw is not None
        raw.executescript(_dump())
        stored.reflect(memory)
        for name, table in tables.tables.items():
            rows = [dict(row._mapping) for row in memory.execute(select(stored.tables[name]))]
            if rows and name != "alembic_version":
                connection.execute(insert(table), [_with_zone(row) for row in rows])


def _with_zone(row: dict[str, object]) -> dict[str, object]:
    return {
        name: value.replace(tzinfo=UTC) if isinstance(value, datetime) else value
        for name, value in row.items()
    }
