"""Property tests are about what holds, not about how fast a busy machine is; and a database for
those who need one.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from gbproxy.storage.migrate import create
from tests.storage.clock import Clock
from tests.unit.sweeping import FragileDatabase

settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def database(tmp_path: Path) -> Iterator[FragileDatabase]:
    made = FragileDatabase(f"sqlite:///{tmp_path}/gbproxy.db", temporary=True)
    create(made)
    yield made
    made.close()
