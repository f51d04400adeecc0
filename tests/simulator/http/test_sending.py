"""The transport: every write, pause and end of an answer, as a raw socket sees them."""

import json
import time
import zlib

import pytest
import requests

from gbproxy import simulator as sim
from gbproxy.simulator import (
    Element,
    End,
    Fin,
    Head,
    HoldHeaders,
    Pause,
    Raw,
    Rst,
    Simulator,
    Stall,
    Text,
    Write,
    answer,
)
from tests.support.widget_client import (
    Client,
    read_to_end,
    read_until,
    text_of,
)


def test_every_write_is_a_chunk_of_its_own(upstream: Simulator, client: Client) -> None:
    upstream.script(Write(b"[{}"), Write(b",{}]"), End())

    raw, end = client.exchange(client.raw_question(Connection="close"))

    assert raw.partition(b"\r\n\r\n")[2] == b"3\r\n[{}\r\n4\r\n,{}]\r\n0\r\n\r\n"
    assert end == "fin"


@pytest.mark.parametrize("layout", ["compact", "pretty"])
def test_an_elements_last_byte_is_sent_before_the_pause_that_follows(
    upstream: Simulator, client: Client, layout: str
) -> None:
    upstream.set(layout=layout, suggestions=False)
    upstream.script(Text("Hel"), Stall())

    with client.connect() as sock:
        sock.sendall(client.raw_question())
        head, _, seen = read_until(sock, b"}\r\n").partition(b"\r\n\r\n")

    assert b"Transfer-Encoding: chunked" in head
    element = json.loads(seen.partition(b"[")[2].rpartition(b"\r\n")[0])
    assert text_of([element]) == "Hel"


def test_a_compressed_element_can_be_read_as_soon_as_it_was_sent(
    upstream: Simulator, client: Client
) -> None:
    upstream.set(gzip=True, transfer="close")
    upstream.script(Text("Hel"), Stall())
    unpacker = zlib.decompressobj(wbits=31)

    with client.connect() as sock:
        sock.sendall(client.raw_question(**{"Accept-Encoding": "gzip"}))
        seen = b""
        while b'"Hel"' not in seen:
            piece = sock.recv(65536)
            assert piece
            body = piece.partition(b"\r\n\r\n")[2] if piece.startswith(b"HTTP/1.1") else piece
            seen += unpacker.decompress(body)

    assert not unpacker.eof


@pytest.mark.parametrize(("action", "expected"), [(Fin(), "fin"), (Rst(), "rst")])
@pytest.mark.parametrize("transfer", ["chunked", "content_length", "close"])
def test_a_cut_reaches_the_peer_as_fin_or_rst(
    upstream: Simulator, client: Client, action: Fin | Rst, expected: str, transfer: str
) -> None:
    upstream.set(transfer=transfer)
    upstream.script(Text("Hel"), action)

    raw, end = client.exchange(client.raw_question())

    assert end == expected
    assert b'"Hel"' in raw
    assert not raw.endswith(b"0\r\n\r\n")


@pytest.mark.parametrize("transfer", ["chunked", "content_length"])
def test_a_cut_body_is_seen_as_such_by_an_http_client(
    upstream: Simulator, client: Client, transfer: str
) -> None:
    upstream.set(transfer=transfer)
    upstream.script(Text("Hel"), Fin())

    with pytest.raises((requests.exceptions.ChunkedEncodingError, requests.ConnectionError)):
        client.ask("x")


def test_a_body_may_end_well_without_its_bracket(upstream: Simulator, client: Client) -> None:
    upstream.script(Text("Hel"), End(close_array=False))

    response = client.ask("x")

    assert text_of(json.loads(response.content + b"]")) == "Hel"


def test_headers_are_held_back(upstream: Simulator, client: Client) -> None:
    upstream.script(HoldHeaders(), *answer("late"))

    with client.connect() as sock:
        sock.sendall(client.raw_question())
        assert upstream.wait_for(lambda: upstream.open_streams == 1)
        sock.settimeout(0.05)
        with pytest.raises(TimeoutError):
            sock.recv(1)


def test_held_headers_come_after_their_time(upstream: Simulator, client: Client) -> None:
    upstream.script(HoldHeaders(0.05), *answer("late"))
    question = client.question("x")
    begun = time.monotonic()

    response = client.call("widgetStreamAssist", question)

    assert text_of(response.json()) == "late"
    assert time.monotonic() - begun >= 0.05


def test_a_pause_lets_the_head_out_first(upstream: Simulator, client: Client) -> None:
    upstream.script(Pause(30), Text("late"))

    with client.connect() as sock:
        sock.sendall(client.raw_question())
        head = read_until(sock, b"\r\n\r\n")

    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert head.endswith(b"\r\n\r\n")


def test_a_pause_before_a_head_of_the_scripts_own_holds_it_back(
    upstream: Simulator, client: Client
) -> None:
    upstream.script(Pause(0.02), *sim.http_error(503, "UNAVAILABLE"))

    assert client.ask("x").status_code == 503


def test_a_head_says_what_it_is_told(upstream: Simulator, client: Client) -> None:
    head = Head(418, {"Set-Cookie": ("a=1", "b=2"), "Content-Length": "10"}, "Short And Stout")
    upstream.script(head, Write(b"tea"), Fin())

    raw, end = client.exchange(client.raw_question())

    assert raw.startswith(b"HTTP/1.1 418 Short And Stout\r\n")
    assert b"Set-Cookie: a=1\r\nSet-Cookie: b=2\r\n" in raw
    assert raw.endswith(b"Content-Length: 10\r\n\r\ntea")
    assert end == "fin"


def test_a_half_head_is_all_that_comes(upstream: Simulator, client: Client) -> None:
    upstream.script(*sim.half_head())

    assert client.exchange(client.raw_question()) == (b"HTTP/1.1 200 OK\r\nContent-Ty", "fin")


def test_a_chunk_size_can_be_broken(upstream: Simulator, client: Client) -> None:
    upstream.script(*sim.broken_chunk("Hel"))

    raw, _ = client.exchange(client.raw_question())

    assert b'"Hel"' in raw
    assert raw.endswith(b"zz\r\nnot a chunk\r\n")


def test_raw_bytes_can_be_a_whole_answer(upstream: Simulator, client: Client) -> None:
    upstream.script(Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]"))

    assert client.ask("x").json() == []


def test_a_stall_lasts_until_the_simulator_closes() -> None:
    with Simulator() as upstream:
        client = Client(upstream)
        upstream.script(Text("Hel"), Stall())
        sock = client.connect()
        sock.sendall(client.raw_question())
        read_until(sock, b"Hel")

    with sock:
        rest, _ = read_to_end(sock)
    assert b"0\r\n\r\n" not in rest


@pytest.mark.parametrize("cuts", ["1", "7", "random", "joined", "none"])
def test_cuts_decide_the_size_of_the_chunks(upstream: Simulator, client: Client, cuts: str) -> None:
    upstream.set(cuts=cuts, suggestions=False)
    upstream.script(*answer("Hello ", "world"))

    raw, _ = client.exchange(client.raw_question(Connection="close"))

    sizes, rest = [], raw.partition(b"\r\n\r\n")[2]
    while not rest.startswith(b"0\r\n"):
        size, _, rest = rest.partition(b"\r\n")
        sizes.append(int(size, 16))
        rest = rest[sizes[-1] + 2 :]
    if cuts == "random":
        assert len(set(sizes)) > 1
        assert max(sizes) <= 40
    elif cuts.isdecimal():
        assert max(sizes) == int(cuts)
    else:
        assert len(sizes) == {"joined": 1, "none": 4}[cuts]


def test_random_cuts_are_repeatable_with_a_seed() -> None:
    def chunks() -> bytes:
        with Simulator(seed=7, clock=lambda: 1_700_000_000.0) as upstream:
            upstream.set(cuts="random")
            upstream.script(Element({"a": "b" * 300}))
            client = Client(upstream)
            return client.exchange(client.raw_question(Connection="close"))[0]

    assert chunks() == chunks()


def test_the_body_is_cut_at_the_given_byte(upstream: Simulator, client: Client) -> None:
    upstream.set(layout="compact")
    upstream.script(*sim.cut_bytes(6, (Element({"a": "é"}), End())))

    raw, end = client.exchange(client.raw_question())

    assert raw.endswith(b'6\r\n[{"a":\r\n')
    assert end == "fin"
