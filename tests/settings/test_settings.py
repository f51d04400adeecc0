"""What each environment variable accepts, what it refuses, and that nothing refused or secret is
ever shown.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import zoneinfo
from collections.abc import Iterator
from pathlib import Path

import certifi
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from gbproxy import __version__
from gbproxy.domain.edition import EDITIONS
from gbproxy.settings import (
    LEGACY_IGNORED,
    RESERVED,
    Rate,
    Settings,
    SettingsError,
    documented,
    load,
    page_address,
)
from gbproxy.settings.environment import ALIASES, IN_FILES, SECRETS

KEY = "k7Jq2mZ0vT9xWc4LbN8r"
KNOWN = frozenset({"gemini-auto", "gemini-business", "gemini-2.5-pro"})
IDS = [f"11111111-2222-4333-8444-{number:012}" for number in range(5)]
PAGE = f"https://business.gemini.google/home/cid/{IDS[1]}?csesidx=17&mods"
ACCOUNT = {
    "SECURE_C_SES": "CSE.AdwtfQ==",
    "HOST_C_OSES": "COS.Bcvkk",
    "CSESIDX": "123456789",
    "CONFIG_ID": IDS[0],
}


def entry(**changes: object) -> dict[str, object]:
    return {
        "name": "one",
        "secure_c_ses": "CSE.one",
        "csesidx": "1",
        "config_id": IDS[1],
        **changes,
    }


def accounts(*entries: object) -> dict[str, str]:
    return {"ACCOUNTS": json.dumps(entries)}


def models(*entries: object) -> dict[str, str]:
    return {"MODELS": json.dumps(entries)}


def problems_of(environ: dict[str, str], known_models: frozenset[str] = KNOWN) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load(environ, known_models)
    return caught.value.problems


def problem_of(environ: dict[str, str]) -> str:
    problems = problems_of(environ)
    assert len(problems) == 1, problems
    return problems[0]


def plain(keys: tuple[SecretStr, ...]) -> list[str]:
    return [key.get_secret_value() for key in keys]


# Defaults and sources


def test_an_empty_environment_gives_the_documented_defaults() -> None:
    settings = load({}, KNOWN)

    assert (settings.host, settings.port) == ("0.0.0.0", 8080)
    assert (settings.web_concurrency, settings.worker_connections) == (1, 1000)
    assert (settings.graceful_timeout_s, settings.max_body_mb) == (120, 32)
    assert (settings.log_level, settings.log_format) == ("info", "json")
    assert (settings.api_keys, settings.accounts, settings.models, settings.ignored) == (
        (),
        (),
        (),
        (),
    )
    assert (settings.gemini_business_url, settings.api_base_url) == (None, None)
    assert (settings.proxy, settings.ca_bundle, settings.upstream_headers) == (None, None, {})
    assert settings.user_agent == f"gbproxy/{__version__}"
    assert (settings.connect_timeout_s, settings.read_timeout_s, settings.request_timeout_s) == (
        10,
        120,
        1800,
    )
    assert (settings.prompt_max_chars, settings.default_model, settings.session_timeout) == (
        400_000,
        "gemini-auto",
        1800.0,
    )
    assert (settings.upstream_stream, settings.thoughts) == ("json", "hide")
    assert (settings.language_code, settings.time_zone) == ("en-US", "UTC")
    assert settings.status_lines == (
        "Assessing the Request",
        "Generating Response",
        "Analyzing the Request",
        "Formulating the Response",
        "Refining the Response",
    )


def test_the_process_environment_is_never_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "9999")
    monkeypatch.setenv("port", "9998")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")

    settings = load({})

    assert (settings.port, settings.proxy) == (8080, None)
    assert Settings().port == 8080


@pytest.mark.parametrize("variable", [item.name for item in documented()])
@pytest.mark.parametrize("empty", ["", "  ", "\t\n"])
def test_an_empty_value_means_unset(variable: str, empty: str) -> None:
    assert load({variable: empty}, KNOWN) == load({})


def test_settings_cannot_be_changed() -> None:
    settings = load(ACCOUNT)

    with pytest.raises(ValidationError):
        settings.port = 1  # type: ignore[misc]
    with pytest.raises(ValidationError):
        settings.accounts[0].name = "other"  # type: ignore[misc]


def test_no_secret_shows_when_settings_are_printed() -> None:
    environ = {
        **ACCOUNT,
        "API_KEYS": KEY,
        "ADMIN_KEY": f"admin-{KEY}",
        "METRICS_KEY": f"metrics-{KEY}",
        "SECRET_KEY": f"sign-{KEY}",
        "DATABASE_URL": "postgresql://u:dbpass-77@h/d",
        "PROXY": "http://u:proxypass-88@h:1",
        "UPSTREAM_HEADERS": '{"X-Token": "headersecret-99"}',
    }

    shown = repr(load(environ)) + str(load(environ))

    for secret in (
        ACCOUNT["SECURE_C_SES"],
        ACCOUNT["HOST_C_OSES"],
        KEY,
        "dbpass-77",
        "proxypass-88",
        "headersecret-99",
    ):
        assert secret not in shown


# Older programs


BLOCKS = {
    "A": (
        """
        GEMINI_API_BASE=https://biz-discoveryengine.googleapis.com
        AUTH_DOMAIN=auth.business.gemini.google
        BUSINESS_DOMAIN=business.gemini.google
        CONFIG_ID=11111111-2222-4333-8444-555555555555
        JWT_EXPIRY_MINUTES=60
        LOG_LEVEL=info
    """
    ),
    "B": (
        """
        SERVER_ADDRESS=0.0.0.0
        SERVER_PORT=8080
        GEMINI_BUSINESS_URL=https://business.gemini.google
        API_BASE_URL=https://biz-discoveryengine.googleapis.com/v1alpha
        AUTH_URL=https://auth.business.gemini.google
        ACCOUNT_EMAIL=someone@example.com
        SESSION_TIMEOUT=1800
        OPENAI_COMPATIBLE=true
        API_KEY_HEADER=Authorization
        DEFAULT_MODEL=gemini-business
        LOG_LEVEL=info
        LOG_FORMAT=json
    """
    ),
    "C": (
        """
        GEMINI_BUSINESS_EMAIL=someone@example.com
        GEMINI_BUSINESS_CONFIG_ID=11111111-2222-4333-8444-555555555555
        PORT=8080
        LOG_LEVEL=info
        JWT_SECRET=a_long_random_value
    """
    ),
    "D": (
        """
        SECURE_C_SES=CSE.fromblockd
        CSESIDX=424242
        CONFIG_ID=11111111-2222-4333-8444-555555555555
        HOST_C_OSES=
        API_KEY=sk-0123456789abcdef
        SECRET_KEY=b7e151628aed2a6abf71589
        PROXY=http://127.0.0.1:7890
        DATABASE_URL=postgresql://user:password@localhost:5432/gemini_db
    """
    ),
}


def block(letter: str) -> dict[str, str]:
    return dict(line.strip().split("=", 1) for line in BLOCKS[letter].strip().splitlines())


@pytest.mark.parametrize("letter", BLOCKS)
def test_the_settings_of_older_programs_work_when_pasted(letter: str) -> None:
    beside = {"SECURE_C_SES": "CSE.beside", "CSESIDX": "77", "HOST_C_OSES": "COS.beside"}
    if letter == "B":
        beside["CONFIG_ID"] = "11111111-2222-4333-8444-555555555555"

    settings = load({**beside, **block(letter)}, KNOWN)

    assert [account.config_id for account in settings.accounts] == [
        "11111111-2222-4333-8444-555555555555"
    ]
    assert (settings.host, settings.port) == ("0.0.0.0", 8080)
    assert settings.gemini_business_url in (None, "https://business.gemini.google")
    assert settings.api_base_url in (None, "https://biz-discoveryengine.googleapis.com/v1alpha")
    assert settings.default_model == "gemini-auto"


@pytest.mark.parametrize(
    ("letter", "ignored"),
    [
        ("A", ("AUTH_DOMAIN", "JWT_EXPIRY_MINUTES")),
        ("B", ("ACCOUNT_EMAIL", "API_KEY_HEADER", "AUTH_URL", "OPENAI_COMPATIBLE")),
        ("C", ("GEMINI_BUSINESS_EMAIL", "JWT_SECRET")),
        ("D", ()),
    ],
)
def test_the_variables_of_older_programs_without_effect_are_named(
    letter: str, ignored: tuple[str, ...]
) -> None:
    beside = {} if letter == "B" else {"SECURE_C_SES": "CSE.beside", "CSESIDX": "77"}

    assert load({**beside, **block(letter)}).ignored == ignored


def test_settings_without_an_account_are_accepted() -> None:
    assert load(block("B"), KNOWN).accounts == ()


@pytest.mark.parametrize("variable", sorted(LEGACY_IGNORED | RESERVED))
def test_a_variable_without_effect_is_named_when_it_is_set(variable: str) -> None:
    assert load({variable: "1"}).ignored == (variable,)
    assert load({variable: " "}).ignored == ()


# Limits


@pytest.mark.parametrize(
    ("text", "amount", "per_s", "written"),
    [
        ("60/hour", 60, 3600, "60/hour"),
        ("10/second", 10, 1, "10/second"),
        ("100/15 minutes", 100, 900, "100/15 minutes"),
        ("100 / 15minutes", 100, 900, "100/15 minutes"),
        ("5 per Day", 5, 86_400, "5/day"),
        ("1 per 90 seconds", 1, 90, "1/90 seconds"),
        ("7/24 hours", 7, 86_400, "7/day"),
    ],
)
def test_a_rate_is_read_and_written(text: str, amount: int, per_s: int, written: str) -> None:
    rate = load({"RATE_LIMIT": text}).rate_limit

    assert rate == Rate(amount, per_s)
    assert str(rate) == written
    assert load({"RATE_LIMIT": written}).rate_limit == rate


@pytest.mark.parametrize(
    "text",
    [
        "60",
        "60/",
        "/hour",
        "0/hour",
        "60/week",
        "60/hour;5/second",
        "-1/hour",
        "1.5/hour",
        "100001/hour",
        "9/99 days",
    ],
)
def test_what_is_no_rate_is_refused(text: str) -> None:
    assert problem_of({"RATE_LIMIT": text}).startswith("RATE_LIMIT: must ")


@pytest.mark.parametrize(
    "url",
    [
        "redis://localhost",
        "redis://localhost:6379/0",
        "rediss://user:p%40ss@redis.example:6380/1",
        "redis://[::1]:1",
    ],
)
def test_an_address_of_redis_is_taken(url: str) -> None:
    found = load({"REDIS_URL": url}).redis_url

    assert found is not None
    assert found.get_secret_value() == url


@pytest.mark.parametrize(
    "url",
    [
        "localhost:6379",
        "http://localhost",
        "redis://",
        "redis://h:99999",
        "redis://h/db",
        "redis://h?db=1",
    ],
)
def test_what_is_no_address_of_redis_is_refused(url: str) -> None:
    assert problem_of({"REDIS_URL": url}).startswith("REDIS_URL: must look like redis://:password@")


@pytest.mark.parametrize(
    "limit",
    [
        {"RATE_LIMIT": "60/hour"},
        {"MODEL_INTERVAL_S": "0.5"},
        {"RATE_LIMIT": "60/hour", "MODEL_INTERVAL_S": "1"},
    ],
)
def test_several_workers_count_together_or_not_at_all(limit: dict[str, str]) -> None:
    several = {"WEB_CONCURRENCY": "2", **limit}

    with pytest.raises(SettingsError) as caught:
        load(several)

    assert [problem.partition(":")[0] for problem in caught.value.problems] == list(limit)
    assert all("REDIS_URL" in problem for problem in caught.value.problems)
    assert load({**several, "REDIS_URL": "redis://localhost"}).can_limit_keys
    assert load(limit).can_limit_keys
    assert not load({"WEB_CONCURRENCY": "2", "MODEL_INTERVAL_S": "0"}).can_limit_keys


# Aliases


@pytest.mark.parametrize(
    ("name", "alias", "given", "attribute", "value"),
    [
        ("HOST", "SERVER_ADDRESS", "127.0.0.1", "host", "127.0.0.1"),
        ("PORT", "SERVER_PORT", "8081", "port", 8081),
        (
            "API_BASE_URL",
            "GEMINI_API_BASE",
            "https://x.example",
            "api_base_url",
            "https://x.example/v1alpha",
        ),
        (
            "API_BASE_URL",
            "GEMINI_API_BASE",
            "https://x.example/",
            "api_base_url",
            "https://x.example/v1alpha",
        ),
        (
            "API_BASE_URL",
            "GEMINI_API_BASE",
            "http://x.example:1/v1alpha/",
            "api_base_url",
            "http://x.example:1/v1alpha",
        ),
        (
            "GEMINI_BUSINESS_URL",
            "BUSINESS_DOMAIN",
            "x.example",
            "gemini_business_url",
            "https://x.example",
        ),
        (
            "GEMINI_BUSINESS_URL",
            "BUSINESS_DOMAIN",
            "http://x.example/",
            "gemini_business_url",
            "http://x.example",
        ),
    ],
)
def test_an_alias_sets_the_same_setting(
    name: str, alias: str, given: str, attribute: str, value: object
) -> None:
    assert getattr(load({alias: given}), attribute) == value
    assert getattr(load({alias: given, name: str(value)}), attribute) == value


@pytest.mark.parametrize(
    ("name", "alias", "one", "other"),
    [
        ("HOST", "SERVER_ADDRESS", "127.0.0.1", "127.0.0.2"),
        ("PORT", "SERVER_PORT", "8080", "8081"),
        ("API_KEYS", "API_KEY", KEY, KEY + "x"),
        ("CONFIG_ID", "GEMINI_BUSINESS_CONFIG_ID", IDS[1], IDS[2]),
        ("API_BASE_URL", "GEMINI_API_BASE", "https://x.example/v2", "https://x.example"),
        ("GEMINI_BUSINESS_URL", "BUSINESS_DOMAIN", "https://x.example", "y.example"),
    ],
)
def test_a_name_and_its_alias_with_different_values_are_a_mistake(
    name: str, alias: str, one: str, other: str
) -> None:
    beside = {"SECURE_C_SES": "CSE.x", "CSESIDX": "1"} if name == "CONFIG_ID" else {}

    problem = problem_of({**beside, name: one, alias: other})

    assert problem.startswith(f"{name}: ")
    assert alias in problem
    assert one not in problem
    assert other not in problem


@pytest.mark.parametrize(
    ("alias", "value"),
    [
        ("SERVER_PORT", "x"),
        ("SERVER_ADDRESS", "a b"),
        ("API_KEY", "short"),
        ("GEMINI_API_BASE", "ftp://x"),
        ("BUSINESS_DOMAIN", "a b"),
    ],
)
def test_a_mistake_names_the_alias_that_the_user_wrote(alias: str, value: str) -> None:
    assert problem_of({alias: value}).startswith(f"{alias}: ")


# Files


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


# Quotes

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


@pytest.mark.parametrize("variable", ["API_KEYS", "API_KEY", "ADMIN_KEY", "METRICS_KEY"])
@pytest.mark.parametrize("host", ["0.0.0.0", "127.0.0.1"])
@pytest.mark.parametrize(
    "form", ["'\"{}\"'", "['{}']", '["{}"]', "'[\"{}\"]'", '["{0}", "{0}2"]', '{{"{}": "ben"}}']
)
def test_a_key_with_quotes_or_in_json_is_refused(variable: str, host: str, form: str) -> None:
    problem = problem_of({variable: form.format(KEY), "HOST": host})

    assert problem.startswith(f"{variable}: ")
    assert KEY not in problem


# Numbers, words and addresses


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        *[("PORT", value) for value in ("0", "65536", "-1", "8080.0", "8_080", "+80", "٨٠", "0x50", "9" * 5000)],
        *[(name, value) for name in ("WEB_CONCURRENCY", "WORKER_CONNECTIONS", "PROMPT_MAX_CHARS") for value in "0x"],
        *[
            (name, value)
            for name in ("CONNECT_TIMEOUT_S", "READ_TIMEOUT_S", "REQUEST_TIMEOUT_S", "MAX_BODY_MB")
            for value in ("0", "-1", "inf", "nan", "1_0", "10s", ".", "1" * 400)
        ],
        *[(name, value) for name in ("GRACEFUL_TIMEOUT_S", "SESSION_TIMEOUT") for value in ("-1", "inf", "nan")],
    ],
)  # fmt: skip
def test_a_bad_number_is_refused_with_what_is_allowed(variable: str, value: str) -> None:
    assert problem_of({variable: value}).startswith(f"{variable}: must be a ")


@pytest.mark.parametrize(
    ("variable", "value", "read"),
    [
        ("PORT", "1", 1),
        ("PORT", " 65535 ", 65535),
        ("GRACEFUL_TIMEOUT_S", "0", 0),
        ("SESSION_TIMEOUT", "0", 0),
        ("READ_TIMEOUT_S", "0.5", 0.5),
        ("MAX_BODY_MB", "64", 64),
        ("PROMPT_MAX_CHARS", "1", 1),
        ("LOG_LEVEL", "DEBUG", "debug"),
        ("LOG_FORMAT", "Text", "text"),
        ("THOUGHTS", "Show", "show"),
        ("UPSTREAM_STREAM", "SSE", "sse"),
        ("LANGUAGE_CODE", "zh-Hant-TW", "zh-Hant-TW"),
        ("TIME_ZONE", "Europe/Madrid", "Europe/Madrid"),
        ("TIME_ZONE", "Etc/GMT+5", "Etc/GMT+5"),
        ("USER_AGENT", "Mozilla/5.0 (X11)", "Mozilla/5.0 (X11)"),
        ("HOST", "[::1]", "::1"),
        ("HOST", "gateway.internal", "gateway.internal"),
        ("GEMINI_BUSINESS_URL", "http://127.0.0.1:8099/", "http://127.0.0.1:8099"),
        ("GEMINI_BUSINESS_URL", "HTTPS://Example.Org", "https://example.org"),
        ("API_BASE_URL", "http://[::1]:80/v1alpha/", "http://[::1]:80/v1alpha"),
    ],
)
def test_a_good_value_is_read(variable: str, value: str, read: object) -> None:
    assert getattr(load({variable: value}), variable.lower()) == read


@pytest.mark.parametrize(
    ("variable", "value", "allowed"),
    [
        ("LOG_LEVEL", "loud", "'debug', 'info', 'warning' or 'error'"),
        ("LOG_FORMAT", "xml", "'json' or 'text'"),
        ("THOUGHTS", "yes", "'hide' or 'show'"),
        ("UPSTREAM_STREAM", "ws", "'json' or 'sse'"),
        ("LANGUAGE_CODE", "english", "such as en-US"),
        ("LANGUAGE_CODE", "en_US", "such as en-US"),
        ("USER_AGENT", "a\nb", "printable ASCII"),
        ("USER_AGENT", "héllo", "printable ASCII"),
        ("CA_BUNDLE", "/does/not/exist.pem", "exists and can be read"),
        ("CA_BUNDLE", "a\0b", "exists and can be read"),
        ("CA_BUNDLE", "a" * 5000, "exists and can be read"),
        ("TIME_ZONE", "a" * 5000, "such as UTC"),
        ("PROXY_FILE", "a" * 5000, "File name too long"),
        ("HOST", "http://localhost", "IP address or a host name"),
        ("HOST", "localhost:80", "IP address or a host name"),
    ],
)
def test_a_bad_value_is_refused_with_what_is_allowed(
    variable: str, value: str, allowed: str
) -> None:
    problem = problem_of({variable: value})

    assert problem.startswith(f"{variable}: ")
    assert allowed in problem
    assert value not in problem


@pytest.mark.parametrize("variable", ["GEMINI_BUSINESS_URL", "API_BASE_URL"])
@pytest.mark.parametrize(
    "value",
    [
        "business.gemini.google",
        "ftp://x.example",
        "https://",
        "https://user:hunter2@x.example",
        "https://x.example?q=1",
        "https://x.example#f",
        "https://x.example:99999",
        "https://x..example",
        "https://.example",
        "https://x-.example",
        "https://" + "x" * 64 + ".example",
        "https://[::1",
        "https://x .example",
        "https://x\n.example",
        "https://mañana.example",
        "https://-.%/",
    ],
)
def test_a_bad_address_is_refused(variable: str, value: str) -> None:
    problem = problem_of({variable: value})

    assert problem.startswith(f"{variable}: must ")
    assert "hunter2" not in problem


@pytest.mark.parametrize(
    "value",
    [
        "http://h:1",
        "https://h",
        "socks5://u:p%2Fw@h:1080",
        "socks5h://127.0.0.1:9050",
        "http://[::1]:3128/",
    ],
)
def test_a_proxy_of_each_kind_is_accepted(value: str) -> None:
    proxy = load({"PROXY": value}).proxy

    assert proxy is not None
    assert proxy.get_secret_value() == value.rstrip("/")


@pytest.mark.parametrize(
    "value",
    ["h:1", "socks4://h:1", "http://", "http://:8080", "http://u:hunter2@", "http://u:hun/ter2@h:1", "http://h/hunter2",
     "http://u:hunter2#@h", "ftp://u:hunter2@h"],
)  # fmt: skip
def test_a_bad_proxy_is_refused_and_not_shown(value: str) -> None:
    problem = problem_of({"PROXY": value})

    assert problem.startswith("PROXY: must ")
    assert "hunter2" not in problem


def test_a_certificate_file_or_directory_is_accepted(tmp_path: Path) -> None:
    bundle = tmp_path / "ca.pem"
    bundle.write_bytes(Path(certifi.where()).read_bytes())

    (tmp_path / "5ed36f99.0").symlink_to(bundle)  # as `openssl rehash` does

    assert load({"CA_BUNDLE": str(bundle)}).ca_bundle == bundle
    assert load({"CA_BUNDLE": str(tmp_path)}).ca_bundle == tmp_path


@pytest.mark.parametrize("name", [None, "ca.pem", "5ed36f99.0"])
def test_a_directory_in_which_no_certificate_is_found_is_refused(
    tmp_path: Path, name: str | None
) -> None:
    if name is not None:
        content = "hunter2" if name.endswith(".0") else Path(certifi.where()).read_text()
        (tmp_path / name).write_text(content)

    problem = problem_of({"CA_BUNDLE": str(tmp_path)})

    assert problem.startswith("CA_BUNDLE: must be the path of a directory")
    assert "openssl rehash" in problem


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"-",
        b"hunter2" * 1000,
        b"-----BEGIN CERTIFICATE-----\nhunter2\n-----END CERTIFICATE-----\n",
        b"-----BEGIN PRIVATE KEY-----\naHVudGVyMg==\n-----END PRIVATE KEY-----\n",
        Path(certifi.where()).read_text().encode("utf-16"),
        b"\x30\x82\x01\x0a\0\0",
    ],
)
def test_a_certificate_bundle_without_a_certificate_is_refused(
    tmp_path: Path, content: bytes
) -> None:
    bundle = tmp_path / "ca.pem"
    bundle.write_bytes(content)

    problem = problem_of({"CA_BUNDLE": str(bundle)})

    assert problem.startswith("CA_BUNDLE: must be the path of a file with certificates in PEM form")
    assert "hunter2" not in problem


def test_a_certificate_bundle_that_is_neither_file_nor_directory_is_refused(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)

        assert problem_of({"CA_BUNDLE": path}).startswith("CA_BUNDLE: ")


def test_an_account_of_several_may_say_where_it_lives_and_what_its_browser_sends() -> None:
    further = {
        "edition": "enterprise",
        "location": "eu",
        "cookies": "__Secure-C_AUX=a; B=c",
        "server_token": "CAMSx==",
        "user_agent": "Mozilla/5.0 (X)",
    }

    plain, rich = load(accounts(entry(), entry(name="rich", csesidx="5", **further))).accounts

    assert (plain.edition, plain.location, plain.cookies, plain.server_token, plain.user_agent) == (
        "business",
        "global",
        None,
        None,
        None,
    )
    assert (rich.edition, rich.location, rich.user_agent) == ("enterprise", "eu", "Mozilla/5.0 (X)")
    assert rich.cookies is not None
    assert rich.server_token is not None
    assert [rich.cookies.get_secret_value(), rich.server_token.get_secret_value()] == [
        "__Secure-C_AUX=a; B=c",
        "CAMSx==",
    ]
    assert "CAMSx" not in repr(rich)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("edition", "starter"),
        ("edition", 5),
        ("location", "mars"),
        ("cookies", "hunter2"),
        ("cookies", "a=hunter2\nb=c"),
        ("server_token", "hunter2 hunter2"),
        ("user_agent", "hunter2\x7f"),
        ("user_agent", ["hunter2"]),
    ],
)
def test_what_an_account_cannot_have_is_named_and_not_shown(name: str, value: object) -> None:
    problem = problem_of(accounts(entry(), entry(name="other", csesidx="5", **{name: value})))

    assert problem.startswith(f"ACCOUNTS[1].{name}: ")
    assert "hunter2" not in problem


_ID = "11111111-2222-4333-8444-555555555555"


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        (f"https://business.gemini.google/home/cid/{_ID}?csesidx=7", ("business", "global", "7")),
        (
            f"https://business.gemini.google/eu/home/cid/{_ID}?hl=de&csesidx=7#x",
            ("business", "eu", "7"),
        ),
        (
            f"https://vertexaisearch.cloud.google/home/cid/{_ID}?csesidx=7",
            ("enterprise", "global", "7"),
        ),
        (
            f"https://vertexaisearch.cloud.google/us/home/cid/{_ID}/r/session/9?csesidx=7",
            ("enterprise", "us", "7"),
        ),
        (f"vertexaisearch.cloud.google/eu/home/cid/{_ID}?csesidx=7", ("enterprise", "eu", "7")),
        (
            f"HTTPS://VertexAISearch.cloud.google/EU/home/cid/{_ID}?csesidx=7",
            ("enterprise", "eu", "7"),
        ),
        (f"/eu/home/cid/{_ID}?csesidx=7", ("business", "global", "7")),
        (
            f"https://evil.example/vertexaisearch.cloud.google/eu/home/cid/{_ID}?csesidx=7",
            ("business", "global", "7"),
        ),
        (
            f"https://vertexaisearch.cloud.google.evil.example/eu/home/cid/{_ID}?csesidx=7",
            ("business", "global", "7"),
        ),
    ],
)
def test_the_page_s_address_in_place_of_its_id_tells_the_rest(
    address: str, expected: tuple[str, str, str]
) -> None:
    one = load({"SECURE_C_SES": "CSE.x", "CONFIG_ID": address}).accounts[0]
    other = load({"SECURE_C_SES": "CSE.x", "CSESIDX": address}).accounts[0]
    several = load(
        {"ACCOUNTS": json.dumps([{"secure_c_ses": "CSE.x", "team_id": address}])}
    ).accounts[0]

    for account in (one, other, several):
        assert (account.edition, account.location, account.csesidx) == expected
        assert account.config_id == _ID


def test_what_is_given_goes_before_what_the_page_s_address_tells() -> None:
    page = f"https://vertexaisearch.cloud.google/eu/home/cid/{_ID}?csesidx=7"

    account = load(accounts(entry(config_id=page, csesidx="8", location="us"))).accounts[0]

    assert (account.csesidx, account.edition, account.location) == ("8", "enterprise", "us")


def test_the_pages_whose_addresses_are_known_are_those_of_the_editions() -> None:
    for edition in EDITIONS.values():
        told = page_address.told(f"{edition.page_url}/home/cid/{_ID}")

        assert told["edition"] == edition.name


def test_further_fields_of_the_body_are_read_as_they_are_written() -> None:
    body = load({"UPSTREAM_BODY": '{"a": {"b": [1, null, "ü"]}, "configId": "x"}'}).upstream_body

    assert body == {"a": {"b": [1, None, "ü"]}, "configId": "x"}


@pytest.mark.parametrize(
    "value",
    [
        "[1]",
        '"hunter2"',
        '{"hunter2": NaN}',
        '{"a": Infinity}',
        '{"hunter2": "\\ud800"}',
        "{hunter2}",
    ],
)
def test_a_body_that_could_not_be_sent_is_refused_and_not_shown(value: str) -> None:
    problem = problem_of({"UPSTREAM_BODY": value})

    assert problem.startswith("UPSTREAM_BODY: ")
    assert "hunter2" not in problem


def test_further_fields_of_the_body_are_not_shown_with_the_settings() -> None:
    assert "hunter2" not in repr(
        load({"UPSTREAM_BODY": '{"additionalParams": {"token": "hunter2"}}'})
    )


def test_how_a_session_comes_to_be_is_one_of_three() -> None:
    assert load({"UPSTREAM_SESSION": "Dash"}).upstream_session == "dash"
    assert problem_of({"UPSTREAM_SESSION": "new"}).startswith("UPSTREAM_SESSION: ")


@pytest.mark.parametrize(
    "value", ["Mars/Olympus", "../etc/passwd", "/UTC", "Europe/", "America", "a b"]
)
def test_an_unknown_time_zone_is_refused(value: str) -> None:
    assert problem_of({"TIME_ZONE": value}).startswith("TIME_ZONE: must be a time zone's name")


@pytest.fixture
def _no_tz_database(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(sys.modules, "tzdata", None)
    zoneinfo.reset_tzpath(to=[])
    zoneinfo.ZoneInfo.clear_cache()
    yield
    zoneinfo.reset_tzpath()


@pytest.mark.usefixtures("_no_tz_database")
def test_without_a_tz_database_a_time_zone_must_only_look_like_one() -> None:
    assert load({"TIME_ZONE": "Europe/Madrid"}).time_zone == "Europe/Madrid"
    assert problem_of({"TIME_ZONE": "../x"}).startswith("TIME_ZONE: ")


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:///{folder}/new.db",
        "sqlite:///{folder}/there.db",
        "sqlite:///relative.db",
        "postgresql://u:p@h:5432/d",
        "postgresql://u:p%40ss@[::1]/d?sslmode=require",
        "postgresql:///d?host=/run/postgresql",
    ],
)
def test_a_database_address_is_accepted_with_a_key_for_its_secrets(
    url: str, tmp_path: Path
) -> None:
    (tmp_path / "there.db").touch()
    url = url.format(folder=tmp_path)

    database_url = load({"DATABASE_URL": url, "SECRET_KEY": KEY}).database_url

    assert database_url is not None
    assert database_url.get_secret_value() == url


@pytest.mark.parametrize(
    "url", ["mysql://u:hunter2@h/d", "postgres://u:hunter2@h/d", "sqlite://", "hunter2"]
)
def test_another_database_is_refused_and_not_shown(url: str) -> None:
    problem = problem_of({"DATABASE_URL": url, "SECRET_KEY": KEY})

    assert problem.startswith("DATABASE_URL: must begin with sqlite:///")
    assert "hunter2" not in problem


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("sqlite:///{folder}/none/x.db", "the directory of its file does not exist"),
        ("sqlite:///{folder}", "must be the path of a file, and is a directory"),
        ("sqlite:///{folder}/x.db?mode=ro", "must not contain `?`"),
        (
            "postgresql://u:hunter2@h:port/d",
            "must look like postgresql://user:password@host:port/database",
        ),
        ("postgresql://u:hunt#er2@h/d", "must look like"),
        ("postgresql://u:hunter2@h/d e", "must look like"),
        ("postgresql://u:hunter2@h", "must look like"),
        ("postgresql://", "must look like"),
    ],
)
def test_a_database_address_that_leads_nowhere_is_refused(
    url: str, problem: str, tmp_path: Path
) -> None:
    told = problem_of({"DATABASE_URL": url.format(folder=tmp_path), "SECRET_KEY": KEY})

    assert told.startswith(f"DATABASE_URL: {problem}")
    assert "hunt" not in told


def test_a_database_file_that_cannot_be_written_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # as for anybody but root

    told = problem_of({"DATABASE_URL": f"sqlite:///{tmp_path}/x.db", "SECRET_KEY": KEY})

    assert told == "DATABASE_URL: the file, or the directory it is in, cannot be written to"


def test_a_lasting_database_needs_a_secret_key(tmp_path: Path) -> None:
    lasting = {"DATABASE_URL": f"sqlite:///{tmp_path}/gbproxy.db"}

    assert problem_of(lasting).startswith("DATABASE_URL: needs SECRET_KEY")
    assert problem_of({**lasting, "SECRET_KEY_FILE": str(tmp_path / "no")}).startswith(
        "SECRET_KEY_FILE: "
    )
    assert load({"DATABASE_URL": "sqlite:///:memory:"}).secret_keys == ()


@pytest.mark.parametrize(
    "url", ["sqlite:////does/not/exist/x.db", "postgresql://u:p@h:port/d", "mysql://h/d"]
)
def test_a_missing_secret_key_is_told_beside_a_wrong_address(url: str) -> None:
    problems = problems_of({"DATABASE_URL": url, "PORT": "x", "SECRET_KEY": ","})

    assert [problem.partition(":")[0] for problem in problems] == [
        "PORT",
        "DATABASE_URL",
        "DATABASE_URL",
    ]
    assert problems[2].startswith("DATABASE_URL: needs SECRET_KEY")


# Origins


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ("*", ("*",)),
        ("https://Chat.Example.com/, https://chat.example.com:443", ("https://chat.example.com",)),
        ("http://localhost:*,http://localhost:080", ("http://localhost:*", "http://localhost")),
        ("https://*.Mañana.example:8443", ("https://*.xn--maana-pta.example:8443",)),
        ("http://[::0001]:3000", ("http://[::1]:3000",)),
        (
            "capacitor://localhost, app://obsidian.md",
            ("capacitor://localhost", "app://obsidian.md"),
        ),
    ],
)
def test_origins_are_read_as_browsers_write_them(value: str, read: tuple[str, ...]) -> None:
    assert load({"CORS_ORIGINS": value}).cors_origins == read


@pytest.mark.parametrize(
    "value",
    ["example.com", "*.example.com", "https://*", "https://*:3000", "https://a*.example.com", "https://a.*.com", "https://*example.com",
     "*://example.com", "https://*.*.example.com", "http://localhost:30*", "http://localhost:0", "http://localhost:65536",
     "http://[1", "http://[::g]", "https://u@h", "https://h/path", "https://h?x", "null", "https://", "https://-ü.example",
     '["https://h"]', "http://localhost:**"],
)  # fmt: skip
def test_what_no_browser_sends_is_refused(value: str) -> None:
    assert problem_of(
        {"CORS_ORIGINS": f"https://fine.example,{value}" if value[0] != "[" else value}
    ).startswith("CORS_ORIGINS: ")


# Keys


def test_client_keys_are_separated_by_commas_without_blanks_and_repetitions() -> None:
    settings = load({"API_KEYS": f" {KEY} ,, {KEY}2,{KEY}, "})

    assert plain(settings.api_keys) == [KEY, f"{KEY}2"]


def test_several_secret_keys_keep_their_order() -> None:
    assert plain(load({"SECRET_KEY": f"{KEY}2,{KEY}1"}).secret_keys) == [f"{KEY}2", f"{KEY}1"]


PLACEHOLDERS = [
    "sk-123456",
    "sk-1234567890",
    "sk-1234567890abcdef",
    "SK-1234567890123456789012",
    "sk-my-secret-key",
    "your_api_key_goes_here",
    "YOUR-SECRET-KEY-PLEASE",
    "sk-your-key-goes-here",
    "<put-your-own-key-here>",
    "changeme",
    "changemechangemechangeme",
    "change-me-in-production",
    "change_this_to_something",
    "my-key-to-changeme-later",
    "secret",
    "password",
    "passwordpassword",
    "admin",
    "test",
    "sk-test",
    "sk-test-0011223344556677",
    "xxxxxxxxxxxxxxxxxxxx",
    "sk-xxxxxxxxxxxxxxxxxxxx",
    "0000000000000000000",
    "sk-................",
    "${API_KEY_FROM_ENV}",
    "super-secret-api-key-1",
]


@pytest.mark.parametrize(
    "variable", ["API_KEYS", "API_KEY", "ADMIN_KEY", "METRICS_KEY", "SECRET_KEY"]
)
@pytest.mark.parametrize("key", PLACEHOLDERS)
def test_a_placeholder_is_refused_as_a_key(variable: str, key: str) -> None:
    assert (
        problem_of({variable: key})
        == f"{variable}: is a well-known placeholder; it must be a secret of your own unless HOST"
        " is loopback"
    )


@pytest.mark.parametrize("variable", ["API_KEYS", "ADMIN_KEY", "METRICS_KEY", "SECRET_KEY"])
def test_a_short_key_is_refused(variable: str) -> None:
    problem = problem_of({variable: "q7Jv2mZ0vT9xWc4"})

    assert (
        problem
        == f"{variable}: is too short; it must have at least 16 characters unless HOST is loopback"
    )


@pytest.mark.parametrize(
    "key",
    [
        "sk-0123456789abcdef",
        KEY,
        "q7Jv2mZ0vT9xWc4L",
        "correct-horse-battery",
        "testing0f8a7b6c5d4e",
    ],
)
def test_a_key_of_ones_own_is_accepted(key: str) -> None:
    assert plain(load({"API_KEYS": key}).api_keys) == [key]


def test_a_client_s_key_is_not_the_admin_key() -> None:
    problem = problem_of({"HOST": "127.0.0.1", "API_KEYS": f"{KEY},other", "ADMIN_KEY": KEY})

    assert problem == "ADMIN_KEY: is also one of API_KEYS; whoever may ask must not administer"


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.8.9.1", "::1", "[::1]", "localhost", "LocalHost"]
)
def test_on_loopback_any_key_will_do(host: str) -> None:
    environ = {"HOST": host, "API_KEYS": "sk-123456", "ADMIN_KEY": "admin", "SECRET_KEY": "x"}

    assert plain(load(environ).api_keys) == ["sk-123456"]


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "localhost.example", "128.0.0.1"])
def test_elsewhere_than_on_loopback_a_weak_key_is_refused(host: str) -> None:
    assert problem_of({"HOST": host, "API_KEYS": "sk-123456"}).startswith("API_KEYS: ")


@pytest.mark.parametrize(
    "key",
    ["has a space inside it", "schlüssel-0123456789", "tab\tinside-0123456789", "\ud800" + KEY],
)
@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_a_key_that_no_header_carries_safely_is_refused(key: str, host: str) -> None:
    problem = problem_of({"HOST": host, "API_KEYS": key})

    assert problem.startswith("API_KEYS: must be ")
    assert key not in problem


def test_an_admin_key_has_no_comma() -> None:
    assert (
        problem_of({"ADMIN_KEY": f"{KEY},{KEY}"})
        == "ADMIN_KEY: must be printable ASCII without spaces and commas"
    )


def test_each_bad_key_of_several_is_named_by_its_position() -> None:
    assert [
        problem.partition(" is ")[0]
        for problem in problems_of({"API_KEYS": f"short,{KEY},changeme"})
    ] == [
        "API_KEYS: key 1",
        "API_KEYS: key 3",
    ]


# Accounts


def test_the_single_account_is_called_default_and_stands_first() -> None:
    settings = load({**ACCOUNT, **accounts(entry())})

    first, second = settings.accounts
    assert (first.name, first.csesidx, first.config_id) == ("default", "123456789", IDS[0])
    assert first.secure_c_ses.get_secret_value() == "CSE.AdwtfQ=="
    assert first.host_c_oses is not None
    assert first.host_c_oses.get_secret_value() == "COS.Bcvkk"
    assert (second.name, second.host_c_oses) == ("one", None)


@pytest.mark.parametrize("missing", ["SECURE_C_SES", "CSESIDX", "CONFIG_ID"])
def test_half_an_account_is_a_mistake_that_names_what_is_missing(missing: str) -> None:
    assert problem_of({**ACCOUNT, missing: ""}).startswith(f"{missing}: is missing")


@pytest.mark.parametrize("alone", ACCOUNT)
def test_one_value_of_an_account_alone_is_a_mistake(alone: str) -> None:
    missing = [name for name in ("SECURE_C_SES", "CSESIDX", "CONFIG_ID") if name != alone]

    assert [
        problem.partition(":")[0] for problem in problems_of({alone: ACCOUNT[alone]})
    ] == missing


def test_the_second_cookie_is_optional() -> None:
    assert load({**ACCOUNT, "HOST_C_OSES": ""}).accounts[0].host_c_oses is None


@pytest.mark.parametrize(
    "pasted",
    [
        "__Secure-C_SES=CSE.v=",
        "__Secure-C_SES=CSE.v=;",
        " CSE.v= ; ",
        '"CSE.v="',
        "'__Secure-C_SES=CSE.v=';",
        '__Secure-C_SES="CSE.v=";',
        "__Secure-C_SES: CSE.v=",
        "__secure-c_ses\tCSE.v=",
        '"__Secure-C_SES": "CSE.v=",'[:-1],
    ],
)
def test_a_pasted_cookie_is_reduced_to_its_value(pasted: str) -> None:
    assert (
        load({**ACCOUNT, "SECURE_C_SES": pasted}).accounts[0].secure_c_ses.get_secret_value()
        == "CSE.v="
    )


def test_the_second_pasted_cookie_is_reduced_to_its_value() -> None:
    cookie = load({**ACCOUNT, "HOST_C_OSES": "__Host-C_OSES=COS.v;"}).accounts[0].host_c_oses

    assert cookie is not None
    assert cookie.get_secret_value() == "COS.v"


@pytest.mark.parametrize("variable", ["SECURE_C_SES", "HOST_C_OSES"])
@pytest.mark.parametrize(
    "value", ["hunter2; b=c", "hunter2\r\nX: y", "hunter2\x00", "hunter2€", "hunter2\x85a", "\ud800hunter2", ";",
     "hunter2 # mine", "hunter2 hunter3", "hunter2,", 'hunter2"x', "hunter2\\", "hunter2-é", "REDACTED", "h***2",
     "your_cookie_value", "<cookie>", "${COOKIE}", "h" * 16385]
)  # fmt: skip
def test_what_is_no_cookie_s_value_is_refused_and_not_shown(variable: str, value: str) -> None:
    problem = problem_of({**ACCOUNT, variable: value})

    assert problem.startswith(f"{variable}: ")
    assert "hunter2" not in problem


def test_one_cookie_is_not_taken_for_the_other() -> None:
    problem = problem_of({**ACCOUNT, "SECURE_C_SES": "__Host-C_OSES=COS.v"})

    assert (
        problem
        == "SECURE_C_SES: is the cookie __Host-C_OSES; it must be the value of __Secure-C_SES"
    )


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("CSESIDX", "12a"),
        ("CSESIDX", "-1"),
        ("CSESIDX", "١٢"),
        ("CONFIG_ID", "a b"),
        ("CONFIG_ID", "ü"),
    ],
)
def test_a_bad_number_or_id_of_an_account_is_refused(variable: str, value: str) -> None:
    assert problem_of({**ACCOUNT, variable: value}).startswith(f"{variable}: must be ")


@pytest.mark.parametrize(
    "pasted",
    [
        IDS[1].upper(),
        f"https://business.gemini.google/home/cid/{IDS[1]}",
        f"https://business.gemini.google/home/cid/{IDS[1]}/r/session/99?csesidx=17#x",
        f"https://vertexaisearch.cloud.google/us/home/cid/{IDS[1]}?csesidx=17",
        f"business.gemini.google/home/cid/{IDS[1]}/",
        f"/home/cid/{IDS[1]}",
        f"cid/{IDS[1]}",
        f"{IDS[1]}?csesidx=17&mods",
        PAGE,
    ],
)
def test_a_config_id_is_found_in_the_page_s_address(pasted: str) -> None:
    (single,) = load({**ACCOUNT, "CONFIG_ID": pasted}).accounts
    (listed,) = load(accounts({**entry(), "config_id": "", "team_id": pasted})).accounts

    assert single.config_id == listed.config_id == IDS[1]
    assert load({**ACCOUNT, "CONFIG_ID": pasted, "GEMINI_BUSINESS_CONFIG_ID": IDS[1]}).accounts == (
        single,
    )
    assert load(accounts(entry(team_id=pasted))).accounts == (listed,)


@pytest.mark.parametrize(
    "pasted",
    [
        PAGE,
        "csesidx=17",
        "?csesidx=17",
        "&csesidx=17&mods",
        f"{IDS[1]}?mods&csesidx=17#x",
        "csesidx: 17",
        " 17 ",
    ],
)
def test_a_csesidx_is_found_in_the_page_s_address(pasted: str) -> None:
    (account,) = load({**ACCOUNT, "CSESIDX": pasted}).accounts

    assert account.csesidx == "17"


NO_CONFIG_IDS = [
    "your_config_id", "your-config-id-here", "<config-id>", "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx", "${CONFIG_ID}",
    "00000000-0000-0000-0000-000000000000", "1", "17", f"{IDS[1]} # mine", f"{IDS[1]},{IDS[2]}", f"'{IDS[1]}' ",
    IDS[1][:-1], f"{IDS[1]}0", "csesidx=17", "https://business.gemini.google/home", f"https://x.example/{IDS[1]}",
    "https://business.gemini.google/home/cid/your_config_id?csesidx=17", f"https://x.example/ cid/{IDS[1]}",
]  # fmt: skip


@pytest.mark.parametrize("value", NO_CONFIG_IDS)
def test_what_is_no_config_id_is_refused(value: str) -> None:
    assert problem_of(accounts(entry(config_id=value))).startswith("ACCOUNTS[0].config_id: ")


@pytest.mark.parametrize(
    "value", ["your_csesidx", "csesidx=", "csesidx=1a", "1 # mine", "17,18", IDS[1], "<digits>"]
)
def test_what_is_no_csesidx_is_refused(value: str) -> None:
    assert problem_of({**ACCOUNT, "CSESIDX": value}) == "CSESIDX: must be decimal digits"


def test_accounts_are_read_from_a_json_array() -> None:
    given = [
        entry(csesidx=17, host_c_oses="", extra={"x": 1}),
        {"secure_c_ses": "CSE.two", "csesidx": "2", "team_id": IDS[2]},
        entry(name="Zoë 3", csesidx="3", config_id="", team_id=IDS[3]),
    ]

    settings = load(accounts(*given))

    assert [account.name for account in settings.accounts] == ["one", "account-2", "Zoë 3"]
    assert [account.csesidx for account in settings.accounts] == ["17", "2", "3"]
    assert [account.config_id for account in settings.accounts] == IDS[1:4]
    assert settings.accounts[0].host_c_oses is None


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"secure_c_ses": "a;b"}, "secure_c_ses"),
        ({"secure_c_ses": 5}, "secure_c_ses"),
        ({"secure_c_ses": None}, "secure_c_ses"),
        ({"host_c_oses": "a\nb"}, "host_c_oses"),
        ({"csesidx": 1.5}, "csesidx"),
        ({"csesidx": True}, "csesidx"),
        ({"csesidx": "x"}, "csesidx"),
        ({"config_id": ["c"]}, "config_id"),
        ({"config_id": "\ud800"}, "config_id"),
        ({"name": "a\nb"}, "name"),
        ({"name": 5}, "name"),
        ({"name": "n" * 129}, "name"),
        ({"name": "\u202eabc"}, "name"),
        ({"team_id": "other"}, "team_id"),
    ],
)
def test_a_bad_account_is_named_by_its_index_and_field(
    changes: dict[str, object], field: str
) -> None:
    bad = entry(**{"name": "two", "csesidx": "2", **changes})

    assert problem_of(accounts(entry(), bad)).startswith(f"ACCOUNTS[1].{field}: ")


def test_every_mistake_of_every_account_is_named() -> None:
    problems = problems_of(accounts({"csesidx": "x"}, entry(), 5, entry(csesidx="9")))

    assert [problem.partition(": ")[0] for problem in problems] == [
        "ACCOUNTS[0].secure_c_ses",
        "ACCOUNTS[0].csesidx",
        "ACCOUNTS[0].config_id",
        "ACCOUNTS[2]",
        "ACCOUNTS[3].name",
    ]


@pytest.mark.parametrize("field", [{"disabled": True}, {"is_active": False}, {"enabled": False}])
def test_an_account_that_was_written_down_as_disabled_is_left_out(field: dict[str, bool]) -> None:
    nameless = {name: value for name, value in entry(csesidx="7").items() if name != "name"}
    settings = load(
        accounts({**entry(), **field}, {"secure_c_ses": "your_cookie", **field}, nameless)
    )

    assert [account.name for account in settings.accounts] == ["account-3"]


def test_two_accounts_cannot_have_the_same_name() -> None:
    assert problem_of({**ACCOUNT, **accounts(entry(name="default"))}).startswith(
        "ACCOUNTS[0].name: is also the name of"
    )


def test_the_same_account_twice_is_a_mistake() -> None:
    same = entry(secure_c_ses=ACCOUNT["SECURE_C_SES"], csesidx=int(ACCOUNT["CSESIDX"]))

    assert (
        problem_of({**ACCOUNT, **accounts(same)})
        == "ACCOUNTS[0]: is the same account as SECURE_C_SES; give it once"
    )
    assert len(load({**ACCOUNT, **accounts({**same, "secure_c_ses": "CSE.other"})}).accounts) == 2


@pytest.mark.parametrize("variable", ["ACCOUNTS", "MODELS"])
@pytest.mark.parametrize(
    "value",
    ["{", "hunter2", '{"a": 1}', '"hunter2"', "[" * 100_000, "[" + "1" * 5000 + "]", "[hunter2]"],
)
def test_what_is_no_json_array_is_refused_and_not_shown(variable: str, value: str) -> None:
    problem = problem_of({variable: value})

    assert problem.startswith(f"{variable}: ")
    assert "a JSON array" in problem
    assert "hunter2" not in problem


# Upstream headers


def test_further_headers_are_read_from_a_json_object() -> None:
    headers = load(
        {"UPSTREAM_HEADERS": '{"X-Client": " v1 ", "Accept-Language": "de"}'}
    ).upstream_headers

    assert {name: value.get_secret_value() for name, value in headers.items()} == {
        "X-Client": "v1",
        "Accept-Language": "de",
    }


@pytest.mark.parametrize(
    "name", ["authorization", "Host", "Content-Length", "transfer-encoding", "COOKIE", "connection"]
)
def test_a_header_that_the_gateway_sends_itself_is_refused_with_the_reason(name: str) -> None:
    problem = problem_of({"UPSTREAM_HEADERS": json.dumps({name: "hunter2"})})

    assert problem.startswith(f"UPSTREAM_HEADERS: header {name} cannot be set: ")
    assert "hunter2" not in problem


@pytest.mark.parametrize(
    "value",
    [
        "[]",
        "x",
        '{"a b": "hunter2"}',
        '{"": "hunter2"}',
        '{"a:hunter2": "x"}',
        '{"\\ud800": "hunter2"}',
        '{"a": "hunter2\\r\\nb: c"}',
        '{"a": "hunter2\\u0000"}',
        '{"a": "hunter2€"}',
        '{"a": "\\ud800"}',
        '{"a": 5}',
        '{"a": null}',
        '{"A": "1", "a": "2"}',
    ],
)
def test_a_bad_header_is_refused_and_its_value_not_shown(value: str) -> None:
    problem = problem_of({"UPSTREAM_HEADERS": value})

    assert problem.startswith("UPSTREAM_HEADERS: ")
    assert "hunter2" not in problem


def test_every_bad_header_is_named() -> None:
    problem = problem_of({"UPSTREAM_HEADERS": '{"cookie": "a", "fine": "b", "X-Number": 5}'})

    assert "header cookie" in problem
    assert "header X-Number" in problem
    assert "fine" not in problem


# Models


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        (
            {"id": "mine", "successor": "none-such"},
            "MODELS[0].successor: is no model of the catalogue",
        ),
        (
            {"id": "mine", "aliases": ["gemini-2.5-pro"]},
            "MODELS[0].aliases: gemini-2.5-pro is a model of the catalogue itself",
        ),
    ],
)
def test_a_name_in_models_that_could_never_work_is_a_mistake(
    entry: dict[str, object], problem: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        load(models(entry), KNOWN)

    assert caught.value.problems == [problem]


def test_a_model_entry_keeps_apart_what_is_given_and_what_is_not() -> None:
    full = {
        "id": "pro",
        "upstream": None,
        "tools": ["webGroundingSpec"],
        "quota": "images",
        "aliases": ["p"],
        "successor": "gemini-2.5-pro",
    }

    first, second = load(models(full, {"id": "vendor/m:1"})).models

    assert (first.id, first.upstream, "upstream" in first.model_fields_set) == ("pro", None, True)
    assert (first.tools, first.quota, first.aliases) == (("webGroundingSpec",), "images", ("p",))
    assert first.successor == "gemini-2.5-pro"
    assert (second.upstream, "upstream" in second.model_fields_set) == (None, False)
    assert (second.tools, second.quota, second.aliases, second.successor) == (
        None,
        None,
        None,
        None,
    )


@pytest.mark.parametrize(
    ("bad", "field"),
    [
        ({}, ".id"),
        ({"id": 5}, ".id"),
        ({"id": ""}, ".id"),
        ({"id": "a b"}, ".id"),
        ({"id": "m" * 129}, ".id"),
        ({"id": "m", "upstream": 5}, ".upstream"),
        ({"id": "m", "tools": ["hammer"]}, ".tools[0]"),
        ({"id": "m", "tools": "webGroundingSpec"}, ".tools"),
        ({"id": "m", "quota": "gold"}, ".quota"),
        ({"id": "m", "aliases": ["ok", "not ok"]}, ".aliases[1]"),
        ({"id": "m", "successor": "\n"}, ".successor"),
        ({"id": "m", "colour": 1}, ".colour"),
        ({"id": "m", "a\nb": 1}, ".?"),
        ({"id": "m", "\ud800": 1}, ""),
        ("m", ""),
    ],
)
def test_a_bad_model_is_named_by_its_index_and_field(bad: object, field: str) -> None:
    assert problem_of(models({"id": "fine"}, bad)).startswith(f"MODELS[1]{field}: ")


@pytest.mark.parametrize(
    "second", [{"id": "m"}, {"id": "n", "aliases": ["m"]}, {"id": "n", "aliases": ["x"]}]
)
def test_two_model_entries_cannot_share_a_name(second: dict[str, object]) -> None:
    problem = problem_of(models({"id": "m", "aliases": ["x", "m"]}, second))

    assert problem.startswith("MODELS: entries 0 and 1 have the same id or alias, ")


@pytest.mark.parametrize("name", ["gemini-2.5-pro", "mine", "my-alias"])
def test_the_default_model_may_be_any_of_the_catalogue(name: str) -> None:
    environ = {"DEFAULT_MODEL": name, **models({"id": "mine", "aliases": ["my-alias"]})}

    assert load(environ, KNOWN).default_model == name


def test_an_unknown_default_model_is_refused_with_the_known_ones() -> None:
    problem = problem_of({"DEFAULT_MODEL": "gpt-4o", **models({"id": "mine"})})

    assert problem.startswith("DEFAULT_MODEL: ")
    assert problem.endswith("gemini-2.5-pro, gemini-auto, gemini-business, mine")


def test_the_default_model_is_not_looked_up_without_a_catalogue() -> None:
    assert load({"DEFAULT_MODEL": "anything"}).default_model == "anything"


def test_the_older_name_of_the_automatic_model_is_read_as_the_new_one() -> None:
    environ = {"DEFAULT_MODEL": "gemini-business"}

    assert load(environ, frozenset({"gemini-auto"})).default_model == "gemini-auto"
    assert (
        load({**environ, **models({"id": "gemini-business"})}, KNOWN).default_model
        == "gemini-business"
    )


# Status lines


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ("off", ()),
        (" OFF ", ()),
        ("One", ("One",)),
        ("**Thinking  Hard** ,,  ** STRASSE **", ("**Thinking  Hard**", "** STRASSE **")),
        ("off,on", ("off", "on")),
    ],
)
def test_status_lines_are_kept_as_they_are_written(value: str, read: tuple[str, ...]) -> None:
    assert load({"STATUS_LINES": value}).status_lines == read


# All mistakes at once


def test_all_mistakes_come_in_one_message_without_any_secret() -> None:
    secrets = ["hunter-one", "hunter-two", "hunter-three", "hunter-four", "hunter-five"]
    environ = {
        "SERVER_PORT": "many",
        "WEB_CONCURRENCY": "0",
        "HOST": "not a host",
        "API_KEY": secrets[0],
        "ADMIN_KEY": "changeme",
        "SECURE_C_SES": secrets[1],
        "ACCOUNTS": json.dumps(
            [entry(secure_c_ses=f"{secrets[2]};"), {"secure_c_ses": f"{secrets[2]};x"}]
        ),
        "PROXY": f"ftp://u:{secrets[3]}@h",
        "UPSTREAM_HEADERS": json.dumps({"Authorization": secrets[4]}),
        "GEMINI_API_BASE": "nowhere",
        "MODELS": "[{}]",
        "DEFAULT_MODEL": "x y",
        "READ_TIMEOUT_S": "soon",
        "DATABASE_URL_FILE": "/does/not/exist",
        "TIME_ZONE": "Mars",
    }

    with pytest.raises(SettingsError) as caught:
        load(environ, KNOWN)

    message = str(caught.value)
    assert message.splitlines() == caught.value.problems
    assert {line.partition(":")[0] for line in message.splitlines()} == {
        *(set(environ) - {"ACCOUNTS", "MODELS", "SECURE_C_SES"}),
        "CSESIDX",
        "CONFIG_ID",
        "ACCOUNTS[1].secure_c_ses",
        "ACCOUNTS[1].csesidx",
        "ACCOUNTS[1].config_id",
        "MODELS[0].id",
    }
    assert not [secret for secret in secrets if secret in message]
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_a_default_model_is_still_looked_up_beside_other_mistakes() -> None:
    problems = problems_of({"PORT": "x", "DEFAULT_MODEL": "mine", **models({"id": "other"})})

    assert [problem.partition(":")[0] for problem in problems] == ["PORT", "DEFAULT_MODEL"]


# What the documentation is compared with


NO_VARIABLES = {"IGNORED", "DATABASE_IS_TEMPORARY"}


def test_every_field_is_documented_with_its_default_and_its_names() -> None:
    by_name = {item.name: item for item in documented()}

    assert set(by_name) >= {name.upper() for name in Settings.model_fields} - {
        "SECRET_KEYS",
        *NO_VARIABLES,
    }
    assert set(by_name) >= {*ACCOUNT, "SECRET_KEY"}
    assert all(item.description and item.default for item in by_name.values())
    assert {name for name, item in by_name.items() if item.secret} == SECRETS - {"API_KEY"}
    assert {name: item.aliases for name, item in by_name.items() if item.aliases} == {
        name: tuple(aliases) for name, aliases in ALIASES.items()
    }
    assert (by_name["PORT"].default, by_name["CONNECT_TIMEOUT_S"].default) == ("8080", "10")
    assert (by_name["PROXY"].default, by_name["USER_AGENT"].default) == (
        "unset",
        "gbproxy/<version>",
    )
    assert (by_name["PROMPT_MAX_CHARS"].default, by_name["ACCOUNTS"].default) == ("400000", "unset")


_IN_WORDS = {"unset", "the edition's", "the system's", "built-in catalogue", "gbproxy/<version>"}


@pytest.mark.parametrize(
    ("name", "default"),
    [
        (item.name, item.default)
        for item in documented()
        if not item.secret and item.default not in _IN_WORDS
    ],
)
def test_a_documented_default_is_the_value_without_the_variable(name: str, default: str) -> None:
    assert load({name: default}) == load({})


# Anything at all

_NAMES = sorted(
    {name for item in documented() for name in (item.name, *item.aliases)}
    | LEGACY_IGNORED
    | RESERVED
)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["id", "name", "secure_c_ses", "csesidx", "team_id", "tools", "aliases"]
            )
            | st.text(),
            inner,
        )
    ),
    max_leaves=8,
).map(json.dumps)
# lone surrogates too: undecodable bytes of a real environment
_ANY_TEXT = st.text(st.characters(), max_size=30)
_NEARLY = st.sampled_from(
    "0 1 8080 http://h http://[ https://a@b:c socks5://:1 127.0.0.1 off [{}] [null] null UTC"
    f" America en-US sqlite:/// gemini-business {KEY} {KEY},,x \ud800".split()
)


@given(
    st.dictionaries(st.sampled_from(_NAMES), _ANY_TEXT | _NEARLY | _JSON, max_size=12),
    st.dictionaries(
        st.sampled_from(sorted(IN_FILES)).map("{}_FILE".format),
        _ANY_TEXT | st.just(os.devnull),
        max_size=2,
    ),
)
def test_any_environment_gives_settings_or_one_message(
    environ: dict[str, str], files: dict[str, str]
) -> None:
    given_names = {*environ, *files, *ACCOUNT}
    try:
        settings = load({**environ, **files}, KNOWN)
    except SettingsError as error:
        names = {line.partition(":")[0].partition("[")[0] for line in str(error).split("\n")}
        readable = str(error).encode(errors="ignore").decode() == str(error)
    else:
        names, readable = set(), isinstance(settings, Settings)

    assert names <= given_names
    assert readable
