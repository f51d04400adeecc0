"""Scripts: which calls they answer, how often and for whom, and their JSON form."""

import math
from typing import Any

import pytest

from gbproxy import simulator as sim
from gbproxy.simulator import (
    Fin,
    HoldHeaders,
    Raw,
    Rst,
    Simulator,
    Text,
    Write,
    answer,
    script_from_json,
)
from tests.support.widget_client import (
    Client,
    fragments_of,
    states_of,
    text_of,
)


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


def test_elements_are_refused_where_no_stream_is(upstream: Simulator) -> None:
    with pytest.raises(ValueError, match="getoxsrf"):
        upstream.script(Text("a"), path="getoxsrf")


def test_the_answer_is_cut_after_so_many_elements(upstream: Simulator, client: Client) -> None:
    upstream.set(layout="compact")
    upstream.script(*sim.cut_after(2, rst=True))

    raw, end = client.exchange(client.raw_question())

    assert (raw.count(b'"text"'), end) == (2, "rst")


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
