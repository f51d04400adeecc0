"""Settings that are odd, and let in: whatever they cause, a question gets its answer or a plain
error.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gbproxy.settings import SettingsError
from gbproxy.simulator import Simulator
from tests.support.serving import in_process

pytestmark = pytest.mark.slow

ODD = [
    *[
        ("UPSTREAM_HEADERS", headers)
        for headers in (
            '{"X-A": "é"}', '{"X-A": ""}', '{"content-type": "text/plain"}', '{"Accept-Encoding": "br"}',
            '{"Expect": "100-continue"}', '{"user-agent": "ü"}', '{"X-A": "\\u00ad"}', '{"!": "x"}', '{"traceparent": "x"}',
        )
    ],
    ("GEMINI_BUSINESS_URL", "http://127.0.0.1:1/%zz"),
    ("GEMINI_BUSINESS_URL", "http://[v1.a]:1"),
    *[
        ("API_BASE_URL", url)
        for url in (
            "http://127.0.0.1:0", "http://127.0.0.1:1/%zz", "http://127.0.0.1:1/<>\\^`{|}", "http://[v1.a]:1",
            "http://[fe80::1%25lo]:1", "http://xn--0.invalid:1", "http://999.999.999.999:1",
        )
    ],
    *[
        ("PROXY", url)
        for url in (
            "http://é:ü€@127.0.0.1:1", "http://a%00b:%0a@127.0.0.1:1", "socks5h://[::1]:1", "socks5://%E9@127.0.0.1:1",
            "http://a[:b]\\@127.0.0.1:1", "http://a%zz:%@127.0.0.1:1", "https://🔑@127.0.0.1:1", "socks5h://é:ü€@127.0.0.1:1",
        )
    ],
    ("USER_AGENT", "~"),
    ("TIME_ZONE", "Factory"),
    ("LANGUAGE_CODE", "ab-1-2-3"),
    ("MODELS", '[{"id": "gemini-auto", "successor": "gemini-auto"}]'),
    ("MODELS", '[{"id": "gemini-auto", "upstream": "a/b:c"}]'),
    ("STATUS_LINES", "*,\ud800"),
    ("CONNECT_TIMEOUT_S", "0.000000001"),
    ("READ_TIMEOUT_S", "0.000000001"),
    ("REQUEST_TIMEOUT_S", "0.000000001"),
    ("HEARTBEAT_S", "0.000000001"),
    ("SESSION_TIMEOUT", "0.0000001"),
    ("MODEL_INTERVAL_S", "0.000000001"),
    ("PROMPT_MAX_CHARS", "1"),
    ("MAX_BODY_MB", "0.0000001"),
    ("WORKER_CONNECTIONS", "100000"),
    ("CSESIDX", "9" * 64),
    ("SECURE_C_SES", "~!#"),
]  # fmt: skip
PLAIN = {200, 400, 413, 502, 504}


@pytest.fixture(scope="module")
def upstream() -> Iterator[Simulator]:
    with Simulator() as simulator:
        yield simulator


@pytest.mark.parametrize(("variable", "value"), ODD)
def test_no_question_ends_in_500(upstream: Simulator, variable: str, value: str) -> None:
    environment = {**upstream.environment(), "MAX_ATTEMPTS": "1", variable: value}

    with in_process(environment, prewarmed=0) as gateway:
        whole, streamed = gateway.ask("Hi"), gateway.ask("Hi", stream=True)

    assert {whole.status, streamed.status} <= PLAIN
    assert all(reply.status == 200 or reply.error["message"] for reply in (whole, streamed))


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("API_BASE_URL", "http://a..b"),
        ("GEMINI_BUSINESS_URL", f"http://{'a' * 64}.example"),
        ("PROXY", "socks5h://xn--:1"),
        ("WORKER_CONNECTIONS", "1000000000"),
        ("WEB_CONCURRENCY", "1000000000"),
        ("USER_AGENT", "a\nb"),
        ("UPSTREAM_HEADERS", '{"X-A": "€"}'),
    ],
)
def test_what_no_question_could_be_asked_with_is_refused_at_the_start(
    upstream: Simulator, variable: str, value: str
) -> None:
    with (
        pytest.raises(SettingsError, match=f"^{variable}: "),
        in_process({**upstream.environment(), variable: value}),
    ):
        pass
