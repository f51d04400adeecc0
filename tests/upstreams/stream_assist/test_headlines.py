"""Status headlines are compared by their words alone."""

from __future__ import annotations

import pytest

from gbproxy.upstreams.stream_assist.headlines import normalized, normalized_all


@pytest.mark.parametrize(
    "arrived",
    ["Assessing the Request", "\n**Assessing   the Request**\n\n", "** ASSESSING THE REQUEST **"],
)
def test_case_stars_and_white_space_do_not_count(arrived: str) -> None:
    assert normalized(arrived) in normalized_all(("**Assessing  the Request**",))


def test_casefolding_is_that_of_unicode() -> None:
    assert normalized("** STRASSE **") == normalized("Straße")


def test_a_headline_without_words_is_none() -> None:
    assert normalized_all(("**", " ", "Musing")) == {"musing"}
