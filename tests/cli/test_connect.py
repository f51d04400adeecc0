"""`gbproxy connect`: what it prints, and what it does to the files of programs."""

from __future__ import annotations

import json
import stat
import tomllib
from pathlib import Path

import pytest

from gbproxy.connect.programs import PROGRAMS
from tests.cli.conftest import Command, Ended

URL = "http://127.0.0.1:8081"
KEY = "sk-9f2c41d07ab84e5e11"
CODEX = ".codex/config.toml"
CLAUDE = ".claude/settings.json"


class Home:
    """A user with a home directory and a key of a gateway in the environment."""

    def __init__(self, gbproxy: Command, path: Path) -> None:
        self._gbproxy = gbproxy
        self.path = path

    def connect(self, *arguments: str, stdin: str = "", **variables: str) -> Ended:
        environment = {"HOME": str(self.path), "API_KEY": KEY, **variables}
        return self._gbproxy("connect", *arguments, stdin=stdin, environment=environment)

    def write(self, name: str, *arguments: str, **variables: str) -> Ended:
        return self.connect(name, "--url", URL, "--write", "--yes", *arguments, **variables)

    def put(self, name: str, text: str, mode: int = 0o640) -> Path:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
        path.chmod(mode)
        return path

    def files(self) -> set[str]:
        return {str(p.relative_to(self.path)) for p in self.path.rglob("*") if not p.is_dir()}


@pytest.fixture
def home(gbproxy: Command, tmp_path: Path) -> Home:
    return Home(gbproxy, tmp_path)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_without_a_name_the_programs_are_listed(home: Home) -> None:
    ended = home.connect()

    assert (ended.status, ended.err) == (0, "")
    lines = ended.out.splitlines()[1:]
    assert [line.split()[0] for line in lines] == [program.name for program in PROGRAMS]


@pytest.mark.parametrize("name", [program.name for program in PROGRAMS])
def test_each_program_is_told_the_address_and_never_the_key(home: Home, name: str) -> None:
    ended = home.connect(name, "--url", f"{URL}/v1")

    assert ended.status == 0
    assert URL in ended.out
    assert "$API_KEY" in ended.out
    assert KEY not in ended.out + ended.err
    assert home.files() == set()


def test_the_key_is_printed_where_that_is_asked_for(home: Home) -> None:
    assert f"export OPENAI_API_KEY={KEY}" in home.connect("codex", "--show-key").out


def test_the_address_comes_from_the_environment(home: Home) -> None:
    public = home.connect("curl", PUBLIC_URL="https://ai.example.com").out
    local = home.connect("curl", PORT="9999").out

    assert "OPENAI_BASE_URL=https://ai.example.com/v1" in public
    assert "OPENAI_BASE_URL=http://127.0.0.1:9999/v1" in local


def test_a_format_and_a_model_are_chosen(home: Home) -> None:
    ended = home.connect("opencode", "--format", "gemini", "--model", "gemini-3.8-flash")

    assert '"npm": "@ai-sdk/google"' in ended.out
    assert '"gemini-3.8-flash": {}' in ended.out
    assert "--format chat, anthropic" in ended.err


def test_a_model_that_only_the_gateway_can_know_is_pointed_out(home: Home) -> None:
    assert "llama is none of the built-in models" in home.connect("n8n", "--model", "llama").err
    assert "built-in" not in home.connect("n8n", "--model", "gemini-9-flash").err


def test_the_default_model_is_the_gateways(home: Home) -> None:
    ended = home.connect("claude-code", DEFAULT_MODEL="gemini-3.8-flash")

    assert "ANTHROPIC_MODEL=gemini-3.8-flash" in ended.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nothing",), "No program of that name is known here"),
        (("codex", "--format", "gemini"), "Codex CLI is not connected by gemini"),
        (("codex", "--model", 'x" y'), "--model is not the name of a model"),
        (("codex", "--url", "ftp://x"), "--url"),
        (("--write",), "--write needs the name of a program"),
        (("n8n", "--write"), "This program has no file of its own"),
        (("open-webui", "--write"), "name the file by --file"),
        (("gemini-cli", "--write", "--file", "x"), "--file cannot name them all"),
    ],
)
def test_what_cannot_be_is_said(home: Home, arguments: tuple[str, ...], said: str) -> None:
    ended = home.connect(*arguments)

    assert (ended.status, ended.out) == (2, "")
    assert said in ended.err
    assert home.files() == set()


@pytest.mark.parametrize("name", ["codex", "claude-code", "opencode", "gemini-cli"])
def test_a_file_that_is_not_there_is_made_for_its_owner_alone(home: Home, name: str) -> None:
    ended = home.write(name)

    assert (ended.status, ended.err) == (0, "")
    assert KEY not in ended.out
    assert "+++ " in ended.out
    made = [home.path / each for each in home.files()]
    assert {mode(path) for path in made} == {0o600}
    assert any(URL in path.read_text() for path in made)
    assert name == "codex" or any(KEY in path.read_text() for path in made)


def test_codex_is_also_told_which_variable_to_set(home: Home) -> None:
    ended = home.write("codex")

    assert ended.out.endswith('export OPENAI_API_KEY="$API_KEY"\n')
    assert KEY not in (home.path / CODEX).read_text()


def test_a_file_that_is_there_keeps_what_it_holds_its_mode_and_a_copy(home: Home) -> None:
    before = '# mine\napproval_policy = "never"  # nobody\n\n[tui]\nnotifications = true\n'
    path = home.put(CODEX, before)

    ended = home.write("codex")

    assert (ended.status, ended.err) == (0, "")
    after = path.read_text()
    assert set(before.splitlines()) <= set(after.splitlines())
    assert tomllib.loads(after)["model_providers"]["gbproxy"]["base_url"] == f"{URL}/v1"
    assert mode(path) == 0o640
    copy = path.with_name("config.toml.bak")
    assert (copy.read_text(), mode(copy)) == (before, 0o640)
    assert str(copy) in ended.out
    assert home.files() == {CODEX, f"{CODEX}.bak"}


def test_a_second_copy_does_not_overwrite_the_first(home: Home) -> None:
    home.put(CLAUDE + ".bak", "first")
    home.put(CLAUDE, '{"theme": "dark"}')

    assert home.write("claude-code").status == 0

    assert (home.path / f"{CLAUDE}.bak").read_text() == "first"
    assert (home.path / f"{CLAUDE}.bak2").read_text() == '{"theme": "dark"}'


def test_a_key_that_others_can_read_is_pointed_out(home: Home) -> None:
    home.put(CLAUDE, "{}", 0o644)

    ended = home.write("claude-code")

    assert ended.status == 0
    assert "Others on this machine can read" in ended.err
    assert mode(home.path / CLAUDE) == 0o644


def test_twice_changes_nothing(home: Home) -> None:
    home.write("claude-code")
    before = (home.path / CLAUDE).stat()

    ended = home.write("claude-code")

    assert (ended.status, ended.out) == (0, "All of it is there already.\n")
    assert (home.path / CLAUDE).stat() == before


def test_other_values_are_said_and_left(home: Home) -> None:
    text = json.dumps({"env": {"ANTHROPIC_MODEL": "other", "ANTHROPIC_AUTH_TOKEN": "sk-theirs"}})
    path = home.put(CLAUDE, text)

    ended = home.write("claude-code")

    assert (ended.status, ended.out) == (1, "")
    assert 'env.ANTHROPIC_MODEL is "other"' in ended.err
    assert "env.ANTHROPIC_AUTH_TOKEN is another secret" in ended.err
    assert "sk-theirs" not in ended.err
    assert path.read_text() == text
    assert home.files() == {CLAUDE}


def test_where_one_of_two_files_has_other_values_neither_is_changed(home: Home) -> None:
    home.put(".gemini/settings.json", '{"security": {"auth": {"selectedType": "oauth-personal"}}}')

    ended = home.write("gemini-cli")

    assert ended.status == 1
    assert 'security.auth.selectedType is "oauth-personal"' in ended.err
    assert home.files() == {".gemini/settings.json"}


def test_json_with_comments_is_refused(home: Home) -> None:
    text = '{\n  // mine\n  "theme": "dark"\n}\n'
    path = home.put(".config/opencode/opencode.jsonc", text)

    ended = home.write("opencode")

    assert (ended.status, ended.out, "comments" in ended.err) == (1, "", True)
    assert path.read_text() == text
    assert home.files() == {".config/opencode/opencode.jsonc"}
    pasted = json.loads(ended.err[ended.err.index("\n{") :])
    assert pasted["provider"]["gbproxy"]["options"] == {
        "baseURL": f"{URL}/v1",
        "apiKey": "$API_KEY",
    }


def test_a_read_only_file_is_left(home: Home) -> None:
    path = home.put(CODEX, "a = 1\n", 0o444)

    ended = home.write("codex")

    assert (ended.status, "read-only; nothing was changed" in ended.err) == (1, True)
    assert (path.read_text(), home.files()) == ("a = 1\n", {CODEX})


@pytest.mark.parametrize("env", [None, "A=1\n"])
def test_where_one_of_two_files_cannot_be_written_neither_is_changed(
    home: Home, env: str | None
) -> None:
    path = home.put(".gemini/settings.json", "{}", 0o444)
    if env is not None:
        home.put(".gemini/.env", env)
    before = home.files()

    ended = home.write("gemini-cli")

    assert ended.status == 1
    assert f"{path} cannot be written: it is read-only; nothing was changed" in ended.err
    assert "is written" not in ended.out
    assert home.files() == before
    assert env is None or (home.path / ".gemini/.env").read_text() == env


def test_a_symbolic_link_stays_one(home: Home) -> None:
    real = home.put("dotfiles/codex.toml", "a = 1\n")
    (home.path / ".codex").mkdir()
    (home.path / CODEX).symlink_to("../dotfiles/codex.toml")

    assert home.write("codex").status == 0

    assert (home.path / CODEX).is_symlink()
    assert tomllib.loads(real.read_text())["model_provider"] == "gbproxy"
    assert (home.path / "dotfiles/codex.toml.bak").read_text() == "a = 1\n"


def test_what_is_no_file_or_no_text_is_left(home: Home) -> None:
    (home.path / CODEX).mkdir(parents=True)
    home.put(CLAUDE, "").write_bytes(b"\xff\xfe{}")

    assert "not a regular file" in home.write("codex").err
    assert "not text in UTF-8" in home.write("claude-code").err


@pytest.mark.parametrize(("answer", "status"), [("y\n", 0), ("n\n", 1), ("\n", 1), ("", 1)])
def test_it_asks_before_it_writes(home: Home, answer: str, status: int) -> None:
    ended = home.connect("codex", "--url", URL, "--write", stdin=answer)

    assert ended.status == status
    assert "+model_provider" in ended.out
    assert ended.err.startswith("Write this? [y/N]: ")
    assert home.files() == ({CODEX} if status == 0 else set())


def test_secrets_beside_what_is_changed_are_not_shown(home: Home) -> None:
    home.put(CLAUDE, '{\n  "apiToken": "sk-theirs-0001",\n  "apiKeyHelper": "a.sh"\n}\n')

    ended = home.write("claude-code")

    assert '"apiToken": "•••"' in ended.out
    assert "sk-theirs-0001" not in ended.out
    assert "sk-theirs-0001" in (home.path / CLAUDE).read_text()


def test_without_a_key_nothing_is_written(home: Home) -> None:
    ended = home.write("claude-code", API_KEY="")

    assert (ended.status, "API_KEY is not set" in ended.err) == (2, True)
    assert home.files() == set()


def test_the_variables_of_a_server_go_into_the_file_that_is_named(home: Home) -> None:
    path = home.put("webui/.env", "# mine\nWEBUI_NAME='x'")

    ended = home.write("open-webui", "--file", str(path))

    assert ended.status == 0
    assert path.read_text() == (
        f"# mine\nWEBUI_NAME='x'\nOPENAI_API_BASE_URL={URL}/v1\nOPENAI_API_KEY={KEY}\n"
    )


@pytest.mark.parametrize(
    ("program", "variable", "folder", "file"),
    [
        ("codex", "CODEX_HOME", "elsewhere", "elsewhere/config.toml"),
        ("claude-code", "CLAUDE_CONFIG_DIR", "elsewhere", "elsewhere/settings.json"),
        ("opencode", "XDG_CONFIG_HOME", "xdg", "xdg/opencode/opencode.json"),
        ("gemini-cli", "GEMINI_CLI_HOME", "g", "g/.gemini/.env"),
    ],
)
def test_a_programs_own_folder_is_where_its_variable_says(
    home: Home, program: str, variable: str, folder: str, file: str
) -> None:
    assert home.write(program, **{variable: str(home.path / folder)}).status == 0

    assert file in home.files()


def test_a_folder_that_cannot_be_made_is_said(home: Home) -> None:
    home.put(".codex", "no folder")

    ended = home.write("codex")

    assert (ended.status, "config.toml cannot be written" in ended.err) == (1, True)
    assert home.files() == {".codex"}


def test_what_a_program_needs_is_printed_also_where_its_folder_cannot_be_looked_into(
    home: Home,
) -> None:
    folder = str(home.path / ("x" * 300))

    printed = home.connect("codex", CODEX_HOME=folder)
    written = home.write("codex", CODEX_HOME=folder)

    assert (printed.status, f"~/{CODEX}:" in printed.out) == (0, True)
    assert (written.status, "name too long" in written.err) == (2, True)
