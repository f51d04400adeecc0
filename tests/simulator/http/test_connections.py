"""Connections of the fake upstream: what it reads, what it counts, how it lets go, and TLS."""

import os
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time

import pytest
import requests

from gbproxy.simulator import Pause, Simulator, Stall, Text, answer
from tests.support.delays import Delays
from tests.support.widget_client import Client, compact, read_to_end, read_until, text_of

PROMPTLY_S = 0.2


def test_one_connection_carries_several_requests(upstream: Simulator, client: Client) -> None:
    token = client.token()
    headers = {"Authorization": f"Bearer {token}"}
    body = {"configId": client.account.config_id, "additionalParams": {}, "listSessionsRequest": {}}

    with requests.Session() as session:
        for _ in range(3):
            url = f"{upstream.url}/v1alpha/locations/global/widgetListSessions"
            assert session.post(url, json=body, headers=headers, timeout=5).status_code == 200

    assert len({call.connection for call in upstream.calls("widgetListSessions")}) == 1


def test_a_chunked_request_after_100_continue_is_read(upstream: Simulator, client: Client) -> None:
    body = compact(
        {
            "configId": client.account.config_id,
            "additionalParams": {},
            "listSessionsRequest": {"pageSize": 1},
        }
    )
    head = (
        "POST /v1alpha/locations/global/widgetListSessions HTTP/1.1\r\n"
        f"Authorization: Bearer {client.token()}\r\nTransfer-Encoding: chunked\r\n"
        "Expect: 100-continue\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n"
    )
    with client.connect() as sock:
        sock.sendall(head.encode())
        assert sock.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        chunks = [body[:5], body[5:]]
        sock.sendall(b"".join(b"%x;note=1\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks))
        sock.sendall(b"0\r\nTrailer: x\r\n\r\n")
        answered, _ = read_to_end(sock)

    assert answered.startswith(b"HTTP/1.1 200 OK\r\n")
    assert upstream.requests[-1].body["listSessionsRequest"] == {"pageSize": 1}


def test_pipelined_requests_are_answered_in_order(client: Client) -> None:
    raw, end = client.exchange(
        b"GET /login HTTP/1.1\r\n\r\nGET /nowhere HTTP/1.1\r\nConnection: close\r\n\r\n"
    )

    assert raw.index(b"HTTP/1.1 200 OK") < raw.index(b"HTTP/1.1 404 Not Found")
    assert end == "fin"


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x16\x03\x01\r\n\r\n",
        b"GET /\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
    ],
)
def test_what_is_not_http_is_refused(client: Client, garbage: bytes) -> None:
    raw, _ = client.exchange(garbage)

    assert raw.startswith(b"HTTP/1.1 400 Bad Request\r\n")


@pytest.mark.parametrize("way", ["fin", "rst"])
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_a_stream_is_not_open_any_more_when_its_peer_leaves_in_a_long_pause(
    way: str, tls: bool
) -> None:
    with Simulator(tls=tls) as upstream:
        client = Client(upstream)
        upstream.script(Text("Hel"), Pause(60), Text("lo"))
        sock = client.connect()
        if tls:
            context = ssl.create_default_context(cafile=str(upstream.ca_file))
            sock = context.wrap_socket(sock, server_hostname="localhost")
        sock.sendall(client.raw_question())
        read_until(sock, b"Hel")
        assert upstream.open_streams == 1

        if way == "rst":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        with Delays() as machine:
            left = time.monotonic()
            sock.close()
            assert upstream.wait_for(lambda: upstream.open_streams == 0)
            noticed_s = time.monotonic() - left

        assert noticed_s < PROMPTLY_S + machine.total_s
        assert upstream.wait_for(lambda: upstream.open_connections == 0)


def test_a_stream_is_not_open_any_more_when_its_peer_leaves_before_the_head(
    upstream: Simulator, client: Client
) -> None:
    upstream.set(first_byte_delay_s=60.0)
    with client.connect() as sock:
        sock.sendall(client.raw_question("2+2"))
        assert upstream.wait_for(lambda: upstream.open_streams == 1)

        with Delays() as machine:
            left = time.monotonic()
            sock.close()
            assert upstream.wait_for(lambda: upstream.open_streams == 0)
            noticed_s = time.monotonic() - left

    assert noticed_s < PROMPTLY_S + machine.total_s


def test_streams_are_counted_side_by_side(upstream: Simulator, client: Client) -> None:
    upstream.script(Text("Hel"), Stall(), times=20)
    request = client.raw_question()
    sockets = [client.connect() for _ in range(20)]
    for sock in sockets:
        sock.sendall(request)

    assert upstream.wait_for(lambda: upstream.open_streams == 20)
    assert upstream.open_connections >= 20
    for sock in sockets:
        sock.close()
    assert upstream.wait_for(lambda: upstream.open_streams == 0)


def test_an_answer_comes_word_by_word_in_its_time(upstream: Simulator, client: Client) -> None:
    upstream.set(word_delay_s=0.01, suggestions=False)
    begun = time.monotonic()

    assert text_of(client.ask("count to 5").json()) == "1, 2, 3, 4, 5."

    assert time.monotonic() - begun >= 0.04


@pytest.mark.parametrize(
    "verb", ["widgetCreateSession", "widgetDeleteSession", "widgetListSessions"]
)
def test_control_calls_can_be_slow(upstream: Simulator, client: Client, verb: str) -> None:
    name = client.create_session()
    upstream.set(control_delay_s=0.05)
    begun = time.monotonic()

    client.call(verb, {"name": name})

    assert time.monotonic() - begun >= 0.05


def test_the_sign_in_can_be_slow_and_the_stream_is_not(upstream: Simulator, client: Client) -> None:
    name = client.create_session()
    upstream.set(control_delay_s=0.5)

    with Delays() as machine:
        begun = time.monotonic()
        client.ask("2+2", name)
        asked = time.monotonic()
    client.getoxsrf()

    assert asked - begun < 0.5 + machine.total_s
    assert time.monotonic() - asked >= 0.5


def test_closing_ends_every_connection_and_thread() -> None:
    before = set(threading.enumerate())
    with Simulator() as upstream:
        idle = socket.create_connection(("127.0.0.1", upstream.port), timeout=5)
        half = socket.create_connection(("127.0.0.1", upstream.port), timeout=5)
        half.sendall(b"POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc")
        assert upstream.wait_for(lambda: upstream.open_connections == 2)

    assert set(threading.enumerate()) <= before  # others' may have ended meanwhile
    assert (idle.recv(1), half.recv(1)) == (b"", b"")
    idle.close()
    half.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", upstream.port), timeout=5)


def test_the_authority_is_trusted_by_those_who_name_it_and_gone_afterwards() -> None:
    with Simulator(tls=True) as upstream:
        client = Client(upstream)
        assert upstream.url.startswith("https://127.0.0.1:")
        assert upstream.environment()["CA_BUNDLE"] == str(upstream.ca_file)

        assert client.ask("2+2").status_code == 200
        by_name = requests.get(
            f"https://localhost:{upstream.port}/login", verify=client.verify, timeout=5
        )
        assert by_name.status_code == 200
        with pytest.raises(requests.exceptions.SSLError):
            requests.get(f"{upstream.url}/login", timeout=5)
        assert client.ask("2+2").status_code == 200

    assert upstream.ca_file is not None
    assert not upstream.ca_file.exists()


def test_a_long_answer_is_not_held_up_by_a_slow_reader_for_others(
    upstream: Simulator, client: Client
) -> None:
    upstream.script(*answer(*["x" * 100_000] * 100))
    with client.connect() as slow:
        slow.sendall(client.raw_question())
        assert upstream.wait_for(lambda: upstream.open_streams == 1)
        assert text_of(client.ask("2+2").json()) == "2+2 = **4**"

    assert upstream.wait_for(lambda: upstream.open_streams == 0)


UNDER_GEVENT = """
from gevent import monkey; monkey.patch_all()
import http.client, json, time, socket
from gbproxy.simulator import Simulator, Text, Pause
from tests.support.delays import Delays
from tests.support.widget_client import Client, read_until
for tls in (False, True):
    with Simulator(tls=tls) as upstream:
        client = Client(upstream)
        assert client.ask("2+2").status_code == 200
        if not tls:
            upstream.script(Text("Hel"), Pause(60))
            sock = client.connect()
            sock.sendall(client.raw_question())
            read_until(sock, b"Hel")
            assert upstream.open_streams == 1
            with Delays() as machine:
                left = time.monotonic()
                sock.close()
                assert upstream.wait_for(lambda: upstream.open_streams == 0)
                noticed_s = time.monotonic() - left
            assert noticed_s < 0.2 + machine.total_s
            upstream.script(Text("Hel"), Pause(60))
            sock = client.connect()
            sock.sendall(client.raw_question())
            read_until(sock, b"Hel")
            kept = sock
kept.close()
print("done")
"""


def test_it_works_under_gevents_patching_too() -> None:
    done = subprocess.run(
        [sys.executable, "-c", UNDER_GEVENT],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
        env=_environment(),
    )

    assert (done.stdout, done.returncode) == ("done\n", 0), done.stderr


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
