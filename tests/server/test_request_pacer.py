"""The pacing of requests (gbproxy/server/request_pacer.py)."""

from __future__ import annotations

from collections.abc import Callable

import gevent

from gbproxy.server.request_pacer import RequestPacer
from tests.support.polling import until

AT_ONCE = 2


class Rounds:
    """Counts the rounds of the event loop: a timer of no duration runs once in each."""

    def __init__(self) -> None:
        self.now = 0
        self._timer = gevent.get_hub().loop.timer(0, 0.000_001)
        self._timer.start(self._next)

    def close(self) -> None:
        self._timer.close()

    def _next(self) -> None:
        self.now += 1


def rush(count: int, pacer: RequestPacer, work: Callable[[int], None]) -> list[gevent.Greenlet]:
    def one(number: int) -> None:
        pacer.wait_turn()
        work(number)

    # its time is that of its last round, maybe of another test: limits would be over
    gevent.get_hub().loop.update_now()
    return [gevent.spawn(one, number) for number in range(count)]


def test_without_a_rush_nobody_waits() -> None:
    pacer = RequestPacer(AT_ONCE)
    rounds = Rounds()

    for _ in range(AT_ONCE):
        pacer.wait_turn()

    assert rounds.now == 0
    rounds.close()


def test_a_rush_passes_in_order_and_a_few_in_each_round() -> None:
    pacer = RequestPacer(AT_ONCE)
    rounds = Rounds()
    passed: list[tuple[int, int]] = []

    gevent.joinall(rush(20, pacer, lambda number: passed.append((number, rounds.now))), timeout=5)

    assert [number for number, _ in passed] == list(range(20))
    in_round = [[now for _, now in passed].count(now) for now in range(rounds.now + 1)]
    assert max(in_round) <= 2 * AT_ONCE  # two of the pacer's rounds may fall into one of ours
    assert sum(count > 0 for count in in_round) >= 20 / (2 * AT_ONCE)
    rounds.close()


def test_other_work_goes_on_between_the_rounds() -> None:
    pacer = RequestPacer(AT_ONCE)
    passed: list[int] = []
    rush(40, pacer, passed.append)
    gevent.sleep(0)

    gevent.sleep(0.000_001)  # one round of the event loop

    assert 0 < len(passed) < 40
    until(lambda: len(passed) == 40, sleep=gevent.sleep)


def test_who_is_called_away_takes_nobody_s_turn() -> None:
    pacer = RequestPacer(AT_ONCE)
    passed: list[int] = []
    greenlets = rush(10, pacer, passed.append)
    gevent.sleep(0)

    gevent.killall(greenlets[4:8])
    gevent.joinall(greenlets, timeout=5)

    assert passed == [0, 1, 2, 3, 8, 9]


def test_after_a_rush_there_is_none() -> None:
    pacer = RequestPacer(AT_ONCE)
    gevent.joinall(rush(10, pacer, lambda _: None), timeout=5)
    rounds = Rounds()
    until(lambda: rounds.now >= 2, sleep=gevent.sleep)  # the pacer's last round is over
    before = rounds.now

    for _ in range(AT_ONCE):
        pacer.wait_turn()

    assert rounds.now == before
    rounds.close()
