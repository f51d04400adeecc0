"""A capture is played as it was: each call's answers in order, in their pieces, with their ends."""

from __future__ import annotations

import base64
import json
import re
import time
from pathlib import Path
from typing import Any

import pytest
import requests

from gbproxy.simulator import Replay, Simulator
from gbproxy.simulator.command import main

STREAM = "/v1alpha/locations/global/widgetStreamAssist"


def capture(*entries: dict[str, Any]) -> list[str]:
    return [json.dumps({"capture": 1}), *map(json.dumps, entries)]


def exchange(
    number: int,
    path: str,
    *pieces: bytes,
    host: str = "business.gemini.google",
    status: int = 200,
    end: str = "complete",
    **headers: str,
) -> list[Any]:
    """The lines of one exchange of a capture; its pieces come 100 ms apart."""
    begun = 1000 * number
    entries: list[dict[str, Any]] = [
        {
            "exchange": number,
            "t_ms": begun,
            "request": {"method": "POST", "host": host, "path": path},
        },
        {
            "exchange": number,
            "t_ms": begun + 50,
            "status": status,
            "headers": list(headers.items()),
        },
    ]
    for index, piece in enumerate(pieces):
        at = {"exchange": number, "t_ms": begun + 150 + 100 * index}
        try:
            entries.append({**at, "piece": piece.decode()})
        except UnicodeDecodeError:
            entries.append({**at, "piece_base64": base64.b64encode(piece).decode()})
    return [*entries, {"exchange": number, "t_ms": begun + 900, "end": end}]


def played(lines: list[str], speed: float = 0.0) -> Simulator:
    return Simulator(replay=Replay(lines, speed))


def test_answers_come_by_verb_in_order_and_the_last_one_again() -> None:
    lines = capture(
        *exchange(1, STREAM, b'[{"a":1}]', **{"Content-Type": "application/json"}),
        *exchange(
            2,
            "/v1alpha/locations/global/widgetListSessions",
            b"{}",
            status=403,
            **{"X-Sign": "kept"},
        ),
        *exchange(3, STREAM, b'[{"a":2}]'),
    )

    with played(lines) as upstream:
        answers = [requests.post(f"{upstream.url}{STREAM}", timeout=5) for _ in range(3)]
        listed = requests.post(f"{upstream.url}/v1alpha/locations/eu/widgetListSessions", timeout=5)
        unknown = requests.post(
            f"{upstream.url}/v1alpha/locations/global/widgetDeleteSession", timeout=5
        )
        names = [request.name for request in upstream.requests]

    assert [answer.text for answer in answers] == ['[{"a":1}]', '[{"a":2}]', '[{"a":2}]']
    assert answers[0].headers["Content-Type"] == "application/json"
    assert (listed.status_code, listed.headers["X-Sign"], listed.text) == (403, "kept", "{}")
    assert unknown.status_code == 404
    assert names == ["widgetStreamAssist"] * 3 + ["widgetListSessions", "widgetDeleteSession"]


def test_pieces_come_as_they_came_also_in_the_middle_of_a_character() -> None:
    pieces = ["数".encode()[:2], "数".encode()[2:] + b"x"]

    with played(capture(*exchange(1, STREAM, *pieces)), speed=1.0) as upstream:
        begun = time.monotonic()
        with requests.post(f"{upstream.url}{STREAM}", stream=True, timeout=5) as response:
            received = [response.raw.read1(), response.raw.read1()]
        elapsed_s = time.monotonic() - begun

    assert received == pieces
    assert elapsed_s >= 0.25  # 50 ms to the head, 100 to each piece


def test_what_broke_breaks_again() -> None:
    lines = capture(
        *exchange(1, STREAM, b"[{", end="broken"),
        *exchange(2, "/auth/getoxsrf", end="broken", status=0)[:1],
    )

    with played(lines) as upstream:
        with pytest.raises(requests.exceptions.ChunkedEncodingError):
            requests.post(f"{upstream.url}{STREAM}", timeout=5)
        with pytest.raises(requests.exceptions.ConnectionError):
            requests.get(f"{upstream.url}/auth/getoxsrf", timeout=5)


def test_a_redirect_leads_back_to_the_replay() -> None:
    target = "https://auth.business.gemini.google/refreshcookies?csesidx=1"
    lines = capture(
        *exchange(1, "/auth/getoxsrf?csesidx=1", status=302, Location=target),
        *exchange(
            2,
            "/refreshcookies",
            b"renewed",
            host="auth.business.gemini.google",
            **{"Set-Cookie": "a=1"},
        ),
    )

    with played(lines) as upstream:
        answer = requests.get(f"{upstream.url}/auth/getoxsrf", timeout=5)

        assert answer.url == f"{upstream.url}/refreshcookies?csesidx=1"
        assert answer.text == "renewed"


def test_a_redirect_that_was_not_followed_leads_nowhere() -> None:
    lines = capture(
        *exchange(1, "/auth/getoxsrf", status=302, Location="https://accounts.google.com/login?x=1")
    )

    with played(lines) as upstream:
        answer = requests.get(f"{upstream.url}/auth/getoxsrf", allow_redirects=False, timeout=5)

    assert answer.headers["Location"] == "https://accounts.google.com.invalid/login?x=1"


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        ([], "holds no exchange"),
        (["{"], "line 1 is not of a capture"),
        ([json.dumps({"capture": 2})], "version 1 was expected"),
        (capture(), "holds no exchange"),
        (capture({"exchange": 1, "t_ms": 0, "piece": "x"}), "line 2 is not of a capture"),
        (capture({"exchange": 1, "t_ms": 0, "request": None}), "line 2 is not of a capture"),
        (
            capture(*exchange(1, STREAM), {"exchange": 1, "t_ms": 9, "piece_base64": "!"}),
            "line 5 is not of a capture",
        ),
    ],
)
def test_what_is_no_capture_is_refused_with_its_line(lines: list[str], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Replay(lines)


def test_the_command_takes_a_capture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = tmp_path / "broken.jsonl"
    broken.write_text("{}\n")

    assert main(["--replay", str(broken)]) == 2
    assert re.search("line 1 is not of a capture", capsys.readouterr().err)
    assert main(["--replay", str(tmp_path / "none")]) == 2
