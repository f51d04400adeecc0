"""Scripts: which calls they answer, how often and for whom; and the shapes of ready-made failures."""

import math
from typing import Any

import pytest

from gbproxy import simulator as sim
from gbproxy.simulator import (
    End,
    Simulator,
    Text,
    Thought,
    answer,
)
from tests.support.widget_client import (
    Client,
    fragments_of,
    inner,
    states_of,
    text_of,
)


def test_fragments_are_exactly_those_of_the_script(upstream: Simulator, client: Client) -> None:
    upstream.script(*answer("Be", "th Hamm", "ack", thoughts=("**A**\n\n",)))

    assert fragments_of(client.ask("x").json()) == ["Be", "th Hamm", "ack"]


def test_a_script_serves_so_many_times_in_the_order_of_queueing(
    upstream: Simulator, client: Client
) -> None:
    upstream.script(*answer("first"), times=2)
    upstream.script(*answer("second"))

    said = [text_of(client.ask("2+2").json()) for _ in range(4)]

    assert said == ["first", "first", "second", "2+2 = **4**"]


def test_a_script_can_serve_for_ever_until_it_is_cleared(
    upstream: Simulator, client: Client
) -> None:
    upstream.script(*answer("always"), times=math.inf)

    assert [text_of(client.ask("2+2").json()) for _ in range(3)] == ["always"] * 3
    upstream.clear_scripts()
    assert text_of(client.ask("2+2").json()) == "2+2 = **4**"


def test_a_script_can_be_one_accounts_own(upstream: Simulator, client: Client) -> None:
    other = upstream.add_account()
    upstream.script(*sim.overloaded(), csesidx=other.csesidx, times=math.inf)

    assert Client(upstream, other).ask("2+2").status_code == 429
    assert client.ask("2+2").status_code == 200


def test_a_refused_request_does_not_use_a_script_up(upstream: Simulator, client: Client) -> None:
    upstream.script(*answer("kept"))

    assert client.ask("x", temperature=1).status_code == 400
    assert text_of(client.ask("x").json()) == "kept"


@pytest.mark.parametrize(
    "script",
    [sim.quota(headers={"Retry-After": "7"}), sim.overloaded(headers={"Retry-After": "7"})],
)
def test_a_refusal_may_name_a_time_in_a_header(
    upstream: Simulator, client: Client, script: Any
) -> None:
    upstream.script(*script)

    assert client.ask("x").headers["Retry-After"] == "7"


def test_failed_may_stand_alone(upstream: Simulator, client: Client) -> None:
    upstream.script(*sim.failed_alone())

    assert states_of(client.ask("x").json()) == ["FAILED"]


VERBS = ["widgetCreateSession", "widgetListSessions", "widgetDeleteSession", "widgetGetSession"]


@pytest.mark.parametrize("path", ["getoxsrf", "widgetStreamAssist", *VERBS])
def test_any_call_of_one_account_can_be_refused(
    upstream: Simulator, client: Client, path: str
) -> None:
    other = Client(upstream, upstream.add_account())
    session = other.create_session()
    upstream.script(
        *sim.http_error(401, "UNAUTHENTICATED"), path=path, csesidx=other.account.csesidx
    )

    if path == "getoxsrf":
        refused, good = other.getoxsrf(), client.getoxsrf()
    elif path == "widgetStreamAssist":
        refused, good = other.ask("x", session), client.ask("x")
    else:
        mine = client.create_session()
        names = [
            name.rpartition("/")[2] if path == "widgetGetSession" else name
            for name in (session, mine)
        ]
        refused, good = other.call(path, {"name": names[0]}), client.call(path, {"name": names[1]})

    assert (refused.status_code, good.status_code) == (401, 200)


def test_elements_are_refused_where_no_stream_is(upstream: Simulator) -> None:
    with pytest.raises(ValueError, match="getoxsrf"):
        upstream.script(Text("a"), path="getoxsrf")


def test_the_answer_is_cut_after_so_many_elements(upstream: Simulator, client: Client) -> None:
    upstream.set(layout="compact")
    upstream.script(*sim.cut_after(2, rst=True))

    raw, end = client.exchange(client.raw_question())

    assert (raw.count(b'"text"'), end) == (2, "rst")


REFUSALS: list[tuple[Any, int, Any]] = [
    (
        sim.http_error(403, "PERMISSION_DENIED", "No."),
        403,
        lambda v: v["error"]["message"] == "No.",
    ),
    (sim.overloaded(7), 429, lambda v: v["error"]["details"][0]["reason"] == "LLM_OVERLOADED"),
    (sim.overloaded(7), 429, lambda v: v["error"]["details"][1]["retryDelay"] == "7s"),
    (sim.quota(), 429, lambda v: "details" not in v["error"]),
    (
        sim.quota(daily=True),
        429,
        lambda v: "Daily" in v["error"]["details"][1]["violations"][0]["description"],
    ),
    (
        sim.quota(daily=True),
        429,
        lambda v: "PerDay" in v["error"]["details"][1]["violations"][0]["quotaId"],
    ),
    (
        sim.quota(daily=True),
        429,
        lambda v: "1/d/" in v["error"]["details"][0]["metadata"]["quota_unit"],
    ),
    (
        sim.quota(per_minute=True),
        429,
        lambda v: "PerMinute" in v["error"]["details"][1]["violations"][0]["quotaId"],
    ),
    (sim.denied(), 403, lambda v: v["error"]["status"] == "PERMISSION_DENIED"),
    (sim.session_not_found(), 404, lambda v: "Session" in v["error"]["message"]),
    (sim.array_wrapped_error(), 429, lambda v: v[0]["error"]["status"] == "RESOURCE_EXHAUSTED"),
    (sim.message_only_error(), 400, lambda v: set(v) == {"message"}),
    (sim.details_only_error(), 429, lambda v: v["details"][0]["assistToken"]),
    (sim.empty_array(), 200, lambda v: v == []),
    (sim.u_token_only(), 200, lambda v: [set(element) for element in v] == [{"uToken"}]),
]


@pytest.mark.parametrize(("script", "status", "holds"), REFUSALS)
def test_a_ready_made_refusal_has_its_shape(
    upstream: Simulator, client: Client, script: Any, status: int, holds: Any
) -> None:
    upstream.script(*script)

    response = client.ask("x")

    assert response.status_code == status
    assert holds(response.json())


def test_a_front_ends_page_is_html(upstream: Simulator, client: Client) -> None:
    upstream.script(*sim.html_error(503))

    response = client.ask("x")

    assert response.status_code == 503
    assert response.headers["Content-Type"].startswith("text/html")


def test_an_empty_body_is_empty(upstream: Simulator, client: Client) -> None:
    upstream.script(*sim.empty_body())

    assert client.ask("x").content == b""


@pytest.mark.parametrize(
    ("script", "states", "text"),
    [
        (sim.in_stream_error(texts=("So ",)), ["IN_PROGRESS", None], "So "),
        (sim.failed_precondition("So "), ["IN_PROGRESS", "FAILED", None], "So "),
        (sim.policy_violation(), ["SKIPPED"], ""),
        (sim.banned_phrase("foo"), ["SKIPPED"], ""),
        (sim.thoughts_only(), ["IN_PROGRESS", "SUCCEEDED"], ""),
        (sim.prompt_too_large(in_stream=True), [None], ""),
        (sim.quota_exceeded(in_stream=True), [None], ""),
        (sim.blocked("So ", verdict="REVIEW"), ["IN_PROGRESS", "IN_PROGRESS", "SUCCEEDED"], "So "),
        (sim.connector_errors("So "), ["IN_PROGRESS", "IN_PROGRESS", "SUCCEEDED"], "So "),
        (sim.connector_errors(), ["IN_PROGRESS", "FAILED"], ""),
        (
            (Thought("**X**\n", flagged=False), Text("y"), sim.Final(state=""), End()),
            [*["IN_PROGRESS"] * 2, None],
            "**X**\ny",
        ),
    ],
)
def test_a_ready_made_bad_end_has_its_states(
    upstream: Simulator, client: Client, script: Any, states: list[str | None], text: str
) -> None:
    upstream.set(suggestions=False)
    upstream.script(*script)

    response = client.ask("x")

    assert response.status_code == 200
    assert states_of(response.json()) == states
    assert text_of(response.json()) == text


def test_in_stream_errors_carry_googles_object(upstream: Simulator, client: Client) -> None:
    upstream.script(*sim.in_stream_error(reason="LLM_OVERLOADED"))

    error = client.ask("x").json()[-1]["error"]

    assert (error["code"], error["status"]) == (429, "RESOURCE_EXHAUSTED")
    assert error["details"][0]["reason"] == "LLM_OVERLOADED"


@pytest.mark.parametrize(
    ("script", "status", "word", "reason"),
    [
        (sim.prompt_too_large(), 400, "INVALID_ARGUMENT", "PROMPT_TOO_LARGE"),
        (sim.quota_exceeded(), 403, "PERMISSION_DENIED", "QUOTA_EXCEEDED"),
        (
            sim.quota_exceeded(400, "FAILED_PRECONDITION"),
            400,
            "FAILED_PRECONDITION",
            "QUOTA_EXCEEDED",
        ),
    ],
)
def test_a_reason_may_say_what_neither_status_nor_message_does(
    upstream: Simulator, client: Client, script: Any, status: int, word: str, reason: str
) -> None:
    upstream.script(*script)

    response = client.ask("x")

    error = response.json()["error"]
    assert (response.status_code, error["code"], error["status"]) == (status, status, word)
    assert [detail["reason"] for detail in error["details"]] == [reason]


def test_a_verdict_says_where_the_violation_stood(upstream: Simulator, client: Client) -> None:
    upstream.set(suggestions=False)
    upstream.script(*sim.policy_violation(source="ATTACHMENT", verdict="QUARANTINE"))
    upstream.script(*sim.blocked("x", source="SYSTEM"))

    skipped, blocked = (
        [
            inner(element)["answer"].get("customerPolicyEnforcementResult", {})
            for element in client.ask("x").json()
        ]
        for _ in range(2)
    )

    assert [(each["verdict"], each["violationSource"]) for each in skipped] == [
        ("QUARANTINE", "ATTACHMENT")
    ]
    assert [each for each in blocked if each] == [{"verdict": "BLOCK", "violationSource": "SYSTEM"}]


def test_every_answer_may_tell_a_verdict_and_connectors_that_failed(
    upstream: Simulator, client: Client
) -> None:
    upstream.set(verdict="WATCH_CLOSELY", connector_errors=True)

    elements = [inner(element) for element in client.ask("2+2").json()]

    assert elements[-1]["answer"]["customerPolicyEnforcementResult"] == {"verdict": "WATCH_CLOSELY"}
    (errors,) = [
        element["connectorAuthErrors"] for element in elements if "connectorAuthErrors" in element
    ]
    assert set(errors[0]) == {"dataConnector", "errorMessage"}


def test_a_violation_says_what_was_violated(upstream: Simulator, client: Client) -> None:
    upstream.script(*sim.policy_violation(violation="Jailbreak."))
    upstream.script(*sim.banned_phrase("foo", "bar"))

    armor, phrases = (inner(client.ask("x").json()[0])["answer"] for _ in range(2))

    assert armor["customerPolicyEnforcementResult"] == {
        "verdict": "BLOCK",
        "policyResults": [{"modelArmorEnforcementResult": {"modelArmorViolation": "Jailbreak."}}],
    }
    results = phrases["customerPolicyEnforcementResult"]["policyResults"]
    assert results == [{"bannedPhraseEnforcementResult": {"bannedPhrases": ["foo", "bar"]}}]
