"""What is counted, and how it is told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from gbproxy import observability
from gbproxy.domain.account import AccountState, AccountView, CredentialMoments, QuotaClass
from gbproxy.observability.definitions import FAMILIES
from gbproxy.observability.exposition import ACCOUNTS_SHOWN
from gbproxy.observability.meter import SILENT, Meter, Outcome, UpstreamCall
from gbproxy.observability.metrics import Metrics
from gbproxy.observability.request_context import Phase, RequestContext
from tests.support.prometheus import page_of

MODEL = "gemini-auto"
ANSWER = "gen_ai_server_request_duration_seconds"
FIRST = "gen_ai_server_time_to_first_token_seconds"
EACH = "gen_ai_server_time_per_output_token_seconds"


def view(
    account_id: str,
    state: AccountState = "ready",
    cooling_until: Mapping[QuotaClass, float] | None = None,
) -> AccountView:
    return AccountView(
        account_id, account_id, state, {}, cooling_until or {},
        in_flight=0, last_used_at=None, last_error=None, last_error_said=None,
    )  # fmt: skip


@pytest.fixture
def metrics() -> Metrics:
    return Metrics([MODEL])


def observing(
    accounts: Sequence[AccountView], *, database_is_up: bool = True, models: Sequence[str] = ()
) -> Metrics:
    metrics = Metrics(models)
    moments = {each.id: CredentialMoments(7.0, 8.0) for each in accounts}
    metrics.observe(lambda: accounts, lambda: database_is_up, lambda: moments)
    return metrics


def asked(**facts: Any) -> RequestContext:
    """A request that has been answered at its first try."""
    tokens = {"input_tokens": 100, "output_tokens": 50}
    return RequestContext(
        attempts=1, accounts=1, ttft_ms=1.0, log_fields={"model": MODEL, **tokens, **facts}
    )


def test_a_request_is_counted_by_where_it_went_and_how_it_ended(metrics: Metrics) -> None:
    metrics.request_done(asked(), "openai_chat", 200)
    metrics.request_done(asked(), "openai_chat", 200)
    metrics.request_done(asked(code="upstream_error"), "openai_chat", 200)
    metrics.request_done(RequestContext(), "health", 200)

    page = page_of(metrics)
    total = "gbproxy_requests_total"
    assert page.value(total, surface="openai_chat", model=MODEL, status="200", code="") == 2
    assert page.value(total, surface="openai_chat", code="upstream_error") == 1
    assert page.value(total, surface="health", model="", code="") == 1


def test_a_model_that_is_not_in_the_catalogue_is_another_one(metrics: Metrics) -> None:
    metrics.request_done(asked(model="what a client has written"), "openai_chat", 200)

    page = page_of(metrics)
    assert page.by("gbproxy_requests_total", "model") == {"other": 1}
    assert "written" not in page.text


def test_an_answer_is_measured_from_its_arrival_to_its_end(metrics: Metrics) -> None:
    measured = asked(output_tokens=11)
    measured.started -= 3.0
    measured.ttft_ms = 1000.0

    metrics.request_done(measured, "openai_chat", 200)

    page = page_of(metrics)
    assert page.value(f"{ANSWER}_sum", gen_ai_request_model=MODEL) == pytest.approx(3.0, abs=0.5)
    assert page.value(f"{FIRST}_sum") == 1.0
    assert page.value(f"{EACH}_sum") == pytest.approx(0.2, abs=0.05)
    assert page.value("gen_ai_client_token_usage_sum", gen_ai_token_type="input") == 100
    assert page.value("gen_ai_client_token_usage_sum", gen_ai_token_type="output") == 11


def test_what_failed_has_a_duration_and_an_error_but_no_rate(metrics: Metrics) -> None:
    metrics.request_done(asked(code="upstream_timeout"), "openai_chat", 504)

    page = page_of(metrics)
    assert page.value(f"{ANSWER}_count", error_type="upstream_timeout") == 1
    assert page.value(f"{FIRST}_count") == page.value(f"{EACH}_count") == 0


def test_a_request_without_a_model_is_no_answer(metrics: Metrics) -> None:
    metrics.request_done(RequestContext(), "openai_models", 200)

    assert page_of(metrics).value(f"{ANSWER}_count") == 0


def test_tries_are_counted_by_their_results_and_further_accounts_apart(metrics: Metrics) -> None:
    measured = asked()
    measured.attempts, measured.accounts = 5, 3
    measured.failures = [
        ("upstream_error", "INTERNAL"),
        ("upstream_error", ""),
        ("upstream_error", "MADE_UP"),
        ("insufficient_quota", "RESOURCE_EXHAUSTED"),
    ]

    metrics.request_done(measured, "openai_chat", 200)
    metrics.request_done(asked(client_gone=True), "openai_chat", 200)

    page = page_of(metrics)
    told = {"upstream_error": 3, "insufficient_quota": 1, "ok": 1, "abandoned": 1}
    assert page.by("gbproxy_attempts_total", "result") == told
    words = {"INTERNAL": 1, "other": 1, "RESOURCE_EXHAUSTED": 1, "": 3}
    assert page.by("gbproxy_attempts_total", "upstream_status") == words
    assert page.value("gbproxy_failovers_total") == 2


@pytest.mark.parametrize("phase", Phase)
def test_who_leaves_is_counted_by_how_far_it_came(metrics: Metrics, phase: Phase) -> None:
    measured = asked(client_gone=True)
    measured.phase = phase

    metrics.request_done(measured, "openai_chat", 200)

    page = page_of(metrics)
    assert page.by("gbproxy_clients_gone_total", "phase") == {phase.value: 1}
    assert page.value("gbproxy_requests_total", code="client_gone") == 1


def test_only_who_waited_for_an_account_is_in_the_waits(metrics: Metrics) -> None:
    metrics.request_done(asked(), "openai_chat", 200)
    measured = asked()
    measured.queued_s = 1.5
    metrics.request_done(measured, "openai_chat", 200)

    page = page_of(metrics)
    assert page.value("gbproxy_account_wait_seconds_count") == 1
    assert page.value("gbproxy_account_wait_seconds_sum") == 1.5


def test_what_runs_is_what_has_begun_and_not_ended(metrics: Metrics) -> None:
    metrics.answer_begun("stream")
    metrics.answer_begun("stream")
    metrics.answer_ended("stream")
    metrics.answer_begun("whole")

    assert page_of(metrics).by("gbproxy_answers_in_flight", "kind") == {"stream": 1, "whole": 1}


def test_accounts_are_told_one_by_one_and_by_number() -> None:
    accounts = [view("a"), view("b", "cooling", {"text": 1_800_000_000.5}), view("c", "refused")]
    metrics = observing(accounts)
    for account in ("a", "gone"):
        metrics.account_leased(account)

    page = page_of(metrics)
    assert page.by("gbproxy_accounts", "state") == {"ready": 1, "cooling": 1, "refused": 1}
    states = {
        (s.labels["account"], s.labels["state"])
        for s in page.samples("gbproxy_account_state")
        if s.value
    }
    assert states == {("a", "ready"), ("b", "cooling"), ("c", "refused")}
    assert page.value("gbproxy_account_state", account="a", state="cooling") == 0
    ends = page.samples("gbproxy_account_cooling_until_timestamp_seconds")
    assert [(end.labels, end.value) for end in ends] == [
        ({"account": "b", "quota": "text"}, 1_800_000_000.5)
    ]
    assert page.by("gbproxy_account_in_flight", "account") == {"a": 1}


def test_of_very_many_accounts_those_in_trouble_are_told_first() -> None:
    accounts = [view(f"a{number}") for number in range(ACCOUNTS_SHOWN)] + [view("last", "refused")]

    page = page_of(observing(accounts))

    assert len(page.samples("gbproxy_account_state")) == 4 * ACCOUNTS_SHOWN
    assert page.value("gbproxy_account_state", account="last", state="refused") == 1
    assert page.value("gbproxy_accounts", state="ready") == ACCOUNTS_SHOWN


def test_a_database_that_is_away_is_told() -> None:
    assert page_of(observing((), database_is_up=False)).value("gbproxy_database_up") == 0


@pytest.mark.parametrize(
    ("error", "result"),
    [(None, "ok"), (GeneratorExit(), "abandoned"), (ValueError(), "abandoned")],
)
def test_a_call_is_counted_by_what_leaves_it(
    metrics: Metrics, error: BaseException | None, result: str
) -> None:
    try:
        with UpstreamCall(metrics, "streamAssist"):
            if error is not None:
                raise error
    except (GeneratorExit, ValueError):
        pass

    samples = page_of(metrics).samples("gbproxy_upstream_calls_total")
    assert [sample.labels for sample in samples] == [{"verb": "streamAssist", "result": result}]


def test_every_metric_is_told_by_its_name_with_its_labels_and_no_other() -> None:
    metrics = observing([view("a", "cooling", {"text": 1.0})], models=[MODEL])
    _report_everything(metrics)

    told: dict[str, set[str]] = {}
    for sample in page_of(metrics).samples():
        told.setdefault(sample.name, set()).update(sample.labels)

    for family in FAMILIES:
        suffixes = ("_bucket", "_sum", "_count") if family.kind == "histogram" else ("",)
        for suffix in suffixes:
            assert told.pop(family.name + suffix) - {"le"} == set(family.labels), family.name
    assert {name for name in told if not name.endswith("_created")} == set()


def test_who_counts_nothing_takes_every_report() -> None:
    _report_everything(SILENT)

    assert SILENT.collect()() == b""


def _report_everything(meter: Meter) -> None:
    measured = asked(client_gone=True)
    measured.queued_s, measured.accounts = 1.0, 2
    meter.request_done(measured, "openai_chat", 200)
    meter.request_done(asked(), "openai_chat", 200)
    meter.answer_begun("stream")
    meter.answer_ended("stream")
    meter.account_leased("a")
    meter.account_returned("a")
    meter.account_changed("cooling", "text", "quota")
    meter.upstream_called("getoxsrf", "ok")
    meter.token_refreshed("ok")
    meter.conversation("fresh")
    meter.database_failed()
    meter.limited("requests")
    meter.alert_sent("slack", "ok")
    meter.worker_started()
    meter.worker_ended(1)


def test_the_times_of_a_credential_are_told_for_the_accounts_that_are_there() -> None:
    metrics = Metrics([])
    moments = {"a": CredentialMoments(7.0, 8.0), "b": CredentialMoments(None, None)}
    metrics.observe(
        lambda: [view("a", "ready"), view("b", "ready")],
        lambda: True,
        lambda: {**moments, "gone": CredentialMoments(1.0, 1.0)},
    )

    told = {
        (sample.name, sample.labels["account"]): sample.value
        for sample in page_of(metrics).samples()
        if "timestamp" in sample.name
    }

    assert told == {
        ("gbproxy_account_cookies_timestamp_seconds", "a"): 7.0,
        ("gbproxy_account_checked_timestamp_seconds", "a"): 8.0,
    }


@pytest.mark.parametrize(("outcome", "former"), [("miss", "missed"), ("contended", "taken")])
def test_an_outcome_is_counted_under_its_former_name_too(
    metrics: Metrics, outcome: Outcome, former: str
) -> None:
    metrics.conversation(outcome)

    page = page_of(metrics)
    total = "gbproxy_conversations_total"
    assert [page.value(total, outcome=name) for name in (outcome, former, "fresh")] == [1, 1, 0]


def test_the_names_for_generative_ai_stand_in_one_module() -> None:
    package = Path(observability.__file__).parents[1]

    naming = {path.name for path in package.rglob("*.py") if '"gen_ai' in path.read_text("utf-8")}

    assert naming == {"names.py"}
