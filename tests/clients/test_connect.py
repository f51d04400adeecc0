"""What `gbproxy connect` prints for code of one's own runs as it stands, on a running gateway: the
libraries read the variables that it names.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gbproxy.connect.endpoint import Endpoint
from gbproxy.connect.program import Way
from gbproxy.connect.programs import PROGRAMS
from gbproxy.connect.rendering import code_text, exports
from gbproxy.simulator import answer
from tests.support.node_client import needs_node
from tests.support.serving import ROOT, Served, SharedUpstream

NODE_FOLDER = ROOT / "tests/clients/node"
RUNS = {"sh": ["sh", "-e"], "python": [sys.executable], "javascript": ["node"]}
WAYS = [
    pytest.param(way, id=f"{program.name}-{way.format}", marks=needs_node if js else ())
    for program in PROGRAMS
    for way in program.ways
    if way.code
    for js in [way.code.language == "javascript"]
]


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_code_is_answered_as_it_stands(
    way: Way, gateway: Served, upstream: SharedUpstream, tmp_path: Path
) -> None:
    assert way.code is not None
    if way.code.text.startswith("curl") and shutil.which("curl") is None:
        pytest.skip("curl is not here")
    upstream.script(*answer("Blue light is scattered most."))
    endpoint = Endpoint(gateway.url, key=gateway.key)
    if way.code.language == "javascript":
        (tmp_path / "node_modules").symlink_to(NODE_FOLDER / "node_modules")
    name = {"sh": "x.sh", "python": "x.py", "javascript": "x.mjs"}[way.code.language]
    (tmp_path / name).write_text(code_text(way, endpoint), "utf-8")
    command = [*RUNS[way.code.language], name]

    ended = subprocess.run(
        ["sh", "-ec", exports(way.given(way.variables, endpoint)) + 'exec "$@"', "sh", *command],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "PYTHONUTF8": "1"},
        capture_output=True,
        text=True,
        timeout=200,  # some libraries take long to load
        check=False,
    )

    assert (ended.returncode, ended.stderr) == (0, "")
    assert "Blue light is scattered most." in ended.stdout
