"""The load generator continues a conversation with what it was answered, word for word."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from bench.tools import HERE

WORDS = ['He said "no\\', "\n世界 🚀 ", "end"]
FIRST = {"model": "m", "messages": [{"role": "user", "content": "one"}]}
TURN = {"role": "user", "content": "more"}

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")


class Gateway(BaseHTTPRequestHandler):
    """Answers with some words, in pieces that cut everything, and keeps what it was asked."""

    protocol_version = "HTTP/1.1"
    asked: list[list[dict[str, str]]]

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.asked.append(body["messages"])
        deltas = [{"role": "assistant", "content": ""}, *({"content": word} for word in WORDS), {}]
        stamp = f"@T={time.monotonic_ns():019d};"
        frames = [
            f"data: {json.dumps({'choices': [{'delta': d}]}, separators=(',', ':'))}\n\n"
            for d in deltas
        ]
        answer = "".join([": ", stamp, "\n\n", *frames, "data: [DONE]\n\n"]).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for at in range(0, len(answer), 5):
            piece = answer[at : at + 5]
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *args: object) -> None:
        pass


def test_each_turn_carries_the_whole_history_and_a_later_run_goes_on(tmp_path: Path) -> None:
    load = tmp_path / "load"
    subprocess.run(["cc", "-o", load, HERE / "load.c"], check=True, timeout=60)
    first, kept, turn = (tmp_path / name for name in ("first", "kept", "turn"))
    first.write_text(2 * f"{json.dumps(FIRST)}\n")
    turn.write_text(json.dumps(TURN))
    asked: list[list[dict[str, str]]] = []
    handler = type("Handler", (Gateway,), {"asked": asked})

    with HTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        common = [
            load,
            f"port={server.server_port}",
            "path=/",
            "slots=1",
            "chunks=1",
            f"turn={turn}",
        ]
        begun = run([*common, f"body={first}", "requests=2", "turns=1", f"keep={kept}"])
        continued = run([*common, f"body={kept}", "requests=9", "turns=2"])
        server.shutdown()

    said = {"role": "assistant", "content": "".join(WORDS)}
    one = FIRST["messages"]
    two, three = [*one, said, TURN], [*one, said, TURN, said, TURN]
    assert (begun, continued) == (2, 4)
    assert asked == [one, one, two, two, three, three]


def run(command: list[object]) -> int:
    """How many requests were answered; an error fails the test."""
    line = subprocess.run(
        [str(each) for each in command], capture_output=True, check=True, timeout=30
    )
    result = json.loads(line.stdout)
    assert (result["errors"], result["unfinished"], result["first_error"]) == (0, 0, "")
    return int(result["done"])
