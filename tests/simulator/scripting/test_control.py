"""The control endpoint, the record that it shows, and the JSON form of scripts."""

import json
import math
from typing import Any

import pytest
import requests

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
    parse_array,
    text_of,
)

CONTROL = "/_simulator"


def test_the_control_endpoint_tells_the_state(upstream: Simulator, client: Client) -> None:
    client.ask("2+2")

    # the client may know of the end a moment before
    assert upstream.wait_for(lambda: upstream.open_streams == 0)
    state = client.get(f"{CONTROL}/state").json()

    assert state["requests"] == {"getoxsrf": 1, "widgetCreateSession": 1, "widgetStreamAssist": 1}
    assert state["sessions"] == {"alive": 1, "deleted": 0}
    assert (state["tokens"], state["open_streams"]) == (1, 0)


def test_the_control_endpoint_sets_switches_and_scripts(
    upstream: Simulator, client: Client
) -> None:
    def post(path: str, value: object) -> int:
        return requests.post(f"{upstream.url}{CONTROL}/{path}", json=value, timeout=5).status_code

    assert post("switches", {"layout": "compact", "clock_skew_s": 0}) == 200
    assert (
        post("script", [[{"action": "answer", "texts": ["one"]}], [{"action": "overloaded"}]])
        == 200
    )
    assert post("script", {"script": [{"action": "quota"}], "path": "widgetListSessions"}) == 200

    assert upstream.switches.layout == "compact"
    assert text_of(client.ask("x").json()) == "one"
    assert client.ask("x").status_code == 429
    assert client.call("widgetListSessions", {}).status_code == 429


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("switches", b'{"layout": "tabular"}'),
        ("switches", b"[]"),
        ("switches", b"{"),
        ("script", b'[[{"action": "sing"}]]'),
        ("script", b'{"script": [], "often": 2}'),
    ],
)
def test_the_control_endpoint_refuses_what_it_does_not_know(
    upstream: Simulator, path: str, body: bytes
) -> None:
    response = requests.post(f"{upstream.url}{CONTROL}/{path}", data=body, timeout=5)

    assert response.status_code == 400
    assert response.json()["error"]["message"]


def test_the_control_endpoint_shows_what_every_session_holds(
    upstream: Simulator, client: Client
) -> None:
    name = client.create_session()
    client.ask("2+2", name)

    shown = requests.get(f"{upstream.url}{CONTROL}/sessions", timeout=5).json()

    csesidx = client.account.csesidx
    assert shown == [
        {"name": name, "csesidx": csesidx, "deleted": False, "queries": ["2+2"], "most_at_once": 1}
    ]


def test_json_bodies_are_parsed_for_the_record_and_others_kept(upstream: Simulator) -> None:
    url = f"{upstream.url}/login"
    requests.post(url, data=b"{", headers={"Content-Type": "application/json"}, timeout=5)
    requests.post(url, json={"a": 1}, timeout=5)
    requests.post(url, data=b"\xff", timeout=5)

    assert [request.body for request in upstream.requests] == [b"{", {"a": 1}, b"\xff"]
    assert json.dumps(parse_array(b"{}")) == "[{}]"


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
