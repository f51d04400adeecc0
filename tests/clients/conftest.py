"""The gateway that the clients' tests share; a test may have one of two workers on a database."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import openai
import pytest

from tests.support.serving import Front, Served, SharedUpstream, fronting
from tests.support.storages import MEMORY, two_workers


@pytest.fixture(scope="module")
def storage() -> str:
    """A test may parametrize it: `on_databases_too`."""
    return MEMORY


@pytest.fixture(scope="module")
def front_of_two(
    storage: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Front | None]:
    """A gateway of two workers on this database."""
    if storage == MEMORY:
        yield None
        return
    settings = two_workers(storage, request, tmp_path_factory)
    with SharedUpstream() as upstream, fronting(upstream, settings) as made:
        yield made


@pytest.fixture
def front(fronts: Callable[[str], Front], framing: str, front_of_two: Front | None) -> Front:
    shared = front_of_two or fronts(framing)
    shared.renew()
    return shared


@pytest.fixture
def client(gateway: Served, front_of_two: Front | None) -> Iterator[openai.OpenAI]:
    """The official client, without retries of its own. Of two workers either takes each of its
    requests: all come on connections of their own.
    """
    headers = {"Connection": "close"} if front_of_two else {}
    with openai.OpenAI(
        base_url=f"{gateway.url}/v1", api_key=gateway.key, max_retries=0, default_headers=headers
    ) as made:
        yield made
