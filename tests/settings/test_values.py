"""Numbers, words, certificates, time zones, headers, bodies and headlines."""

from __future__ import annotations

import json
import socket
import sys
import zoneinfo
from collections.abc import Iterator
from pathlib import Path

import certifi
import pytest

from gbproxy.settings import load
from tests.support.environments import problem_of


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
