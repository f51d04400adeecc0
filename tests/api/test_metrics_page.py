"""Who may read the metrics, and what is in them of a request."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.fake_upstream import FakeUpstream, api
from tests.support.prometheus import scraped
from tests.support.serving import KEY, InProcess, Reply

METRICS_KEY = "a-key-for-metrics-0123"
ADMIN_KEY = "an-admin-key-of-tests-01"


@pytest.fixture
def app() -> Iterator[InProcess]:
    with api(METRICS_KEY=METRICS_KEY, ADMIN_KEY=ADMIN_KEY) as (made, _):
        yield made


@pytest.mark.parametrize("key", [METRICS_KEY, ADMIN_KEY])
def test_either_key_opens_it(app: InProcess, key: str) -> None:
    reply = app.request("GET", "/metrics", headers={"Authorization": f"Bearer {key}"})

    assert reply.status == 200
    assert reply.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert b"# TYPE gbproxy_requests_total counter" in reply.body


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": f"Bearer {KEY}"},
        {"Authorization": "Bearer "},
        {"Authorization": METRICS_KEY},
        {"Authorization": f"Basic {METRICS_KEY}"},
        {"x-api-key": METRICS_KEY},
        {"x-goog-api-key": METRICS_KEY},
    ],
    ids=lambda headers: "-".join(headers) or "none",
)
@pytest.mark.parametrize("path", ["/metrics", "/metrics/", f"/metrics?key={METRICS_KEY}"])
def test_nothing_else_does(app: InProcess, headers: dict[str, str], path: str) -> None:
    reply = app.request("GET", path, headers=headers)

    assert (reply.status, reply.error["code"]) == (401, "invalid_api_key")


def test_without_keys_there_is_nothing() -> None:
    with api() as (app, _):
        reply = app.request("GET", "/metrics", headers={"Authorization": f"Bearer {KEY}"})

        assert (reply.status, reply.error["code"]) == (404, "not_found")


def test_guesses_are_slowed_and_neither_a_client_s_key_nor_the_right_one_is_one(
    app: InProcess,
) -> None:
    def shown(key: str) -> Reply:
        return app.request("GET", "/metrics", headers={"Authorization": f"Bearer {key}"})

    clients = [shown(KEY).status for _ in range(6)]
    guesses = [shown("a-guess") for _ in range(7)]

    assert clients == [401] * 6
    assert [reply.status for reply in guesses] == [401] * 5 + [429] * 2
    assert int(guesses[6].headers["Retry-After"]) > 0
    assert [shown(key).status for key in (METRICS_KEY, ADMIN_KEY)] == [200, 200]


def test_behind_a_proxy_with_a_password_of_its_own_the_key_stands_in_x_api_key(
    app: InProcess,
) -> None:
    headers = {"Authorization": "Basic dXNlcjpwYXNz", "x-api-key": METRICS_KEY}

    assert app.request("GET", "/metrics", headers=headers).status == 200


def test_an_admin_key_alone_opens_it() -> None:
    with api(ADMIN_KEY=ADMIN_KEY) as (app, _):
        assert scraped(app, ADMIN_KEY).value("gbproxy_accounts", state="ready") == 1


def test_an_answer_is_counted_in_all_its_parts(app: InProcess) -> None:
    app.ask("Say PROMPTMARK", stream=True)
    app.ask("Say PROMPTMARK", model="gpt-PROMPTMARK")
    app.request("GET", "/v1/models/PROMPTMARK", headers=app.headers)
    app.request("GET", "/PROMPTMARK")

    page = scraped(app, METRICS_KEY)
    requests = "gbproxy_requests_total"
    assert (
        page.value(requests, surface="openai_chat", model="gemini-auto", status="200", code="") == 2
    )
    assert page.value(requests, surface="openai_models", status="404", code="model_not_found") == 1
    assert page.value(requests, surface="none", status="404", code="not_found") == 1
    assert page.by("gbproxy_attempts_total", "result") == {"ok": 2}
    assert page.value("gen_ai_server_time_to_first_token_seconds_count") == 2
    assert page.value("gbproxy_overhead_seconds_count", surface="openai_chat") == 2
    assert page.value("gbproxy_conversations_total", outcome="fresh") == 2
    assert (
        page.by("gbproxy_answers_in_flight", "kind")
        == page.by("gbproxy_account_in_flight", "account")
        == {}
    )
    assert [word for word in ("PROMPTMARK", KEY, METRICS_KEY, ADMIN_KEY) if word in page.text] == []


def test_nothing_is_counted_for_each_piece_of_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    from prometheus_client import values

    from gbproxy.domain.events import FLUSH, Done, TextDelta

    def writes(pieces: int) -> int:
        counted = 0

        class Counting(values.MutexValue):
            def inc(self, amount: float) -> None:
                nonlocal counted
                counted += 1
                super().inc(amount)

        monkeypatch.setattr(values, "ValueClass", Counting)
        with api(METRICS_KEY=METRICS_KEY) as (app, fake):
            fake.events = (*[TextDelta("word "), FLUSH] * pieces, Done())
            assert app.ask(stream=True).status == 200
        return counted

    assert writes(2) == writes(200)


def test_what_a_limit_refuses_is_counted_by_the_limit() -> None:
    with api(METRICS_KEY=METRICS_KEY, RATE_LIMIT="1/hour") as (app, _):
        assert [app.ask().status for _ in range(3)] == [200, 429, 429]

        assert scraped(app, METRICS_KEY).by("gbproxy_limited_total", "kind") == {"requests": 2}

    with api(METRICS_KEY=METRICS_KEY, MODEL_INTERVAL_S="60") as (app, _):
        assert [app.ask().status for _ in range(2)] == [200, 429]

        assert scraped(app, METRICS_KEY).by("gbproxy_limited_total", "kind") == {"interval": 1}


def test_a_failure_has_its_code_in_every_part() -> None:
    from gbproxy.errors import QuotaExhausted

    with api(METRICS_KEY=METRICS_KEY) as (app, fake):
        assert isinstance(fake, FakeUpstream)
        fake.events = (QuotaExhausted("used up"),)
        app.ask()

        page = scraped(app, METRICS_KEY)

    assert page.value("gbproxy_requests_total", status="429", code="insufficient_quota") == 1
    assert page.by("gbproxy_attempts_total", "result") == {"insufficient_quota": 1}
    assert (
        page.value("gbproxy_account_changes_total", state="cooling", quota="text", cause="quota")
        == 1
    )
    assert page.value("gbproxy_accounts", state="cooling") == 1
    assert page.value("gbproxy_account_cooling_until_timestamp_seconds", quota="text") > 0
