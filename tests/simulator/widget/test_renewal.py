"""Renewal of cookies over several hops, and the further cookies that may be wanted."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest

from gbproxy.simulator import Simulator
from tests.support.widget_client import Client, by_name


class Browser:
    """Follows redirects with one jar for all paths; remembers the cookies of each hop."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.jar = dict(pair.split("=", 1) for pair in client.cookies().split("; "))
        self.hops: list[tuple[str, list[str]]] = []

    def open(self, path: str, limit: int = 20) -> int:
        """The status of the first answer that is no redirect inside; 302 for a loop."""
        for _ in range(limit):
            response = self.client.get(
                path, Cookie="; ".join(f"{name}={value}" for name, value in self.jar.items())
            )
            set_cookies = response.raw.headers.getlist("Set-Cookie")
            pairs = [cookie.partition(";")[0].split("=", 1) for cookie in set_cookies]
            self.jar |= {name: value for name, value in pairs if name != "NID"}
            self.hops.append((urlsplit(path).path, [name for name, _value in pairs]))
            location = response.headers.get("Location", "")
            if not location.startswith(self.client.upstream.url):
                return response.status_code
            path = location.removeprefix(self.client.upstream.url)
        return 302

    def sign_in(self) -> int:
        return self.open(f"/auth/getoxsrf?csesidx={self.client.account.csesidx}")


@pytest.mark.parametrize("hops", [2, 3, 5, 6])
def test_a_chain_has_so_many_hops_and_the_host_cookie_comes_with_the_last(
    upstream: Simulator, client: Client, hops: int
) -> None:
    upstream.set(getoxsrf="refreshcookies", refresh_hops=hops)
    browser, old = Browser(client), client.account.host_c_oses

    assert browser.sign_in() == 200

    between = [("/auth/signin", ["__Host-GAPS_STEP"])] * (hops - 2)
    assert browser.hops == [
        ("/auth/getoxsrf", []),
        ("/auth/refreshcookies", ["__Secure-C_SES", "NID"]),
        *between,
        ("/auth/setocookie", ["__Host-C_OSES"]),
        ("/auth/getoxsrf", []),
    ]
    assert browser.jar["__Host-C_OSES"] == client.account.host_c_oses != old
    assert Browser(client).sign_in() == 200


def test_who_stops_half_way_is_sent_away_again(upstream: Simulator, client: Client) -> None:
    upstream.set(getoxsrf="refreshcookies", refresh_hops=3)
    browser = Browser(client)

    assert browser.open(f"/auth/getoxsrf?csesidx={client.account.csesidx}", limit=2) == 302

    again = client.getoxsrf("; ".join(f"{name}={value}" for name, value in browser.jar.items()))
    assert "/auth/refreshcookies" in again.headers["Location"]


def test_the_former_host_cookie_is_stale_after_the_chain(
    upstream: Simulator, client: Client
) -> None:
    upstream.set(getoxsrf="refreshcookies", refresh_hops=2)
    browser, old = Browser(client), client.account.host_c_oses
    browser.sign_in()

    stale = client.getoxsrf(f"__Secure-C_SES={client.account.secure_c_ses}; __Host-C_OSES={old}")

    assert stale.headers["Location"] == "/login"
    assert client.getoxsrf(f"__Secure-C_SES={client.account.secure_c_ses}").status_code == 200


def test_a_hop_wants_the_cookie_of_the_hop_before(upstream: Simulator, client: Client) -> None:
    upstream.set(getoxsrf="refreshcookies", refresh_hops=5)
    query = f"?csesidx={client.account.csesidx}&continue=/"

    assert client.get(f"/auth/signin{query}&step=3").headers["Location"] == "/login"
    assert (
        client.get(f"/auth/signin{query}&step=3", Cookie="__Host-GAPS_STEP=2").headers["Location"]
        != "/login"
    )
    assert (
        client.get(f"/auth/setocookie{query}", Cookie="__Secure-C_SES=CSE.old").headers["Location"]
        == "/login"
    )


def test_the_last_hop_may_be_a_page(upstream: Simulator, client: Client) -> None:
    upstream.set(getoxsrf="refreshcookies", refresh_hops=2, refreshcookies_answer="page")
    browser = Browser(client)

    assert browser.sign_in() == 200

    assert browser.hops[-1] == ("/auth/setocookie", ["__Host-C_OSES"])
    assert client.getoxsrf().status_code == 200


@pytest.mark.parametrize("hops", [1, 3])
@pytest.mark.parametrize(
    ("chain", "leads"),
    [("elsewhere", "http://evil.invalid/"), ("http", "http://business.gemini.google/")],
)
def test_a_chain_may_lead_where_no_cookie_must_go(
    upstream: Simulator, client: Client, chain: str, leads: str, hops: int
) -> None:
    upstream.set(getoxsrf="refreshcookies", refresh_chain=chain, refresh_hops=hops)
    away = urlsplit(client.getoxsrf().headers["Location"])

    hop = client.get(f"{away.path}?{away.query}", Cookie=client.cookies())

    assert hop.headers["Location"].startswith(leads)
    assert "/auth/refreshcookies" in client.getoxsrf().headers["Location"]


def test_a_loop_never_ends(upstream: Simulator, client: Client) -> None:
    upstream.set(getoxsrf="refreshcookies", refresh_chain="loop")
    browser = Browser(client)

    assert browser.sign_in() == 302

    assert {path for path, _cookies in browser.hops[1:]} == {"/auth/refreshcookies"}


def test_by_name_the_chain_goes_over_the_hosts_of_the_sign_in() -> None:
    with Simulator(tls=True) as upstream:
        upstream.set(getoxsrf="refreshcookies", refresh_hops=4)
        client = Client(upstream)
        url = f"https://business.gemini.google/auth/getoxsrf?csesidx={client.account.csesidx}"
        cookies, hosts, domains = {"__Secure-C_SES": client.account.secure_c_ses}, [], []

        while True:
            response = by_name(
                upstream, "GET", url, headers={"Cookie": "; ".join(map("=".join, cookies.items()))}
            )
            hosts.append(urlsplit(url).netloc)
            for line in response.raw.headers.getlist("Set-Cookie"):
                pair, *attributes = line.split("; ")
                domains += [each for each in attributes if each.startswith("Domain=")]
                if not pair.startswith("NID"):
                    cookies |= dict([pair.split("=", 1)])
            if response.status_code != 302:
                break
            url = response.headers["Location"]

    page, auth = "business.gemini.google", "auth.business.gemini.google"
    assert response.status_code == 200
    assert hosts == [page, auth, "accounts.google.com", "accounts.google.com", page, page]
    assert domains == [f"Domain={page}", "Domain=.google.com"]


@pytest.mark.parametrize("refusal", ["login", "401", "403"])
def test_further_cookies_may_be_wanted(upstream: Simulator, client: Client, refusal: str) -> None:
    upstream.set(further_cookies=("__Secure-C_AUX", "__Secure-ANY"), bad_cookie=refusal)
    own = client.account.cookies["__Secure-C_AUX"]

    def status(*further: str) -> int:
        return client.getoxsrf("; ".join((client.cookies(), *further))).status_code

    refused = 302 if refusal == "login" else int(refusal)
    assert status(f"__Secure-C_AUX={own}", "__Secure-ANY=x") == 200
    assert (
        status()
        == status(f"__Secure-C_AUX={own}")
        == status("__Secure-C_AUX=x", "__Secure-ANY=x")
        == refused
    )


def test_the_continuation_is_kept_over_all_hops(upstream: Simulator, client: Client) -> None:
    upstream.set(getoxsrf="refreshcookies", refresh_hops=5)
    away = urlsplit(client.getoxsrf().headers["Location"])

    hop = client.get(f"{away.path}?{away.query}", Cookie=client.cookies()).headers["Location"]

    assert parse_qs(urlsplit(hop).query)["continue"] == parse_qs(away.query)["continue"]
