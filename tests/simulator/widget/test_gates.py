"""Editions, locations and gates: which calls are served, and how others fail."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests

from gbproxy.simulator import Simulator
from tests.support.widget_client import BROWSER, HOSTS, Client, by_name, sign

EDITIONS = ["business", "enterprise"]
OTHER = {"business": "enterprise", "enterprise": "business"}
ENGINE = "collections/default_collection/engines/agentspace-engine"


def listing(client: Client, **headers: str) -> requests.Response:
    client.headers |= headers
    return client.call("widgetListSessions", {})


@pytest.mark.parametrize("location", ["global", "us", "eu"])
@pytest.mark.parametrize("edition", EDITIONS)
def test_each_edition_is_served_in_each_location(
    upstream: Simulator, client: Client, edition: str, location: str
) -> None:
    upstream.set(edition=edition, location=location)
    client.pass_all_gates()

    session = client.create_session()

    assert client.ask("2+2", session).status_code == 200
    full = f"projects/{client.account.project_number}/locations/{location}/{session}"
    assert client.ask("2+2", full).status_code == 200
    assert (
        client.ask(
            "2+2", full.replace(f"/{location}/", "/eu/" if location != "eu" else "/us/")
        ).status_code
        == 404
    )
    assert f"/locations/{location}/" in upstream.requests[-1].path


def test_one_simulator_serves_accounts_of_several_editions(upstream: Simulator) -> None:
    upstream.add_account(edition="enterprise", location="eu")
    clients = [Client(upstream, account) for account in upstream.accounts.values()]

    assert [(client.edition, client.location) for client in clients] == [
        ("business", "global"),
        ("enterprise", "eu"),
    ]
    assert [listing(client).status_code for client in clients] == [200, 200]
    with pytest.raises(ValueError, match="edition"):
        upstream.add_account(edition="starter")


@pytest.mark.parametrize("claim", ["iss", "aud"])
@pytest.mark.parametrize("edition", EDITIONS)
def test_another_editions_token_is_unauthenticated(
    upstream: Simulator, client: Client, edition: str, claim: str
) -> None:
    upstream.set(edition=edition)
    key_id, key = client.key()
    iss, aud = HOSTS[OTHER[edition]]

    token = sign(
        key,
        {"alg": "HS256", "kid": key_id},
        client.claims(**{claim: iss if claim == "iss" else aud}),
    )

    assert client.call("widgetListSessions", {}, token=token).status_code == 401


def test_a_key_of_the_former_edition_is_good_for_nothing(
    upstream: Simulator, client: Client
) -> None:
    token = client.token()

    upstream.set(edition="enterprise")

    assert client.call("widgetListSessions", {}, token=token).status_code == 401
    assert upstream.requests[-1].csesidx is None


@pytest.mark.parametrize("header", ["Origin", "Referer"])
@pytest.mark.parametrize("edition", EDITIONS)
def test_another_editions_page_is_denied_by_the_api_and_unknown_to_the_sign_in(
    upstream: Simulator, client: Client, edition: str, header: str
) -> None:
    upstream.set(edition=edition)
    client.token()
    client.headers = {header: f"{HOSTS[OTHER[edition]][0]}/"}

    assert client.call("widgetListSessions", {}).status_code == 403
    assert client.getoxsrf().status_code == 302
    client.headers = {header: "https://gemini.google.com/"}
    assert client.call("widgetListSessions", {}).status_code == 403
    client.headers = {header: HOSTS[edition][0]}
    assert client.call("widgetListSessions", {}).status_code == 200
    client.headers = {header: upstream.url}
    assert client.call("widgetListSessions", {}).status_code == 200


@pytest.mark.parametrize("status", [404, 403, 400])
def test_another_location_is_refused_as_switched(
    upstream: Simulator, client: Client, status: int
) -> None:
    upstream.set(wrong_location=str(status))
    body = {"configId": client.account.config_id, "additionalParams": {}, "listSessionsRequest": {}}

    assert client.post("widgetListSessions", body, location="us").status_code == status
    assert client.post("widgetListSessions", body, location="mars").status_code == 404
    assert client.post("widgetListSessions", {**body, "location": "us"}).status_code == 400
    assert client.post("widgetListSessions", {**body, "location": "global"}).status_code == 200


def test_the_page_of_a_widget_has_the_address_that_people_copy(
    upstream: Simulator, client: Client
) -> None:
    path = f"/home/cid/{client.account.config_id}"
    query = f"?csesidx={client.account.csesidx}"

    assert "Gemini Business" in client.get(f"{path}{query}&mods").text
    upstream.set(edition="enterprise", location="eu")

    assert "Gemini Enterprise" in client.get(f"/eu{path}/r/session/1{query}").text
    assert [
        client.get(each).status_code
        for each in (f"{path}{query}", f"/eu{path}", f"/eu/home/cid/x{query}")
    ] == [404] * 3


# The server token and the user agent


@pytest.mark.parametrize(
    ("switch", "served"),
    [
        ("ignored", {"", "x", "CAMS", "CAMSEhIQ", "own"}),
        ("wanted", {"CAMSEhIQ", "own"}),
        ("exact", {"own"}),
    ],
)
def test_the_server_token_follows_its_switch(
    upstream: Simulator, client: Client, switch: str, served: set[str]
) -> None:
    upstream.set(server_token=switch)
    values = {
        "": "",
        "x": "x",
        "CAMS": "CAMS",
        "CAMSEhIQ": "CAMSEhIQ",
        "own": client.account.server_token,
    }

    statuses = {
        name: listing(client, **{"x-server-token": value}).status_code
        for name, value in values.items()
    }

    assert statuses == {name: 200 if name in served else 403 for name in values}
    assert client.getoxsrf().status_code == 200


@pytest.mark.parametrize("status", [400, 401, 403])
def test_a_missing_server_token_is_refused_as_switched(
    upstream: Simulator, client: Client, status: int
) -> None:
    upstream.set(server_token="wanted", server_token_refusal=str(status))

    response = client.configuration()

    assert response.status_code == response.json()["error"]["code"] == status
    assert "token" not in response.json()["error"]["message"].replace("OAuth 2 access token", "")


def test_a_browsers_user_agent_may_be_wanted_by_page_and_api(
    upstream: Simulator, client: Client
) -> None:
    client.token()
    upstream.set(user_agent="browser")

    client.headers = {"User-Agent": BROWSER}
    assert (client.getoxsrf().status_code, listing(client).status_code) == (200, 200)

    for agent in ("", "gbproxy/1", "curl/8.5.0", "Mozilla/5.0", "python-requests/2.34"):
        client.headers = {"User-Agent": agent}
        assert (client.getoxsrf().status_code, listing(client).status_code) == (403, 403)
    upstream.set(user_agent_refusal="html")
    assert [response.status_code for response in (client.getoxsrf(), listing(client))] == [200, 200]
    assert all(
        each.text.startswith("<!DOCTYPE html>") for each in (client.getoxsrf(), listing(client))
    )


def test_an_account_is_described_as_a_gateway_is_given_it(upstream: Simulator) -> None:
    account = upstream.add_account(
        edition="enterprise", location="us", cookies={"__Secure-A": "1", "__Secure-B": "2"}
    )

    described = upstream.described(account)

    assert (described["edition"], described["location"]) == ("enterprise", "us")
    assert described["cookies"] == "__Secure-A=1; __Secure-B=2"
    assert described["server_token"].startswith("CAMS")
    assert (described["csesidx"], described["config_id"]) == (account.csesidx, account.config_id)


# By the upstream's own names


@pytest.fixture(scope="module")
def named() -> Iterator[Simulator]:
    with Simulator(tls=True, seed=1) as upstream:
        yield upstream


def test_each_host_serves_its_own_paths_alone(named: Simulator) -> None:
    client = Client(named)
    query = f"?csesidx={client.account.csesidx}"
    cookies = {"Cookie": client.cookies()}

    def status(host: str, path: str) -> int:
        return by_name(named, "GET", f"https://{host}{path}{query}", headers=cookies).status_code

    assert status("business.gemini.google", "/auth/getoxsrf") == 200
    assert status("business.gemini.google", "/auth/setocookie") == 302
    # whose cookies are these?
    assert status("vertexaisearch.cloud.google", "/auth/getoxsrf") == 302
    assert status("auth.business.gemini.google", "/auth/refreshcookies") == 302
    for host, path in [
        ("business.gemini.google", "/auth/refreshcookies"),
        ("auth.business.gemini.google", "/auth/setocookie"),
        ("accounts.google.com", "/auth/getoxsrf"),
        ("biz-discoveryengine.googleapis.com", "/auth/getoxsrf"),
        ("business.gemini.google", "/v1alpha/locations/global/widgetListSessions"),
    ]:
        assert status(host, path) == 404, (host, path)


def test_the_api_is_the_editions_own(named: Simulator) -> None:
    client = Client(named, named.add_account())
    body = {"configId": client.account.config_id, "additionalParams": {}, "listSessionsRequest": {}}
    headers = {"Authorization": f"Bearer {client.token()}"}

    def status(api: str) -> int:
        url = f"{api}/v1alpha/locations/global/widgetListSessions"
        return by_name(named, "POST", url, json=body, headers=headers).status_code

    assert [status(HOSTS[edition][1]) for edition in EDITIONS] == [200, 401]


def test_plain_http_is_no_way_in_where_tls_is_spoken(named: Simulator) -> None:
    assert (
        requests.get(f"http://127.0.0.1:{named.port}/_simulator/state", timeout=5).status_code
        == 400
    )
    with Simulator() as plain, pytest.raises(ValueError, match="TLS"):
        plain.environment_by_name()
