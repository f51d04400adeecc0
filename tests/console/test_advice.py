"""Every error that an account can keep has plain words."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gbproxy.accounts.failure_policy import Retry, policy_for
from gbproxy.console.advice import ADVICE, advice
from gbproxy.errors import GatewayError, UpstreamError


def kinds(kind: type[GatewayError]) -> Iterator[type[GatewayError]]:
    for each in kind.__subclasses__():
        yield each
        yield from kinds(each)


KEPT = sorted(
    {
        each.__name__
        for each in [UpstreamError, *kinds(UpstreamError)]
        if not each.__name__.startswith("_") and policy_for(each("")).retry is not Retry.NEVER
    }
)


@pytest.mark.parametrize("kind", KEPT)
def test_there_is_advice_for_each_error_of_an_account(kind: str) -> None:
    found = advice(kind)

    assert found is not None
    assert str(found.what).endswith(".")
    assert str(found.to_do).endswith(".")


def test_there_is_none_for_what_no_error_is() -> None:
    assert set(ADVICE) == set(KEPT)
    assert advice("OfALaterVersion") is None
    assert advice(None) is None
