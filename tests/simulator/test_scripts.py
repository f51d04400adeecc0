"""Scripts: every write, pause and end of an answer, as a raw socket sees them; and the ready-made
failures.
"""

import json
import math
import time
import zlib
from typing import Any

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
    Thought,
    Write,
    answer,
    script_from_json,
)

from .client import Client, fragments_of, inner, read_to_end, read_until, states_of, text_of


def test_fragments_are_exactly_those_of_the_script(upstream: Simulator, client: Client) -> None:
    upstream.script(*answer("Be", "th Hamm", "ack", thoughts=("**A**\n\n",)))

    assert fragments_of(client.ask("x").json()) == ["Be", "th Hamm", "ack"]


def test_a_script_serves_so_many_times_in_the_order_of_queueing(
    upstream: Simulator, client: Client
) -> None:
    upstream.script(*answer("first"), times=2)
    upstream.script(*answer("second"))

    said = [text_of(client.ask("2+2").json()) for _ in range(4)]

    assert said == ["first", "first", "second", "2+2 = **4**"]


def test_a_script_can_serve_for_ever_until_it_is_cleared(
    upstream: Simulator, client: Client
) -> None:
    upstream.script(*answer("always"), times=math.inf)

    assert [text_of(client.ask("2+2").json()) for _ in range(3)] == ["always"] * 3
    upstream.clear_scripts()
    assert text_of(client.ask("2+2").json()) == "2+2 = **4**"


def test_a_script_can_be_one_accounts_own(upstream: Simulator, client: Client) -> None:
    other = upstream.add_account()
    upstream.script(*sim.overloaded(), csesidx=other.csesidx, times=math.inf)

    assert Client(upstream, other).ask("2+2").status_code == 429
    assert client.ask("2+2").status_code == 200


def test_a_refused_request_does_not_use_a_script_up(upstream: Simulator, client: Client) -> None:
    upstream.script(*answer("kept"))

    assert client.ask("x", temperature=1).status_code == 400
    assert text_of(client.ask("x").json()) == "kept"


@pytest.mark.parametrize(
    "script",
    [sim.quota(headers={"Retry-After": "7"}), sim.overloaded(headers={"Retry-After": "7"})],
)
def test_a_refusal_may_name_a_time_in_a_header(
    upstream: Simulator, client: Client, script: Any
) -> None:
    upstream.script(*script)

    assert client.ask("x").headers["Retry-After"] == "7"


def test_failed_may_stand_alone(upstream: Simulator, client: Client) -> None:
    upstream.script(*sim.failed_alone())

    assert states_of(client.ask("x").json()) == ["FAILED"]


VERBS = ["widgetCreateSession", "widgetListSessions", "widgetDeleteSession", "widgetGetSession"]


@pytest.mark.parametrize("path", ["getoxsrf", "widgetStreamAssist", *VERBS])
def test_any_call_of_one_account_can_be_refused(
    upstream: Simulator, client: Client, path: str
) -> None:
    other = Client(upstream, upstream.add_account())
    session = other.create_session()
    upstream.script(
        *sim.http_error(401, "UNAUTHENTICATED"), path=path, csesidx=other.account.csesidx
    )

    if path == "getoxsrf":
        refused, good = other.getoxsrf(), client.getoxsrf()
    elif path == "widgetStreamAssist":
        refused, good = other.ask("x", session), client.ask("x")
    else:
        mine = client.create_session()
        names = [
            name.rpartition("/")[2] if path == "widgetGetSession" else name
            for name in (session, mine)
        ]
        refused, good = other.call(path, {"name": names[0]}), client.call(path, {"name": names[1]})

    assert (refused.status_code, good.status_code) == (401, 200)


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


def test_elements_are_refused_where_no_stream_is(upstream: Simulator) -> None:
    with pytest.raises(ValueError, match="getoxsrf"):
        upstream.script(Text("a"), path="getoxsrf")


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


def test_the_answer_is_cut_after_so_many_elements(upstream: Simulator, client: Client) -> None:
    upstream.set(layout="compact")
    upstream.script(*sim.cut_after(2, rst=True))

    raw, end = client.exchange(client.raw_question())

    assert (raw.count(b'"text"'), end) == (2, "rst")


REFUSALS: list[tuple[Any, int, Any]] = [
    (
        sim.http_error(403, "PERMISSION_DENIED", "No."),
        403,
        lambda v: v["error"]["message"] == "No.",
    ),
    (sim.overloaded(7), 429, lambda v: v["error"]["details"][0]["reason"] == "LLM_OVERLOADED"),
    (sim.overloaded(7), 429, lambda v: v["error"]["details"][1]["retryDelay"] == "7s"),
    (sim.quota(), 429, lambda v: "details" not in v["error"]),
    (
        sim.quota(daily=True),
        429,
        lambda v: "Daily" in v["error"]["details"][1]["violations"][0]["description"],
    ),
    (
        sim.quota(daily=True),
        429,
        lambda v: "PerDay" in v["error"]["details"][1]["violations"][0]["quotaId"],
    ),
    (
        sim.quota(daily=True),
        429,
        lambda v: "1/d/" in v["error"]["details"][0]["metadata"]["quota_unit"],
    ),
    (
        sim.quota(per_minute=True),
        429,
        lambda v: "PerMinute" in v["error"]["details"][1]["violations"][0]["quotaId"],
    ),
    (sim.denied(), 403, lambda v: v["error"]["status"] == "PERMISSION_DENIED"),
    (sim.session_not_found(), 404, lambda v: "Session" in v["error"]["message"]),
    (sim.array_wrapped_error(), 429, lambda v: v[0]["error"]["status"] == "RESOURCE_EXHAUSTED"),
    (sim.message_only_error(), 400, lambda v: set(v) == {"message"}),
    (sim.details_only_error(), 429, lambda v: v["details"][0]["assistToken"]),
    (sim.empty_array(), 200, lambda v: v == []),
    (sim.u_token_only(), 200, lambda v: [set(element) for element in v] == [{"uToken"}]),
]


@pytest.mark.parametrize(("script", "status", "holds"), REFUSALS)
def test_a_ready_made_refusal_has_its_shape(
    upstream: Simulator, client: Client, script: Any, status: int, holds: Any
) -> None:
    upstream.script(*script)

    response = client.ask("x")

    assert response.status_code == status
    assert holds(response.json())


def test_a_front_ends_page_is_html(upstream: Simulator, client: Client) -> None:
    upstream.script(*sim.html_error(503))

    response = client.ask("x")

    assert response.status_code == 503
    assert response.headers["Content-Type"].startswith("text/html")


def test_an_empty_body_is_empty(upstream: Simulator, client: Client) -> None:
    upstream.script(*sim.empty_body())

    assert client.ask("x").content == b""


@pytest.mark.parametrize(
    ("script", "states", "text"),
    [
        (sim.in_stream_error(texts=("So ",)), ["IN_PROGRESS", None], "So "),
        (sim.failed_precondition("So "), ["IN_PROGRESS", "FAILED", None], "So "),
        (sim.policy_violation(), ["SKIPPED"], ""),
        (sim.banned_phrase("foo"), ["SKIPPED"], ""),
        (sim.thoughts_only(), ["IN_PROGRESS", "SUCCEEDED"], ""),
        (sim.prompt_too_large(in_stream=True), [None], ""),
        (sim.quota_exceeded(in_stream=True), [None], ""),
        (sim.blocked("So ", verdict="REVIEW"), ["IN_PROGRESS", "IN_PROGRESS", "SUCCEEDED"], "So "),
        (sim.connector_errors("So "), ["IN_PROGRESS", "IN_PROGRESS", "SUCCEEDED"], "So "),
        (sim.connector_errors(), ["IN_PROGRESS", "FAILED"], ""),
        (
            (Thought("**X**\n", flagged=False), Text("y"), sim.Final(state=""), End()),
            [*["IN_PROGRESS"] * 2, None],
            "**X**\ny",
        ),
    ],
)
def test_a_ready_made_bad_end_has_its_states(
    upstream: Simulator, client: Client, script: Any, states: list[str | None], text: str
) -> None:
    upstream.set(suggestions=False)
    upstream.script(*script)

    response = client.ask("x")

    assert response.status_code == 200
    assert states_of(response.json()) == states
    assert text_of(response.json()) == text


def test_in_stream_errors_carry_googles_object(upstream: Simulator, client: Client) -> None:
    upstream.script(*sim.in_stream_error(reason="LLM_OVERLOADED"))

    error = client.ask("x").json()[-1]["error"]

    assert (error["code"], error["status"]) == (429, "RESOURCE_EXHAUSTED")
    assert error["details"][0]["reason"] == "LLM_OVERLOADED"


@pytest.mark.parametrize(
    ("script", "status", "word", "reason"),
    [
        (sim.prompt_too_large(), 400, "INVALID_ARGUMENT", "PROMPT_TOO_LARGE"),
        (sim.quota_exceeded(), 403, "PERMISSION_DENIED", "QUOTA_EXCEEDED"),
        (
            sim.quota_exceeded(400, "FAILED_PRECONDITION"),
            400,
            "FAILED_PRECONDITION",
            "QUOTA_EXCEEDED",
        ),
    ],
)
def test_a_reason_may_say_what_neither_status_nor_message_does(
    upstream: Simulator, client: Client, script: Any, status: int, word: str, reason: str
) -> None:
    upstream.script(*script)

    response = client.ask("x")

    error = response.json()["error"]
    assert (response.status_code, error["code"], error["status"]) == (status, status, word)
    assert [detail["reason"] for detail in error["details"]] == [reason]


def test_a_verdict_says_where_the_violation_stood(upstream: Simulator, client: Client) -> None:
    upstream.set(suggestions=False)
    upstream.script(*sim.policy_violation(source="ATTACHMENT", verdict="QUARANTINE"))
    upstream.script(*sim.blocked("x", source="SYSTEM"))

    skipped, blocked = (
        [
            inner(element)["answer"].get("customerPolicyEnforcementResult", {})
            for element in client.ask("x").json()
        ]
        for _ in range(2)
    )

    assert [(each["verdict"], each["violationSource"]) for each in skipped] == [
        ("QUARANTINE", "ATTACHMENT")
    ]
    assert [each for each in blocked if each] == [{"verdict": "BLOCK", "violationSource": "SYSTEM"}]


def test_every_answer_may_tell_a_verdict_and_connectors_that_failed(
    upstream: Simulator, client: Client
) -> None:
    upstream.set(verdict="WATCH_CLOSELY", connector_errors=True)

    elements = [inner(element) for element in client.ask("2+2").json()]

    assert elements[-1]["answer"]["customerPolicyEnforcementResult"] == {"verdict": "WATCH_CLOSELY"}
    (errors,) = [
        element["connectorAuthErrors"] for element in elements if "connectorAuthErrors" in element
    ]
    assert set(errors[0]) == {"dataConnector", "errorMessage"}


def test_a_violation_says_what_was_violated(upstream: Simulator, client: Client) -> None:
    upstream.script(*sim.policy_violation(violation="Jailbreak."))
    upstream.script(*sim.banned_phrase("foo", "bar"))

    armor, phrases = (inner(client.ask("x").json()[0])["answer"] for _ in range(2))

    assert armor["customerPolicyEnforcementResult"] == {
        "verdict": "BLOCK",
        "policyResults": [{"modelArmorEnforcementResult": {"modelArmorViolation": "Jailbreak."}}],
    }
    results = phrases["customerPolicyEnforcementResult"]["policyResults"]
    assert results == [{"bannedPhraseEnforcementResult": {"bannedPhrases": ["foo", "bar"]}}]


@pytest.mark.parametrize(
    ("described", "expected"),
    [
        ([{"action": "text", "text": "Hi"}, {"action": "rst"}], (Text("Hi"), Rst())),
        ([{"action": "raw", "data": {"base64": "/w=="}}], (Raw(b"\xff"),)),
        ([{"action": "write", "data": "é"}], (Write("é".encode()),)),
        ([{"action": "hold_headers", "seconds": "forever"}], (HoldHeaders(math.inf),)),
        ([{"action": "answer", "texts": ["a", "b"], "pause_s": 1}], answer("a", "b", pause_s=1)),
        ([{"action": "overloaded"}], sim.overloaded()),
        (
            [{"action": "cut_after", "count": 1, "script": [{"action": "text", "text": "a"}]}],
            (Text("a"), Fin()),
        ),
        ([{"action": "banned_phrase", "phrases": ["x"]}], sim.banned_phrase("x")),
        ([{"action": "fields", "response": {"a": 1}}], (sim.Fields({"a": 1}),)),
        ([{"action": "connector_errors", "texts": ["x"]}], sim.connector_errors("x")),
        ([{"action": "skipped", "banned_phrases": ["x"]}], (sim.Skipped(banned_phrases=("x",)),)),
    ],
)
def test_scripts_have_a_json_form(described: Any, expected: Any) -> None:
    assert script_from_json(described) == expected


@pytest.mark.parametrize(
    "described",
    [
        {},
        ["text"],
        [{"action": "sing"}],
        [{"action": "text"}],
        [{"action": "pause", "seconds": "x"}],
    ],
)
def test_a_bad_script_is_refused(described: Any) -> None:
    with pytest.raises(ValueError, match="action"):
        script_from_json(described)
