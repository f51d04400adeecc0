"""Every feature beyond plain chat by OpenAI's official SDKs: for Python in two majors, and for Node.

All run the same list, `features.py`, each in a process of its own, the driver.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.clients.features import FEATURES, Feature
from tests.support.serving import ROOT, Served, SharedUpstream
from tests.support.storages import DATABASES

HERE = Path(__file__).parent
CLIENTS = ROOT / ".venv-clients"  # made by `make ci-deps`, as the packages for Node are
SDKS = ("python 3", "python 2", "node")
KEEP_ROWS = ("file", "picture", "response", "stored response")
CASES = [
    pytest.param(feature, mode, id=f"{feature.name}, {mode}".replace(" ", "_"))
    for feature in FEATURES
    for mode in feature.modes
]
KEPT = [case for case in CASES if case.values[0].call in KEEP_ROWS]  # type: ignore[union-attr]


class Sdk:
    """A process that makes the calls that it is told to, by one SDK."""

    def __init__(self, command: list[str], gateway: Served) -> None:
        self._popen = subprocess.Popen(
            [*command, f"{gateway.url}/v1", gateway.key],
            env={"PATH": os.environ["PATH"], "PYTHONUTF8": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )

    def say(self, job: dict[str, Any]) -> dict[str, Any]:
        assert self._popen.stdin is not None
        assert self._popen.stdout is not None
        self._popen.stdin.write(json.dumps(job) + "\n")
        self._popen.stdin.flush()
        line = self._popen.stdout.readline()
        assert line, f"the driver has ended: {self._popen.wait(10)}"
        said: dict[str, Any] = json.loads(line)
        return said

    def close(self) -> None:
        for stream in (self._popen.stdin, self._popen.stdout):
            if stream is not None:
                stream.close()
        try:
            self._popen.wait(10)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()


@pytest.fixture(scope="module")
def sdks() -> Iterator[Callable[[str, Served], Sdk]]:
    """Starts each SDK's process once."""
    made: dict[tuple[str, str], Sdk] = {}
    with ExitStack() as stack:

        def sdk(name: str, gateway: Served) -> Sdk:
            if (name, gateway.url) not in made:
                made[name, gateway.url] = Sdk(command_of(name), gateway)
                stack.callback(made[name, gateway.url].close)
            return made[name, gateway.url]

        yield sdk


def command_of(sdk: str) -> list[str]:
    """How the driver of this SDK is run; a skipped test where it is not installed, never in CI."""
    if sdk == "python 3":
        return [sys.executable, str(HERE / "openai_driver.py")]
    if sdk == "python 2":
        if not (CLIENTS / "ready").exists():
            cannot("an older client for Python is not installed: make ci-deps")
        return [str(CLIENTS / "bin" / "python"), str(HERE / "openai_driver.py")]
    node = shutil.which("node")
    if node is None or not (HERE / "node" / "node_modules" / "openai").is_dir():
        cannot("Node or its packages are not installed: make ci-deps")
    return [str(node), str(HERE / "node" / "openai_driver.mjs")]


def cannot(reason: str) -> None:
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.mark.parametrize("sdk", SDKS)
@pytest.mark.parametrize(("feature", "mode"), CASES)
def test_programs_see_of_each_feature_what_they_must(
    sdks: Callable[[str, Served], Sdk],
    gateway: Served,
    upstream: SharedUpstream,
    feature: Feature,
    mode: str,
    sdk: str,
) -> None:
    driver = sdks(sdk, gateway)
    feature.prepare(upstream)

    said = driver.say({"call": feature.call, "mode": mode, "params": dict(feature.params)})

    feature.check({"error": None, **said})
    assert len(upstream.questions()) == feature.questions


@pytest.mark.slow
@pytest.mark.parametrize("storage", DATABASES, scope="module")
@pytest.mark.parametrize("sdk", SDKS)
@pytest.mark.parametrize(("feature", "mode"), KEPT)
def test_programs_see_the_same_of_two_workers(
    sdks: Callable[[str, Served], Sdk],
    gateway: Served,
    upstream: SharedUpstream,
    feature: Feature,
    mode: str,
    sdk: str,
) -> None:
    test_programs_see_of_each_feature_what_they_must(sdks, gateway, upstream, feature, mode, sdk)


@pytest.mark.parametrize(
    ("sdk", "major"), [("python 3", "3."), ("python 2", "2."), ("node", "6.")], ids=SDKS
)
def test_the_sdks_are_of_the_majors_that_they_are_said_to_be(
    sdks: Callable[[str, Served], Sdk], gateway: Served, sdk: str, major: str
) -> None:
    version = sdks(sdk, gateway).say({"call": "version", "mode": "whole", "params": {}})["version"]

    assert version.startswith(major)
