"""How old another worker's token is: whatever the clocks say, none is taken for much younger than
it is.
"""

from __future__ import annotations

import math

from hypothesis import example, given
from hypothesis import strategies as st

from gbproxy.storage.tokens_cookies import StoredToken
from gbproxy.upstreams.widget.auth.jwt import TOLERANCE_S, TokenAges, XsrfKey, sign
from tests.support.business_host import NOW
from tests.support.clock import Clock

KEY = XsrfKey(bytes(range(32)), "k")
seconds = st.floats(0, 400)
offsets = st.floats(-200_000, 200_000) | st.floats(-300, 300)
delays = st.floats(0, 2)  # how long an answer is under way, with the upstream's clock in it


def signed(at: float, upstream: float, wall: float, delay: float = 0.0) -> StoredToken:
    """A token of the true moment `at`, where the upstream's and the signer's wall clock are so far
    off.
    """
    return StoredToken(
        "d" * 64,
        sign(KEY, "1", math.floor(at - delay + upstream), issuer="i", audience="a"),
        at + wall,
    )


def aged(ages: TokenAges, stored: StoredToken, monotonic: Clock) -> float | None:
    token = ages.token(stored)
    return None if token is None else token.age_s(monotonic())


@given(
    heard_ago=seconds,
    age=seconds,
    signer=offsets,
    wall=offsets,
    upstream=offsets,
    delay=delays,
    other_delay=delays,
)
@example(heard_ago=0, age=200, signer=0, wall=-150, upstream=0, delay=0, other_delay=0)
def test_who_has_heard_the_upstream_s_clock_knows_the_age_whatever_the_wall_clocks_say(
    heard_ago: float,
    age: float,
    signer: float,
    wall: float,
    upstream: float,
    delay: float,
    other_delay: float,
) -> None:
    monotonic = Clock(1000.0 - heard_ago)
    ages = TokenAges(Clock(NOW + wall), monotonic)
    ages.clock_observed(math.floor(NOW - heard_ago - delay + upstream))
    monotonic.now = 1000.0

    told = aged(ages, signed(NOW - age, upstream, signer, other_delay), monotonic)

    assert told is not None
    assert age - delay - 1.001 <= told <= age + other_delay + 1.001


@given(age=seconds, signer=st.floats(-TOLERANCE_S, TOLERANCE_S), wall=offsets, upstream=offsets)
def test_before_that_wall_clocks_that_agree_tell_it(
    age: float, signer: float, wall: float, upstream: float
) -> None:
    monotonic = Clock(1000.0)

    told = aged(
        TokenAges(Clock(NOW + wall), monotonic),
        signed(NOW - age, upstream, wall + signer),
        monotonic,
    )

    assert told is None or abs(told - age) <= TOLERANCE_S + 0.001
    assert told is not None or age < signer


@given(age=seconds, set_back=st.floats(0, 200_000))
def test_a_clock_that_was_set_back_makes_no_token_of_the_future(
    age: float, set_back: float
) -> None:
    monotonic = Clock(1000.0)

    told = aged(TokenAges(Clock(NOW - set_back), monotonic), signed(NOW - age, 0, 0), monotonic)

    assert told is None or told >= 0
    assert told is not None or set_back > age


@given(set_forward=st.floats(0, 200_000), age=seconds)
def test_a_clock_that_was_set_forward_makes_a_token_older_only(
    age: float, set_forward: float
) -> None:
    monotonic = Clock(1000.0)

    told = aged(TokenAges(Clock(NOW + set_forward), monotonic), signed(NOW - age, 0, 0), monotonic)

    assert told is not None
    assert told >= age - 0.001


def test_a_bearer_that_tells_no_time_is_dated_by_its_record() -> None:
    for bearer in (
        "",
        "eyJ",
        "a.b.c",
        "e30.e30.e30",
        "e30.W10.e30",
        "e30.eyJpYXQiOiIxIn0.e30",
        "x.éé.y",
    ):
        ages = TokenAges(Clock(NOW), Clock(1000.0))
        ages.clock_observed(NOW + 50)

        token = ages.token(StoredToken("d" * 64, bearer, NOW - 30))

        assert token is not None
        assert token.age_s(1000.0) == 30
