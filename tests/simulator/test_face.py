"""The public face: complete, and loading nothing else of the project."""

import subprocess
import sys

from gbproxy import simulator

LOADED = """
import sys, gbproxy.simulator
print(*[name for name in sys.modules if name.startswith("gbproxy.")])
print("cryptography" in sys.modules)
"""


def test_it_loads_nothing_else_of_the_project_and_no_cryptography() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOADED], capture_output=True, text=True, timeout=60, check=True
    )
    names, cryptography = done.stdout.splitlines()

    assert all(name.startswith("gbproxy.simulator") for name in names.split())
    assert cryptography == "False"


def test_every_public_name_is_there() -> None:
    assert [name for name in simulator.__all__ if not hasattr(simulator, name)] == []
