"""Whatever is pasted: never an error but ours, none that quotes it, and never long."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gbproxy.account_admin.importing import find
from gbproxy.account_admin.importing.bounds import Hosts, WorkLimit
from gbproxy.account_admin.importing.tokenize import LOOKED_THROUGH, tokenize
from gbproxy.errors import GatewayError
from tests.support.importing import captures

pytestmark = pytest.mark.slow

TEXTS = [captures.text(name) for name in captures.NAMES]
SIGNS = st.text(st.sampled_from("{}[]\"'`^\\$()%;&|=:,#@ \t\r\n\0a0\ud800é\u2028"), max_size=6)


@st.composite
def cuttings(draw: st.DrawFn) -> str:
    """A part of a real paste, of any length."""
    text = draw(st.sampled_from(TEXTS))
    begin = draw(st.integers(0, len(text)))
    return text[begin : begin + draw(st.integers(0, len(text)))]


OPENINGS = st.sampled_from([
    "curl '", 'curl "', 'curl ^"', "curl $'", "curl -H", "$session.Cookies.Add((", 'Invoke-WebRequest -Uri "',
    "-Headers @{", "Cookie: ", "__Secure-C_SES=", "__Host-C_OSES\t", "#HttpOnly_", "authorization: Bearer a.",
    '{"log":{"entries":[', '{"accounts":', '[{"domain":1,"name":[],"value":{}}]', '{"log":{"entries":[{"request":null}]}}',
    '{"csesidx":true,"id":{}}', '{"csesidx":' + "9" * 5000 + "}", '{"a":' * 200, "\\U99999999", "https://[",
    "https://business.gemini.google/", "authorization: bearer x.eyJzdWIiOjF9.y", "authorization: bearer x.____.y",
])  # fmt: skip


def refusal(read: Callable[[], object]) -> GatewayError | None:
    try:
        read()
    except GatewayError as error:
        return error
    return None


@given(st.lists(cuttings() | SIGNS | OPENINGS | st.text(max_size=20), max_size=8))
def test_a_mixture_of_real_pieces_is_read_or_refused_in_our_words(pieces: list[str]) -> None:
    error = refusal(lambda: find("".join(pieces)))

    if error is not None:
        assert error.status == 400
        assert not any(
            mark in error.message for mark in ("CSE.", "COS.", "548217093", captures.FOREIGN)
        )


@given(st.text(), st.text() | st.sampled_from(TEXTS))
def test_any_address_is_read_or_refused_in_our_words(text: str, url: str) -> None:
    error = refusal(lambda: find(text, url))

    assert error is None or error.param in ("text", "url")


@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.sampled_from(["https://business.gemini.google/"]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from([
            "log", "entries", "pages", "title", "request", "response", "url", "headers", "cookies", "postData", "text",
            "accounts", "name", "value", "domain", "csesidx", "team_id", "secure_c_ses",
        ]),
        inner,
        max_size=4,
    ),
    max_leaves=20,
))  # fmt: skip
def test_json_of_any_shape_is_read_or_refused_in_our_words(value: object) -> None:
    for text in (json.dumps([value, value]), json.dumps(value, indent=1)):
        error = refusal(lambda text=text: find(text))
        assert error is None or error.status == 400


MANY = 2 * 1024 * 1024  # what takes quadratic time takes minutes with it
CRAFTED = {
    "quotes": ("curl ", "'\""),
    "words": ("curl ", "'' "),
    "values of a cut header": ("curl '", "a= " * 20_000 + ";"),
    "escaped quotes": ('curl "', '\\"'),
    "ansi quotes": ("curl ", "$'\\'"),
    "commands": ("", "curl 'a';"),
    "carets": ('curl ^"', '^"'),
    "breaks": ('curl ^"', "^\n\n"),
    "backticks": ('$session.Cookies.Add("', '`"'),
    "strings": ("Invoke-WebRequest -Headers @{", '"a"="b"\n'),
    "braces": ("", '{"a":\n'),
    "arrays": ("", '[{"a":1},\n'),
    "json quotes": ('{"', '\\"'),
    "cookies": ("Cookie: ", "__Secure-C_SES=a;"),
    "prompts": ("", "$ curl 'a' "),
    "fetches": ("", "fetch( "),
    "cut fetches": ("", "fetch('https://a', {\n"),
    "cut commands": ("", "curl 'https://a\n"),
    "pairs of a fetch": ("fetch('https://a', {", "cookie: 'a',"),
    "brackets": ("", "["),
    "objects": ("", "{a: 1}\n"),
    "one line": ("", "curly fetched "),
    "names of headers": ("", "cookie\n"),
    "headers": ("", ":path: /a\n"),
    "rows": ("", "__Secure-C_SES=a\n"),
    "names of cookies": ("", "__Secure-C_SES "),
    "accounts": ("[", '{"csesidx":"1"},'),
    "nested": ("", '{"cookies":[{"a":'),
    "further cookies": ("Cookie: __Secure-C_SES=a;", "b=c;"),
    "named further cookies": ("Cookie: __Secure-C_SES=a;", "__Secure-C_AUX=" + "x" * 40 + ";"),
    "cookie strings": ("", "a=b; __Secure-C_SES=c;d"),
    "one cookie string": ("__Secure-C_SES=c; ", "a=b; "),
    "rows of further cookies": ("", ".business.gemini.google\tTRUE\t/\tTRUE\t1\ta\tb\n"),
    "further cookies in json": ("[", '{"name":"a","value":"b"},'),
    "cookies of the consumer app": ("", "__Secure-1PSID=g.a000\n"),
    "names of the consumer app": ("", "SID "),
    "names without values": ("", "__Secure-1PSID  "),
    "editions": ("[", '{"csesidx":"1","edition":"x"},'),
    "server tokens": ("", "x-server-token: CAMS\n"),
    "paths": ("https://business.gemini.google", "/cid/"),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", CRAFTED)
def test_megabytes_made_to_be_slow_are_not(kind: str) -> None:
    begin, unit = CRAFTED[kind]
    text = begin + unit * (MANY // len(unit))
    started = time.thread_time()

    error = refusal(lambda: list(tokenize(text, Hosts(), WorkLimit(len(text)))))

    assert time.thread_time() - started < 1
    assert error is None or error.status == 400


@pytest.mark.parametrize("before", [*range(-8, 3), 1000])
@pytest.mark.parametrize("looks", [1, 2])
def test_a_command_far_into_a_line_is_found_wherever_a_look_ends(looks: int, before: int) -> None:
    words = "x" * (looks * LOOKED_THROUGH + before)
    command = (
        "curl 'https://business.gemini.google/auth/getoxsrf?csesidx=17' -b '__Secure-C_SES=CSE.a;"
        " __Host-C_OSES=COS.a'"
    )

    [account] = find(f"{words} {command}")

    assert account.values["csesidx"] == "17"
    assert account.values["secure_c_ses"] == "CSE.a"
