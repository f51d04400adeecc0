"""widgetStreamAssist of the fake upstream: what it accepts and what its answers consist of."""

import base64
import json
import re

import pytest

from gbproxy.simulator import MAIN_FLOW_VALUES, ModelAnswer, Simulator, Switches, answer
from tests.support.widget_client import (
    Client,
    contents,
    fragments_of,
    inner,
    parse_stream,
    states_of,
    text_of,
)

DASH = "collections/default_collection/engines/agentspace-engine/sessions/-"
QUESTION = '请说明 naïve quoting \\ " and 📊 in one line'


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("temperature", 0.5),
        ("query", {}),
        ("query", {"parts": []}),
        ("query", {"parts": [{"text": ""}]}),
        ("query", {"parts": ["text"]}),
        ("filter", 3),
        ("fileIds", "1"),
        ("answerGenerationMode", "FAST"),
        ("toolsSpec", {"codeInterpreter": {}}),
        ("toolsSpec", {"webGroundingSpec": "yes"}),
        ("languageCode", 1),
        ("userMetadata", {"timezone": "UTC"}),
        ("assistSkippingMode", "ALWAYS"),
        ("assistGenerationConfig", {"thinkingConfig": {}}),
        ("assistGenerationConfig", {"modelId": 3}),
    ],
)
def test_a_bad_field_is_refused_by_name(client: Client, field: str, value: object) -> None:
    response = client.ask("Hello", **{field: value})

    assert response.status_code == 400
    assert response.json()["error"]["status"] == "INVALID_ARGUMENT"
    named = re.sub(r"(?<!^)(?=[A-Z])", "_", field).lower()
    assert (
        field in response.json()["error"]["message"] or named in response.json()["error"]["message"]
    )


@pytest.mark.parametrize("field", ["session", "query"])
def test_a_missing_field_is_refused(client: Client, field: str) -> None:
    request = {name: value for name, value in client.question("Hello").items() if name != field}

    assert client.call("widgetStreamAssist", request).status_code == 400


def test_the_official_form_of_a_query_is_accepted(client: Client) -> None:
    assert text_of(client.ask("", query={"text": "2+2"}).json()) == "2+2 = **4**"


def test_a_greeting_is_skipped_unless_assistance_is_asked_for(client: Client) -> None:
    elements = client.ask("Hello!", assistSkippingMode=None).json()

    assert states_of(elements) == ["SKIPPED"]
    assert inner(elements[0])["answer"]["assistSkippedReasons"] == [
        "NON_ASSIST_SEEKING_QUERY_IGNORED"
    ]
    assert states_of(client.ask("Hello!").json())[-1] == "SUCCEEDED"


@pytest.mark.parametrize(
    ("switch", "status"),
    [("400", 400), ("404", 404), ("403", 403), ("precondition", 400), ("silent", 200)],
)
def test_an_unknown_model_follows_its_switch(
    upstream: Simulator, client: Client, switch: str, status: int
) -> None:
    upstream.set(unknown_model=switch)

    assert client.ask("2+2", assistGenerationConfig={"modelId": "gemini-9"}).status_code == status
    assert (
        client.ask("2+2", assistGenerationConfig={"modelId": "gemini-3.8-flash"}).status_code == 200
    )
    assert client.ask("2+2", assistGenerationConfig={}).status_code == 200


def test_the_known_models_can_be_set(upstream: Simulator, client: Client) -> None:
    upstream.set(known_models=("gemini-9",))

    assert client.ask("2+2", assistGenerationConfig={"modelId": "gemini-9"}).status_code == 200


def test_a_prompt_can_be_too_long(upstream: Simulator, client: Client) -> None:
    upstream.set(max_prompt_chars=10)

    assert (
        client.ask("x" * 11).json()["error"]["message"].startswith("The input token count exceeds")
    )


def test_a_dash_makes_a_session_whose_name_comes_at_the_end(
    upstream: Simulator, client: Client
) -> None:
    elements = client.ask("2+2", DASH).json()

    name = inner(elements[-1])["sessionInfo"]["session"]
    assert upstream.sessions[name.rpartition("/")[2]].turns[0].answer == "2+2 = **4**"
    upstream.set(dash_session="refused")
    assert client.ask("2+2", DASH).status_code == 400


def test_a_session_remembers_its_turns(upstream: Simulator, client: Client) -> None:
    upstream.script(*answer("One ", "two."))
    session = client.create_session()

    client.ask("First?", session, assistGenerationConfig={"modelId": "gemini-3.8-flash"})
    client.ask("2+2", session)

    turns = upstream.sessions[session.rpartition("/")[2]].turns
    assert [(turn.query, turn.answer, turn.complete) for turn in turns] == [
        ("First?", "One two.", True),
        ("2+2", "2+2 = **4**", True),
    ]
    assert turns[0].model_id == "gemini-3.8-flash"


def test_the_model_can_be_replaced(upstream: Simulator, client: Client) -> None:
    upstream.model = lambda prompt: ModelAnswer(prompt.upper())

    assert text_of(client.ask("shout it").json()) == "SHOUT IT"


def test_an_answer_thinks_speaks_suggests_and_succeeds(client: Client) -> None:
    elements = client.ask("Why do cats purr?").json()

    states = states_of(elements)
    assert states == ["IN_PROGRESS"] * (len(elements) - 1) + ["SUCCEEDED"]
    thought = "".join(content["text"] for content in contents(elements) if content.get("thought"))
    assert thought.startswith("**Assessing the Request**\n\nI'm looking at")
    assert "cats purr" in text_of(elements)
    data = contents(elements)[-2]["inlineData"]
    assert data["mimeType"] == "application/json+suggestions"
    questions = json.loads(base64.b64decode(data["data"]))["recommendedQuestionsResponse"][
        "questions"
    ]
    assert len(questions) == 3
    final = inner(elements[-1])
    assert final["answer"]["replies"][0]["groundedContent"] == {}
    assert final["answer"]["diagnosticInfo"]["plannerSteps"][1]["planStep"]["parts"][0][
        "text"
    ] == text_of(elements)
    assert "uToken" in elements[0]
    assert not any("uToken" in element for element in elements[1:])


def every_value() -> list[tuple[str, object]]:
    return [(name, value) for name, values in MAIN_FLOW_VALUES.items() for value in values]


@pytest.mark.parametrize(("name", "value"), every_value())
@pytest.mark.parametrize("sse", [False, True], ids=["array", "sse"])
def test_the_main_flow_reads_the_same_under_every_value_of_every_switch(
    name: str, value: object, sse: bool
) -> None:
    with Simulator(switches=Switches().changed(**{name: value}), seed=3) as upstream:
        upstream.script(
            *answer("**Bold** ", "𝄞📊 é 中", "文.\u2028", thoughts=("**Thinking**\n\nHm.\n\n\n",))
        )
        client = Client(upstream)
        client.pass_all_gates()
        if name == "getoxsrf" and value == "refreshcookies":
            client.get("/auth/refreshcookies?continue=/", Cookie=client.cookies())
        if name == "create_session_transient" and value:
            client.call("widgetCreateSession", {})

        session = DASH if name == "create_session" else None
        fields = (
            {"toolsSpec": {"toolRegistry": "default_tool_registry"}} if name == "tools_off" else {}
        )
        elements = parse_stream(client.ask(QUESTION, session, sse=sse, **fields))

        expected = "**Bold** 𝄞📊 é 中文.\u2028"
        fragments = fragments_of(elements)
        if (name, value) == ("final", "repeats_text"):
            assert "".join(fragments) == expected * 2
        else:
            assert fragments == ["**Bold** ", "𝄞📊 é 中", "文.\u2028"]
        assert states_of(elements)[-1] == "SUCCEEDED"
        (made,) = upstream.sessions.values()
        assert made.turns[0].answer == expected
        assert made.turns[0].query == QUESTION


def test_the_wrapper_the_token_and_the_session_follow_their_switches(
    upstream: Simulator, client: Client
) -> None:
    upstream.set(
        wrapper="bare",
        u_token="every",
        session_info="empty_then_full",
        suggestions=False,
        state="absent",
    )
    upstream.script(*answer("a", "b"))

    elements = client.ask("x").json()

    assert all(
        "uToken" in element and "streamAssistResponse" not in element for element in elements
    )
    assert [bool(element["sessionInfo"]) for element in elements] == [False, False, True]
    assert states_of(elements) == [None, None, "SUCCEEDED"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("joined", [("**H**\n\nSome prose.\n\n\n", True)]),
        ("separate", [("**H**\n\n", True), ("Some prose.\n\n\n", True)]),
        ("unflagged_headlines", [("**H**\n\n", False), ("Some prose.\n\n\n", True)]),
        ("flagged", [("**H**\n\n", True), ("Some ", True), ("prose.\n\n\n", True)]),
    ],
)
def test_status_lines_come_in_four_ways(
    upstream: Simulator, client: Client, value: str, expected: list[tuple[str, bool]]
) -> None:
    upstream.set(status_lines=value, suggestions=False)
    upstream.model = lambda _: ModelAnswer("Yes", (("H", "Some prose."),))

    found = [
        (content["text"], content.get("thought", False))
        for content in contents(client.ask("x").json())[:-1]
    ]

    assert found == [*expected, ("Yes", False)]


def test_citations_count_utf8_bytes_in_strings(upstream: Simulator, client: Client) -> None:
    upstream.set(citations=True)
    upstream.script(*answer("é😀", "中文"))

    elements = client.ask("x").json()

    replies = [reply for element in elements for reply in inner(element)["answer"]["replies"]]
    metadata = [reply["groundedContent"].get("textGroundingMetadata") for reply in replies]
    (segment,) = next(found for found in metadata if found)["segments"]
    assert (segment["startIndex"], segment["endIndex"], segment["text"]) == ("6", "12", "中文")


def test_the_last_text_may_come_in_the_final_element(upstream: Simulator, client: Client) -> None:
    upstream.set(final="carries_last_text", suggestions=False)
    upstream.script(*answer("a", "b"))

    elements = client.ask("x").json()

    assert [
        (state, text_of([element]))
        for state, element in zip(states_of(elements), elements, strict=True)
    ] == [
        ("IN_PROGRESS", "a"),
        ("SUCCEEDED", "b"),
    ]


def test_a_refusal_may_be_wrapped_in_an_array(upstream: Simulator, client: Client) -> None:
    upstream.set(stream_error_shape="array")

    response = client.ask("x", temperature=1)

    assert response.status_code == 400
    assert response.json()[0]["error"]["code"] == 400
