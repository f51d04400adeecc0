from collections.abc import Iterator

import pytest

from gbproxy.simulator import Simulator
from tests.support.widget_client import Client


@pytest.fixture
def upstream() -> Iterator[Simulator]:
    with Simulator(seed=1) as simulator:
        yield simulator


@pytest.fixture
def client(upstream: Simulator) -> Client:
    return Client(upstream)
