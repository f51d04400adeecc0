"""Whatever the upstream turns out to be like where nobody is sure: the answer is its own, to the
letter.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gbproxy.simulator import MAIN_FLOW_VALUES, SWITCH_VALUES, ModelAnswer, answer
from gbproxy.upstreams.widget.credential import EDITIONS
from tests.support.serving import Front, Reply, Served, SharedUpstream, fronting, in_process
from tests.support.texts import FRAGMENTS, QUESTION, TEXT, THOUGHTS

pytestmark = pytest.mark.slow

streamed_or_not = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
either_framing = pytest.mark.parametrize("framing", ["json", "sse"])

# A dead credential is one thing, a sign-in service that is out of order another.
REFUSED = (
    "refreshcookies_dead", "refreshcookies_elsewhere", "login", "account_chooser", "401", "403", "html",
    "missing_fields", "garbage",
)  # fmt: skip
BROKEN = ("eof", "500", "503")

# Under what this gateway does not answer yet, and the error that is due instead: its code, and
# words of its message. The last switch of an entry is the one that is lacking. Who teaches the
# gateway to answer takes the entry out: from then on the answer itself is asked for, under this
# value alone and in every mixture.
RESERVED: list[tuple[dict[str, Any], str, str]] = [
    (
        # whose configuration, read beside a slow request, would tell that the tool is off
        {"widget_config": "absent", "tools_off": ("image",), "tools_off_answer": "silence"},
        "upstream_error",
        "an empty answer",
    ),
    (
        {"max_prompt_chars": 3, "prompt_too_large": "reason"},
        "context_length_exceeded",
        "maximum context length",
    ),
    (
        {"max_prompt_chars": 3, "prompt_too_large": "in_stream"},
        "context_length_exceeded",
        "maximum context length",
    ),
]
# Under what an account of three values and two cookies is refused, and with what error; and what it
# must have, or how its sessions must come to be, for the answer to be there.
GATES: list[tuple[dict[str, Any], str, str, tuple[str, ...], str]] = [
    (
        {"edition": "enterprise"},
        "upstream_auth_failed",
        "refused the token, also a fresh one",
        ("edition",),
        "create",
    ),
    ({"location": "us"}, "upstream_error", "would not open a session", ("location",), "create"),
    ({"location": "eu"}, "upstream_error", "would not open a session", ("location",), "create"),
    (
        {"location": "eu", "wrong_location": "403"},
        "upstream_auth_failed",
        "denies this account access",
        ("location",),
        "create",
    ),
    (
        {"location": "eu", "wrong_location": "400"},
        "upstream_error",
        "would not open a session (INVALID_ARGUMENT)",
        ("location",),
        "create",
    ),
    (
        {"server_token": "wanted"},
        "upstream_auth_failed",
        "denies this account access",
        ("server_token",),
        "create",
    ),
    (
        {"server_token": "exact"},
        "upstream_auth_failed",
        "denies this account access",
        ("server_token",),
        "create",
    ),
    (
        {"server_token": "wanted", "server_token_refusal": "400"},
        "upstream_error",
        "would not open a session",
        ("server_token",),
        "create",
    ),
    (
        {"server_token": "wanted", "server_token_refusal": "401"},
        "upstream_auth_failed",
        "refused the token",
        ("server_token",),
        "create",
    ),
    (
        {"user_agent": "browser"},
        "upstream_auth_failed",
        "cookies were refused (status 403)",
        ("user_agent",),
        "create",
    ),
    (
        {"user_agent": "browser", "user_agent_refusal": "html"},
        "upstream_auth_failed",
        "a page in place of a key",
        ("user_agent",),
        "create",
    ),
    (
        {"further_cookies": ("__Secure-C_AUX",)},
        "upstream_auth_failed",
        "to a sign-in page",
        ("cookies",),
        "create",
    ),
    ({"create_session": "400"}, "upstream_error", "would not open a session", (), "own"),
    ({"create_session": "403"}, "upstream_auth_failed", "denies this account access", (), "dash"),
    ({"create_session": "404"}, "upstream_error", "would not open a session", (), "own"),
]
REFUSALS = [
    *RESERVED,
    *((switches, code, words) for switches, code, words, _fields, _form in GATES),
]
LACKING = {list(switches.items())[-1] for switches, _code, _words in REFUSALS}

ALL_GATES = (
    "edition", "location", "wrong_location", "server_token", "server_token_refusal", "user_agent", "user_agent_refusal",
    "further_cookies", "create_session", "session_info", "session_name",
)  # fmt: skip

SWITCHES = [
    (
        {name: value},
        f"{name}={','.join(value) if isinstance(value, tuple) and len(value) < 4 else value}",
    )
    for name, values in SWITCH_VALUES.items()
    for value in (values if name != "getoxsrf" else MAIN_FLOW_VALUES[name])
    if {name: value} not in [switches for switches, _code, _words in REFUSALS]
]
# In either framing; to the client streamed in one of them, whole in the other, by turns.
EVERY_SWITCH = [
    pytest.param(
        switches, framing, stream, id=f"{name}-{framing}-{'streamed' if stream else 'whole'}"
    )
    for number, (switches, name) in enumerate(SWITCHES)
    for framing, stream in (("json", number % 2 == 0), ("sse", number % 2 == 1))
]
TOGETHER: list[dict[str, Any]] = [
    {"create_session_transient": 1, "create_session_transient_status": 500},
    {"getoxsrf": "refreshcookies", "refreshcookies_answer": "page"},
    {"getoxsrf": "refreshcookies", "nid_triggers_refresh": False},
    {"getoxsrf": "refreshcookies", "refresh_hops": 3},
    {
        "getoxsrf": "refreshcookies",
        "refresh_hops": 10,
        "host_c_oses": "required",
        "refreshcookies_answer": "page",
    },
    {"final": "repeats_text", "citations": True, "metadata_only": True},
    {"final": "carries_last_text", "state": "absent", "u_token": "every", "wrapper": "bare"},
    {"gzip": True, "cuts": "1", "transfer": "content_length"},
    {
        "gzip": True,
        "cuts": "random",
        "transfer": "close",
        "layout": "padded",
        "ascii_escapes": True,
    },
    {"sse_lines": "crlf", "sse_comments": True, "sse_multiline": True, "cuts": "1"},
    {"clock_skew_s": 3600.0, "getoxsrf": "refreshcookies"},
]


@pytest.fixture(scope="module")
def fronts() -> Iterator[Callable[[str], Front]]:
    """Gateways without prewarmed sessions: each request meets every kind of call, and nobody else
    makes any.
    """
    made: dict[str, Front] = {}
    with ExitStack() as stack:

        def front(framing: str) -> Front:
            if framing not in made:
                upstream = stack.enter_context(SharedUpstream())
                settings = {"UPSTREAM_STREAM": framing, "LOG_LEVEL": "debug"}
                made[framing] = stack.enter_context(fronting(upstream, settings, prewarms=False))
            return made[framing]

        yield front


def assert_is_the_upstreams(reply: Reply) -> None:
    assert reply.status == 200, reply.body
    assert reply.text == TEXT
    assert reply.finish_reason == "stop"
    assert reply.reasoning == ""
    assert reply.succeeded


@pytest.mark.parametrize(("switches", "framing", "stream"), EVERY_SWITCH)
def test_the_answer_arrives_to_the_letter(
    gateway: Served, upstream: SharedUpstream, switches: dict[str, Any], stream: bool
) -> None:
    upstream.model = lambda prompt: ModelAnswer(TEXT, THOUGHTS)
    upstream.set(**switches)
    upstream.revoke_tokens()

    reply = gateway.ask(QUESTION, stream=stream)

    assert_is_the_upstreams(reply)
    tries = 1 + len(switches.get("tools_off", ()))  # one refusal teaches of one tool
    assert upstream.questions() == [QUESTION] * tries


@either_framing
@streamed_or_not
@pytest.mark.parametrize("switches", TOGETHER, ids=lambda switches: ",".join(switches))
def test_the_answer_arrives_to_the_letter_when_several_things_are_unusual(
    gateway: Served, upstream: SharedUpstream, switches: dict[str, Any], stream: bool
) -> None:
    upstream.script(*answer(*FRAGMENTS, thoughts=("**Assessing the Request**\n\nhm\n\n\n",)))
    upstream.set(**switches)
    upstream.revoke_tokens()

    reply = gateway.ask(QUESTION, stream=stream)

    assert_is_the_upstreams(reply)


@pytest.mark.slow
@either_framing
@settings(
    max_examples=100,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors],
)
@given(
    switches=st.fixed_dictionaries(
        {
            name: st.sampled_from([value for value in values if (name, value) not in LACKING])
            for name, values in MAIN_FLOW_VALUES.items()
            if not name.endswith("_delay_s")
        }
    ),
    stream=st.booleans(),
)
def test_the_answer_arrives_to_the_letter_under_any_mixture(
    front: Front, switches: dict[str, Any], stream: bool
) -> None:
    front.renew()
    front.upstream.model = lambda prompt: ModelAnswer(TEXT, THOUGHTS)
    front.upstream.set(**switches)
    front.upstream.revoke_tokens()

    reply = front.gateway.ask(QUESTION, stream=stream)

    assert_is_the_upstreams(reply)


@streamed_or_not
@pytest.mark.parametrize(
    "mode", [value for value in SWITCH_VALUES["getoxsrf"] if value in REFUSED + BROKEN]
)
def test_a_sign_in_that_cannot_succeed_is_told(
    gateway: Served, upstream: SharedUpstream, mode: str, stream: bool
) -> None:
    upstream.set(getoxsrf=mode)
    upstream.revoke_tokens()

    reply = gateway.ask(stream=stream)

    assert reply.status == 502
    assert reply.error["code"] == ("upstream_auth_failed" if mode in REFUSED else "upstream_error")
    assert reply.headers["x-should-retry"] == "false"
    # at once, or after one renewal of the cookies that was no use, for each pair that is known
    if mode in REFUSED:
        assert "SECURE_C_SES" in reply.error["message"]
        asked, renewed = (cookies_of(upstream, name) for name in ("getoxsrf", "refreshcookies"))
        tried = renewed if mode == "refreshcookies_dead" else asked
        assert len(tried) <= 2  # those that were renewed before, and those that are configured
        assert set(tried.values()) == {1}
        assert asked.total() == tried.total() + renewed.total()


@pytest.mark.parametrize(
    ("switches", "code", "words"),
    REFUSALS,
    ids=lambda value: value if type(value) is str else str(value),
)
def test_what_cannot_be_answered_is_told(switches: dict[str, Any], code: str, words: str) -> None:
    with SharedUpstream() as upstream:
        upstream.set(**switches)

        # A gateway of its own: with a token or a session at hand, another call would be the one
        # that is refused.
        with in_process(upstream.environment(), prewarmed=0) as gateway:
            reply = gateway.ask(QUESTION)

    assert reply.status == (
        400 if code in ("invalid_request_error", "context_length_exceeded") else 502
    )
    assert reply.error["code"] == code
    assert words in reply.error["message"]


@streamed_or_not
@pytest.mark.parametrize("framing", ["json"])
@pytest.mark.parametrize(
    "chain",
    [
        {"refresh_hops": 11},
        {"refresh_chain": "elsewhere"},
        {"refresh_chain": "http"},
        {"refresh_chain": "loop"},
    ],
    ids=str,
)
def test_a_renewal_that_leads_astray_is_told(
    gateway: Served, upstream: SharedUpstream, chain: dict[str, Any], stream: bool
) -> None:
    upstream.set(getoxsrf="refreshcookies", **chain)
    upstream.revoke_tokens()

    reply = gateway.ask(stream=stream)

    assert (reply.status, reply.error["code"]) == (502, "upstream_auth_failed")
    assert upstream.calls("refreshcookies")
    assert all(
        call.csesidx is None for call in upstream.calls("widgetCreateSession")
    )  # with the token that was revoked


@streamed_or_not
@pytest.mark.parametrize(
    ("switches", "fields", "form"), [(row[0], *row[3:]) for row in GATES], ids=str
)
def test_the_answer_arrives_once_the_account_has_what_its_gate_wants(
    switches: dict[str, Any], fields: tuple[str, ...], form: str, stream: bool
) -> None:
    with SharedUpstream() as upstream:
        upstream.model = lambda prompt: ModelAnswer(TEXT, THOUGHTS)
        upstream.set(**switches)

        with in_process(
            with_fields(upstream, *fields), prewarmed=0, UPSTREAM_SESSION=form
        ) as gateway:
            reply = gateway.ask(QUESTION, stream=stream)

        assert_is_the_upstreams(reply)
        assert upstream.questions() == [QUESTION]


@pytest.mark.slow
@streamed_or_not
@pytest.mark.parametrize("form", ["own", "dash"])
@settings(
    max_examples=75,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.differing_executors],
)
@given(
    switches=st.fixed_dictionaries(
        {name: st.sampled_from(SWITCH_VALUES[name]) for name in ALL_GATES}
    )
)
def test_an_account_that_has_all_that_any_gate_wants_passes_every_mixture_of_them(
    switches: dict[str, Any], form: str, stream: bool
) -> None:
    with SharedUpstream() as upstream:
        upstream.model = lambda prompt: ModelAnswer(TEXT, THOUGHTS)
        upstream.set(**switches)
        everything = with_fields(
            upstream, "edition", "location", "cookies", "server_token", "user_agent"
        )

        with in_process(everything, prewarmed=0, UPSTREAM_SESSION=form) as gateway:
            reply = gateway.ask(QUESTION, stream=stream)

        assert_is_the_upstreams(reply)


@pytest.fixture
def by_name() -> Iterator[SharedUpstream]:
    """An upstream that is reached by its own names alone: it is the proxy on the way there. It
    hears nothing of the last calls of another test's gateway.
    """
    with SharedUpstream(tls=True) as upstream:
        yield upstream


@streamed_or_not
@pytest.mark.parametrize("location", ["global", "us", "eu"])
@pytest.mark.parametrize("edition", ["business", "enterprise"])
def test_either_edition_answers_under_its_own_names(
    by_name: SharedUpstream, edition: str, location: str, stream: bool
) -> None:
    by_name.model = lambda prompt: ModelAnswer(TEXT, THOUGHTS)
    by_name.set(
        edition=edition,
        location=location,
        server_token="exact",
        user_agent="browser",
        getoxsrf="refreshcookies",
    )
    account = by_name.described()
    page = f"{EDITIONS[edition].page_url}/{location}/home/cid/{account['config_id']}?csesidx={account['csesidx']}"
    told = {
        name: account[name]
        for name in ("secure_c_ses", "host_c_oses", "server_token", "user_agent")
    }
    environment = {name: by_name.environment_by_name()[name] for name in ("CA_BUNDLE", "PROXY")}

    with in_process(environment, ACCOUNTS=json.dumps([{**told, "config_id": page}])) as gateway:
        reply = gateway.ask(QUESTION, stream=stream)

    assert_is_the_upstreams(reply)
    api, page_host = (
        urlsplit(url).hostname for url in (EDITIONS[edition].api_origin, EDITIONS[edition].page_url)
    )
    hosts = {call.name: call.headers["host"].partition(":")[0] for call in by_name.requests}
    assert hosts["getoxsrf"] == page_host
    assert {hosts[name] for name in hosts if name.startswith("widget")} == {api}
    assert all(
        f"/locations/{location}/" in call.path
        for call in by_name.requests
        if call.name.startswith("widget")
    )


def with_fields(upstream: SharedUpstream, *fields: str) -> dict[str, str]:
    """The environment of a gateway whose account has these fields beside its ids and cookies."""
    described = upstream.described()
    account = {
        n: described[n] for n in ("secure_c_ses", "host_c_oses", "csesidx", "config_id", *fields)
    }
    addresses = {
        name: value for name, value in upstream.environment().items() if name.endswith("_URL")
    }
    return addresses | {"ACCOUNTS": json.dumps([account])}


def cookies_of(upstream: SharedUpstream, name: str) -> Counter[str]:
    """With which cookies this was called, and how often with each."""
    return Counter(request.headers["cookie"] for request in upstream.calls(name))


def test_every_way_to_refuse_a_sign_in_has_its_error() -> None:
    breaking = set(SWITCH_VALUES["getoxsrf"]) - set(MAIN_FLOW_VALUES["getoxsrf"])

    assert breaking == set(REFUSED + BROKEN)
