"""What a request's messages become, what its answer does, and what is asked for once more."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gbproxy.domain.chat import Message, Role, TextPart
from gbproxy.domain.events import (
    ChatEvent,
    Citation,
    Done,
    FileOutput,
    Flush,
    Refusal,
    SessionNamed,
    TextDelta,
    ThoughtDelta,
    ToolCallDelta,
    ToolCallStarted,
)
from gbproxy.domain.response_format import JSON_OBJECT, ResponseFormat
from gbproxy.emulation.pipeline import CorrectionNeeded, Pipeline
from gbproxy.emulation.structured_output.emulation import REFUSAL, Report, Step, StructuredOutput
from gbproxy.emulation.tool_calls.emulation import ToolEmulation
from gbproxy.errors import StructuredOutputInvalid
from tests.support.structured_output import CITY, FORMATS
from tests.support.tool_calls import NONCE, TOOLS, call, pieces, upstream

OSLO = '{"city": "Oslo"}'
WRONG = '{"city": 5}'
PROSE = "The city is Oslo."
REFUSED = [Refusal(REFUSAL, is_content=False), Done()]


def says(role: Role, text: str) -> Message:
    return Message(role, (TextPart(text),))


def text_of(messages: Iterable[Message]) -> str:
    return "\n".join(
        part.text for each in messages for part in each.parts if isinstance(part, TextPart)
    )


def whole(form: ResponseFormat = CITY, **options: Any) -> StructuredOutput:
    return StructuredOutput(form, is_streamed=False, **options)


def streamed(form: ResponseFormat = CITY, **options: Any) -> StructuredOutput:
    return StructuredOutput(form, is_streamed=True, **options)


def events_of(*events: ChatEvent | SessionNamed) -> Any:
    yield from events


def answer(used: StructuredOutput, *texts: str, may_correct: bool = True) -> list[Any]:
    return list(used.read(upstream(*texts), may_correct))


def corrected(used: StructuredOutput, *texts: str) -> CorrectionNeeded:
    with pytest.raises(CorrectionNeeded) as raised:
        answer(used, *texts)
    return raised.value


# What is sent


def test_a_fresh_session_is_told_of_the_schema_behind_the_system_texts() -> None:
    messages = (says("system", "Be brief."), says("user", "Where?"))

    system, instruction, user = whole().write(messages, False)

    assert (system, user) == messages
    assert instruction.role == "system"
    assert '"required":["city"]' in text_of([instruction])
    assert '"city"' in text_of([instruction])


def test_any_object_is_asked_for_without_a_schema() -> None:
    [instruction, _] = whole(JSON_OBJECT).write((says("user", "Where?"),), False)

    assert "one JSON object" in text_of([instruction])
    assert "schema" not in text_of([instruction])


def test_a_continued_session_is_reminded_without_the_schema() -> None:
    [message] = whole().write((says("user", "And now?"),), True)

    assert message.role == "user"
    assert text_of([message]).startswith("And now?\n")
    assert "JSON" in text_of([message])
    assert "required" not in text_of([message])


def test_beside_tools_only_words_have_to_be_json() -> None:
    told = text_of(whole(has_tools=True).write((says("user", "Where?"),), False))

    assert "where you call no function" in told


def test_name_and_description_say_what_the_json_is_for() -> None:
    form = ResponseFormat({"type": "object"}, "place", "Where it is")

    told = text_of(whole(form).write((), False))

    assert '"place" (Where it is)' in told


# What is read


@pytest.mark.parametrize("make", [whole, streamed])
def test_only_the_json_is_the_answer(make: Any) -> None:
    events = answer(make(), *f"Sure!\n```json\n{OSLO}\n```\nMore?")

    assert "".join(each.text for each in events[:-1]) == OSLO
    assert events[-1] == Done()


def test_a_stream_passes_on_what_has_arrived() -> None:
    events = streamed().read(
        events_of(TextDelta('Here: {"city": "O'), Flush(), TextDelta('slo"} '), Done()), True
    )

    assert list(events) == [TextDelta('{"city": "O'), Flush(), TextDelta('slo"}'), Done()]


def test_a_whole_answer_waits_until_it_is_valid_with_its_thoughts() -> None:
    events = [ThoughtDelta("Hm."), Flush(), TextDelta(OSLO), Done()]

    assert list(whole().read(events_of(*events), True)) == [
        Flush(),
        ThoughtDelta("Hm."),
        TextDelta(OSLO),
        Done(),
    ]


def test_the_name_of_a_session_passes_at_once() -> None:
    events = whole().read(events_of(SessionNamed("s"), TextDelta(OSLO), Done()), True)

    assert next(events) == SessionNamed("s")


def test_a_file_is_not_named_within_json() -> None:
    events = [TextDelta(OSLO), FileOutput("image/png", "f"), Done()]

    assert list(whole().read(events_of(*events), True)) == [TextDelta(OSLO), Done()]


def test_sources_are_given_by_their_places_in_the_json() -> None:
    events = [TextDelta(f"Sure: {OSLO}"), Citation(16, 20, "u"), Citation(0, 4, "v"), Done()]

    assert list(whole().read(events_of(*events), True)) == [
        TextDelta(OSLO),
        Citation(10, 14, "u"),
        Done(),
    ]


@pytest.mark.parametrize("make", [whole, streamed])
def test_an_answer_that_was_cut_short_or_blocked_is_passed_on_as_it_ends(make: Any) -> None:
    cut = list(make().read(upstream('{"city": "Os', reason="length"), True))
    blocked = list(make().read(events_of(Refusal("No."), Done("content_filter")), True))

    assert cut == [TextDelta('{"city": "Os'), Done("length")]
    assert blocked == [Refusal("No."), Done("content_filter")]


# Asking once more


@pytest.mark.parametrize("text", [WRONG, PROSE, "", '{"city": "Os'])
def test_a_wrong_answer_is_asked_for_once_more_then_refused(text: str) -> None:
    used = whole()

    needed = corrected(used, text)
    written = used.write(needed.messages, True)

    assert needed.answer == text
    assert written == needed.messages
    assert answer(used, text) == REFUSED
    assert used.report == Report(turns=2, step=Step.REFUSE)


def test_the_correction_holds_the_validators_words() -> None:
    needed = corrected(whole(), f"Sure: {WRONG}")

    assert needed.answer == f"Sure: {WRONG}"
    assert "at $.city: 5 is not of type 'string'" in text_of(needed.messages)


def test_a_corrected_answer_is_the_answer() -> None:
    used = whole()
    corrected(used, ThoughtDelta("Hm.").text, WRONG)

    assert answer(used, OSLO) == [TextDelta(OSLO), Done()]
    assert used.report.step is Step.JSON
    assert used.report.turns == 2


def test_where_nothing_may_be_corrected_the_answer_is_refused_at_once() -> None:
    assert answer(whole(), WRONG, may_correct=False) == REFUSED


def test_a_stream_that_turns_out_invalid_ends_with_an_error() -> None:
    used = streamed()

    with pytest.raises(StructuredOutputInvalid) as raised:
        answer(used, '{"city"', ": 5}")

    assert raised.value.status == 502
    assert "5" not in raised.value.message
    assert used.report.step is Step.FAIL


def test_what_was_streamed_before_it_turned_out_invalid_was_json() -> None:
    events = streamed().read(upstream('Here: {"city": ', "5", "} So."), True)

    assert [next(events), next(events)] == [TextDelta('{"city": '), TextDelta("5}")]
    with pytest.raises(StructuredOutputInvalid):
        next(events)


def test_a_stream_of_which_nothing_was_shown_is_corrected() -> None:
    used = streamed()

    assert corrected(used, PROSE).answer == PROSE
    assert answer(used, OSLO) == [TextDelta(OSLO), Done()]


def test_thoughts_that_were_shown_stay_where_they_are() -> None:
    events = streamed().read(events_of(ThoughtDelta("Hm."), TextDelta(PROSE), Done()), True)

    assert next(events) == ThoughtDelta("Hm.")
    with pytest.raises(CorrectionNeeded) as caught:
        next(events)
    assert caught.value.follows_shown


# Beside tools


def beside_tools(used: StructuredOutput, *texts: str) -> list[Any]:
    tools = ToolEmulation(TOOLS, NONCE, make_id=lambda: "c0")
    pipeline = Pipeline((used.stage(), tools.stage()))
    return list(pipeline.read(upstream(*texts), may_correct=True))


@pytest.mark.parametrize("make", [whole, streamed])
@pytest.mark.parametrize("words", ["", "Let me look.\n\n", "Here is {x}:\n"])
def test_calls_win_over_json(make: Any, words: str) -> None:
    events = beside_tools(make(has_tools=True), *(words + call(city="Oslo")))

    assert events == [
        ToolCallStarted(0, "c0", "get_weather"),
        ToolCallDelta(0, '{"city":"Oslo"}'),
        Done("tool_calls"),
    ]


@pytest.mark.parametrize("make", [whole, streamed])
def test_without_a_call_the_words_have_to_be_json(make: Any) -> None:
    events = beside_tools(make(has_tools=True), *f"```json\n{OSLO}\n```")

    assert "".join(each.text for each in events[:-1]) == OSLO
    with pytest.raises(CorrectionNeeded):
        beside_tools(make(has_tools=True), PROSE)


def test_tools_and_format_are_both_told_of() -> None:
    tools = ToolEmulation(TOOLS, NONCE)
    pipeline = Pipeline((whole(has_tools=True).stage(), tools.stage()))

    told = text_of(pipeline.write((says("user", "Where?"),), is_resumed=False))

    assert "get_weather" in told
    assert "where you call no function" in told


# However it is cut


scripts = st.lists(
    st.sampled_from(
        [OSLO, WRONG, PROSE, "```json\n", "\n```", '{"city"', ': "Os', '"}', "[1]", "\n", "{}", "4",
         "&quot;", "'", "{'city': 'Bern',}", call(city="Oslo"), "null"]
    ),
    max_size=6,
).map("".join)  # fmt: skip


def outcome(used: StructuredOutput, texts: Sequence[str]) -> tuple[str, list[Any], str]:
    """The text, all else, and how it ended."""
    text: list[str] = []
    others: list[Any] = []
    end = "done"
    try:
        for event in _without_correction(used, texts):
            if isinstance(event, TextDelta):
                text.append(event.text)
            else:
                others.append(event)
    except StructuredOutputInvalid:
        return "", [], "invalid"
    if others == REFUSED:
        return "", [], "invalid"
    return "".join(text), others, end


def _without_correction(used: StructuredOutput, texts: Sequence[str]) -> Iterator[Any]:
    tools = ToolEmulation(TOOLS, NONCE, make_id=lambda: "c0")
    return Pipeline((used.stage(), tools.stage())).read(upstream(*texts), may_correct=False)


@settings(max_examples=150)
@given(scripts, st.lists(st.integers(0, 500), max_size=30), st.sampled_from(FORMATS))
def test_the_streamed_result_equals_the_whole_one(
    script: str, cuts: list[int], form: ResponseFormat
) -> None:
    at_once = outcome(whole(form, has_tools=True), [script])

    assert outcome(streamed(form, has_tools=True), pieces(script, cuts)) == at_once
    assert outcome(whole(form, has_tools=True), pieces(script, cuts)) == at_once
