"""The package as pip installs it: all that it needs is in it, for programs and for the command."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from gbproxy.simulator import Simulator
from tests.library.test_library import ANSWERED, PROGRAM
from tests.support.serving import KEY, ROOT, Served, free_port, process

pytestmark = pytest.mark.slow

TYPED = """\
from gbproxy import ChatRequest, LocalGateway, Message, TextPart, load_settings, open_gateway

def ask(gateway: LocalGateway) -> str:
    return gateway.answer(ChatRequest((Message("user", (TextPart("Hi"),)),))).text

with open_gateway(load_settings()) as gateway:
    reveal_type(gateway)
    ask(gateway).no_such_method()
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built as `pip install .` builds it."""
    folder = tmp_path_factory.mktemp("wheel")
    program = (
        "import sys; from flit_core.buildapi import build_wheel; print(build_wheel(sys.argv[1]))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program, str(folder)],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return folder / ended.stdout.strip()


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a fresh environment with the wheel, over the libraries of this one."""
    folder = tmp_path_factory.mktemp("fresh")
    venv.create(folder, with_pip=False)
    site = Path(sysconfig.get_path("purelib", vars={"base": str(folder)}))
    subprocess.run(
        [
            sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index",
            "--disable-pip-version-check", "--target", str(site), str(wheel),
        ],
        check=True,
    )  # fmt: skip
    (site / "libraries.pth").write_text(sysconfig.get_path("purelib"))
    return folder / "bin" / "python"


def test_the_package_has_all_that_it_runs_on(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()

    tracked = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "gbproxy"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    assert set(tracked) - set(names) == set()
    assert {"gbproxy/py.typed", "gbproxy/gunicorn_conf.py"} <= set(names)
    assert {name.partition("/")[0] for name in names if "dist-info" not in name} == {"gbproxy"}


def test_a_program_runs_on_the_installed_package(python: Path, tmp_path: Path) -> None:
    with (
        Simulator() as upstream,
        process([str(python), "-I", str(PROGRAM)], upstream.environment()) as program,
    ):
        status = program.wait(60)

        assert (status, program.stdout) == (0, ANSWERED), program.stderr


def test_the_installed_command_serves_and_makes_its_database(python: Path, tmp_path: Path) -> None:
    port = free_port()
    settings = {
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "API_KEYS": KEY,
        "DATABASE_URL": f"sqlite:///{tmp_path}/gbproxy.db",
        "SECRET_KEY": "a-secret-key-for-tests-1",
        "GRACEFUL_TIMEOUT_S": "2",
        "DRAIN_DELAY_S": "0",
    }
    command = [str(python), "-I", "-m", "gbproxy", "serve"]
    with (
        Simulator() as upstream,
        process(command, upstream.environment() | settings) as running,
    ):
        served = Served(running, f"http://127.0.0.1:{port}", KEY)
        served.wait_until_ready()
        reply = served.ask()

    assert reply.succeeded
    assert (tmp_path / "gbproxy.db").exists()


@pytest.mark.slow
def test_programs_are_checked_against_its_types(python: Path, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(TYPED)

    ended = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--python-executable", str(python), str(program)],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": ""}, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert 'Revealed type is "gbproxy.library.LocalGateway"' in ended.stdout
    assert '"str" has no attribute "no_such_method"' in ended.stdout
    assert ended.stdout.count("error:") == 1, ended.stdout
