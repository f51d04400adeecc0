"""Wrong keys are counted by the network that sends them, and forgotten after a minute."""

from __future__ import annotations

import pytest

from gbproxy.errors import RateLimitExceeded
from gbproxy.web.secret_guard import WrongKeys
from tests.support.clock import Clock


def test_a_minute_later_a_guess_is_forgotten(clock: Clock) -> None:
    guesses = WrongKeys(clock)
    for _ in range(5):
        guesses.record("192.0.2.1")
        clock.now += 10

    with pytest.raises(RateLimitExceeded) as refused:
        guesses.check("192.0.2.1")
    guesses.check("192.0.2.2")
    clock.now += 10

    assert refused.value.retry_after == 10
    guesses.check("192.0.2.1")


def test_all_addresses_of_one_network_are_one_guesser(clock: Clock) -> None:
    guesses = WrongKeys(clock)
    for number in range(5):
        guesses.record(f"2001:db8::{number}")

    with pytest.raises(RateLimitExceeded):
        guesses.check("2001:db8::ffff:1")
    guesses.check("2001:db8:0:1::1")


def test_of_very_many_guessers_the_first_are_forgotten(clock: Clock) -> None:
    guesses = WrongKeys(clock)
    for address in ("192.0.2.1", "192.0.2.2"):
        for _ in range(5):
            guesses.record(address)
    for number in range(9_999):
        guesses.record(f"10.0.{number // 256}.{number % 256}")

    guesses.check("192.0.2.1")
    with pytest.raises(RateLimitExceeded):
        guesses.check("192.0.2.2")
