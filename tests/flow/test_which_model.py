"""Which models there are and which answers: retired ids, unknown names, and what the accounts'
configurations say.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from gbproxy.domain.catalogue import BUILT_IN
from gbproxy.domain.models import ALL_TOOLS
from gbproxy.simulator import (
    SWITCH_VALUES,
    Simulator,
    answer,
    http_error,
    json_reply,
    quota,
)
from tests.support.chats import accounts, asked, csesidx, session_of
from tests.support.gates import Gate
from tests.support.polling import until
from tests.support.serving import KEY, Reply, Served, SharedUpstream, serving

pytestmark = pytest.mark.slow

streamed_or_not = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
LOOKUP, STREAM = "lookupWidgetConfig", "widgetStreamAssist"
PAINTER = json.dumps(
    [{"id": "painter", "upstream": None, "tools": ["imageGenerationSpec"], "quota": "images"}]
)
ADMIN = "an-admin-key-of-tests"


@contextmanager
def gateway_of(upstream: Simulator, count: int = 1, **settings: str) -> Iterator[Served]:
    environment = {"ACCOUNT_ORDER": "first", "MODELS": PAINTER, "API_KEYS": KEY} | settings
    with serving(accounts(upstream, count) | environment) as gateway:
        yield gateway


def tools(upstream: Simulator) -> list[set[str]]:
    return [
        set(request.body["streamAssistRequest"]["toolsSpec"]) for request in upstream.calls(STREAM)
    ]


def models(upstream: Simulator) -> list[str | None]:
    asked = [request.body["streamAssistRequest"] for request in upstream.calls(STREAM)]
    return [each.get("assistGenerationConfig", {}).get("modelId") for each in asked]


def listed(gateway: Served) -> list[str]:
    reply = gateway.request("GET", "/v1/models", headers=gateway.headers)
    return [each["id"] for each in reply.json()["data"]]


def configuration_read(gateway: Served, account: str = "first") -> dict[str, Any]:
    return gateway.wait_for_event("configuration.read", lambda line: line["account"] == account)


# Retired and unknown ids, as the upstream is in November 2026


@streamed_or_not
@pytest.mark.parametrize("refusal", ["400", "404"])
@pytest.mark.parametrize(
    ("asked", "used"),
    [
        ("gemini-2.5-flash", "gemini-3.8-flash"),
        ("gemini-2.5-pro", "gemini-3.1-pro-preview"),
        ("gemini-2.5-flash-lite", "gemini-3.5-flash-lite"),
        ("gemini-3-pro-preview", "gemini-3.1-pro-preview"),
        ("gemini-9-nobody-knows", "gemini-auto"),
    ],
)
def test_a_model_that_has_ended_is_answered_and_the_answer_names_what_did(
    gateway: Served, upstream: SharedUpstream, asked: str, used: str, refusal: str, stream: bool
) -> None:
    upstream.set(unknown_model=refusal)

    replies = [gateway.ask(model=asked, stream=stream) for _ in range(2)]

    assert all(reply.succeeded for reply in replies)
    assert [reply.model for reply in replies] == [used] * 2
    sent = None if used == "gemini-auto" else used
    assert models(upstream) == [asked, sent, sent]  # refused once, and remembered
    mapped = gateway.log_of(replies[1], "model.mapped")
    assert (mapped["asked"], mapped["used"], mapped["reason"]) == (asked, used, "retired")


@streamed_or_not
def test_successors_are_followed_to_the_upstreams_own_choice(
    gateway: Served, upstream: SharedUpstream, stream: bool
) -> None:
    upstream.set(known_models=())

    reply = gateway.ask(model="gemini-2.5-flash-lite", stream=stream)

    assert (reply.succeeded, reply.model) == (True, "gemini-auto")
    assert models(upstream) == [
        "gemini-2.5-flash-lite",
        "gemini-3.5-flash-lite",
        "gemini-3.8-flash",
        None,
    ]
    assert reply.headers["x-gbproxy-attempts"] == "4"


@pytest.mark.parametrize("refusal", ["403", "precondition"])
def test_a_model_that_is_denied_by_name_is_answered_by_its_successor(
    gateway: Served, upstream: SharedUpstream, refusal: str
) -> None:
    upstream.set(unknown_model=refusal)
    known = set(upstream.sessions)

    replies = [gateway.ask(model="gemini-2.5-flash") for _ in range(2)]

    assert [reply.model for reply in replies] == ["gemini-3.8-flash"] * 2
    sent = models(upstream)
    first = session_of(upstream.calls(STREAM)[0]).rpartition("/")[2]
    if refusal == "403" and first in known:  # of a prewarmed session too, that may be what is meant
        assert sent.pop(0) == "gemini-2.5-flash"
    assert sent == ["gemini-2.5-flash", "gemini-3.8-flash", "gemini-3.8-flash"]


def test_an_unknown_name_that_is_taken_is_used_from_then_on(
    gateway: Served, upstream: SharedUpstream
) -> None:
    upstream.set(known_models=("gemini-4-neon",))

    replies = [gateway.ask(model="gemini-4-neon") for _ in range(2)]

    assert [reply.model for reply in replies] == ["gemini-4-neon"] * 2
    assert models(upstream) == ["gemini-4-neon"] * 2


@pytest.mark.parametrize(
    ("alias", "id_"),
    [("gemini-flash-latest", "gemini-3.8-flash"), ("gemini-pro-latest", "gemini-3.1-pro-preview")],
)
def test_the_latest_of_a_family_is_a_name(
    gateway: Served, upstream: SharedUpstream, alias: str, id_: str
) -> None:
    reply = gateway.ask(model=alias)

    assert (reply.model, models(upstream)) == (id_, [id_])


@pytest.mark.parametrize("alias", ["chatgpt-4o-latest", "codex-mini-latest"])
def test_names_of_other_vendors_get_the_default(
    gateway: Served, upstream: SharedUpstream, alias: str
) -> None:
    reply = gateway.ask(model=alias)

    assert (reply.model, models(upstream)) == ("gemini-auto", [None])


def test_a_request_that_is_malformed_for_every_model_is_told_so_and_harms_none(
    gateway: Served, upstream: SharedUpstream
) -> None:
    upstream.script(*http_error(400, "INVALID_ARGUMENT", "Nobody understands this."), times=3)

    refused = gateway.ask(model="gemini-3.8-flash")
    upstream.clear_scripts()
    reply = gateway.ask(model="gemini-3.8-flash")

    assert (refused.status, refused.error["message"]) == (400, "Nobody understands this.")
    # the last without the tools that may be off
    assert models(upstream) == ["gemini-3.8-flash", None, None, "gemini-3.8-flash"]
    assert reply.model == "gemini-3.8-flash"


def test_the_context_that_a_model_is_said_to_have_is_taken_and_not_much_more() -> None:
    with Simulator() as upstream, gateway_of(upstream, PROMPT_MAX_CHARS="8000") as gateway:
        reply = gateway.request("GET", "/v1/models/gemini-auto", headers=gateway.headers)
        context = reply.json()["context_length"]
        fits = gateway.ask("word" * context)
        too_long = gateway.ask("word" * (context + 1))

    assert fits.json()["usage"]["prompt_tokens"] == context == 2000
    assert (too_long.status, too_long.error["code"]) == (400, "context_length_exceeded")


# Tools that are off, before anything is known of them


@pytest.mark.parametrize("off", [("image",), ("web",), ("image", "video", "web")], ids=",".join)
def test_a_tool_that_is_refused_by_name_is_left_out_and_not_asked_for_again(
    gateway: Served, upstream: SharedUpstream, off: tuple[str, ...]
) -> None:
    upstream.set(tools_off=off)

    replies = [gateway.ask(stream=stream) for stream in (True, False)]

    assert all(reply.succeeded for reply in replies)
    sent = tools(upstream)
    assert len(sent) == len(off) + 2  # one more for each, once
    assert (
        sent[-1]
        == sent[-2]
        == sent[0] - {f"{ {'web': 'webGrounding'}.get(t, t + 'Generation') }Spec" for t in off}
    )


@pytest.mark.parametrize("refusal", ["403", "400_nameless"])
def test_a_refusal_that_names_nothing_is_tried_once_without_what_can_be_off(
    gateway: Served, upstream: SharedUpstream, refusal: str
) -> None:
    upstream.set(tools_off=("image",), tools_off_answer=refusal)

    replies = [gateway.ask() for _ in range(2)]

    assert all(reply.succeeded for reply in replies)
    assert tools(upstream)[-2:] == [{"toolRegistry"}] * 2
    assert (
        len(tools(upstream)) <= 4
    )  # in a prewarmed session, in a fresh one, without the tools, and the next question


# The live configuration


def says(upstream: Simulator, name: str, *ids: str, off: str = "", disabled: str = "") -> None:
    """From now on this account's configuration lists these models, and switches this feature and
    this model off.
    """
    features = {f"disable-{kind}-generation": _state(on=kind == off) for kind in ("image", "video")}
    ui = {
        "modelConfigInfo": {
            "resolvedModels": [{"modelId": id_} for id_ in ids],
            "autoModelId": "auto",
        },
        "modelConfigs": {disabled: "MODEL_DISABLED"} if disabled else {},
        "features": features,
    }
    upstream.script(
        *json_reply(200, {"uiSettings": ui}),
        path=LOOKUP,
        csesidx=csesidx(upstream, name),
        times=math.inf,
    )


def _state(*, on: bool) -> str:
    return "FEATURE_STATE_ON" if on else "FEATURE_STATE_OFF"


def test_each_account_is_asked_for_what_it_has_and_one_worker_reads_that_for_all() -> None:
    with Simulator() as upstream, gateway_of(upstream, 2, WEB_CONCURRENCY="2") as gateway:
        upstream.set(known_models=("gemini-3.8-flash", "gemini-4-neon"))
        says(upstream, "first", "gemini-3.8-flash", "auto", off="image", disabled="gemini-4-neon")
        says(upstream, "second", "gemini-3.8-flash", "gemini-4-neon")
        assert gateway.ask().succeeded
        assert configuration_read(gateway)["models"] == 1
        until(
            lambda: (
                tools_of(gateway, upstream)
                == {"webGroundingSpec", "toolRegistry", "videoGenerationSpec"}
            )
        )

        drawn = until_asked(gateway, upstream, "second", model="painter")
        assert configuration_read(gateway, "second")["models"] == 2
        newest = until_asked(gateway, upstream, "second", model="gemini-4-neon")
        older = [gateway.ask(model=name) for name in ("gemini-3.8-flash", "gemini-auto")]
        models_of_all = [
            *("gemini-auto", "gemini-3.8-flash", "gemini-imagen", "gemini-veo", "painter"),
            "gemini-4-neon",
        ]
        until(lambda: all(listed(gateway) == models_of_all for _ in range(6)))  # in either worker

        assert all(reply.succeeded for reply in (drawn, newest, *older))
        assert asked(upstream)[-2:] == ["first"] * 2  # who has everything that is wanted
        assert newest.model == "gemini-4-neon"
        calls = [call.csesidx for call in upstream.calls(LOOKUP)]
        assert sorted(map(str, calls)) == sorted(upstream.accounts)
        assert {tuple(call.body) for call in upstream.calls(LOOKUP)} == {("widgetConfigId",)}


def tools_of(gateway: Served, upstream: Simulator) -> set[str]:
    assert gateway.ask().succeeded
    return tools(upstream)[-1]


def until_asked(gateway: Served, upstream: Simulator, name: str, model: str) -> Reply:
    """The answer to a question for this model, once it is this account that is asked."""
    found: list[Reply] = []

    def is_asked() -> bool:
        found.append(gateway.ask(model=model))
        return asked(upstream)[-1] == name

    until(is_asked)
    return found[-1]


@pytest.fixture(scope="module")
def lone() -> Iterator[tuple[SharedUpstream, Served]]:
    with SharedUpstream() as upstream, gateway_of(upstream, ADMIN_KEY=ADMIN) as gateway:
        assert gateway.ask().succeeded  # from now on the account is in use
        configuration_read(gateway)
        yield upstream, gateway


@contextmanager
def read_anew(gateway: Served) -> Iterator[None]:
    """Let the gateway forget what it knows of its account, and wait until its configuration was
    read again.
    """
    before = len(gateway.events("configuration.read"))
    path = "/api/admin/accounts/first/clear-cooldown"
    assert gateway.request("POST", path, headers={"Authorization": f"Bearer {ADMIN}"}).status == 200
    yield
    until(lambda: len(gateway.events("configuration.read")) > before)


@pytest.mark.parametrize(
    "value", [value for value in SWITCH_VALUES["widget_config"] if value != "present"]
)
def test_a_configuration_that_says_nothing_harms_nothing(
    lone: tuple[SharedUpstream, Served], value: str
) -> None:
    upstream, gateway = lone
    upstream.reset()
    upstream.set(widget_config=value)

    with read_anew(gateway):
        pass
    reply = gateway.ask()

    assert reply.succeeded
    assert tools(upstream) == [set(ALL_TOOLS)]
    assert listed(gateway) == [*(model.id for model in BUILT_IN), "painter"]
    assert gateway.events("account.refused") == gateway.events("attempt.failed") == []


def test_a_configuration_that_never_comes_delays_no_request(
    lone: tuple[SharedUpstream, Served],
) -> None:
    upstream, gateway = lone
    upstream.reset()
    gate = Gate()
    upstream.script(gate.closed, *json_reply(200, {}), path=LOOKUP)

    before = len(gateway.events("configuration.read"))
    with read_anew(gateway):
        until(lambda: upstream.calls(LOOKUP))
        replies = [gateway.ask() for _ in range(5)]
        assert all(reply.succeeded for reply in replies)
        assert len(gateway.events("configuration.read")) == before
        gate.open()


def test_where_a_tool_that_is_off_meets_silence_the_configuration_tells(
    lone: tuple[SharedUpstream, Served],
) -> None:
    upstream, gateway = lone
    upstream.reset()
    upstream.set(tools_off=("image", "web"), tools_off_answer="silence")

    with read_anew(gateway):
        pass
    reply = gateway.ask()

    assert reply.succeeded
    assert tools(upstream) == [{"toolRegistry", "videoGenerationSpec"}]


@pytest.mark.parametrize(
    ("off", "tool", "asked"),
    [
        ("image", "imageGenerationSpec", {"model": "painter"}),
        ("web", "webGroundingSpec", {"web_search_options": {}}),
    ],
)
def test_a_request_whose_only_tool_is_off_everywhere_is_told_so(
    lone: tuple[SharedUpstream, Served], off: str, tool: str, asked: dict[str, Any]
) -> None:
    upstream, gateway = lone
    upstream.reset()
    upstream.set(tools_off=(off,))

    with read_anew(gateway):
        pass
    reply = gateway.ask(**asked)

    assert (reply.status, reply.error["code"]) == (400, "invalid_request_error")
    assert tool in reply.error["message"]
    assert upstream.calls(STREAM) == []


# Fallbacks, where the quota of a model is used up


def test_a_models_fallback_answers_when_its_quota_is_used_up_on_all_accounts() -> None:
    with SharedUpstream() as upstream:
        pro = {"id": "gemini-3.1-pro-preview", "fallback": "gemini-3.8-flash"}
        with gateway_of(upstream, 2, MODELS=json.dumps([pro]), ADMIN_KEY=ADMIN) as gateway:
            for script in (quota(daily=True), quota(daily=True), answer("One")):
                upstream.script(*script)
            first = gateway.ask(model="gemini-pro-latest", stream=True)
            again = gateway.ask(model="gemini-3.1-pro-preview")
            other = gateway.ask(model="gemini-auto")
            entries = gateway.request("GET", "/v1/models", headers=gateway.headers).json()["data"]
            headers = {"Authorization": f"Bearer {ADMIN}"}
            admins = gateway.request("GET", "/api/admin/models", headers=headers).json()["models"]

            assert (first.text, first.succeeded, again.succeeded) == ("One", True, True)
            assert [first.model, again.model, other.model] == [
                "gemini-3.8-flash",
                "gemini-3.8-flash",
                "gemini-auto",
            ]
            assert models(upstream) == [pro["id"]] * 2 + ["gemini-3.8-flash"] * 2 + [None]
            assert first.headers["x-gbproxy-attempts"] == "3"
            done = gateway.log_of(again)  # all lines before it are there then
            mapped = gateway.events("model.mapped", lambda line: line["reason"] == "quota")
            assert [(line["asked"], line["used"]) for line in mapped] == [
                (pro["id"], "gemini-3.8-flash")
            ] * 2
            assert done["model"] == "gemini-3.8-flash"
            for listed_models in (entries, admins):
                fallbacks = {each["id"]: each.get("fallback") for each in listed_models}
                assert fallbacks[pro["id"]] == pro["fallback"]
                assert fallbacks["gemini-auto"] is None
