"""Log lines: one JSON object each, or one line for people, and nothing but warnings of other
libraries.
"""

from __future__ import annotations

import io
import json
import logging
import re
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import redirect_stdout
from contextvars import copy_context
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gbproxy.observability import audit, request_context
from gbproxy.observability import logging as json_logging

log = logging.getLogger("gbproxy.test")


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers = root.handlers[:]
    levels = [(each, each.level) for each in (root, logging.getLogger("gbproxy"), audit.log)]
    yield
    logging.captureWarnings(False)
    root.handlers[:] = handlers
    for each, level in levels:
        each.setLevel(level)


@pytest.fixture(autouse=True)
def _request() -> Iterator[None]:
    request_context.begin("req-1")
    yield
    request_context.begin("-")


def only_line(capsys: pytest.CaptureFixture[str]) -> str:
    out, err = capsys.readouterr()
    assert err == ""
    [line] = out.splitlines()
    return line


def fields(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    line = json.loads(only_line(capsys))
    assert isinstance(line, dict)
    return line


# JSON


@pytest.mark.parametrize("log_format", ["json", "text"])
@pytest.mark.parametrize(
    "value",
    [
        "half \ud83d",
        "\udfff",
        "\x00\x1b[31m\u2028",
        b"\xff",
        {1, 2},
        {"a": "\ud800"},
        10**400,
        NotImplemented,
    ],
    ids=lambda value: type(value).__name__,
)
def test_no_value_costs_a_line(
    monkeypatch: pytest.MonkeyPatch, value: object, log_format: str
) -> None:
    written = io.BytesIO()
    # as a process has it
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, "utf-8", write_through=True))
    json_logging.configure(log_format=log_format)

    log.info("attempt.failed", extra={"reason": value, "account": "one"})

    line, end, rest = written.getvalue().decode().partition("\n")
    assert "attempt.failed" in line
    assert (end, rest) == ("\n", "")
    if log_format == "json":
        assert json.loads(line)["account"] == "one"


def test_a_line_is_an_object_with_these_fields_and_the_event_s_own(
    capsys: pytest.CaptureFixture[str],
) -> None:
    json_logging.configure()

    log.info("request.done", extra={"model": "gemini-auto", "elapsed_ms": 12.5, "account": None})

    line = fields(capsys)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line.pop("timestamp"))
    assert line == {
        "level": "info",
        "event": "request.done",
        "logger": "gbproxy.test",
        "request_id": "req-1",
        "model": "gemini-auto",
        "elapsed_ms": 12.5,
        "account": None,
    }


def test_text_in_any_script_stays_readable_and_on_one_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    json_logging.configure()

    log.warning("account.named", extra={"account": "你好\n\u2028👋"})

    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert "你好" in out
    assert json.loads(out)["account"] == "你好\n\u2028👋"


def test_a_value_that_json_does_not_know_is_written_somehow(
    capsys: pytest.CaptureFixture[str],
) -> None:
    json_logging.configure()

    log.info("odd", extra={"names": {"a"}, "kind": object, "when": 1.0})

    line = fields(capsys)
    assert line["when"] == 1.0
    assert "names" in line


@given(
    st.dictionaries(
        st.sampled_from(["model", "reason", "said", "limits"]),
        st.recursive(
            st.none()
            | st.booleans()
            | st.integers()
            | st.floats(allow_nan=False, allow_infinity=False)
            | st.text(st.characters(codec="utf-8")),
            lambda inner: (
                st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
            ),
            max_leaves=5,
        ),
    )
)
def test_every_json_value_is_written_as_it_is(facts: dict[str, Any]) -> None:
    written = io.StringIO()
    with redirect_stdout(written):
        json_logging.configure()
        log.info("attempt.failed", extra=facts)

    line = json.loads(written.getvalue())
    assert {name: line[name] for name in facts} == facts
    assert line["event"] == "attempt.failed"


def test_an_exception_is_a_field(capsys: pytest.CaptureFixture[str]) -> None:
    json_logging.configure()

    try:
        raise RuntimeError("a bug")
    except RuntimeError:
        log.exception("request.failed")

    line = fields(capsys)
    assert (line["level"], line["event"]) == ("error", "request.failed")
    assert "RuntimeError: a bug" in line["exc_info"]


def test_the_request_id_is_that_of_the_line_s_own_context(
    capsys: pytest.CaptureFixture[str],
) -> None:
    json_logging.configure()

    def other_request() -> None:
        request_context.begin("req-2")
        log.info("theirs")

    copy_context().run(other_request)
    log.info("mine")

    theirs, mine = map(json.loads, capsys.readouterr().out.splitlines())
    assert (theirs["request_id"], mine["request_id"]) == ("req-2", "req-1")


def test_a_line_may_name_another_request(capsys: pytest.CaptureFixture[str]) -> None:
    json_logging.configure()

    log.info("request.done", extra={"request_id": "req-9"})

    assert fields(capsys)["request_id"] == "req-9"


def test_outside_a_request_the_id_is_a_dash(capsys: pytest.CaptureFixture[str]) -> None:
    json_logging.configure()

    request_context.begin("-")
    log.info("server.started")

    assert fields(capsys)["request_id"] == "-"


# Text


def test_the_text_format_is_one_line_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    json_logging.configure(log_format="text")

    log.warning("attempt.failed", extra={"account": "one", "status": 429, "reason": None})

    line = only_line(capsys)
    assert re.fullmatch(r"\S+Z warning attempt\.failed \[req-1\] account=one status=429", line)


def test_no_value_can_begin_a_line_of_its_own_in_the_text_format(
    capsys: pytest.CaptureFixture[str],
) -> None:
    json_logging.configure(log_format="text")

    log.info(
        "model.mapped", extra={"asked": "gpt-x\n2026-01-01 error request.crashed forged=1\u2028"}
    )

    assert len(re.split("[\n\u2028]", only_line(capsys))) == 1


def test_outside_a_request_the_text_format_names_none(capsys: pytest.CaptureFixture[str]) -> None:
    json_logging.configure(log_format="text")

    request_context.begin("-")
    log.info("server.started")

    assert re.fullmatch(r"\S+Z info    server\.started", only_line(capsys))


def test_the_text_format_shows_exceptions(capsys: pytest.CaptureFixture[str]) -> None:
    json_logging.configure(log_format="text")

    try:
        raise RuntimeError("a bug")
    except RuntimeError:
        log.exception("request.failed")

    first, *rest = capsys.readouterr().out.splitlines()
    assert "request.failed" in first
    assert rest[0].startswith("Traceback")
    assert rest[-1] == "RuntimeError: a bug"


# Levels


@pytest.mark.parametrize(
    ("level", "shown"),
    [
        ("debug", ["debug", "info", "warning", "error"]),
        ("info", ["info", "warning", "error"]),
        ("warning", ["warning", "error"]),
        ("error", ["error"]),
    ],
)
def test_our_own_loggers_speak_from_the_set_level_up(
    capsys: pytest.CaptureFixture[str], level: str, shown: list[str]
) -> None:
    json_logging.configure(level)

    for name in ("debug", "info", "warning", "error"):
        log.log(logging.getLevelName(name.upper()), name)

    assert [json.loads(line)["event"] for line in capsys.readouterr().out.splitlines()] == shown


@pytest.mark.parametrize("level", ["debug", "info", "warning", "error"])
def test_audit_lines_are_written_whatever_the_level(
    capsys: pytest.CaptureFixture[str], level: str
) -> None:
    json_logging.configure(level)

    audit.did("key.created", "one")
    of_a_command = dict.fromkeys(("object", "details", "by", "who", "address"))
    audit.tell_later(0.0, {**of_a_command, "did": "key.revoked"})

    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["did"] for line in lines] == ["key.created", "key.revoked"]


@pytest.mark.parametrize("name", ["requests", "gunicorn.error", "somebody.else"])
@pytest.mark.parametrize("level", ["debug", "info", "warning"])
def test_other_libraries_never_speak_below_warning(
    capsys: pytest.CaptureFixture[str], name: str, level: str
) -> None:
    json_logging.configure(level)
    foreign = logging.getLogger(name)

    foreign.debug("https://secret/?key=1")
    foreign.info("https://secret/?key=2")
    foreign.warning("look out")

    line = fields(capsys)
    assert (line["event"], line["level"], line["logger"]) == ("look out", "warning", name)


def test_urllib3_whose_warnings_quote_addresses_and_headers_says_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    json_logging.configure("debug")

    logging.getLogger("urllib3.connection").warning(
        "Failed to parse headers (url=…): Set-Cookie: secret"
    )

    assert capsys.readouterr() == ("", "")


def test_python_s_warnings_become_log_lines(capsys: pytest.CaptureFixture[str]) -> None:
    json_logging.configure()

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(True)
        warnings.warn("old ways", stacklevel=1)
        logging.captureWarnings(False)

    line = fields(capsys)
    assert (line["level"], line["logger"]) == ("warning", "py.warnings")
    assert "old ways" in line["event"]


def test_configuring_again_replaces_what_was_there(capsys: pytest.CaptureFixture[str]) -> None:
    json_logging.configure("debug")
    json_logging.configure("info", "text")

    log.debug("quiet")
    log.info("once")

    assert only_line(capsys).endswith("once [req-1]")


def test_everything_goes_to_stdout_in_a_process_of_its_own() -> None:
    program = (
        "import logging; from gbproxy.observability.logging import configure; configure()\n"
        "logging.getLogger('gbproxy.x').info('here'); logging.getLogger('y').warning('there')"
    )

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )

    assert [json.loads(line)["event"] for line in done.stdout.splitlines()] == ["here", "there"]
    assert done.stderr == ""
