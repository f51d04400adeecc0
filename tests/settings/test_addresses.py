"""Addresses: upstream, proxy, Redis, database, and origins of web pages."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gbproxy.settings import load
from tests.support.environments import KEY, problem_of, problems_of


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
