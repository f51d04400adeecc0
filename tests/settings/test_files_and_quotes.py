"""Values from files, and the quotes round values."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from docs.settings_page import documented
from gbproxy.settings import load
from gbproxy.settings.environment import IN_FILES
from tests.support.environments import ACCOUNT, KEY, KNOWN, entry, plain, problem_of, problems_of


@pytest.mark.parametrize("newline", ["", "\n", "\r\n"])
def test_a_secret_is_read_from_its_file_without_the_last_newline(
    tmp_path: Path, newline: str
) -> None:
    file = tmp_path / "keys"
    file.write_bytes(f"{KEY}{newline}".encode())

    assert plain(load({"API_KEYS_FILE": str(file)}).api_keys) == [KEY]


@pytest.mark.parametrize("variable", sorted(IN_FILES))
def test_every_secret_has_a_file_variable(tmp_path: Path, variable: str) -> None:
    missing = str(tmp_path / "missing")

    problems = problems_of({f"{variable}_FILE": missing})

    assert problems[0].startswith(f"{variable}_FILE: the file cannot be read: No such file")
    assert missing not in "".join(problems)


def test_an_account_may_come_from_files_entirely(tmp_path: Path) -> None:
    for name, value in ACCOUNT.items():
        (tmp_path / name).write_text(f"{value}\n")

    settings = load({f"{name}_FILE": str(tmp_path / name) for name in ACCOUNT})

    assert settings.accounts == load(ACCOUNT).accounts


def test_an_unreadable_file_of_an_account_is_not_also_reported_as_missing(tmp_path: Path) -> None:
    environ = {**ACCOUNT, "SECURE_C_SES": "", "SECURE_C_SES_FILE": str(tmp_path)}

    assert problem_of(environ) == "SECURE_C_SES_FILE: the file cannot be read: Is a directory"


def test_a_mistake_in_a_file_names_the_file_variable(tmp_path: Path) -> None:
    file = tmp_path / "accounts"
    file.write_text(json.dumps([entry(), entry(name="two", config_id=None, csesidx="2")]))

    assert problem_of({"ACCOUNTS_FILE": str(file)}).startswith(
        "ACCOUNTS_FILE[1].config_id: is missing"
    )


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"\xff", "not UTF-8"),
        (b"\xff\xfe\0", "not UTF-16"),
        (b"kkk\0", "holds NUL"),
        (b"k" * (1024 * 1024 + 1), "larger than 1 MB"),
    ],
)
def test_a_file_that_holds_no_secret_is_refused(tmp_path: Path, content: bytes, what: str) -> None:
    file = tmp_path / "key"
    file.write_bytes(content)

    assert what in problem_of({"API_KEYS_FILE": str(file)})


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_a_file_may_come_from_an_editor_of_windows(tmp_path: Path, encoding: str) -> None:
    file = tmp_path / "key"
    file.write_bytes(f"{KEY}\r\n".encode(encoding))

    assert plain(load({"API_KEYS_FILE": str(file)}).api_keys) == [KEY]


def test_a_path_that_cannot_be_one_is_refused() -> None:
    assert problem_of({"PROXY_FILE": "a\0b"}) == "PROXY_FILE: is not a path to a file"


def test_an_empty_file_means_unset(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(" \n")

    assert load({"API_KEYS_FILE": str(file)}).api_keys == ()


def test_a_value_and_its_file_together_are_a_mistake(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(KEY)

    assert (
        problem_of({"API_KEYS": KEY, "API_KEYS_FILE": str(file)})
        == "API_KEYS_FILE: is set together with API_KEYS; set one of the two"
    )


UNQUOTED = {
    "PORT": "8081",
    "LOG_LEVEL": "debug",
    "HOST": "127.0.0.1",
    "API_KEYS": KEY,
    "ADMIN_KEY": f"a{KEY}",
    "METRICS_KEY": f"m{KEY}",
    "SECRET_KEY": f"s{KEY}",
    **ACCOUNT,
    "ACCOUNTS": json.dumps([entry()]),
    "MODELS": '[{"id": "mine"}]',
    "DEFAULT_MODEL": "mine",
    "UPSTREAM_HEADERS": '{"X-A": "it\'s"}',
    "DATABASE_URL": "sqlite:///:memory:",
    "PROXY": "http://u:p@h:1",
    "USER_AGENT": "Mozilla/5.0 (X11)",
    "READ_TIMEOUT_S": "5",
    "STATUS_LINES": "One, Two",
    "CORS_ORIGINS": "https://a.example, https://b.example",
    "RATE_LIMIT": "60/hour",
    "GEMINI_BUSINESS_URL": "https://x.example",
    "TIME_ZONE": "Europe/Madrid",
}


@pytest.mark.parametrize("quoted", ['"{}"', "'{}'", " '{}' ", "' {} '"])
def test_quotes_round_a_value_are_taken_away_for_every_setting_alike(quoted: str) -> None:
    assert load({name: quoted.format(value) for name, value in UNQUOTED.items()}, KNOWN) == load(
        UNQUOTED, KNOWN
    )


@pytest.mark.parametrize("variable", [item.name for item in documented()])
@pytest.mark.parametrize("empty", ['""', "''", '" "'])
def test_nothing_in_quotes_means_unset(variable: str, empty: str) -> None:
    assert load({variable: empty}, KNOWN) == load({})


@pytest.mark.parametrize("variable", UNQUOTED)
@pytest.mark.parametrize("form", ['"{}', "'{}", '{}"', "{}'", "\"{}'", '"'])
def test_a_quote_that_stands_alone_is_refused_by_name(variable: str, form: str) -> None:
    value = form.format("hunter2") if "{}" in form else form
    environ = {
        name: text for name, text in UNQUOTED.items() if variable in ACCOUNT and name in ACCOUNT
    }

    problem = problem_of({**environ, variable: value})

    assert problem.startswith(f"{variable}: ")
    assert "a quote that has no partner" in problem
    assert "hunter2" not in problem


def test_quotes_in_a_file_are_taken_away_too(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(f'"{KEY}"\n')

    assert plain(load({"API_KEYS_FILE": f"'{file}'"}).api_keys) == [KEY]

    file.write_text(f'"{KEY}\n')
    assert problem_of({"API_KEYS_FILE": str(file)}).startswith("API_KEYS_FILE: begins with a quote")


@pytest.mark.parametrize(
    "form", ['"{0}","{0}2"', "'{0}', \"{0}2\"", '"{0},{0}2"', '{0},"{0}2"', '"{0}" , {0}2,']
)
def test_quotes_round_the_items_of_a_list_are_taken_away(form: str) -> None:
    assert plain(load({"API_KEYS": form.format(KEY)}).api_keys) == [KEY, f"{KEY}2"]


def test_a_lone_quote_at_an_item_of_a_list_is_refused() -> None:
    assert problem_of({"API_KEYS": f'{KEY},"{KEY}2'}).startswith(
        "API_KEYS: one of its 2 values begins with a quote"
    )


def test_json_in_double_quotes_may_have_its_own_escaped() -> None:
    text = json.dumps([entry(name='a "b"')])

    assert load({"ACCOUNTS": json.dumps(text)}).accounts == load({"ACCOUNTS": text}).accounts


def test_quotes_that_belong_to_a_value_are_put_into_others() -> None:
    given = {
        "SECRET_KEY": f"""'"{KEY}"'""",
        "STATUS_LINES": "Reading \"x\", 'The users''",
        "USER_AGENT": 'a "b"',
    }

    settings = load(given)

    assert plain(settings.secret_keys) == [f'"{KEY}"']
    assert settings.status_lines == ('Reading "x"', "The users'")
    assert settings.user_agent == 'a "b"'
