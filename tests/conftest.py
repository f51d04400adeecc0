"""Fixtures of the outside-in tests: a simulator, the gateway under gunicorn in front of it, and
OpenAI's client; and the app without a server, in front of a fake upstream.
"""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import openai
import pytest
from hypothesis import HealthCheck, settings

from gbproxy.observability import request_context
from gbproxy.storage.migrate import create
from tests.support.background import FragileDatabase
from tests.support.clock import Clock
from tests.support.databases import PostgreSQL, postgresql
from tests.support.fake_upstream import FakeUpstream, api
from tests.support.serving import Front, InProcess, Served, SharedUpstream, fronting

# Property tests are about what holds, not about how fast a busy machine is.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")
# A command that a shell without job control puts into the background is started with Ctrl-C
# ignored, and so would be the programs that tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def database(tmp_path: Path) -> Iterator[FragileDatabase]:
    """An empty SQLite database, which a test may take away."""
    made = FragileDatabase(f"sqlite:///{tmp_path}/gbproxy.db", temporary=True)
    create(made)
    yield made
    made.close()


@pytest.fixture(scope="session")
def fronts() -> Iterator[Callable[[str], Front]]:
    """Makes at most one gateway for each framing that is asked of the upstream; they live as long
    as the session.
    """
    made: dict[str, Front] = {}
    with ExitStack() as stack:

        def front(framing: str) -> Front:
            if framing not in made:
                upstream = stack.enter_context(SharedUpstream())
                settings = {"UPSTREAM_STREAM": framing, "LOG_LEVEL": "debug"}
                made[framing] = stack.enter_context(fronting(upstream, settings))
            return made[framing]

        yield front


@pytest.fixture
def framing() -> str:
    """UPSTREAM_STREAM of the shared gateway; a test may parametrize it."""
    return "json"


@pytest.fixture
def front(fronts: Callable[[str], Front], framing: str) -> Front:
    shared = fronts(framing)
    shared.renew()
    return shared


@pytest.fixture
def upstream(front: Front) -> SharedUpstream:
    """The simulator behind `gateway`, as new."""
    return front.upstream


@pytest.fixture
def gateway(front: Front) -> Served:
    """A gateway under gunicorn that other tests use too."""
    return front.gateway


@pytest.fixture
def client(gateway: Served) -> Iterator[openai.OpenAI]:
    """The official client, without retries of its own."""
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=gateway.key, max_retries=0) as made:
        yield made


@pytest.fixture(scope="session")
def server() -> Iterator[PostgreSQL]:
    """A PostgreSQL server of this test process' own."""
    with postgresql() as running:
        yield running


@pytest.fixture(scope="module")
def app_and_fake() -> Iterator[tuple[InProcess, FakeUpstream]]:
    with api() as made:
        yield made


@pytest.fixture
def app(app_and_fake: tuple[InProcess, FakeUpstream]) -> InProcess:
    """The app without a server, in front of `fake`."""
    return app_and_fake[0]


@pytest.fixture
def fake(app_and_fake: tuple[InProcess, FakeUpstream]) -> FakeUpstream:
    """An upstream that answers `Hello` to everything."""
    app_and_fake[1].prompts.clear()
    app_and_fake[1].models.clear()
    return app_and_fake[1]


# Times that tests measured and that a reader of the run wants to see: record_property(MEASURED,
# "what: so long").

MEASURED = "measured"
# In the reason of a skip: it is told at the end of the run.
LEFT_OUT = "NOT TESTED"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [
        report for kind in ("passed", "failed") for report in terminalreporter.getreports(kind)
    ]
    lines = sorted(
        str(value)
        for report in reports
        for name, value in report.user_properties
        if name == MEASURED
    )
    if lines:
        terminalreporter.section("measured")
        for line in lines:
            terminalreporter.write_line(line)
    _say_what_was_left_out(terminalreporter)


def _say_what_was_left_out(terminalreporter: pytest.TerminalReporter) -> None:
    """Among thousands of tests nobody sees that some were skipped, as something is not installed,
    nor that others were not run at all.
    """
    skipped = terminalreporter.getreports("skipped")
    reasons = {str(each.longrepr[2]) for each in skipped if isinstance(each.longrepr, tuple)}
    left_out = sorted(each for each in reasons if LEFT_OUT in each)
    if left_out:
        terminalreporter.section("LEFT OUT", sep="!", red=True, bold=True)
        for reason in left_out:
            terminalreporter.write_line(reason, red=True, bold=True)
    if "not slow" in terminalreporter.config.getoption("markexpr"):
        terminalreporter.write_line("the slow tests were left out: `make test-slow` runs them")


# How the tests run: much of their time is waiting, so there are more processes than processors.


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    return 2 * (os.cpu_count() or 1)


SLOW_S = 600  # for a slow test: one of many examples takes a minute alone, and more beside others


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("slow") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(SLOW_S))
    items.sort(key=lambda item: item.get_closest_marker("waits") is None)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """An app without a server leaves the context of its last request to this thread, with a
    deadline that would be the next test's.
    """
    request_context.begin("-")


def pytest_collection_finish() -> None:
    """Thousands of tests and all libraries stay: to look for garbage among them took a tenth of the
    time.
    """
    gc.freeze()
