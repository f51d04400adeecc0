"""A HAR file that a browser has written at either edition's page gives an account that has all its
gates want.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from gbproxy.simulator import ModelAnswer
from tests.support.browser import Browser, Kind
from tests.support.serving import Served, SharedUpstream, serving
from tests.support.texts import QUESTION, TEXT, THOUGHTS
from tests.support.widget_client import BROWSER

ADMIN_KEY = "ak-test-5b3c9e71d2f84a60"
GATES = {
    "server_token": "exact",
    "user_agent": "browser",
    "host_c_oses": "required",
    "further_cookies": ("__Secure-C_AUX",),
}


@pytest.fixture(scope="module")
def upstream() -> Iterator[SharedUpstream]:
    """Reached by its own names alone: it is the proxy on the way there."""
    with SharedUpstream(tls=True) as made:
        yield made


@pytest.fixture(scope="module")
def gateway(upstream: SharedUpstream) -> Iterator[Served]:
    """One that knows no account, and nothing of any edition."""
    way = {name: upstream.environment_by_name()[name] for name in ("CA_BUNDLE", "PROXY")}
    with serving({**way, "ADMIN_KEY": ADMIN_KEY}) as served:
        yield served


def administer(gateway: Served, method: str, path: str, body: object = None) -> Any:
    headers = {"Authorization": f"Bearer {ADMIN_KEY}", "Content-Type": "application/json"}
    reply = gateway.request(
        method, f"/api/admin/accounts{path}", None if body is None else json.dumps(body), headers
    )
    assert reply.status in (200, 204), reply.body
    return reply.json() if reply.body else None


def har_of(upstream: SharedUpstream, kind: Kind) -> str:
    with closing(Browser(upstream, upstream.account, kind, BROWSER)) as browser:
        statuses = browser.open_and_ask()
        assert set(statuses.split()) <= {"200", "302"}, statuses
        return browser.har()


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(
    ("edition", "location", "kind"),
    [
        ("business", "global", "chromium"),
        ("business", "global", "firefox"),
        ("enterprise", "global", "firefox"),
        ("enterprise", "us", "chromium"),
        ("enterprise", "eu", "firefox"),
    ],
)
def test_a_har_of_either_edition_gives_a_working_account(
    upstream: SharedUpstream, gateway: Served, edition: str, location: str, kind: Kind, stream: bool
) -> None:
    upstream.reset()
    upstream.set(edition=edition, location=location, **GATES)
    text = har_of(upstream, kind)
    upstream.model = lambda prompt: ModelAnswer(TEXT, THOUGHTS)
    answer = administer(gateway, "POST", "/import", {"text": text})
    (found,) = answer["found"]

    try:
        reply = gateway.ask(QUESTION, stream=stream)
    finally:
        administer(gateway, "DELETE", f"/{found['id']}")

    assert (found["result"], answer["warnings"], answer["missing"]) == ("created", [], [])
    assert (reply.status, reply.text) == (200, TEXT), reply.body
    assert {call.headers["user-agent"] for call in upstream.requests} == {BROWSER}
    assert not any(
        "do_not_send" in value for call in upstream.requests for value in call.headers.values()
    )


def test_cookies_that_were_renewed_while_the_file_was_written_are_taken_as_they_are_now(
    upstream: SharedUpstream, gateway: Served
) -> None:
    upstream.reset()
    upstream.set(
        edition="enterprise", location="eu", getoxsrf="refreshcookies", refresh_hops=3, **GATES
    )
    before = (upstream.account.secure_c_ses, upstream.account.host_c_oses)
    text = har_of(upstream, "chromium")
    renewals = len(upstream.calls("refreshcookies"))

    answer = administer(gateway, "POST", "/import", {"text": text})
    (found,) = answer["found"]
    try:
        reply = gateway.ask(QUESTION)
    finally:
        administer(gateway, "DELETE", f"/{found['id']}")

    assert before[0] != upstream.account.secure_c_ses
    assert before[1] != upstream.account.host_c_oses
    assert (answer["created"], answer["warnings"], reply.status) == ([found["name"]], [], 200), (
        reply.body
    )
    assert (renewals, len(upstream.calls("refreshcookies"))) == (1, 1)
