"""Clients for Node, in a process of their own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from typing import Any

import pytest

from tests.support.serving import ROOT

_FOLDER = ROOT / "tests/clients/node"
_NODE = shutil.which("node")

needs_node = pytest.mark.skipif(
    (_NODE is None or not (_FOLDER / "node_modules").is_dir()) and os.environ.get("CI") != "true",
    reason="Node or its packages are not here: make ci-deps installs them",
)

# The Codex CLI's binary is one of the packages that npm may leave out.
CODEX = _FOLDER / "node_modules/.bin/codex"
needs_codex = pytest.mark.skipif(
    not CODEX.exists() and os.environ.get("CI") != "true",
    reason="NOT CHECKED WITH THE CODEX CLI: make ci-deps installs it",
)


def run(script: str, *arguments: str, **environment: str) -> dict[str, Any]:
    """What a script in tests/clients/node has written: one JSON object."""
    assert _NODE is not None, "Node is not here: make ci-deps installs it"
    done = subprocess.run(
        [_NODE, script, *arguments],
        cwd=_FOLDER,
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        timeout=110,
    )
    assert done.returncode == 0, done.stderr.decode()
    found: dict[str, Any] = json.loads(done.stdout)
    return found
