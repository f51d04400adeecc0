"""What a capture shows: nothing secret, nothing personal, and every byte where it was."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gbproxy.domain.redaction import Redactor, word

SECRETS = (
    "CSE.AdSecretSecret",
    "COS.AfSecretSecret",
    "1234567890",
    "11111111-2222-4333-8444-555555555555",
    "CAMSsecret1",
)
PERSONAL = (
    *SECRETS,
    "jane.doe@example.com",
    "987654321012",
    "18399586466940005660",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0.c2ln",
)
PROSE = st.text(st.characters(blacklist_categories=("Cs",)), max_size=30)
KEYS = st.sampled_from(
    (
        "text",
        "title",
        "content",
        "message",
        "anything",
        "state",
        "replyId",
        "session",
        "name",
        "uToken",
        "data",
    )
)


def documents() -> st.SearchStrategy[Any]:
    personal = st.sampled_from(PERSONAL)
    mixed = st.builds(
        lambda before, secret, after: f"{before} {secret} {after}", PROSE, personal, PROSE
    )
    leaves = st.one_of(
        st.none(),
        st.booleans(),
        st.floats(allow_nan=False, allow_infinity=False),
        st.integers(),
        personal,
        mixed,
        PROSE,
    )
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
        max_leaves=12,
    )


def written(document: Any, *, ascii_only: bool, indent: int | None) -> bytes:
    return json.dumps(document, ensure_ascii=ascii_only, indent=indent).encode(
        "utf-8", "surrogatepass"
    )


def skeleton(value: Any) -> Any:
    """What must stay: containers, keys, and the kind of each value."""
    if isinstance(value, dict):
        return {key: skeleton(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [skeleton(inner) for inner in value]
    return type(value).__name__


@example(document={"replyId": "000\r"}, ascii_only=False, indent=None, with_text=False)
@given(
    document=documents(),
    ascii_only=st.booleans(),
    indent=st.sampled_from((None, 2)),
    with_text=st.booleans(),
)
def test_nothing_secret_stays_and_everything_keeps_its_place(
    document: Any, ascii_only: bool, indent: int | None, with_text: bool
) -> None:
    data = written(document, ascii_only=ascii_only, indent=indent)

    shown = Redactor(SECRETS, with_text=with_text).body(data)

    assert len(shown) == len(data)
    assert not [secret for secret in PERSONAL if secret.encode() in shown]
    if isinstance(document, dict | list):
        assert skeleton(json.loads(shown)) == skeleton(document)


@given(document=documents(), cut=st.integers(0, 400))
def test_a_body_that_was_cut_off_is_redacted_as_far_as_it_came(document: Any, cut: int) -> None:
    data = written(document, ascii_only=False, indent=None)

    shown = Redactor(SECRETS).body(data[:cut])

    assert len(shown) == len(data[:cut])
    assert not [secret for secret in PERSONAL if secret.encode() in shown]


@given(
    prose=st.text(
        st.characters(whitelist_categories=("Lu", "Ll", "Lo", "Nd")), min_size=3, max_size=40
    )
)
def test_without_text_an_answer_is_only_its_shape(prose: str) -> None:
    data = json.dumps([{"text": prose}, {"unheard_of": prose}], ensure_ascii=False).encode()

    shown = json.loads(Redactor().body(data))

    for value in (shown[0]["text"], shown[1]["unheard_of"]):
        assert len(value.encode()) == len(prose.encode())
        assert set(value) <= set("xX0é字😀") or re.fullmatch("[A-Z][A-Z0-9]*", prose)


def test_with_text_words_stay_and_secrets_do_not() -> None:
    text = f"Write to jane.doe@example.com about {SECRETS[0]}, **soon**: 数据 🎉"

    shown = json.loads(Redactor(SECRETS, with_text=True).body(json.dumps({"text": text}).encode()))[
        "text"
    ]

    assert shown.startswith("Write to u1xxxxxx@xxxxxxx.xxx about secret-1-")
    assert shown.endswith(", **soon**: 数据 🎉")


def test_one_value_has_one_placeholder_wherever_it_stands() -> None:
    redactor = Redactor(SECRETS)
    name = "collections/default_collection/engines/agentspace-engine/sessions/18399586466940005660"

    made = json.loads(redactor.body(json.dumps({"session": {"name": name}}).encode()))["session"][
        "name"
    ]
    asked = json.loads(
        redactor.body(json.dumps({"streamAssistRequest": {"session": name}}).encode())
    )
    said = redactor.message(f"Session {name} is gone.")

    assert made == asked["streamAssistRequest"]["session"]
    assert (
        made
        == "collections/default_collection/engines/agentspace-engine/sessions/10000000000000000001"
    )
    assert said == f"Session {made} is gone."
    assert (
        redactor.address("/auth/getoxsrf?csesidx=1234567890") == "/auth/getoxsrf?csesidx=1000000002"
    )
    assert redactor.message("csesidx/1234567890") == "csesidx/1000000002"


def test_different_values_have_different_placeholders() -> None:
    redactor = Redactor()
    ids = [f"1839958646694000{n:04d}" for n in range(300)]

    shown = json.loads(redactor.body(json.dumps([{"replyId": each} for each in ids]).encode()))

    assert len({each["replyId"] for each in shown}) == 300


def test_what_says_how_the_service_works_is_kept() -> None:
    error = {
        "error": {
            "code": 429,
            "status": "RESOURCE_EXHAUSTED",
            "message": (
                "Quota exceeded for quota metric 'Requests' of consumer"
                " 'project_number:987654321012'."
            ),
            "details": [
                {
                    "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                    "reason": "RATE_LIMIT_EXCEEDED",
                    "domain": "googleapis.com",
                    "metadata": {
                        "quota_limit": "RequestsPerDay",
                        "consumer": "projects/987654321012",
                    },
                }
            ],
        }
    }

    shown = json.loads(Redactor().body(json.dumps(error).encode()))["error"]

    assert (shown["code"], shown["status"]) == (429, "RESOURCE_EXHAUSTED")
    assert (
        shown["message"]
        == "Quota exceeded for quota metric 'Requests' of consumer 'project_number:100000000001'."
    )
    detail = shown["details"][0]
    assert detail["@type"] == "type.googleapis.com/google.rpc.ErrorInfo"
    assert detail["reason"] == "RATE_LIMIT_EXCEEDED"
    assert detail["metadata"] == {
        "quota_limit": "RequestsPerDay",
        "consumer": "projects/100000000001",
    }


def test_escapes_hide_nothing() -> None:
    data = (
        rb'{"message": "write to jane.doe\u0040example.com \u0043SE.AdSecretSecret \/ \ud83d\ude00'
        rb' \ud83d"}'
    )

    shown = Redactor(SECRETS).body(data)

    assert len(shown) == len(data)
    message = json.loads(shown)["message"]
    assert "jane" not in message
    assert "AdSecret" not in message
    assert message.endswith(" / 😀 \ud83d")


def test_an_event_stream_and_googles_prefix_are_read_through() -> None:
    redactor = Redactor()
    stream = b': hello you\r\ndata: {"text":"Secret plans"}\r\n\r\n'
    key = b')]}\'\n{"xsrfToken":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8","keyId":"k-42-very-secret"}'

    assert redactor.body(stream) == b': xxxxx xxx\r\ndata: {"text":"Xxxxxx xxxxx"}\r\n\r\n'
    shown = redactor.body(key)
    assert shown.startswith(b")]}'\n{")
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", json.loads(shown[5:])["xsrfToken"])
    assert b"secret" not in shown


def test_of_a_web_page_only_the_tags_names_stay() -> None:
    page = "<html><body class='jane'>Welcome back, Jane Doe (jane@example.com)</body></html>"

    shown = Redactor().body(page.encode()).decode()

    assert len(shown) == len(page)
    assert "ane" not in shown
    assert shown.startswith("<html><body xxxxx='xxxx'>Xxxxxxx xxxx, Xxxx Xxx")


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("Authorization", "Bearer eyJhbGciOi.eyJzdWIi.c2ln", "Bearer token-1-xxxxxxxxxxxxxxxx"),
        ("Cookie", "__Secure-C_SES=CSE.abcdefgh; NID=511=abc", "__Secure-C_SES=cookie-1-xxx; NID=cookie-"),
        (
            "Set-Cookie",
            "__Host-C_OSES=COS.abcdefgh; Path=/; Secure; Max-Age=3600",
            "__Host-C_OSES=cookie-1-xxx; Path=/; Secure; Max-Age=3600",
        ),
        ("x-server-token", "CAMSabcdefgh", "token-1-xxxx"),
        ("Content-Type", "application/json; charset=UTF-8", "application/json; charset=UTF-8"),
        ("X-Unheard-Of", "jane 42", "xxxx 00"),
        ("Location", "https://auth.business.gemini.google/refreshcookies?csesidx=123456789&continue=https%3A%2F%2Fx",
         "https://auth.business.gemini.google/refreshcookies?csesidx=100000001&continue=id-1-xxxxxxxxxx"),
    ],
)  # fmt: skip
def test_headers_keep_their_names_and_what_is_no_secret(name: str, value: str, shown: str) -> None:
    assert Redactor().header(name, value) == shown


def test_only_words_of_the_service_are_fit_for_a_log() -> None:
    assert word("RESOURCE_EXHAUSTED") == "RESOURCE_EXHAUSTED"
    assert word("GenerateRequestsPerDayPerProject") == "GenerateRequestsPerDayPerProject"
    assert (
        word("discoveryengine.googleapis.com/requests") == "discoveryengine.googleapis.com/requests"
    )
    assert [
        word(other) for other in ("projects/123", "a sentence", "jane@example.com x", 7, None, "")
    ] == [""] * 6


def test_a_large_body_is_redacted_in_linear_time() -> None:
    text = "a" * 500_000 + "1" * 500_000 + "a-b_" * 125_000 + "x@" * 125_000
    data = json.dumps({"text": text}).encode()

    assert len(Redactor(SECRETS, with_text=True).body(data)) == len(data)
