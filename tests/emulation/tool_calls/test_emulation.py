"""What a request's messages become, what its answer does, and what is asked for once more."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest

from gbproxy.domain.chat import Message, Role, TextPart, ToolCallPart, ToolResultPart
from gbproxy.domain.events import Done, FinishReason, Flush, ThoughtDelta
from gbproxy.domain.tools import Tools
from gbproxy.emulation.pipeline import CorrectionNeeded
from gbproxy.emulation.tool_calls.assembly import Fault
from gbproxy.emulation.tool_calls.emulation import ToolEmulation
from gbproxy.emulation.tool_calls.reader import Reading
from gbproxy.emulation.tool_calls.verdict import NOTE, Step
from gbproxy.errors import ToolCallMissing
from tests.support.tool_calls import (
    MARK,
    NO_CALLS,
    NONCE,
    REQUIRED,
    TOOLS,
    WEATHER,
    call,
    fenced,
    told,
    upstream,
)

CALL = ToolCallPart("call_a", "get_weather", '{"city": "Oslo"}')
RESULT = Message("tool", (ToolResultPart("call_a", "4 °C"),))
OSLO = (0, "c0", "get_weather", '{"city":"Oslo"}')
PROSE = "That tool is not available in this chat."


def says(role: Role, text: str) -> Message:
    return Message(role, (TextPart(text),))


def emulation(tools: Tools = TOOLS, *past: Message, corrects_shown: bool = False) -> ToolEmulation:
    ids = (f"c{n}" for n in count())
    return ToolEmulation(
        tools, NONCE, past, corrects_shown=corrects_shown, make_id=lambda: next(ids)
    )


def answer(
    emulation: ToolEmulation, *texts: str, may_correct: bool = True, reason: FinishReason = "stop"
) -> list[Any]:
    return told(emulation.read(upstream(*texts, reason=reason), may_correct))


def correction(emulation: ToolEmulation, *texts: str) -> tuple[list[Any], CorrectionNeeded]:
    """What was shown before the answer had to be corrected."""
    shown: list[Any] = []
    with pytest.raises(CorrectionNeeded) as raised:
        shown.extend(emulation.read(upstream(*texts), True))
    return told(shown), raised.value


def text_of(*messages: Message) -> str:
    [part] = [part for message in messages for part in message.parts]
    assert isinstance(part, TextPart)
    return part.text


# What is sent


def test_a_fresh_session_is_told_of_the_tools_behind_the_system_texts() -> None:
    messages = (says("system", "Be brief."), says("user", "Weather?"))

    system, instruction, user = emulation().write(messages, False)

    assert (system, user) == messages
    assert instruction.role == "system"
    assert '"name":"get_weather"' in text_of(instruction)


def test_a_continued_session_is_reminded_in_two_lines_without_schemas() -> None:
    written = emulation(TOOLS, Message("assistant", (CALL,)), RESULT).write((RESULT,), True)

    [message] = written
    result, reminder = (part.text for part in message.parts if isinstance(part, TextPart))
    assert message.role == "user"
    assert result == "Result of get_weather, call call_a:\n4 °C"
    assert MARK.line in reminder
    assert '"city"' not in reminder
    assert len(reminder) < 400


def test_a_reminder_does_not_grow_with_the_tools() -> None:
    many = Tools(tuple(type(WEATHER)(f"tool_{n}", "x" * 500) for n in range(100)))

    [message] = emulation(many).write((says("user", "Go on."),), True)

    assert sum(len(part.text) for part in message.parts if isinstance(part, TextPart)) < 400


def test_past_calls_stand_in_the_wire_form_and_results_as_a_users_words() -> None:
    past = (
        says("user", "Weather?"),
        Message("assistant", (TextPart("Let me look."), CALL)),
        RESULT,
        Message("tool", (ToolResultPart("call_x", "?"),)),
        says("assistant", "Cold."),
    )

    _, user, assistant, results, last = emulation(TOOLS, *past).write(past, False)

    assert (user, last) == (past[0], past[4])
    assert assistant.parts == (
        TextPart("Let me look."),
        TextPart(call(city="Oslo").replace(": ", ":").replace(", ", ",")),
    )
    assert results == Message(
        "user",
        (
            TextPart("Result of get_weather, call call_a:\n4 °C"),
            TextPart("Result of call call_x:\n?"),
        ),
    )


def test_without_a_tool_to_call_a_session_is_told_nothing_and_a_continued_one_to_call_none() -> (
    None
):
    user = says("user", "Weather?")

    assert emulation(NO_CALLS).write((user,), False) == (user,)
    assert "call no function" in str(emulation(NO_CALLS).write((user,), True))


def test_arguments_that_are_no_json_are_rendered_as_the_text_that_they_are() -> None:
    past = Message("assistant", (ToolCallPart("x", "get_weather", "{city"),))

    *_, rendered = emulation().write((past,), False)

    assert '{"name":"get_weather","arguments":"{city"}' in text_of(rendered)


# What is read


def test_text_is_passed_on_and_a_call_follows_with_index_id_and_name_first() -> None:
    text = f"Let me look.\n\n{call(city='Oslo')}\n{call(city='Bern')}\n"

    events = answer(emulation(), *text)

    assert events == [
        "Let me look.",
        OSLO,
        (1, "c1", "get_weather", '{"city":"Bern"}'),
        Done("tool_calls"),
    ]


def test_plain_text_ends_as_the_upstream_ends_it() -> None:
    used = emulation()

    assert answer(used, "Hel", "lo.\n", reason="length") == ["Hello.\n", Done("length")]
    assert used.report.is_plain


def test_other_events_pass_at_once() -> None:
    def events() -> Any:
        yield ThoughtDelta("Hm.")
        yield Flush()
        yield from upstream(call(city="Oslo"))

    assert told(emulation().read(events(), True)) == [
        ThoughtDelta("Hm."),
        Flush(),
        OSLO,
        Done("tool_calls"),
    ]


def test_an_answer_is_not_read_beyond_its_calls() -> None:
    read: list[str] = []

    def events() -> Any:
        for text in (call(city="Oslo"), "\nResult", ": 4 °C", " and more"):
            read.append(text)
            yield from (each for each in upstream(text) if not isinstance(each, Done))

    used = emulation()

    assert told(used.read(events(), True)) == [OSLO, Done("tool_calls")]
    assert read[-1] == "\nResult"
    assert used.report.reading.is_cut


# Asking once more


def test_a_wrong_call_is_asked_for_once_more_with_what_is_wrong() -> None:
    used = emulation()

    shown, needed = correction(used, call(town="Oslo"))
    written = used.write(needed.messages, True)
    events = answer(used, call(city="Oslo"), may_correct=True)

    assert shown == []
    assert needed.answer == call(town="Oslo")
    assert "'city' is a required property" in text_of(*written)
    assert MARK.line in text_of(*written)
    assert events == [OSLO, Done("tool_calls")]
    assert (used.report.turns, used.report.step) == (2, Step.CALLS)
    assert used.report.reading == Reading(calls=1, forms={"mark"})


def test_it_is_asked_for_once_only_then_a_note_stands_in_its_place() -> None:
    used = emulation()
    correction(used, call("rm"))

    events = answer(used, "So be it.\n", call("rm"))

    assert events == [f"So be it.\n\n{NOTE}", Done()]
    assert used.report.step is Step.NOTE


def test_prose_is_an_answer_unless_a_call_is_required() -> None:
    assert answer(emulation(), PROSE) == [PROSE, Done()]

    shown, needed = correction(emulation(REQUIRED), PROSE)

    assert shown == []
    assert "needs one" in text_of(*needed.messages)
    assert MARK.line in text_of(*needed.messages)


def test_a_required_call_that_does_not_come_is_a_failure() -> None:
    for text in (PROSE, call("rm"), ""):
        used = emulation(REQUIRED)
        correction(used, text)
        with pytest.raises(ToolCallMissing) as raised:
            answer(used, text)
        assert raised.value.status == 502
        assert used.report.step is Step.FAIL


def test_text_before_a_required_call_waits_for_it_and_stays_content() -> None:
    used = emulation(REQUIRED)
    events = used.read(upstream("Let me look.\n", call(city="Oslo")), True)

    assert told(events) == ["Let me look.", OSLO, Done("tool_calls")]


def test_a_required_call_cut_short_or_filtered_is_passed_on_as_the_upstream_ends_it() -> None:
    assert answer(emulation(REQUIRED), "Let", reason="length") == ["Let", Done("length")]
    assert answer(emulation(REQUIRED), "No.", reason="content_filter") == [
        "No.",
        Done("content_filter"),
    ]


def test_behind_a_text_that_was_shown_nothing_is_asked_for_unless_the_reader_takes_it() -> None:
    text = ("Let me look.\n", call("rm"))

    assert answer(emulation(), *text) == [f"Let me look.\n\n{NOTE}", Done()]

    used = emulation(corrects_shown=True)
    shown, _ = correction(used, *text)
    events = answer(used, "Sorry.\n", call(city="Oslo"))

    assert shown == ["Let me look."]
    assert events == [OSLO, Done("tool_calls")]


def test_a_corrected_answer_in_words_stands_in_a_paragraph_of_its_own() -> None:
    used = emulation(corrects_shown=True)
    correction(used, "Let me look.\n", call("rm"))

    assert answer(used, "It cannot be done.") == ["\n\nIt cannot be done.", Done()]


def test_a_call_where_none_may_be_is_asked_to_be_words() -> None:
    used = emulation(NO_CALLS)

    _, needed = correction(used, call(city="Oslo"))

    assert "in words" in text_of(*needed.messages)
    assert answer(used, "4 °C.") == ["4 °C.", Done()]


def test_what_was_mended_is_told_to_the_log() -> None:
    used = emulation()

    answer(
        used,
        f"{MARK.line}\n{{'name': 'default_api.get_weather', 'arguments': {{'city': 'Oslo',}}}}",
    )

    assert used.report.reading.forms == {"mark", "unfenced"}
    assert used.report.reading.repairs >= {"python", "prefix"}


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (PROSE, Fault.PROSE),
        ("", Fault.NO_CALL),
        (f"{MARK.line}\n", Fault.NO_CALL),
        (call("rm"), Fault.NAME),
        (f"{MARK.line}\n{fenced('[1, 2')}", Fault.JSON),
        (call(city=5), Fault.TYPES),
        (f'{MARK.line}\n```json\n{{"name": "get_weather", "argu', Fault.CUT),
        (call("write_file", path="a", content="@1"), Fault.CUT),
        (f"{call('write_file', path='a', content='@1')}\n````@1\nHalf", Fault.CUT),
    ],
)
def test_what_is_wrong_with_an_answer_has_a_kind(text: str, fault: Fault) -> None:
    used = emulation(REQUIRED)

    correction(used, text)
    answer(used, call(city="Oslo"))

    assert used.report.faults == [fault]
