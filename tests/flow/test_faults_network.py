"""Faults of the network between the gateway and the upstream: names that nobody knows, and
proxies.
"""

from __future__ import annotations

import pytest

from tests.support.chats import accounts, killed_in_the_end
from tests.support.relays import Proxy
from tests.support.serving import Reply, Served, SharedUpstream

pytestmark = pytest.mark.slow


def learnt(gateway: Served, reply: Reply) -> list[str]:
    """Which accounts rest, or are set aside, because of one request."""
    done = gateway.log_of(reply)
    lines = [line for line in gateway.log_lines() if line["request_id"] == done["request_id"]]
    return [
        line["account"] for line in lines if line["event"] in ("account.cooling", "account.refused")
    ]


@pytest.mark.parametrize("scheme", ["http", "socks5h"])
def test_a_proxy_carries_everything_and_while_it_is_down_nothing_goes_past_it(scheme: str) -> None:
    with SharedUpstream(tls=True) as upstream, Proxy(scheme) as proxy:
        # The name is the proxy's to look up.
        there = upstream.url.replace("127.0.0.1", "localhost")
        settings = accounts(upstream, 2) | {
            "GEMINI_BUSINESS_URL": there,
            "API_BASE_URL": f"{there}/v1alpha",
            "CA_BUNDLE": str(upstream.ca_file),
            "PROXY": proxy.url,
        }
        with killed_in_the_end(settings) as gateway:
            carried = gateway.ask(stream=True)
            ways = set(proxy.asked)
            proxy.close()
            # what was on its way is heard by now
            assert upstream.wait_for(lambda: upstream.open_connections == 0)
            heard = len(upstream.requests)

            down = gateway.ask()

            assert len(upstream.requests) == heard
            assert learnt(gateway, down) == []
            proxy.open()
            assert gateway.ask().succeeded
            assert gateway.log_of(down)["attempts"] == 3

    assert carried.succeeded
    assert ways == {f"localhost:{upstream.port}"}
    assert (down.status, down.error["code"]) == (502, "upstream_error")
    assert down.error["message"].startswith("the proxy in PROXY could not be used (")
    assert "127.0.0.1" not in down.error["message"]


def test_a_name_that_nobody_knows_is_an_upstream_error() -> None:
    with SharedUpstream() as upstream:
        settings = accounts(upstream, 2) | {"API_BASE_URL": "http://upstream.invalid/v1alpha"}
        with killed_in_the_end(settings) as gateway:
            reply = gateway.ask()

            assert learnt(gateway, reply) == []
            assert {request.name for request in upstream.requests} <= {"getoxsrf"}

    assert (reply.status, reply.error["code"]) == (502, "upstream_error")
    assert "upstream.invalid" not in reply.error["message"]
    assert reply.headers["x-should-retry"] == "false"
