"""An upstream that begins and ends its answers in odd ways: no request gets bytes of another's
answer, and limits hold.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

SEED = 20


@pytest.mark.slow
@pytest.mark.parametrize(
    ("count", "arguments"),
    [(1000, ()), (1000, ("--gevent",)), (100, ("--tls",)), (200, ("--tls", "--gevent"))],
    ids=["threads", "gevent", "threads, tls", "gevent, tls"],
)
def test_no_request_gets_bytes_of_another_s_answer(count: int, arguments: tuple[str, ...]) -> None:
    outcome = met(str(SEED), str(count), *arguments)

    assert outcome["crossed"] == []
    assert outcome["failed"] == []
    assert outcome["requests"] == count
    assert outcome["connections"] < count * 0.75  # those whose answer ended exactly serve again


def met(*arguments: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.support.hostile_peer", *arguments]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=400, check=True)
    outcome: dict[str, Any] = json.loads(ran.stdout)
    return outcome
