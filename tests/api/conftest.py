from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.fake_upstream import FakeUpstream, api
from tests.support.serving import InProcess


@pytest.fixture(scope="module")
def app_and_fake() -> Iterator[tuple[InProcess, FakeUpstream]]:
    with api() as made:
        yield made


@pytest.fixture
def app(app_and_fake: tuple[InProcess, FakeUpstream]) -> InProcess:
    """The app in front of `fake`."""
    return app_and_fake[0]


@pytest.fixture
def fake(app_and_fake: tuple[InProcess, FakeUpstream]) -> FakeUpstream:
    """An upstream that answers `Hello` to everything."""
    app_and_fake[1].prompts.clear()
    app_and_fake[1].models.clear()
    return app_and_fake[1]
