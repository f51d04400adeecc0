"""/api/admin/keys, and what the keys that it makes may do."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from gbproxy.app import EXTENSION
from gbproxy.domain.chat import ChatRequest, Message, TextPart
from gbproxy.domain.events import FLUSH, ChatStream, Done, TextDelta
from tests.admin.conftest import ADMIN_KEY, AdminHarness, Opened
from tests.support.fake_upstream import ACCOUNT
from tests.support.serving import KEY, Reply

HELLO = (TextDelta("Hello"), FLUSH, Done())
HI = {"messages": [{"role": "user", "content": "Hi"}]}


@pytest.fixture
def admin_api(opened: Opened) -> AdminHarness:
    return opened(**ACCOUNT)


def create(admin_api: AdminHarness, **fields: object) -> dict[str, Any]:
    reply = admin_api.call("POST", "/api/admin/keys", {"name": "laptop", **fields})
    assert reply.status == 201, reply.body
    made: dict[str, Any] = reply.json()
    return made


def ask(admin_api: AdminHarness, key: str, **fields: object) -> Reply:
    return admin_api.app.request(
        "POST", "/v1/chat/completions", json.dumps({**HI, **fields}), headers(key)
    )


def headers(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}


def test_a_key_is_shown_once_and_works_until_it_is_revoked(admin_api: AdminHarness) -> None:
    made = create(admin_api)
    listed = admin_api.call("GET", "/api/admin/keys")
    before = ask(admin_api, made["key"])
    revoked = admin_api.call("DELETE", f"/api/admin/keys/{made['id']}")
    after = ask(admin_api, made["key"])

    key = made.pop("key")
    assert listed.json() == {"keys": [made]}
    assert key.encode() not in listed.body
    assert (before.status, before.text) == (200, "Hello")
    assert (revoked.status, revoked.body) == (204, b"")
    assert (after.status, after.error["code"]) == (401, "invalid_api_key")
    assert admin_api.call("GET", "/api/admin/keys").json() == {"keys": []}
    assert admin_api.call("DELETE", f"/api/admin/keys/{made['id']}").error["code"] == "not_found"


def test_a_key_is_told_with_all_that_it_allows(admin_api: AdminHarness) -> None:
    made = create(
        admin_api,
        expires_at=4_000_000_000,
        models=["gemini-2.5-pro"],
        rate_limit="10 per second",
        tokens_per_day=9,
    )

    assert {
        name: value
        for name, value in made.items()
        if name not in ("id", "key", "fingerprint", "created_at")
    } == {
        "name": "laptop",
        "expires_at": 4_000_000_000,
        "models": ["gemini-2.5-pro"],
        "rate_limit": "10/second",
        "tokens_per_day": 9,
        "concurrent_streams": None,
        "allowed_addresses": None,
    }


def test_what_is_wrong_is_told_by_field(admin_api: AdminHarness) -> None:
    reply = admin_api.call("POST", "/api/admin/keys", {"rate_limit": "x", "modells": []})

    assert (reply.status, reply.error["code"], reply.error["param"]) == (
        400,
        "invalid_request_error",
        "modells",
    )
    assert all(f"{name}: " in reply.error["message"] for name in ("name", "rate_limit", "modells"))


def test_workers_that_cannot_count_together_take_no_limit(opened: Opened) -> None:
    admin_api = opened(**ACCOUNT, WEB_CONCURRENCY="2")

    refused = admin_api.call("POST", "/api/admin/keys", {"name": "n", "tokens_per_day": 5})

    assert (refused.status, refused.error["param"]) == (400, "tokens_per_day")
    assert "REDIS_URL" in refused.error["message"]
    assert admin_api.call("POST", "/api/admin/keys", {"name": "n"}).status == 201


def test_client_keys_are_no_admin_keys_nor_the_other_way_round(admin_api: AdminHarness) -> None:
    key = create(admin_api)["key"]

    assert admin_api.call("GET", "/api/admin/keys", key=key).status == 401
    assert admin_api.call("GET", "/api/admin/keys", key=KEY).status == 401
    assert ask(admin_api, ADMIN_KEY).status == 401


def test_another_worker_knows_a_new_key_at_once_and_a_revoked_one_after_its_round(
    opened: Opened, stored: dict[str, str]
) -> None:
    here, there = (opened(**ACCOUNT, **stored) for _ in range(2))
    made = create(here)
    at_once = ask(there, made["key"]).status
    here.call("DELETE", f"/api/admin/keys/{made['id']}")
    there.services.background.run_once()

    assert (at_once, ask(there, made["key"]).status) == (200, 401)


def test_the_key_itself_is_nowhere_in_the_database(opened: Opened, stored: dict[str, str]) -> None:
    admin_api = opened(**ACCOUNT, **stored)
    key = create(admin_api)["key"]
    with closing(admin_api.app.app.extensions[EXTENSION].services.storage.database):
        pass
    path = Path(stored["DATABASE_URL"].removeprefix("sqlite:///"))

    written = b"".join(file.read_bytes() for file in path.parent.iterdir() if file.is_file())

    assert b"laptop" in written
    assert key.encode() not in written


# What a key may do


def test_a_key_sees_and_asks_only_its_models(admin_api: AdminHarness) -> None:
    key = create(admin_api, models=["gemini-2.5-pro", "gemini-business"])["key"]

    def get(path: str) -> Reply:
        return admin_api.app.request("GET", path, headers=headers(key))

    refused = ask(admin_api, key, model="gemini-2.5-flash")
    unknown = ask(admin_api, key, model="gemini-0")

    assert [model["id"] for model in get("/v1/models").json()["data"]] == [
        "gemini-auto",
        "gemini-2.5-pro",
    ]
    assert get("/v1/models/gemini-2.5-pro").status == 200
    assert get("/v1/models/gemini-2.5-flash").error["code"] == "model_not_found"
    assert (
        (refused.status, refused.error["code"])
        == (unknown.status, unknown.error["code"])
        == (404, "model_not_found")
    )
    # nobody learns which it is
    assert refused.error["message"].replace("2.5-flash", "0") == unknown.error["message"]
    assert [
        ask(admin_api, key, model=name).status
        for name in ("gemini-2.5-pro", "gpt-4o", "gemini-auto")
    ] == [200] * 3
    assert (
        len(
            admin_api.app.request("GET", "/v1/models", headers=admin_api.app.headers).json()["data"]
        )
        > 2
    )


def test_a_key_whose_models_have_no_default_is_not_given_one(admin_api: AdminHarness) -> None:
    key = create(admin_api, models=["gemini-2.5-pro"])["key"]

    assert ask(admin_api, key).error["code"] == "model_not_found"


@pytest.mark.parametrize("stream", [False, True])
def test_what_is_left_of_a_keys_rate_is_told_with_every_answer(
    admin_api: AdminHarness, stream: bool
) -> None:
    key = create(admin_api, rate_limit="2/hour")["key"]

    replies = [ask(admin_api, key, stream=stream) for _ in range(3)]

    assert [reply.status for reply in replies] == [200, 200, 429]
    assert [_left(reply, "requests")[:2] for reply in replies] == [
        ("2", "1"),
        ("2", "0"),
        ("2", "0"),
    ]
    assert all(
        _left(reply, "requests")[2] in ("1h0m0s", "59m59s", "59m58s", "59m57s") for reply in replies
    )
    assert replies[2].error["code"] == replies[2].error["type"] == "rate_limit_exceeded"
    assert 3590 < int(replies[2].headers["Retry-After"]) <= 3600
    assert replies[0].headers["x-ratelimit-limit-tokens"] is None
    assert "x-ratelimit-remaining-requests" in replies[0].headers["Access-Control-Expose-Headers"]


def test_only_what_goes_to_a_model_is_counted(admin_api: AdminHarness) -> None:
    key = create(admin_api, rate_limit="1/hour")["key"]

    looked = [
        admin_api.app.request("GET", path, headers=headers(key))
        for path in ("/v1/models", "/health")
    ] * 3

    assert [reply.status for reply in looked] == [200] * 6
    assert {reply.headers["x-ratelimit-limit-requests"] for reply in looked} == {None}
    assert [ask(admin_api, key, n="x").status, ask(admin_api, key).status] == [400, 429]
    assert ask(admin_api, KEY).headers["x-ratelimit-limit-requests"] is None


@pytest.mark.parametrize("stream", [False, True])
def test_a_days_tokens_are_charged_with_the_answer_and_refused_when_used_up(
    admin_api: AdminHarness, stream: bool
) -> None:
    key = create(admin_api, tokens_per_day=3)["key"]

    replies = [ask(admin_api, key, stream=stream, **_with_usage(stream)) for _ in range(3)]

    used = _usage(replies[0])
    assert used == 3  # "Hi" and "Hello"
    assert [reply.status for reply in replies] == [200, 429, 429]
    assert [_left(reply, "tokens")[:2] for reply in replies] == [("3", "3"), ("3", "0"), ("3", "0")]
    assert 0 < int(replies[1].headers["Retry-After"]) <= 86_400
    assert "00:00 UTC" in replies[1].error["message"]


def test_an_answer_that_was_none_costs_no_tokens(opened: Opened) -> None:
    admin_api = opened(**ACCOUNT)
    admin_api.upstream.events = (ValueError("a defect"),)
    key = create(admin_api, tokens_per_day=3)["key"]

    broken = ask(admin_api, key)
    admin_api.upstream.events = HELLO
    fine = ask(admin_api, key)

    assert (broken.status, fine.status, fine.headers["x-ratelimit-remaining-tokens"]) == (
        500,
        200,
        "3",
    )


def test_a_stream_that_has_ended_makes_place_for_the_next(admin_api: AdminHarness) -> None:
    key = create(admin_api, concurrent_streams=1)["key"]

    assert [ask(admin_api, key, stream=True).status for _ in range(5)] == [200] * 5


def test_no_more_streams_at_once_than_a_key_may_have(admin_api: AdminHarness) -> None:
    key = create(admin_api, concurrent_streams=1)["key"]
    first = _held(admin_api, key)
    next(first)

    second = ask(admin_api, key, stream=True)
    whole = ask(admin_api, key)
    first.close()
    third = ask(admin_api, key, stream=True)

    assert (second.status, second.error["code"], second.headers["Retry-After"]) == (
        429,
        "rate_limit_exceeded",
        "1",
    )
    assert (whole.status, third.status) == (200, 200)


# The settings' limits


def test_every_key_has_the_settings_rate_but_one_with_its_own(opened: Opened) -> None:
    admin_api = opened(
        **ACCOUNT, RATE_LIMIT="1/minute", API_KEYS=f"{KEY},sk-test-another-0a1b2c3d4e"
    )
    own = create(admin_api, rate_limit="3/minute")["key"]
    plain = create(admin_api)["key"]

    statuses = [
        [ask(admin_api, key).status for _ in range(2)]
        for key in (KEY, "sk-test-another-0a1b2c3d4e", plain, own)
    ]

    assert statuses == [[200, 429]] * 3 + [[200, 200]]


def test_callers_may_be_told_apart_by_their_address(opened: Opened) -> None:
    admin_api = opened(**ACCOUNT, RATE_LIMIT="1/minute", RATE_LIMIT_BY="ip", TRUSTED_PROXIES="1")
    own = create(admin_api, rate_limit="5/minute")["key"]

    def ask_from(address: str, key: str = KEY) -> int:
        sent = {
            **headers(key),
            "X-Forwarded-For": address,
            "X-Forwarded-Proto": "https",
            "X-Forwarded-Host": "h",
        }
        return admin_api.app.request("POST", "/v1/chat/completions", json.dumps(HI), sent).status

    assert [ask_from("192.0.2.1"), ask_from("192.0.2.1"), ask_from("192.0.2.1", own)] == [
        200,
        429,
        429,
    ]
    assert [ask_from("2001:db8::1"), ask_from("2001:db8::2"), ask_from("2001:db8:0:1::1")] == [
        200,
        429,
        200,
    ]


def test_one_model_is_not_asked_twice_within_its_interval(opened: Opened) -> None:
    admin_api = opened(**ACCOUNT, MODEL_INTERVAL_S="90.5")

    first, again = ask(admin_api, KEY, model="gemini-auto"), ask(admin_api, KEY, model="gpt-4o")
    other = ask(admin_api, KEY, model="gemini-2.5-pro")

    assert (first.status, again.status, other.status) == (200, 429, 200)
    assert again.headers["Retry-After"] in ("90", "91")
    assert again.error["code"] == "rate_limit_exceeded"


def _left(reply: Reply, what: str) -> tuple[str | None, ...]:
    return tuple(
        reply.headers[f"x-ratelimit-{part}-{what}"] for part in ("limit", "remaining", "reset")
    )


def _with_usage(stream: bool) -> dict[str, Any]:
    return {"stream_options": {"include_usage": True}} if stream else {}


def _usage(reply: Reply) -> int:
    body = reply.chunks[-1] if reply.streamed else reply.json()
    return int(body["usage"]["total_tokens"])


def _held(admin_api: AdminHarness, key: str) -> ChatStream:
    """An answer of the gateway itself that nobody has read to its end."""
    services = admin_api.services
    principal = services.key_verifier.find(key)
    return services.gateway.stream(
        ChatRequest((Message("user", (TextPart("Hi"),)),), principal=principal, is_streamed=True)
    )


# Where a key may be used from

ASKING = {
    "openai": ("/v1/chat/completions", json.dumps(HI)),
    "anthropic": ("/v1/messages", json.dumps({**HI, "model": "claude-x", "max_tokens": 9})),
    "gemini": (
        "/v1beta/models/gemini-auto:generateContent",
        json.dumps({"contents": [{"parts": [{"text": "Hi"}]}]}),
    ),
    "native": ("/gemini/chat", json.dumps({"prompt": "Hi"})),
}


def shape(name: str, reply: Reply) -> object:
    """What a client of this API reads an error by."""
    error = reply.json()["error"]
    match name:
        case "anthropic":
            return reply.json()["type"], error["type"]
        case "gemini":
            return error["code"], error["status"]
        case _:
            return error["type"], error["code"]


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("openai", ("invalid_request_error", "address_not_allowed")),
        ("anthropic", ("error", "permission_error")),
        ("gemini", (403, "PERMISSION_DENIED")),
        ("native", ("invalid_request_error", "address_not_allowed")),
    ],
)
def test_a_key_is_refused_from_elsewhere_in_the_apis_own_shape(
    opened: Opened, caplog: pytest.LogCaptureFixture, name: str, wanted: object
) -> None:
    admin_api = opened(**ACCOUNT, TRUSTED_PROXIES="1")
    made = create(admin_api, allowed_addresses=["192.0.2.0/24", "2001:db8::/32"])
    path, body = ASKING[name]

    def ask_from(address: str) -> Reply:
        return admin_api.app.request(
            "POST", path, body, {**headers(made["key"]), "X-Forwarded-For": address}
        )

    inside = [ask_from(address).status for address in ("192.0.2.9", "2001:db8::7")]
    outside = [ask_from(address) for address in ("192.0.2.9, 198.51.100.1", "2001:db9::7")]

    assert made["allowed_addresses"] == ["192.0.2.0/24", "2001:db8::/32"]
    assert 403 not in inside
    assert [(each.status, shape(name, each)) for each in outside] == [(403, wanted)] * 2
    assert "198.51.100.1" in outside[0].json()["error"]["message"]
    told = [each for each in caplog.records if each.getMessage() == "api_key.refused"]
    assert [(vars(each)["key"], vars(each)["address"]) for each in told] == [
        (made["fingerprint"], "198.51.100.1"),
        (made["fingerprint"], "2001:db9::7"),
    ]


def test_lists_of_models_are_refused_from_elsewhere_too(admin_api: AdminHarness) -> None:
    made = create(admin_api, allowed_addresses=["192.0.2.0/24"])

    reply = admin_api.app.request("GET", "/v1/models", None, headers(made["key"]))

    assert (reply.status, reply.error["code"]) == (403, "address_not_allowed")


def test_a_list_without_a_proxy_that_is_trusted_goes_by_the_connection(
    admin_api: AdminHarness,
) -> None:
    made = create(admin_api, allowed_addresses=["192.0.2.0/24"])

    reply = admin_api.app.request(
        "POST", *ASKING["openai"], {**headers(made["key"]), "X-Forwarded-For": "192.0.2.9"}
    )

    assert (reply.status, reply.error["code"]) == (403, "address_not_allowed")


def test_a_list_is_changed_and_all_workers_know_it_after_their_round(
    opened: Opened, stored: dict[str, str]
) -> None:
    here, there = (opened(**ACCOUNT, **stored) for _ in range(2))
    made = create(here, models=["gemini-auto"])
    path = f"/api/admin/keys/{made['id']}"
    assert ask(there, made["key"]).status == 200

    closed = here.call("PATCH", path, {"allowed_addresses": ["192.0.2.0/24"]})
    at_once = ask(here, made["key"]).status
    there.services.background.run_once()
    later = ask(there, made["key"]).status
    opened_again = here.call("PATCH", path, {"allowed_addresses": None})

    key = made.pop("key")
    assert closed.json() == {**made, "allowed_addresses": ["192.0.2.0/24"]}
    assert (at_once, later) == (403, 403)
    assert opened_again.json() == made
    assert ask(here, key).status == 200


def test_a_change_that_is_wrong_changes_nothing(admin_api: AdminHarness) -> None:
    made = create(admin_api, allowed_addresses=["192.0.2.0/24"])
    path = f"/api/admin/keys/{made['id']}"

    wrong = [
        admin_api.call("PATCH", path, body)
        for body in ({"allowed_addresses": ["home"]}, {"name": None}, {"key": "sk-x"})
    ]
    unknown = admin_api.call("PATCH", "/api/admin/keys/nobody", {"name": "x"})

    assert [(each.status, each.error["param"]) for each in wrong] == [
        (400, "allowed_addresses"),
        (400, "name"),
        (400, "key"),
    ]
    assert (unknown.status, unknown.error["code"]) == (404, "not_found")
    del made["key"]
    assert admin_api.call("GET", "/api/admin/keys").json() == {"keys": [made]}


def test_another_worker_learns_the_list_with_the_key(
    opened: Opened, stored: dict[str, str]
) -> None:
    here, there = (opened(**ACCOUNT, **stored) for _ in range(2))
    made = create(here, allowed_addresses=["192.0.2.0/24"])

    assert ask(there, made["key"]).status == 403
