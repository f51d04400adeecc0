"""The package that pip, pipx and uvx install: what its wheel and its sdist hold, and that the
wheel alone is enough to see the gateway at work.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Iterator
from email.message import Message
from email.parser import Parser
from pathlib import Path
from typing import Any

import pytest
from flit_core.sdist import SdistBuilder
from flit_core.wheel import make_wheel_in

from gbproxy.version import __version__
from tests.support.serving import ROOT, free_port

PYPROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_wheel_in(ROOT / "pyproject.toml", tmp_path_factory.mktemp("wheel")).file


@pytest.fixture(scope="module")
def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        text = archive.read(f"gbproxy-{__version__}.dist-info/METADATA").decode()
    return Parser().parsestr(text)


def test_the_version_stands_in_one_place(wheel: Path, metadata: Message) -> None:
    assert "version" in PYPROJECT["project"]["dynamic"]
    assert metadata["Version"] == __version__
    assert wheel.name == f"gbproxy-{__version__}-py3-none-any.whl"
    shown = subprocess.run(["make", "-n", "docker-build", "ENGINE=docker"], cwd=ROOT, capture_output=True, text=True, check=True)  # fmt: skip
    assert f"--label org.opencontainers.image.version={__version__}" in shown.stdout


def test_the_wheel_has_the_types_the_command_and_what_is_no_code(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        commands = archive.read(f"gbproxy-{__version__}.dist-info/entry_points.txt").decode()

    tracked = {name for name in _tracked("gbproxy") if not name.endswith((".md",))}
    assert {name for name in names if name.startswith("gbproxy/")} >= tracked
    assert "gbproxy/py.typed" in names
    assert "gbproxy=gbproxy.cli:main" in commands.replace(" ", "")
    assert {name.partition("/")[0] for name in names} == {
        "gbproxy", f"gbproxy-{__version__}.dist-info",
    }  # fmt: skip


def test_the_metadata_says_what_it_is_where_it_lives_and_what_it_runs_on(
    metadata: Message,
) -> None:
    urls = {url.partition(",")[0] for url in metadata.get_all("Project-URL", ())}
    classifiers = set(metadata.get_all("Classifier", ()))

    assert urls >= {"Homepage", "Documentation", "Source", "Issues", "Changelog"}
    assert "Typing :: Typed" in classifiers
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata["License-Expression"] == "MIT AND 0BSD"
    assert len(metadata.get_all("License-File", ())) == 2


def test_a_wheel_asks_for_no_older_packages_than_the_locks_are_made_from() -> None:
    asked = set(PYPROJECT["project"]["dependencies"])

    assert [line for line in _wanted("requirements.in") if line not in asked] == []
    assert set(_wanted("requirements-demo.in")) == {
        *PYPROJECT["project"]["optional-dependencies"]["demo"]
    }
    assert set(_wanted("requirements-otel.in")) == {
        *PYPROJECT["project"]["optional-dependencies"]["otel"]
    }


def test_the_sdist_holds_what_is_read_and_built_and_nothing_that_lies_about(
    tmp_path: Path,
) -> None:
    archive = SdistBuilder.from_ini_path(ROOT / "pyproject.toml").build(tmp_path)
    with tarfile.open(archive) as opened:
        names = {name.partition("/")[2] for name in opened.getnames()}

    assert names >= {"LICENSE", "README.md", "CHANGELOG.md", "pyproject.toml", "gbproxy/app.py"}
    assert names - {"PKG-INFO"} <= set(_tracked("."))
    assert [name for name in names if name.startswith(("tests/", "bench/", "."))] == []


@pytest.mark.slow
def test_the_wheel_alone_in_a_fresh_environment_shows_the_demo(wheel: Path, tmp_path: Path) -> None:
    """As `pipx run` and `uvx` do it; the index of packages is asked."""
    made = tmp_path / "venv"
    python = made / "bin/python"
    subprocess.run([sys.executable, "-m", "venv", made], check=True)
    subprocess.run([python, "-m", "pip", "install", "--quiet", wheel], check=True)

    shown = subprocess.run(
        [made / "bin/gbproxy", "demo"],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "DEMO_EXIT": "1", "PORT": str(free_port())},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )

    assert (shown.returncode, shown.stderr) == (0, "")
    assert "the same requests are answered by a real model." in shown.stdout


def _tracked(directory: str) -> Iterator[str]:
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", directory]
    yield from subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()


def _wanted(name: str) -> list[str]:
    """The lines of a requirements file that name a package, but for the one that builds."""
    lines = (ROOT / name).read_text("utf-8").splitlines()
    found = [re.sub(r"\s*#.*", "", line) for line in lines]
    return [line for line in found if line and not line.startswith(("-r", "flit-core"))]
