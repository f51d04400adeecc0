"""Where an account's calls go, and what they say of where they come from: by its edition, unless
settings say otherwise.
"""

from __future__ import annotations

import pytest

from gbproxy.upstreams.widget.credential import EditionName, Location, with_values
from gbproxy.upstreams.widget.endpoints import EndpointMap
from tests.support.accounts import widget_account

ACCOUNT = widget_account("one", "one", "1", "c-1", "CSE.x")


@pytest.mark.parametrize(
    ("edition", "location", "page", "api"),
    [
        (
            "business",
            "global",
            "https://business.gemini.google",
            "https://biz-discoveryengine.googleapis.com",
        ),
        (
            "business",
            "eu",
            "https://business.gemini.google",
            "https://biz-discoveryengine.googleapis.com",
        ),
        (
            "enterprise",
            "us",
            "https://vertexaisearch.cloud.google",
            "https://content-discoveryengine.googleapis.com",
        ),
    ],
)
def test_everything_follows_the_account_s_edition_and_location(
    edition: EditionName, location: Location, page: str, api: str
) -> None:
    found = EndpointMap().of(with_values(ACCOUNT, edition=edition, location=location))

    assert (found.page_url, found.issuer, found.audience) == (page, page, api)
    assert found.api_url == f"{api}/v1alpha/locations/{location}"
    assert found.page_headers["Referer"] == found.api_headers["Referer"] == f"{page}/"
    assert found.api_headers["Origin"] == page
    # a browser sends none when it reads from the page's own host
    assert "Origin" not in found.page_headers


def test_addresses_that_are_set_replace_the_hosts_and_nothing_else() -> None:
    endpoints = EndpointMap(
        page_url="http://127.0.0.1:9", api_base_url="http://127.0.0.1:8/v1alpha"
    )

    found = endpoints.of(with_values(ACCOUNT, edition="enterprise", location="us"))

    assert found.page_url == "http://127.0.0.1:9"
    assert found.api_url == "http://127.0.0.1:8/v1alpha/locations/us"
    assert found.api_headers["Origin"] == "http://127.0.0.1:9"
    assert found.api_headers["Referer"] == "http://127.0.0.1:9/"
    assert found.issuer == "https://vertexaisearch.cloud.google"
    assert found.audience == "https://content-discoveryengine.googleapis.com"


def test_what_an_account_has_goes_before_what_all_are_told() -> None:
    headers = {"User-Agent": "gbproxy/test", "x-server-token": "CAMSall", "X-More": "1"}
    endpoints = EndpointMap(headers=headers)

    plain = endpoints.of(ACCOUNT)
    own = endpoints.of(with_values(ACCOUNT, user_agent="Mozilla/5.0 (X)", server_token="CAMSown"))

    assert plain.api_headers["User-Agent"] == plain.page_headers["User-Agent"] == "gbproxy/test"
    assert own.api_headers["User-Agent"] == own.page_headers["User-Agent"] == "Mozilla/5.0 (X)"
    assert "X-More" in own.page_headers
    assert "X-More" in own.api_headers
    tokens = [value for name, value in own.api_headers.items() if name.lower() == "x-server-token"]
    assert tokens == ["CAMSown"]
    assert plain.api_headers["x-server-token"] == "CAMSall"
    assert "CAMSown" not in repr(own)


def test_the_server_token_goes_to_the_api_alone() -> None:
    own = EndpointMap().of(with_values(ACCOUNT, server_token="CAMSown"))

    assert "X-Server-Token" not in own.page_headers


def test_endpoints_are_made_once() -> None:
    endpoints = EndpointMap()

    assert endpoints.of(ACCOUNT) is endpoints.of(with_values(ACCOUNT, secure_c_ses="CSE.renewed"))
