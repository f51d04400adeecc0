"""What an administrator does at one worker holds in all of them within a second, over real
sockets.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from gbproxy.simulator import Text, answer
from tests.support.chats import killed_in_the_end, only, workers
from tests.support.delays import Delays
from tests.support.gates import Gate
from tests.support.polling import until
from tests.support.serving import Reply, Served, SharedUpstream

ADMIN_KEY = "ak-test-5b3c9e71d2f84a60"
KNOWN_S = 1.0

Record = Callable[[str, object], None]
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="workers are told apart by /proc")


@pytest.fixture(scope="module")
def upstream() -> Iterator[SharedUpstream]:
    with SharedUpstream() as made:
        yield made


@pytest.fixture(scope="module")
def gateway(upstream: SharedUpstream) -> Iterator[Served]:
    """Two workers, and no account."""
    addresses = {
        name: value for name, value in upstream.environment().items() if name.endswith("_URL")
    }
    with killed_in_the_end({**addresses, "ADMIN_KEY": ADMIN_KEY, "WEB_CONCURRENCY": "2"}) as served:
        yield served


def call(gateway: Served, method: str, path: str, body: object = None) -> Reply:
    headers = {"Authorization": f"Bearer {ADMIN_KEY}", "Content-Type": "application/json"}
    return gateway.request(
        method, f"/api/admin/accounts{path}", None if body is None else json.dumps(body), headers
    )


def own(upstream: SharedUpstream) -> dict[str, Any]:
    account = next(iter(upstream.accounts.values()))
    return {
        "name": "anna",
        "secure_c_ses": account.secure_c_ses,
        "host_c_oses": account.host_c_oses,
        "csesidx": account.csesidx,
        "config_id": account.config_id,
    }


def everywhere(gateway: Served, status: int) -> Callable[[], bool]:
    """True if each worker, asked alone, answers with this status."""

    def ask(worker: int) -> int:
        with only(gateway, worker):
            return gateway.ask("Hello").status

    return lambda: [ask(worker) for worker in workers(gateway, 2)] == [status] * 2


def test_an_account_is_added_asked_checked_disabled_and_removed_in_every_worker(
    upstream: SharedUpstream, gateway: Served, record_property: Record
) -> None:
    waited: list[float] = []

    def wait_until_everywhere(status: int) -> None:
        with Delays(gateway.worker_pids()) as delays:
            waited_s = until(everywhere(gateway, status), every_s=0.05)
        waited.append(waited_s - delays.total_s)

    nobody = everywhere(gateway, 503)()
    added = call(gateway, "POST", "", own(upstream)).json()
    wait_until_everywhere(200)
    checked = call(gateway, "POST", f"/{added['id']}/check").json()
    call(gateway, "PUT", f"/{added['id']}", {"is_active": False})
    wait_until_everywhere(503)
    call(gateway, "PUT", f"/{added['id']}", {"is_active": True})
    wait_until_everywhere(200)

    others = Gate()
    upstream.script(Text("Slowly "), others.closed, *answer(*["and more "] * 10))
    with ThreadPoolExecutor(1) as threads:
        running = threads.submit(gateway.ask, "Count.", stream=True)
        assert upstream.wait_for(lambda: upstream.open_streams == 1)
        until(lambda: call(gateway, "GET", f"/{added['id']}").json()["in_flight"] == 1)
        removed = call(gateway, "DELETE", f"/{added['id']}")
        wait_until_everywhere(503)
        others.open()
        ended = running.result()

    record_property("seconds", [round(seconds, 2) for seconds in waited])
    assert nobody
    assert (added["state"], checked["status"], removed.status) == ("ready", "valid", 204)
    assert ended.succeeded
    assert ended.text == "Slowly " + "and more " * 10
    assert max(waited) <= KNOWN_S
    shown = gateway.process.stdout + gateway.stderr
    assert [
        secret for secret in (own(upstream)["secure_c_ses"], ADMIN_KEY) if secret in shown
    ] == []
    actions = [line["action"] for line in gateway.events("account.changed")]
    assert actions == ["added", "changed", "changed", "removed"]


@pytest.mark.parametrize(
    "target",
    [
        "//api/admin/accounts",
        "/api/admin/accounts/",
        "/api%2Fadmin%2Faccounts",
        "/v1/%2e%2e/api/admin/accounts",
    ],
)
def test_no_spelling_of_a_path_gets_past_the_key(gateway: Served, target: str) -> None:
    head = (
        f"GET {target} HTTP/1.1\r\nHost: localhost/health\r\nX-Forwarded-For:"
        " 127.0.0.1\r\nScript-Name: /v1\r\n"
    )

    reply = Reply.parse(gateway.send(f"{head}Connection: close\r\n\r\n".encode()))

    assert reply.status in (401, 404)
    assert b'"accounts"' not in reply.body
