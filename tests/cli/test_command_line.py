"""The command itself: its help, what it loads, and how it says what is wrong."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from gbproxy.cli import COMMANDS
from gbproxy.cli.terminal import listing, sentence
from tests.cli.conftest import Command
from tests.support.serving import ROOT

HEAVY = {"flask", "gevent", "gunicorn", "pydantic", "requests", "sqlalchemy"}


def test_help_names_every_command(gbproxy: Command) -> None:
    ended = gbproxy("--help")

    assert ended.status == 0
    assert re.findall(r"^    (\w+)", ended.out, re.MULTILINE) == list(COMMANDS)


@pytest.mark.parametrize("command", [name for name in COMMANDS if name != "simulate"])
def test_every_command_explains_itself(gbproxy: Command, command: str) -> None:
    ended = gbproxy(command, "--help")

    assert (ended.status, ended.err) == (0, "")
    assert f"usage: gbproxy {command}" in ended.out


@pytest.mark.parametrize(
    "argument",
    ["--help", "simulate --help", "chat --help", "connect --help", "accounts add --help"],
)
def test_help_loads_nothing_that_only_a_gateway_needs(argument: str) -> None:
    program = (
        "import sys\nfrom gbproxy.cli import main\n"
        f"try: main({argument.split()!r})\nexcept SystemExit: pass\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )

    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert HEAVY & set(ended.stdout.splitlines()[-1].split()) == set()


def test_no_option_takes_a_secret(gbproxy: Command) -> None:
    texts = [
        gbproxy(*command, "--help").out
        for command in (("accounts", "add"), ("chat",), ("connect",), ("keys", "create"))
    ]

    for secret in ("ses", "oses", "cookie", "admin-key", "api-key", "token ", "password"):
        assert f"--{secret}" not in "".join(texts)


def test_an_unknown_command_ends_with_2(gbproxy: Command) -> None:
    assert gbproxy("serv").status == 2


@pytest.mark.parametrize(
    "command", [("chat", "Hi"), ("doctor",), ("migrate",), ("accounts", "list"), ("keys", "list")]
)
def test_an_environment_file_that_is_missing_is_named(
    gbproxy: Command, command: tuple[str, ...], tmp_path: Path
) -> None:
    ended = gbproxy(*command, "--env-file", str(tmp_path / "none"))

    assert (ended.status, ended.out) == (2, "")
    assert ended.err.startswith("The environment file cannot be read: ")
    assert ended.err.count("\n") == 1


def test_an_environment_file_counts_behind_the_environment(
    gbproxy: Command, tmp_path: Path
) -> None:
    (tmp_path / "env").write_text("PORT=none\nHOST=--\n")

    ended = gbproxy("chat", "Hi", "--env-file", str(tmp_path / "env"), PORT="8081")

    assert (ended.status, "HOST" in ended.err, "PORT" in ended.err) == (2, True, False)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("there is none", "There is none."),
        ("what now?", "What now?"),
        ("http://a.example cannot be asked", "http://a.example cannot be asked."),
        ("csesidx: is missing", "csesidx: is missing."),
        ("The settings:\nPORT: is wrong", "The settings:\nPORT: is wrong"),
    ],
)
def test_a_message_is_said_as_a_sentence(text: str, said: str) -> None:
    assert sentence(text) == said


def test_a_table_is_aligned_also_with_wide_characters_and_holds_no_commands_for_the_terminal() -> (
    None
):
    rows = [
        {"name": "小明", "is_active": True, "cooling_until": {"text": 0}, "models": ["a", "b"]},
        {"name": "\x1b[2Janna", "is_active": False, "cooling_until": {}, "models": None},
    ]

    assert listing(("name", "is_active", "cooling_until", "models"), rows).splitlines() == [
        "name      is active  cooling until              models",
        "小明      yes        text 1970-01-01 00:00:00Z  a, b",
        " [2Janna  no         -                          -",
    ]
