"""`gbproxy capture`, and that what it writes plays again as it was."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gbproxy import simulator as sim
from gbproxy.cli.capture import capture_lines
from gbproxy.cli.clients import open_local
from gbproxy.cli.steps import Step, Steps, open_recorded
from gbproxy.domain.catalogue import Catalogue, built_in_names
from gbproxy.domain.placeholders import shape
from gbproxy.domain.redaction import Redactor
from gbproxy.settings import Settings, load
from gbproxy.simulator import SWITCH_VALUES, Replay, Simulator
from gbproxy.upstreams.widget.credential import credential_of
from tests.cli.conftest import Command

pytestmark = pytest.mark.slow

QUESTION = "Say it: **数据** 🎉 and 1234567 to jane.doe@example.com, please."
ANSWER = "Here it is: **数据** 🎉 — for jane.doe@example.com.\n\n| a | b |\n|---|---|\n"
UNMET = re.compile(
    "file|download|model|widget_config|tools_off|max_prompt|_delay_s|elsewhere_url|own_session|dash_session"
)
TOLD = [
    ({name: value}, f"{name}={value}")
    for name, values in SWITCH_VALUES.items()
    if not UNMET.search(name)
    for value in values[1:]  # the first is in force under all others
]
FAILURES: dict[str, tuple[Any, ...]] = {
    "quota": sim.quota(),
    "overloaded": sim.overloaded(),
    "policy": sim.policy_violation(),
    "not_seeking": sim.not_seeking_assistance(),
    "in_stream": sim.in_stream_error(429, "RESOURCE_EXHAUSTED", "Quota 1234567 is used up."),
    "failed": sim.failed_alone(),
    "precondition": sim.failed_precondition(),
    "thoughts_only": sim.thoughts_only(),
    "u_token_only": sim.u_token_only(),
    "array_wrapped": sim.array_wrapped_error(500, "INTERNAL", "Oh."),
    "html": sim.html_error(502),
    "empty_body": sim.empty_body(),
    "empty_array": sim.empty_array(),
    "cut": sim.cut_bytes(150),
    "broken_chunk": sim.broken_chunk(),
    "blocked": sim.blocked("Half an answer"),
    "banned_phrase": sim.banned_phrase("secret plan"),
    "connector_errors": sim.connector_errors("An answer."),
    "prompt_too_large": sim.prompt_too_large(),
    "prompt_too_large_in_stream": sim.prompt_too_large(in_stream=True),
    "quota_exceeded": sim.quota_exceeded(),
    "denied": sim.denied(),
    "session_not_found": sim.session_not_found(),
    "message_only": sim.message_only_error(),
    "details_only": sim.details_only_error(),
    "half_head": sim.half_head(),
    "cut_after": sim.cut_after(2),
    "empty_body_500": sim.empty_body(500),
    "video": sim.video_reply(),
    "image": sim.image_reply(),
    "suggestions": sim.answer("Short."),
}


@dataclass(frozen=True)
class Run:
    """What the steps have met, and the capture of it."""

    steps: Sequence[Step]
    answer: str
    lines: list[str]

    def outcome(self) -> list[Any]:
        """What must be the same when it is played: each call's answer, and what the gateway made of
        it.
        """
        met = [
            (
                step.name,
                type(step.error).__name__,
                [
                    (
                        exchange.method,
                        exchange.url.rpartition("/")[2].partition("?")[0],
                        exchange.status,
                        exchange.is_complete,
                    )
                    for exchange in step.exchanges
                ],
                [len(exchange.reply_body) for exchange in step.exchanges],
            )
            for step in self.steps
        ]
        return [*met, shape(self.answer)]


def settings_for(upstream: Simulator, **variables: str) -> Settings:
    return load({**upstream.environment(), "READ_TIMEOUT_S": "5", **variables}, built_in_names())


def run(settings: Settings, *, with_text: bool = False) -> Run:
    """The steps on the first account of the settings, and their capture."""
    with open_local(settings) as services, open_recorded(services) as upstream:
        (account,) = services.pool.accounts()
        steps = Steps(upstream, account, Catalogue().get("gemini-auto"), QUESTION)
        met = list(steps.run())
        redactor = Redactor(
            credential_of(account).private(), with_text=with_text, phrases=settings.status_lines
        )
        lines = list(
            capture_lines(upstream.outbound.exchanges, redactor, account, with_text=with_text)
        )
    return Run(met, steps.answer, lines)


def replayed(lines: list[str], settings: Settings) -> Run:
    with Simulator(replay=Replay(lines, speed=0)) as player:
        return run(
            settings.model_copy(
                update={"gemini_business_url": player.url, "api_base_url": f"{player.url}/v1alpha"}
            )
        )


@pytest.mark.parametrize(("switches", "label"), TOLD, ids=[label for _, label in TOLD])
def test_a_capture_plays_as_it_was_under_every_switch(switches: dict[str, Any], label: str) -> None:
    with Simulator(seed=1) as upstream:
        upstream.set(**switches)
        upstream.model = lambda prompt: sim.ModelAnswer(ANSWER)
        settings = settings_for(upstream)
        captured = run(settings)

    played = replayed(captured.lines, settings)

    assert played.outcome() == captured.outcome()


@pytest.mark.parametrize("framing", ["json", "sse"])
@pytest.mark.parametrize("name", FAILURES)
def test_a_capture_of_a_failure_fails_as_it_did(name: str, framing: str) -> None:
    with Simulator(seed=1) as upstream:
        upstream.script(*FAILURES[name])
        settings = settings_for(upstream, UPSTREAM_STREAM=framing)
        captured = run(settings)

    played = replayed(captured.lines, settings)

    assert played.outcome() == captured.outcome()


def test_nothing_of_an_account_or_a_text_stands_in_a_capture(
    gbproxy: Command, upstream: Simulator, tmp_path: Path
) -> None:
    file = tmp_path / "capture.jsonl"
    upstream.model = lambda prompt: sim.ModelAnswer(ANSWER)

    ended = gbproxy(
        "capture", str(file), "--question", QUESTION, environment=upstream.environment()
    )

    text = file.read_text()
    account = upstream.account
    assert ended.status == 0, ended.err
    assert f"{file}: " in ended.out
    secrets = (
        account.secure_c_ses,
        account.host_c_oses,
        account.csesidx,
        account.config_id,
        account.project_number,
    )
    assert not [
        secret
        for secret in (*secrets, "jane", "example.com", "数据", "1234567", "please")
        if secret in text
    ]
    assert not [session.id for session in upstream.sessions.values() if session.id in text]
    heads = [json.loads(line) for line in text.splitlines()]
    assert heads[0]["texts"] == "shapes"
    assert [
        h["request"]["path"].rpartition("/")[2].partition("?")[0] for h in heads if "request" in h
    ] == [
        "getoxsrf",
        "lookupWidgetConfig",
        "widgetCreateSession",
        "widgetStreamAssist",
        "widgetListSessions",
        "widgetDeleteSession",
    ]
    assert not upstream.sessions_of(account)


def test_a_status_headline_is_kept_as_it_is_nobody_s_text(
    gbproxy: Command, upstream: Simulator, tmp_path: Path
) -> None:
    file = tmp_path / "capture.jsonl"
    upstream.script(*sim.answer("**Assessing the Request**", "**Musing**", "Sunflowers."))

    ended = gbproxy(
        "capture", str(file), environment=upstream.environment(), STATUS_LINES="**Musing**, Other"
    )

    text = file.read_text()
    assert ended.status == 0, ended.err
    assert [word in text for word in ("**Musing**", "Assessing", "Sunflowers")] == [
        True,
        False,
        False,
    ]


def test_with_text_the_texts_are_kept(
    gbproxy: Command, upstream: Simulator, tmp_path: Path
) -> None:
    file = tmp_path / "capture.jsonl"

    ended = gbproxy(
        "capture",
        str(file),
        "--with-text",
        "--question",
        "Hello, world",
        environment=upstream.environment(),
    )

    assert ended.status == 0, ended.err
    assert "Hello, world" in file.read_text()
    assert upstream.account.secure_c_ses not in file.read_text()


def test_a_failed_step_is_told_and_captured(
    gbproxy: Command, upstream: Simulator, tmp_path: Path
) -> None:
    file = tmp_path / "capture.jsonl"
    upstream.set(getoxsrf="403")

    ended = gbproxy("capture", str(file), environment=upstream.environment())

    assert ended.status == 1
    assert "sign in: " in ended.out
    assert json.loads(file.read_text().splitlines()[2])["status"] == 403


def test_a_file_that_is_there_stays(gbproxy: Command, upstream: Simulator, tmp_path: Path) -> None:
    file = tmp_path / "capture.jsonl"
    file.write_text("mine")

    ended = gbproxy("capture", str(file), environment=upstream.environment())

    assert (ended.status, file.read_text()) == (2, "mine")
    assert "is there already" in ended.err
    assert not upstream.requests


def test_an_account_that_is_not_there_is_told(
    gbproxy: Command, upstream: Simulator, tmp_path: Path
) -> None:
    ended = gbproxy("capture", str(tmp_path / "c"), "nobody", environment=upstream.environment())

    assert ended.status == 2
    assert "no account 'nobody'" in ended.err
