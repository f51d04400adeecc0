"""Nothing is imported that is not used: it would cost start-up time and memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.databases import ROOT

START = """
import sys
from gbproxy.server import startup
from gbproxy.app import create_app
app = create_app(startup.load({environment!r}))
app.extensions["gbproxy"].services.storage.database.fetch(__import__("sqlalchemy").text("SELECT 1"))
"""


def _loaded(program: str) -> set[str]:
    """The top names of all modules that are loaded once the program has run."""
    report = "\nimport sys\nprint(*sorted({name.partition('.')[0] for name in sys.modules}))"
    run = subprocess.run(
        [sys.executable, "-c", program + report],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return set(run.stdout.splitlines()[-1].split())


def test_the_simulator_loads_no_sql() -> None:
    assert not {"sqlalchemy", "alembic", "psycopg"} & _loaded("import gbproxy.simulator")


@pytest.mark.parametrize("module", ["gbproxy", "gbproxy.cli", "gbproxy.settings"])
def test_the_command_loads_no_sql_before_it_serves(module: str) -> None:
    assert not {"sqlalchemy", "alembic", "psycopg"} & _loaded(f"import {module}")


def test_a_question_in_the_terminal_needs_no_web_framework() -> None:
    build = (
        "import gbproxy.bootstrap as it; from gbproxy.settings import Settings;"
        " it.build(Settings()).close()"
    )

    assert not {"flask", "werkzeug", "gevent", "prometheus_client"} & _loaded(build)


@pytest.mark.parametrize(
    ("module", "unwanted"),
    [
        ("gbproxy", {"flask", "werkzeug", "gevent", "gunicorn"}),
        ("gbproxy.app", {"gunicorn"}),
        ("gbproxy.server", {"flask", "gevent", "gunicorn"}),
    ],
)
def test_a_program_that_uses_the_app_or_its_parts_needs_no_server(
    module: str, unwanted: set[str]
) -> None:
    assert not unwanted & _loaded(f"import {module}")


def test_a_temporary_database_needs_neither_alembic_nor_a_server_s_driver() -> None:
    loaded = _loaded(START.format(environment={"API_KEYS": "k7Jq2mZ0vT9xWc4LbN8r"}))

    assert "sqlalchemy" in loaded
    assert not {"alembic", "psycopg", "redis", "limits"} & loaded


def test_a_second_start_needs_no_alembic(tmp_path: Path) -> None:
    given = {
        "API_KEYS": "k7Jq2mZ0vT9xWc4LbN8r",
        "SECRET_KEY": "k7Jq2mZ0vT9xWc4LbN8s",
        "DATABASE_URL": f"sqlite:///{tmp_path}/x.db",
    }

    first, second = (_loaded(START.format(environment=given)) for _ in range(2))

    assert "alembic" in first
    assert not {"alembic", "psycopg"} & second
