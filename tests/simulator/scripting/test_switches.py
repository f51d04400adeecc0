"""Switches: which values they take, and how those of framing lay a stream out."""

import json

import pytest

from gbproxy.simulator import SWITCH_VALUES, Simulator, Switches, Text
from tests.support.widget_client import Client, contents


def body(upstream: Simulator, client: Client, *, sse: bool = False, **switches: object) -> bytes:
    upstream.set(suggestions=False, u_token="never", **switches)
    upstream.script(Text("é😀"), Text("b"))
    response = client.ask("x", sse=sse)
    return response.content


def test_layouts_differ_in_white_space_only(upstream: Simulator, client: Client) -> None:
    bodies = {layout: body(upstream, client, layout=layout) for layout in SWITCH_VALUES["layout"]}

    parsed = [
        [content["text"] for content in contents(json.loads(each))] for each in bodies.values()
    ]
    assert parsed == [["é😀", "b"]] * len(bodies)
    assert bodies["compact"].startswith(
        b'[{"streamAssistResponse":{"answer":{"state":"IN_PROGRESS",'
    )
    assert b"\n}\n,\r\n{\n" in bodies["crlf"]
    assert b"}\n,\n{" in bodies["newline_comma"]
    assert bodies["pretty"].startswith(b'[{\n  "streamAssistResponse": {\n')
    assert bodies["padded"].startswith(b" \r\n\t[ \n")


def test_escapes_are_surrogate_pairs(upstream: Simulator, client: Client) -> None:
    assert b"\\u00e9\\ud83d\\ude00" in body(upstream, client, ascii_escapes=True)


def test_events_have_comments_lines_and_endings_as_switched(
    upstream: Simulator, client: Client
) -> None:
    plain = body(upstream, client, sse=True)
    decorated = body(
        upstream, client, sse=True, sse_lines="crlf", sse_comments=True, sse_multiline=True
    )

    assert plain.startswith(b'data: {"streamAssistResponse"')
    assert plain.count(b"\n\n") == 2
    assert decorated.startswith(b": keep-alive\r\ndata: {\r\ndata:  ")
    assert decorated.endswith(b"\r\ndata: }\r\n\r\n")


def test_gzip_is_only_for_those_who_take_it(upstream: Simulator, client: Client) -> None:
    upstream.set(gzip=True)
    request = client.raw_question("2+2", **{"Accept-Encoding": "identity", "Connection": "close"})

    plain, _ = client.exchange(request)

    assert b"Content-Encoding" not in plain
    assert client.ask("2+2").headers["Content-Encoding"] == "gzip"


@pytest.mark.parametrize(
    "changes",
    [
        {"layout": "tabular"},
        {"cuts": "0"},
        {"gzip": "yes"},
        {"unheard_of": 1},
        {"unknown_config": 404},
    ],
)
def test_a_switch_takes_only_what_it_knows(upstream: Simulator, changes: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(changes))):
        upstream.set(**changes)


def test_every_switch_names_its_default_first() -> None:
    defaults = Switches()

    assert all(getattr(defaults, name) == values[0] for name, values in SWITCH_VALUES.items())
