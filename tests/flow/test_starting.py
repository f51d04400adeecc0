"""What an operator meets: keys, mistakes in the settings, the command that serves, and the ends of
processes.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from gbproxy.simulator import answer
from tests.support.polling import until
from tests.support.serving import (
    GUNICORN,
    KEY,
    ROOT,
    Process,
    Served,
    SharedUpstream,
    free_port,
    in_process,
    process,
    serving,
)

pytestmark = pytest.mark.slow

SERVE = (sys.executable, "-m", "gbproxy", "serve")
ACCOUNT = {
    "SECURE_C_SES": "CSE.Ad0123456789",
    "CSESIDX": "1234567890",
    "CONFIG_ID": "11111111-2222-4333-8444-555555555555",
}


def ended(command: Sequence[str], environment: Mapping[str, str]) -> tuple[int, str, str]:
    with process(command, environment) as running:
        status = running.wait()
        return status, running.stdout, running.stderr


def made_keys(running: Process) -> list[str]:
    return re.findall(r"\bsk-[\w-]+", running.stderr)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="workers are told apart by /proc")
def test_a_key_is_made_once_for_all_workers_and_survives_a_reload() -> None:
    with (
        SharedUpstream() as upstream,
        serving(
            upstream.environment(), API_KEYS=None, WEB_CONCURRENCY="3", LOG_LEVEL="debug"
        ) as gateway,
    ):
        (gateway.key,) = gateway.process.wait_for(lambda: made_keys(gateway.process) or None)
        before = _three_workers(gateway)
        assert _statuses(gateway) == {200}

        gateway.process.signal(signal.SIGHUP)
        _three_workers(gateway, other_than=before)

        assert _statuses(gateway) == {200}
        assert gateway.request("GET", "/v1/models", headers={"x-api-key": "sk-wrong"}).status == 401
        assert gateway.stop() == 0
        written = gateway.process.stdout
        (generated,) = gateway.events("api_key.generated")
    assert made_keys(gateway.process) == [gateway.key]
    assert len(gateway.key) >= 32
    assert gateway.key not in written
    assert generated["level"] == "warning"
    assert re.fullmatch(r"[0-9a-f]{8}", generated["fingerprint"])


def test_a_key_that_is_given_is_not_printed(gateway: Served) -> None:
    assert KEY not in gateway.stderr
    assert gateway.events("api_key.generated") == []


def test_several_keys_are_taken() -> None:
    keys = "sk-first-key-of-all-1, sk-second-key-of-all-2"
    with in_process(ACCOUNT, API_KEYS=keys) as gateway:
        replies = [
            gateway.request("GET", "/v1/models", headers={"Authorization": f"Bearer {key}"})
            for key in (*map(str.strip, keys.split(",")), keys)
        ]

    assert [reply.status for reply in replies] == [200, 200, 401]


def test_the_server_starts_without_an_account_and_says_so() -> None:
    with serving({}) as gateway:
        ready = gateway.request("GET", "/readyz")
        reply = gateway.ask()

        started = gateway.wait_for_event("server.started")
    assert ready.json()["usable_accounts"] == 0
    assert reply.status == 503
    assert reply.error["code"] == "no_account_available"
    assert reply.headers["x-should-retry"] == "false"
    assert started["accounts"] == 0


def test_all_mistakes_in_the_settings_are_told_at_once() -> None:
    mistakes = {
        "PORT": "http",
        "LOG_LEVEL": "loud",
        "API_KEYS": "sk-123456",
        "HOST": "0.0.0.0",
        "UPSTREAM_STREAM": "xml",
        "READ_TIMEOUT_S": "soon",
        "ACCOUNTS": "[{]",
        "CA_BUNDLE": "/nowhere/ca.pem",
        "PROXY_FILE": "/nowhere/proxy",
        "DEFAULT_MODEL": "none-such",
    }

    status, stdout, stderr = ended(GUNICORN, mistakes)

    assert status == 2
    assert stdout == ""
    assert "Traceback" not in stderr
    for name in mistakes.keys() - {"HOST"}:
        assert re.search(rf"^{name}\b", stderr, re.MULTILINE), f"{name} is not named in:\n{stderr}"
    assert "sk-123456" not in stderr


@pytest.fixture
def held() -> Iterator[int]:
    """A port of this machine on which somebody listens already."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.mark.parametrize("command", [GUNICORN, SERVE], ids=["gunicorn", "serve"])
def test_a_port_in_use_is_told_in_one_sentence(held: int, command: Sequence[str]) -> None:
    status, stdout, stderr = ended(
        command, {**ACCOUNT, "HOST": "127.0.0.1", "SERVER_PORT": str(held), "API_KEYS": KEY}
    )

    assert (status, stdout) == (2, "")
    (said,) = stderr.splitlines()[1:]
    assert said.startswith(f"SERVER_PORT: {held} is in use on 127.0.0.1; ")


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid"])
def test_an_address_that_is_not_this_machine_s_is_told_in_one_sentence(host: str) -> None:
    status, stdout, stderr = ended(
        GUNICORN, {**ACCOUNT, "HOST": host, "API_KEYS": "k7Jq2mZ0vT9xWc4LbN8r"}
    )

    assert (status, stdout) == (2, "")
    (said,) = stderr.splitlines()[1:]
    assert said.startswith(f"HOST: {host} cannot be listened on (")


@pytest.mark.parametrize("command", [GUNICORN, SERVE], ids=["gunicorn", "serve"])
def test_what_is_wrong_with_settings_address_and_database_is_told_at_once(
    held: int, command: Sequence[str], tmp_path: Path
) -> None:
    broken = tmp_path / "broken.db"
    broken.write_bytes(b"no database at all" * 1000)
    address = {"HOST": "127.0.0.1", "PORT": str(held), "API_KEYS": KEY}
    database = {"DATABASE_URL": f"sqlite:///{broken}", "SECRET_KEY": "a-secret-key-for-tests-1"}
    bundle = {"CA_BUNDLE": str(broken), "READ_TIMEOUT_S": "soon"}

    status, stdout, stderr = ended(command, {**ACCOUNT, **address, **database, **bundle})

    assert (status, stdout) == (2, "")
    assert "Traceback" not in stderr
    assert [line.partition(":")[0] for line in stderr.splitlines()[1:]] == [
        "READ_TIMEOUT_S",
        "CA_BUNDLE",
        "PORT",
        "DATABASE_URL",
    ]


def test_a_missing_key_and_a_missing_directory_are_told_at_once() -> None:
    status, _, stderr = ended(
        GUNICORN, {**ACCOUNT, "HOST": "127.0.0.1", "DATABASE_URL": "sqlite:////nowhere/gbproxy.db"}
    )

    assert status == 2
    missing, unkept = stderr.splitlines()[1:]
    assert missing == "DATABASE_URL: the directory of its file does not exist"
    assert unkept.startswith("DATABASE_URL: needs SECRET_KEY")


def test_an_address_that_only_gunicorn_was_told_of_is_its_own(held: int) -> None:
    """HOST and PORT are not listened on then, and may be in use."""
    elsewhere = free_port()
    command = (*GUNICORN, "--bind", f"127.0.0.1:{elsewhere}")

    with process(command, {"HOST": "127.0.0.1", "PORT": str(held), "API_KEYS": KEY}) as running:
        Served(running, f"http://127.0.0.1:{elsewhere}", KEY).wait_until_ready()


def test_workers_that_only_gunicorn_was_told_of_do_not_start() -> None:
    """Each would count RATE_LIMIT for itself."""
    settings = {
        **ACCOUNT,
        "RATE_LIMIT": "1/hour",
        "API_KEYS": KEY,
        "HOST": "127.0.0.1",
        "PORT": str(free_port()),
    }

    status, _, stderr = ended((*GUNICORN, "--workers", "2"), settings)

    assert status == 2
    assert "Traceback" not in stderr
    assert "WEB_CONCURRENCY: is 1, but gunicorn was told to start 2 workers" in stderr


def test_serve_tells_the_same_mistakes() -> None:
    status, _, stderr = ended(
        SERVE, {**ACCOUNT, "PORT": "http", "WEB_CONCURRENCY": "two", "LOG_LEVEL": "loud"}
    )

    assert status == 2
    named = re.findall(r"^(PORT|WEB_CONCURRENCY|LOG_LEVEL)\b", stderr, re.MULTILINE)
    assert named == ["PORT", "WEB_CONCURRENCY", "LOG_LEVEL"]


def test_serve_takes_an_empty_number_of_workers_for_none_given() -> None:
    port = str(free_port())
    given = {**ACCOUNT, "HOST": "127.0.0.1", "PORT": port, "API_KEYS": KEY, "WEB_CONCURRENCY": ""}

    with process(SERVE, given) as running:
        gateway = Served(running, f"http://127.0.0.1:{port}", KEY)
        gateway.wait_until_ready()

        assert gateway.wait_for_event("server.started")["workers"] == 1


def test_an_empty_file_of_keys_is_no_key_given(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text("")

    with serving({**ACCOUNT, "API_KEYS": "", "API_KEYS_FILE": str(keys)}) as served:
        assert len(served.process.wait_for(lambda: made_keys(served.process) or None)) == 1


@pytest.mark.parametrize(
    "environment", [{}, {"SECURE_C_SES": "", "API_KEYS": KEY, "HOST": "127.0.0.1"}]
)
def test_serve_without_an_account_says_what_to_set(environment: Mapping[str, str]) -> None:
    status, stdout, stderr = ended(SERVE, environment)

    assert status == 2
    assert stdout == ""
    for word in ("SECURE_C_SES", "CSESIDX", "CONFIG_ID", "ACCOUNTS", "make demo"):
        assert word in stderr
    assert "Traceback" not in stderr


def test_serve_reads_an_environment_file_by_the_rules_of_docker(tmp_path: Path) -> None:
    with SharedUpstream() as upstream:
        values = upstream.environment()
        given = values | {
            "PORT": str(free_port()),
            "API_KEYS": 'sk-"quoted"-${HOME}-key',
            "DEFAULT_MODEL": "",
        }
        lines = [
            "# a comment",
            "",
            *(f"{name}={value}" for name, value in given.items()),
            "  # indented",
            "PATH",
        ]
        path = tmp_path / "my.env"
        path.write_text("\n".join(lines) + "\n")
        overriding = {"HOST": "127.0.0.1", "GRACEFUL_TIMEOUT_S": "1"}

        with process((*SERVE, "--env-file", str(path)), overriding) as running:
            gateway = Served(running, f"http://127.0.0.1:{given['PORT']}", given["API_KEYS"])
            gateway.wait_until_ready()

            assert gateway.ask().succeeded


def test_the_environment_counts_more_than_the_file(tmp_path: Path) -> None:
    path = tmp_path / "my.env"
    path.write_text(
        "PORT=http\nLOG_LEVEL=loud\nSECURE_C_SES=CSE.A\nCSESIDX=1\nCONFIG_ID=11111111-2222-4333-8444-555555555555\n"
    )

    _, _, stderr = ended((*SERVE, "--env-file", str(path)), {"LOG_LEVEL": "info"})

    assert "PORT" in stderr
    assert "LOG_LEVEL" not in stderr


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_an_environment_file_may_come_from_an_editor_of_windows(
    tmp_path: Path, encoding: str
) -> None:
    path = tmp_path / "my.env"
    path.write_bytes(
        "# Schlüssel\r\nPORT='http'\r\nLOG_LEVEL=\"info\"\r\nSECURE_C_SES=CSE.Ad01\r\nCSESIDX=1\r\n".encode(
            encoding
        )
    )

    status, _, stderr = ended((*SERVE, "--env-file", str(path)), {"LOG_LEVEL": '""'})

    assert status == 2
    assert [line.partition(":")[0] for line in stderr.splitlines()[1:]] == ["CONFIG_ID", "PORT"]


@pytest.mark.parametrize("content", [b"PORT=\xff\n", b"PORT=8\0\n", b"\xff\xfeP\0\xd8"])
def test_an_environment_file_that_is_no_text_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "my.env"
    path.write_bytes(content)

    status, _, stderr = ended((*SERVE, "--env-file", str(path)), {})

    assert status == 2
    (said,) = stderr.splitlines()
    assert re.match(
        rf"The environment file cannot be read: {path} (is not UTF-(8|16) text|holds NUL)", said
    )


@pytest.mark.skipif(not Path("/usr/bin/make").exists(), reason="make is not installed")
def test_make_run_without_an_account_says_what_to_set(tmp_path: Path) -> None:
    """With the interpreter of these tests in place of a fresh one, and in a directory without
    `.env`.
    """
    (tmp_path / "Makefile").symlink_to(ROOT / "Makefile")
    (tmp_path / "requirements.txt").touch()
    (tmp_path / "pyproject.toml").touch()
    binaries = tmp_path / ".venv" / "bin"
    binaries.mkdir(parents=True)
    (binaries / "python").symlink_to(sys.executable)
    gbproxy = binaries / "gbproxy"
    gbproxy.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m gbproxy "$@"\n')
    gbproxy.chmod(0o755)
    (tmp_path / ".venv" / "run").touch()

    result = subprocess.run(
        ["/usr/bin/make", "run"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )

    assert result.returncode == 2
    assert "make demo" in result.stderr


def test_settings_that_have_no_effect_or_a_doubtful_one_are_named_once() -> None:
    old = {"JWT_SECRET": "x", "OPENAI_COMPATIBLE": "true"}
    doubtful = {"ALERT_WEBHOOK": "http://127.0.0.1:9/x,http://alerts.example.com/a-secret"}
    with SharedUpstream() as upstream, serving(upstream.environment() | old | doubtful) as gateway:
        ignored = gateway.wait_for_event("setting.ignored")
        unencrypted = gateway.wait_for_event("webhook.unencrypted")

    assert unencrypted["hosts"] == ["alerts.example.com"]
    assert sorted(ignored["names"]) == sorted(old)
    assert len(gateway.events("setting.ignored")) == 1


def test_the_names_of_older_programs_work() -> None:
    with SharedUpstream() as upstream:
        values = upstream.environment()
        old = {
            "SECURE_C_SES": values["SECURE_C_SES"],
            "CSESIDX": values["CSESIDX"],
            "GEMINI_BUSINESS_CONFIG_ID": values["CONFIG_ID"],
            "GEMINI_API_BASE": upstream.url,
            "GEMINI_BUSINESS_URL": upstream.url,
            "DEFAULT_MODEL": "gemini-business",
            "API_KEYS": "",
            "API_KEY": KEY,
        }

        with in_process(old) as gateway:
            reply = gateway.ask(model=None)

    assert reply.succeeded
    assert reply.model == "gemini-auto"


def test_secrets_come_from_files(tmp_path: Path) -> None:
    with SharedUpstream() as upstream:
        values = upstream.environment()
        files = {}
        for name, value in {"SECURE_C_SES": values.pop("SECURE_C_SES"), "API_KEYS": KEY}.items():
            files[f"{name}_FILE"] = str(tmp_path / name)
            (tmp_path / name).write_text(f"{value}\n")

        with in_process(values | files, API_KEYS="") as gateway:
            reply = gateway.ask()

    assert reply.succeeded


def test_a_running_answer_is_finished_when_the_server_is_asked_to_end() -> None:
    with (
        SharedUpstream() as upstream,
        serving(upstream.environment(), GRACEFUL_TIMEOUT_S="20") as gateway,
    ):
        upstream.script(*answer(*["word "] * 20, pause_s=0.05))
        arriving = gateway.pieces()
        body = next(arriving)

        gateway.process.signal(signal.SIGTERM)
        body += b"".join(arriving)

        assert gateway.process.wait() == 0
    assert body.count(b"word ") == 20
    assert body.endswith(b"data: [DONE]\n\n")


def _statuses(gateway: Served) -> set[int]:
    """Of enough requests, each on its own connection, for every worker to take some."""
    return {gateway.request("GET", "/v1/models", headers=gateway.headers).status for _ in range(30)}


def _three_workers(gateway: Served, other_than: frozenset[int] = frozenset()) -> frozenset[int]:
    """The process ids of three workers, once there are three that are none of those."""
    until(lambda: len(found := gateway.worker_pids()) == 3 and not found & other_than, 20)
    return gateway.worker_pids()
