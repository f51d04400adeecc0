"""Rates, and what counts them."""

from __future__ import annotations

import pytest

from gbproxy.domain.principal import Rate
from gbproxy.settings import SettingsError, load
from tests.support.environments import problem_of


@pytest.mark.parametrize(
    ("text", "amount", "per_s", "written"),
    [
        ("60/hour", 60, 3600, "60/hour"),
        ("10/second", 10, 1, "10/second"),
        ("100/15 minutes", 100, 900, "100/15 minutes"),
        ("100 / 15minutes", 100, 900, "100/15 minutes"),
        ("5 per Day", 5, 86_400, "5/day"),
        ("1 per 90 seconds", 1, 90, "1/90 seconds"),
        ("7/24 hours", 7, 86_400, "7/day"),
    ],
)
def test_a_rate_is_read_and_written(text: str, amount: int, per_s: int, written: str) -> None:
    rate = load({"RATE_LIMIT": text}).rate_limit

    assert rate == Rate(amount, per_s)
    assert str(rate) == written
    assert load({"RATE_LIMIT": written}).rate_limit == rate


@pytest.mark.parametrize(
    "text",
    [
        "60",
        "60/",
        "/hour",
        "0/hour",
        "60/week",
        "60/hour;5/second",
        "-1/hour",
        "1.5/hour",
        "100001/hour",
        "9/99 days",
    ],
)
def test_what_is_no_rate_is_refused(text: str) -> None:
    assert problem_of({"RATE_LIMIT": text}).startswith("RATE_LIMIT: must ")


@pytest.mark.parametrize(
    "limit",
    [
        {"RATE_LIMIT": "60/hour"},
        {"MODEL_INTERVAL_S": "0.5"},
        {"RATE_LIMIT": "60/hour", "MODEL_INTERVAL_S": "1"},
    ],
)
def test_several_workers_count_together_or_not_at_all(limit: dict[str, str]) -> None:
    several = {"WEB_CONCURRENCY": "2", **limit}

    with pytest.raises(SettingsError) as caught:
        load(several)

    assert [problem.partition(":")[0] for problem in caught.value.problems] == list(limit)
    assert all("REDIS_URL" in problem for problem in caught.value.problems)
    assert load({**several, "REDIS_URL": "redis://localhost"}).can_limit_keys
    assert load(limit).can_limit_keys
    assert not load({"WEB_CONCURRENCY": "2", "MODEL_INTERVAL_S": "0"}).can_limit_keys
