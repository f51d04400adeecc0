"""One request, however many waits, tries and calls it takes, is over in time; and one account's
trouble holds up nobody else.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from gbproxy.simulator import Action, Head, Pause, Raw, Stall, Text, Write, answer
from tests.support.chats import accounts, asked, csesidx
from tests.support.delays import Delays
from tests.support.serving import Front, Reply, Served, SharedUpstream, fronting, serving

pytestmark = pytest.mark.slow

LIMIT_S = 2.5  # by then a busy machine has sent a heartbeat
LATE_S = 3.5  # on a busy machine
MOST_S = 4.0
HEARTBEAT_S = 0.2
JSON = {"Content-Type": "application/json"}
DRIPPING_HEAD: tuple[Action, ...] = (
    Raw(b"HTTP/1.1 200 OK\r\n"),
    *(Pause(0.05), Raw(b"X: y\r\n")) * 400,
)
DRIPPING_BODY: tuple[Action, ...] = (Head(200, JSON), *(Write(b" "), Pause(0.05)) * 400)

streamed_or_not = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


@pytest.fixture(scope="module")
def hasty_front() -> Iterator[Front]:
    settings = {
        "REQUEST_TIMEOUT_S": str(LIMIT_S),
        "ACCOUNT_CONCURRENCY": "1",
        "HEARTBEAT_S": str(HEARTBEAT_S),
    }
    with SharedUpstream() as upstream, fronting(upstream, settings, prewarms=False) as made:
        yield made


@pytest.fixture
def upstream(hasty_front: Front) -> SharedUpstream:
    hasty_front.renew()
    return hasty_front.upstream


@pytest.fixture
def hasty(hasty_front: Front) -> Served:
    return hasty_front.gateway


def timed(gateway: Served, *, stream: bool = False) -> tuple[Reply, float]:
    started = time.monotonic()
    reply = gateway.ask(stream=stream)
    return reply, time.monotonic() - started


def assert_too_long(reply: Reply, took_s: float) -> None:
    assert reply.error["code"] == "upstream_timeout"
    assert reply.error["message"].lower().startswith("the answer took longer than 2.5 s")
    assert LIMIT_S * 0.9 <= took_s < LIMIT_S + LATE_S


@streamed_or_not
@pytest.mark.parametrize(
    ("path", "script"),
    [
        ("widgetStreamAssist", DRIPPING_HEAD),
        ("widgetStreamAssist", DRIPPING_BODY),
        ("widgetStreamAssist", (Text("Half "), *DRIPPING_BODY[1:])),
        ("widgetCreateSession", DRIPPING_HEAD),
    ],
    ids=["head", "nothing yet", "half an answer", "session"],
)
def test_whatever_drips_the_request_is_over_in_time(
    hasty: Served, upstream: SharedUpstream, path: str, script: tuple[Action, ...], stream: bool
) -> None:
    upstream.script(*script, path=path, times=math.inf)

    reply, took_s = timed(hasty, stream=stream)

    assert_too_long(reply, took_s)
    assert (reply.status == 504) is not stream


def test_a_place_in_line_is_waited_for_no_longer_and_hearts_beat_meanwhile(
    hasty: Served, upstream: SharedUpstream
) -> None:
    upstream.script(Stall(), times=2)

    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(timed, hasty)
        assert upstream.wait_for(lambda: upstream.open_streams == 1)
        behind = threads.submit(timed, hasty, stream=True)
        replies = [first.result(), behind.result()]

    for reply, took_s in replies:
        assert_too_long(reply, took_s)
    assert replies[1][0].body.startswith(b": ping")


# One of two accounts


@pytest.fixture
def two() -> Iterator[tuple[Served, SharedUpstream]]:
    """The first of two accounts is always asked first."""
    with SharedUpstream() as upstream:
        environment = accounts(upstream, 2) | {"ACCOUNT_ORDER": "first"}
        with serving(environment) as gateway:
            yield gateway, upstream


def test_a_sign_in_that_drips_is_one_account_s_trouble_after_five_seconds(
    two: tuple[Served, SharedUpstream],
) -> None:
    gateway, upstream = two
    upstream.script(
        *DRIPPING_HEAD, path="getoxsrf", csesidx=csesidx(upstream, "first"), times=math.inf
    )

    with ThreadPoolExecutor(3) as threads:
        together = [
            result.result() for result in [threads.submit(timed, gateway) for _ in range(3)]
        ]
    after, after_s = timed(gateway)

    assert [reply.status for reply, _ in [*together, (after, after_s)]] == [200] * 4
    assert all(5 <= took_s < 5 + MOST_S for _, took_s in together)
    assert after_s < MOST_S  # the first rests for a while
    assert asked(upstream) == ["second"] * 4
    assert not [line for line in gateway.log_lines() if line["event"] == "account.refused"]


@pytest.mark.parametrize(
    ("end", "most_s"),
    [((Write(b"]"),), 1.0), ((), 2.0)],
    ids=["behind the closing bracket", "before it"],
)
def test_what_is_whole_is_not_waited_for_however_white_space_drips(
    two: tuple[Served, SharedUpstream], end: tuple[Action, ...], most_s: float
) -> None:
    gateway, upstream = two
    upstream.script(*answer("All is well.")[:-1], *end, *(Pause(0.05), Write(b" ")) * 400)

    with Delays(gateway.worker_pids()) as delays:
        reply, took_s = timed(gateway)

    assert reply.text == "All is well."
    assert took_s < most_s + 1.5 + delays.total_s
