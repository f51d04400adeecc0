"""The elements of one answer, rule by rule of docs/upstream.md: what becomes an event, and what an
answer's end means.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gbproxy.domain.events import (
    ChatEvent,
    Citation,
    Done,
    FileOutput,
    Refusal,
    TextDelta,
    ThoughtDelta,
)
from gbproxy.errors import (
    AnswerEmpty,
    GatewayError,
    QuotaExhausted,
    TokenRefused,
    UpstreamOverloaded,
    UpstreamProtocolError,
    UpstreamUnclear,
)
from gbproxy.settings import STATUS_LINES
from gbproxy.upstreams.stream_assist.answer_text import normalized_all
from gbproxy.upstreams.stream_assist.assist import AssistReader

HEADLINES = normalized_all(STATUS_LINES)
PNG = b"\x89PNG\r\n\x1a\n picture"
Element = dict[str, Any]


def response(answer: Element | None = None, **more: Any) -> Element:
    return {"streamAssistResponse": {**({} if answer is None else {"answer": answer}), **more}}


def replies(*contents: Element, state: str | None = "IN_PROGRESS") -> Element:
    answer: Element = {
        "replies": [{"groundedContent": {"content": content}} for content in contents]
    }
    return response({"state": state, **answer} if state else answer)


def says(text: str, state: str | None = "IN_PROGRESS") -> Element:
    return replies({"role": "model", "text": text}, state=state)


def thinks(text: str) -> Element:
    return replies({"role": "model", "text": text, "thought": True})


def ends(state: str = "SUCCEEDED", **more: Any) -> Element:
    return response(
        {"name": "…/assistAnswers/1", "state": state, "replies": [{"groundedContent": {}}], **more}
    )


def fails(code: int, status: str, *reasons: str) -> Element:
    details = [{"reason": reason} for reason in reasons]
    return {"error": {"code": code, "status": status, "message": "No.", "details": details}}


def read(
    *elements: Element, closed: bool = True, hiding: frozenset[str] = HEADLINES
) -> list[ChatEvent]:
    reader = AssistReader(hiding)
    events: list[ChatEvent] = []
    for element in elements:
        reader.read([element], events)
    return events + reader.finish(closed=closed)


def text_of(*elements: Element, hiding: frozenset[str] = HEADLINES) -> str:
    return "".join(
        event.text for event in read(*elements, hiding=hiding) if isinstance(event, TextDelta)
    )


def failure_of(*elements: Element, closed: bool = True) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        read(*elements, closed=closed)
    return caught.value


# A further text


def _outcome(*reads: list[Element]) -> tuple[list[ChatEvent], str]:
    """The events of elements that came in so many reads, and the error that ended them, or the
    end's.
    """
    reader = AssistReader(HEADLINES, max_bytes=40)
    events: list[ChatEvent] = []
    try:
        for elements in reads:
            reader.read(elements, events)
        events += reader.finish(closed=False)
    except GatewayError as error:
        return events, f"{type(error).__name__}: {error.message}"
    return events, ""


_WITH_SOURCE = {"textGroundingMetadata": {"references": [{"documentMetadata": {"uri": "u"}}]}}


@pytest.mark.parametrize(
    "element",
    [
        says(" and more"),
        says(""),
        says(" \n"),
        says("**Assessing the Request**"),
        says("far more text than the answer may have in all"),
        says(" and more", state=None),
        says(" and more", state="SUCCEEDED"),
        says(" and more", state="CANCELLED"),
        says(" and more", state="FAILED"),
        thinks("Hm."),
        replies({"role": "model", "text": "a"}, {"role": "model", "text": "b"}),
        replies({"role": "model", "text": ["a"]}),
        replies({"role": "model"}),
        replies(),
        replies({"text": "a", "file": {"fileId": "f", "mimeType": "image/png"}}),
        response(
            {
                "state": "IN_PROGRESS",
                "replies": [{"groundedContent": {"content": {"text": "a"}, **_WITH_SOURCE}}],
            }
        ),
        response(
            {
                "state": "IN_PROGRESS",
                "replies": [
                    {
                        "groundedContent": {"content": {"text": "a"}},
                        "generatedImages": [{"image": {"fileId": "f"}}],
                    }
                ],
            }
        ),
        response(
            {
                "state": "IN_PROGRESS",
                "replies": [{"groundedContent": {"content": {"text": "a"}}}],
                "customerPolicyEnforcementResult": {"verdict": "BLOCK"},
            }
        ),
        {**says("a"), "error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "No."}},
        {"streamAssistResponse": {"answer": {"state": "IN_PROGRESS", "replies": "x"}}},
        {"streamAssistResponse": {"answer": "x"}},
        {"streamAssistResponse": "x"},
        {},
    ],
    ids=repr,
)
def test_a_further_element_means_the_same_with_a_field_that_nobody_knows(element: Element) -> None:
    unknown = {**element, "notYetKnown": True}

    begun, end = [says("Hello")], [ends()]
    assert _outcome(begun, [element]) == _outcome(begun, [unknown])
    assert _outcome(begun, [element], end) == _outcome(begun, [unknown], end)


def _joined(events: list[ChatEvent]) -> list[ChatEvent]:
    """With texts that follow each other as one."""
    joined: list[ChatEvent] = []
    for event in events:
        if isinstance(event, TextDelta) and joined and isinstance(joined[-1], TextDelta):
            event = TextDelta(joined.pop().text + event.text)
        joined.append(event)
    return joined


@pytest.mark.parametrize(
    "elements",
    [
        [says("Hel"), says("lo"), says(" 世"), says("界!"), ends()],
        [says("Hel"), says("lo"), thinks("Hm."), says(" there"), says("!"), ends()],
        [says("Hel"), says("lo"), says("Hello", state="SUCCEEDED"), says(" again")],
        [says("Hel"), says("lo"), fails(429, "RESOURCE_EXHAUSTED"), says(" again")],
        [{"uToken": "t"}, says(" "), says("Hel"), {"uToken": "t"}, says("lo"), ends("SKIPPED")],
        [says("x" * 15), says("y" * 15), says("界" * 3), says("z" * 15), ends()],  # over the limit
    ],
    ids=repr,
)
def test_elements_that_came_together_mean_the_same_as_one_by_one(elements: list[Element]) -> None:
    together, its_error = _outcome(elements)
    apart, error = _outcome(*([element] for element in elements))

    assert _joined(together) == _joined(apart)
    assert its_error == error


def test_texts_that_came_together_are_one_event() -> None:
    events, _ = _outcome([says("Hel")], [says("lo"), says(" there"), says("!")], [ends()])

    assert events == [TextDelta("Hel"), TextDelta("lo there!"), Done()]


def test_texts_ahead_of_what_cannot_be_decoded_are_given() -> None:
    def broken() -> Iterator[Element]:
        yield from (says("Hel"), says("lo"), says(" there"))
        raise UpstreamProtocolError("no JSON")

    events: list[ChatEvent] = []
    with pytest.raises(UpstreamProtocolError):
        AssistReader().read(broken(), events)

    assert events == [TextDelta("Hel"), TextDelta("lo there")]


# Text and thoughts


def test_the_documented_short_stream_is_its_answer() -> None:
    events = read(
        {
            "uToken": "u",
            **replies(
                {
                    "role": "model",
                    "text": "**Assessing the Request**\n\nThe user greets me.\n\n",
                    "thought": True,
                }
            ),
        },
        says("Hel"),
        says("lo!"),
        response(
            {
                "name": "…/assistAnswers/1",
                "state": "SUCCEEDED",
                "replies": [{"groundedContent": {}, "replyId": "8"}],
            },
            sessionInfo={"session": "…/sessions/1", "queryId": "9", "turnId": "7"},
        ),
    )

    assert events == [
        ThoughtDelta("**Assessing the Request**\n\nThe user greets me.\n\n"),
        TextDelta("Hel"),
        TextDelta("lo!"),
        Done("stop"),
    ]


def test_text_comes_out_in_the_order_and_pieces_in_which_it_came() -> None:
    pieces = ["He said **3.", "75%** 👩", "\u200d🚀\n", " ", "| a | b", " |\n\n"]

    events = read(*map(says, pieces), ends())

    assert events == [*map(TextDelta, pieces), Done()]


def test_several_replies_in_one_element_keep_their_order() -> None:
    events = read(replies({"text": "a", "thought": True}, {"text": "b"}, {"text": "c"}), ends())

    assert events == [ThoughtDelta("a"), TextDelta("b"), TextDelta("c"), Done()]


def test_only_the_flag_in_the_content_makes_a_thought() -> None:
    beside = response(
        {
            "state": "IN_PROGRESS",
            "replies": [{"thought": True, "groundedContent": {"content": {"text": "x"}}}],
        }
    )
    not_true = replies(
        {"text": "y", "thought": False},
        {"text": "z", "thought": "yes"},
        {"text": "!", "thought": 1},
    )

    events = read(beside, not_true, ends())

    assert events == [TextDelta("x"), TextDelta("y"), TextDelta("z"), TextDelta("!"), Done()]


def test_a_flagged_thought_stays_one_after_the_text_has_begun() -> None:
    events = read(says("One."), thinks("Hm."), says(" Two."), ends())

    assert events == [TextDelta("One."), ThoughtDelta("Hm."), TextDelta(" Two."), Done()]


def test_the_last_element_may_carry_the_last_text() -> None:
    assert text_of(says("Hel"), says("lo!", "SUCCEEDED")) == "Hello!"


def test_elements_that_say_nothing_are_passed_over() -> None:
    silent = [
        response(),
        response({}),
        response({"state": "IN_PROGRESS", "replies": []}),
        replies({"role": "model"}),
        replies({"role": "model", "text": ""}),
        response({"replies": [{"groundedContent": {"contentMetadata": {"contentId": "c"}}}]}),
        response({"replies": [{}]}),
        response(sessionInfo={}),
        {"uToken": "u"},
        {},
    ]

    events = read(*silent, says("Hello"), *silent, ends())

    assert events == [TextDelta("Hello"), Done()]


def test_code_and_calls_are_not_text() -> None:
    content = {
        "executableCode": {"code": "print(1)", "language": "PYTHON"},
        "codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "1"},
        "functionCall": {"name": "f", "args": {"text": "no"}},
    }

    assert text_of(replies(content), says("One."), ends()) == "One."


# The two spellings


def test_the_official_api_s_bare_elements_are_read_alike() -> None:
    wrapped = [thinks("Hm."), says("Hel"), says("lo"), ends()]
    bare = [{"uToken": "u", **element["streamAssistResponse"]} for element in wrapped]

    assert (
        read(*bare)
        == read(*wrapped)
        == [ThoughtDelta("Hm."), TextDelta("Hel"), TextDelta("lo"), Done()]
    )


def test_unknown_fields_are_ignored_everywhere() -> None:
    element = says("Hello")
    element |= {"futureField": {"text": "no"}, "n": "9" * 19}
    element["streamAssistResponse"] |= {"invocationTools": ["x"], "text": "no"}
    element["streamAssistResponse"]["answer"] |= {"adkAuthor": "root_agent", "text": "no"}
    element["streamAssistResponse"]["answer"]["replies"][0] |= {"text": "no", "createTime": "now"}

    assert text_of(element, ends()) == "Hello"


# Status lines


@pytest.mark.parametrize(
    "text",
    [
        "**Assessing the Request**",
        "**Assessing the Request**\n\n",
        "Assessing the Request",
        "  \n**ASSESSING  the\nrequest** \n",
        "** Generating Response **",
    ],
)
def test_an_unflagged_headline_before_any_text_is_a_thought(text: str) -> None:
    events = read(says(text), says("Hello"), ends())

    assert events == [ThoughtDelta(text), TextDelta("Hello"), Done()]


@pytest.mark.parametrize(
    "text",
    [
        "**Dollar-cost averaging** is an",
        "**Dollar-cost averaging**",
        "**Assessing the Request** of the user",
        "**Assessing the Request**\n\nThe user greets me.",
        "Assessing",
        "**Assessing the Requests**",
    ],
)
def test_a_real_answer_that_begins_in_bold_passes(text: str) -> None:
    assert text_of(says(text), says("…"), ends()) == f"{text}…"


def test_a_headline_after_the_text_has_begun_is_text() -> None:
    assert (
        text_of(says("Plan:\n"), says("**Assessing the Request**"), ends())
        == "Plan:\n**Assessing the Request**"
    )


def test_a_headline_in_two_fragments_is_text() -> None:
    assert (
        text_of(says("**Assessing the "), says("Request**"), ends()) == "**Assessing the Request**"
    )


def test_without_status_lines_headlines_are_text() -> None:
    assert (
        text_of(says("**Assessing the Request**"), ends(), hiding=frozenset())
        == "**Assessing the Request**"
    )


def test_several_headlines_and_the_white_space_between_them_are_hidden() -> None:
    events = read(
        says("**Assessing the Request**"),
        says("\n\n"),
        says("**Refining the Response**"),
        says("Hi"),
        ends(),
    )

    assert [event for event in events if not isinstance(event, ThoughtDelta)] == [
        TextDelta("Hi"),
        Done(),
    ]


def test_headlines_alone_are_no_answer() -> None:
    error = failure_of(says("**Assessing the Request**"), says("\n"), ends())

    assert type(error) is AnswerEmpty
    assert "thought" in error.message


# Held white space


def test_white_space_before_the_first_text_belongs_to_it() -> None:
    events = read(says("\n"), says("  "), says("Hello"), ends())

    assert events == [TextDelta("\n"), TextDelta("  "), TextDelta("Hello"), Done()]


def test_white_space_between_thoughts_and_text_is_not_part_of_the_answer() -> None:
    assert text_of(says("\n\n"), thinks("Hm."), says("Hello"), ends()) == "Hello"


def test_white_space_alone_is_no_answer() -> None:
    error = failure_of(says(" \n"), ends())

    assert type(error) is AnswerEmpty
    assert "empty" in error.message


def test_white_space_after_the_text_is_kept() -> None:
    assert text_of(says("a"), says("\n\n"), says("b"), says("\n"), ends()) == "a\n\nb\n"


# Files


def test_a_file_kept_upstream_comes_with_its_sentence_in_order() -> None:
    file = {"fileId": "f1", "mimeType": "image/png", "name": "cat.png"}

    events = read(
        replies({"role": "model", "file": file}, {"role": "model", "text": "Here it is."}), ends()
    )

    assert events == [FileOutput("image/png", "f1", "cat.png"), TextDelta("Here it is."), Done()]


def test_the_same_file_is_passed_on_once() -> None:
    file = {"file": {"fileId": "f1", "mimeType": "image/png"}}

    events = read(
        replies(file), replies(file, {"file": {"fileId": "f2", "mimeType": "image/png"}}), ends()
    )

    assert [event.file_id for event in events if isinstance(event, FileOutput)] == ["f1", "f2"]


def test_the_same_media_sent_along_twice_are_passed_on_once() -> None:
    picture = {"inlineData": {"mimeType": "image/png", "data": base64.b64encode(PNG).decode()}}
    other = {"inlineData": {"mimeType": "image/png", "data": base64.b64encode(PNG + b"!").decode()}}

    events = read(replies(picture, other), replies(picture, state="SUCCEEDED"))

    assert events == [
        FileOutput("image/png", data=PNG),
        FileOutput("image/png", data=PNG + b"!"),
        Done(),
    ]


def test_a_file_of_unknown_type_is_still_a_file() -> None:
    events = read(replies({"file": {"fileId": "f1"}}), ends())

    assert events == [FileOutput("application/octet-stream", "f1"), Done()]


@pytest.mark.parametrize("mime_type", ["image/png", "video/mp4", "audio/wav"])
def test_media_sent_along_are_decoded(mime_type: str) -> None:
    inline = {"mimeType": mime_type, "data": base64.b64encode(PNG).decode()}

    events = read(replies({"inlineData": inline}), ends())

    assert events == [FileOutput(mime_type, data=PNG), Done()]


@pytest.mark.parametrize(
    "mime_type", ["application/json+suggestions", "application/json", "text/html", ""]
)
def test_suggestions_and_other_data_sent_along_are_dropped(mime_type: str) -> None:
    questions = base64.b64encode(json.dumps({"questions": ["Why?"]}).encode()).decode()

    events = read(
        says("Hello"), replies({"inlineData": {"mimeType": mime_type, "data": questions}}), ends()
    )

    assert events == [TextDelta("Hello"), Done()]


def test_suggestions_alone_are_no_answer() -> None:
    error = failure_of(
        replies({"inlineData": {"mimeType": "application/json+suggestions", "data": "e30="}}),
        ends(),
    )

    assert type(error) is AnswerEmpty


def test_generated_images_and_attachments_are_files_wherever_they_stand() -> None:
    data = base64.b64encode(PNG).decode()
    reply = {
        "generatedImages": [{"image": {"bytesBase64Encoded": data, "mimeType": "image/png"}}],
        "groundedContent": {
            "attachments": [{"fileId": "f1", "mimeType": "image/jpeg", "name": "a.jpg"}]
        },
    }

    events = read(response({"state": "IN_PROGRESS", "replies": [reply]}), ends())

    assert events == [
        FileOutput("image/png", data=PNG),
        FileOutput("image/jpeg", "f1", "a.jpg"),
        Done(),
    ]


@pytest.mark.parametrize("state", ["IN_PROGRESS", "SUCCEEDED"])
def test_a_file_that_cannot_be_decoded_is_an_error(state: str) -> None:
    reader = AssistReader()

    with pytest.raises(UpstreamProtocolError):
        reader.read(
            [
                replies(
                    {"text": "Here:"},
                    {"inlineData": {"mimeType": "image/png", "data": "A"}},
                    state=state,
                )
            ],
            [],
        )

    assert not reader.complete  # so that nobody takes what came before for a whole answer


# Repeats


def test_diagnostics_never_become_text() -> None:
    steps = [
        {"queryStep": {"parts": [{"text": "What?"}]}},
        {
            "planStep": {
                "role": "MODEL",
                "parts": [{"text": "**Assessing the Request**"}, {"text": "Hello!"}],
            }
        },
    ]

    assert text_of(says("Hello!"), ends(diagnosticInfo={"plannerSteps": steps})) == "Hello!"


def test_a_last_element_that_repeats_the_whole_text_is_dropped() -> None:
    assert text_of(says("Hel"), says("lo!"), says("Hello!", "SUCCEEDED")) == "Hello!"


def test_a_repeat_of_one_long_fragment_is_dropped() -> None:
    text = "This stands twice in the stream."

    assert text_of(says(text), says(text, "SUCCEEDED")) == text


def test_a_repeat_in_several_replies_is_dropped() -> None:
    last = replies(
        {"text": "Hm.", "thought": True}, {"text": "Hel"}, {"text": "lo!"}, state="SUCCEEDED"
    )

    assert text_of(says("Hell"), says("o!"), last) == "Hello!"


def test_a_short_text_that_is_really_doubled_stays() -> None:
    assert text_of(says("ha"), says("ha", "SUCCEEDED")) == "haha"


DOUBLED = {
    "digits": ["1", "9", "19"],
    "more digits": ["142", "857", "142857"],
    "many digits": ["05882352", "94117647", "0588235294117647"],
    "syllables": ["na", "na", "nana"],
    "words": ["left, ", "right, ", "left, right, "],
    "words of one kind": ["ha ", "ha ", "ha ha "],
    "a name": ["Mama ", "Mia ", "Mama Mia"],
    "Chinese": ["再", "见", "再见"],
    "a line": ["--------", "--------", "----------------"],
    "many syllables": ["hahaha", "hahaha", "hahahahahaha"],
    "much laughter": ["ha ha ha ha ha ha ", "ha ha ha ha ha ha"],
    "bases": ["ACGTACGTACGTACGT", "ACGTACGTACGTACGT"],
    "an exclamation": ["Hurra!", "Hurra!"],
    "a version": ["10.", "12.", "10.12."],
}


@pytest.mark.parametrize("what", DOUBLED)
def test_fragments_that_happen_to_repeat_are_text(what: str) -> None:
    *pieces, last = DOUBLED[what]

    assert text_of(*map(says, pieces), says(last, "SUCCEEDED")) == "".join(DOUBLED[what])


@given(
    st.lists(st.text(alphabet="019 ab.-哈", min_size=1, max_size=2), min_size=1, max_size=4),
    st.booleans(),
)
def test_no_short_text_is_lost_because_it_says_the_same_twice(
    pieces: list[str], in_pieces: bool
) -> None:
    said = "".join(["1", *pieces])
    begun = map(says, ["1", *pieces]) if in_pieces else [says(said)]

    assert text_of(*begun, says(said, "SUCCEEDED")) == said * 2


@given(
    st.lists(
        st.text(alphabet="acdefghiklmnoprstuvw ,", min_size=1, max_size=9), min_size=4, max_size=20
    ),
    st.booleans(),
)
def test_a_whole_answer_that_comes_once_more_is_said_once(
    pieces: list[str], in_pieces: bool
) -> None:
    said = "The moon is made of rock and dust. " + "".join(pieces) + "."
    begun = (
        map(says, ["The moon is made ", "of rock and dust. ", *pieces, "."])
        if in_pieces
        else [says(said)]
    )

    assert text_of(*begun, says(said, "SUCCEEDED")) == said


@pytest.mark.parametrize(("planned", "expected"), [("ha", "ha"), ("haha", "haha")])
def test_whether_a_short_text_is_repeated_stands_in_the_plan(planned: str, expected: str) -> None:
    last = says("ha", "SUCCEEDED")
    last["streamAssistResponse"]["answer"]["diagnosticInfo"] = {
        "plannerSteps": [{"planStep": {"role": "MODEL", "parts": [{"text": planned}]}}]
    }

    assert text_of(says("ha"), last) == expected


def test_a_repeat_without_the_white_space_around_is_dropped() -> None:
    text = "This stands twice in the stream."

    assert text_of(says(f"\n{text}\n"), says(text, "SUCCEEDED")) == f"\n{text}\n"


def test_a_text_that_is_doubled_before_the_end_stays() -> None:
    text = "This stands twice in the answer. "

    assert text_of(says(text), says(text), ends()) == text * 2


def test_a_last_text_that_only_begins_like_the_answer_stays() -> None:
    assert (
        text_of(says("This is "), says("it. "), says("This is it. Yes.", "SUCCEEDED"))
        == "This is it. This is it. Yes."
    )


def test_a_repeat_does_not_take_a_file_or_a_source_with_it() -> None:
    source = {"references": [{"documentMetadata": {"uri": "https://example.com/"}}]}
    source["segments"] = [{"startIndex": "0", "endIndex": "3", "referenceIndices": [0]}]
    again = {"content": {"text": "Hello!"}, "textGroundingMetadata": source}
    picture = {"content": {"file": {"fileId": "f1", "mimeType": "image/png"}}}
    last = response(
        {
            "state": "SUCCEEDED",
            "replies": [{"groundedContent": again}, {"groundedContent": picture}],
        }
    )

    events = read(says("Hel"), says("lo!"), last)

    assert events == [
        TextDelta("Hel"),
        TextDelta("lo!"),
        Citation(0, 3, "https://example.com/"),
        FileOutput("image/png", "f1"),
        Done(),
    ]


def test_what_comes_after_the_end_belongs_to_no_answer() -> None:
    assert text_of(says("Hello"), ends(), says(" again")) == "Hello"


# Citations


def test_a_source_is_placed_in_the_answer_so_far() -> None:
    metadata = {
        "segments": [{"startIndex": "0", "endIndex": "6", "referenceIndices": [0]}],
        "references": [
            {
                "documentMetadata": {
                    "uri": "https://example.com/",
                    "title": "T",
                    "domain": "example.com",
                }
            }
        ],
    }
    element = response(
        {
            "state": "IN_PROGRESS",
            "replies": [
                {
                    "groundedContent": {
                        "content": {"text": "世界!"},
                        "textGroundingMetadata": metadata,
                    }
                }
            ],
        }
    )

    events = read(says("你好，"), element, ends())

    assert events == [
        TextDelta("你好，"),
        TextDelta("世界!"),
        Citation(3, 5, "https://example.com/", "T", "example.com"),
        Done(),
    ]


def test_the_sources_of_a_thought_are_dropped() -> None:
    grounded = {
        "content": {"text": "Hm.", "thought": True},
        "textGroundingMetadata": {"references": [{"documentMetadata": {"uri": "u"}}]},
    }

    events = read(
        response({"state": "IN_PROGRESS", "replies": [{"groundedContent": grounded}]}),
        says("Hi"),
        ends(),
    )

    assert events == [ThoughtDelta("Hm."), TextDelta("Hi"), Done()]


@pytest.mark.parametrize("text", ["\n\n", "**Assessing the Request**"])
def test_a_source_of_a_fragment_that_is_no_text_points_at_no_place_before_the_answer(
    text: str,
) -> None:
    metadata = {
        "segments": [{"startIndex": "0", "endIndex": "1", "referenceIndices": [0]}],
        "references": [{"documentMetadata": {"uri": "u"}}],
    }
    element = response(
        {
            "replies": [
                {"groundedContent": {"content": {"text": text}, "textGroundingMetadata": metadata}}
            ]
        }
    )

    events = read(element, says("Hi"), ends())

    assert [(event.start, event.end) for event in events if isinstance(event, Citation)] == [(0, 0)]


# Refusals


def test_a_policy_violation_is_one_sentence_and_the_content_filter() -> None:
    events = read(
        response({"state": "SKIPPED", "assistSkippedReasons": ["CUSTOMER_POLICY_VIOLATION"]})
    )

    assert [type(event) for event in events] == [Refusal, Done]
    assert isinstance(events[0], Refusal)
    assert "policy" in events[0].text
    assert events[1] == Done("content_filter")


def test_a_message_that_was_taken_for_no_question_says_so() -> None:
    events = read(
        response({"state": "SKIPPED", "assistSkippedReasons": ["NON_ASSIST_SEEKING_QUERY_IGNORED"]})
    )

    assert isinstance(events[0], Refusal)
    assert "question" in events[0].text
    assert events[1:] == [Done("content_filter")]


def test_skipped_without_a_reason_is_a_refusal_too() -> None:
    events = read(response({"state": "SKIPPED"}))

    assert [type(event) for event in events] == [Refusal, Done]


@pytest.mark.parametrize(
    "state", ["SUCCEEDED", "IN_PROGRESS", "SKIPPED", "FAILED", "CANCELLED", None]
)
@pytest.mark.parametrize("closed", [True, False])
def test_the_verdict_block_counts_like_skipped_whatever_the_state_says(
    state: str | None, closed: bool
) -> None:
    verdict = {
        "verdict": "BLOCK",
        "policyResults": [{"modelArmorEnforcementResult": {"modelArmorViolation": "x"}}],
    }
    answer = {"state": state, "customerPolicyEnforcementResult": verdict}

    events = read(
        says("Hel"),
        response(answer if state else {"customerPolicyEnforcementResult": verdict}),
        closed=closed,
    )

    assert [type(event) for event in events] == [TextDelta, Refusal, Done]
    assert events[-1] == Done("content_filter")


def test_nothing_is_said_after_a_refusal_and_it_is_said_once() -> None:
    blocked = response(
        {"state": "IN_PROGRESS", "customerPolicyEnforcementResult": {"verdict": "BLOCK"}}
    )

    events = read(blocked, says("The secret is"), blocked, ends("SKIPPED"))

    assert [type(event) for event in events] == [Refusal, Done]


def test_a_blocked_answer_is_complete() -> None:
    reader = AssistReader()

    blocked = {"state": "IN_PROGRESS", "customerPolicyEnforcementResult": {"verdict": "BLOCK"}}
    reader.read([response(blocked)], [])

    assert reader.complete


def test_the_verdict_allow_changes_nothing() -> None:
    verdict = {"verdict": "ALLOW", "policyResults": []}

    events = read(says("Hello"), ends(customerPolicyEnforcementResult=verdict))

    assert events == [TextDelta("Hello"), Done()]


@pytest.mark.parametrize(
    ("source", "beginning"),
    [
        ("PROMPT", "The prompt was blocked by the policy"),
        ("ATTACHMENT", "An attachment of the prompt was blocked by the policy"),
        ("SYSTEM", "The answer was blocked by the policy"),
        ("my secret", "The answer was blocked by the policy"),
        (None, "The answer was blocked by the policy"),
    ],
)
@pytest.mark.parametrize("state", ["SKIPPED", "SUCCEEDED"])
def test_a_refusal_says_what_was_blocked(state: str, source: str | None, beginning: str) -> None:
    policy = {"verdict": "BLOCK", "violationSource": source}

    events = read(response({"state": state, "customerPolicyEnforcementResult": policy}))

    assert isinstance(events[0], Refusal)
    assert events[0].text.startswith(beginning)
    assert "secret" not in events[0].text


def test_a_refusal_says_that_the_filter_itself_has_failed() -> None:
    failed = {"modelArmorEnforcementResult": {"error": {"code": 14, "message": "MARK"}}}
    policy = {"verdict": "BLOCK", "violationSource": "PROMPT", "policyResults": [failed]}

    events = read(response({"state": "SKIPPED", "customerPolicyEnforcementResult": policy}))

    assert isinstance(events[0], Refusal)
    assert "filter (Model Armor) reported a failure of its own" in events[0].text
    assert "MARK" not in events[0].text


def test_a_reason_to_skip_that_is_not_known_is_named_not_guessed() -> None:
    events = read(
        response({"state": "SKIPPED", "assistSkippedReasons": ["TOO_TIRED", "you wrote: MARK"]})
    )

    assert events == [
        Refusal("The upstream skipped the message (TOO_TIRED)."),
        Done("content_filter"),
    ]


@pytest.mark.parametrize("verdict", ["WATCH_CLOSELY", "ALLOW", "you wrote: MARK"])
def test_a_verdict_that_is_not_known_blocks_no_answer(verdict: str) -> None:
    policy = {"customerPolicyEnforcementResult": {"verdict": verdict}}

    events = read(says("Hello"), response({"state": "SUCCEEDED", **policy}))

    assert events == [TextDelta("Hello"), Done()]


@pytest.mark.parametrize("state", ["SUCCEEDED", "FAILED", "CANCELLED"])
@pytest.mark.parametrize(
    ("policy", "words"),
    [
        ({"verdict": "WATCH_CLOSELY"}, "its policy verdict was WATCH_CLOSELY"),
        ({"verdict": "you wrote: MARK"}, "its policy verdict was unreadable"),
        (
            {"policyResults": [{"modelArmorEnforcementResult": {"error": {"code": 14}}}]},
            "Model Armor",
        ),
    ],
)
def test_an_answer_without_content_names_what_was_said_of_the_policy(
    state: str, policy: dict[str, Any], words: str
) -> None:
    with pytest.raises(UpstreamUnclear, match=words) as caught:
        read(response({"state": state, "customerPolicyEnforcementResult": policy}))

    assert "MARK" not in caught.value.message


@pytest.mark.parametrize(
    "policy", [{"verdict": "ALLOW"}, {"verdict": "VERDICT_UNSPECIFIED"}, {}, [], "x"]
)
def test_an_answer_without_content_is_not_put_down_to_a_policy_that_allowed_it(
    policy: object,
) -> None:
    with pytest.raises(UpstreamUnclear, match=r"an empty answer$"):
        read(response({"state": "SUCCEEDED", "customerPolicyEnforcementResult": policy}))


# Connectors

JIRA = {
    "dataConnector": "projects/123456/locations/eu/collections/jira_of_ada/dataConnector",
    "errorMessage": "MARK ada@example.com is not signed in",
}


def test_connectors_that_could_not_sign_in_take_nothing_from_the_answer_and_are_told_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    errors = response(connectorAuthErrors=[JIRA, {"dataConnector": 7}])

    events = read(says("Hello"), errors, errors, ends())

    assert events == [TextDelta("Hello"), Done()]
    [record] = [record for record in caplog.records if record.message == "connectors.refused"]
    assert vars(record)["kinds"] == ["-", "collections/-/dataConnector"]


@pytest.mark.parametrize("wrapped", [True, False])
@pytest.mark.parametrize("state", ["SUCCEEDED", "FAILED"])
def test_an_answer_without_content_names_connectors_that_could_not_sign_in(
    wrapped: bool, state: str
) -> None:
    errors = response(connectorAuthErrors=[JIRA]) if wrapped else {"connectorAuthErrors": [JIRA]}

    with pytest.raises(
        UpstreamUnclear, match="data sources that are connected to the account could not sign in"
    ) as caught:
        read(errors, ends(state))

    assert "MARK" not in caught.value.message


# Failures


def test_an_error_element_means_what_its_code_says() -> None:
    busy = failure_of(fails(429, "RESOURCE_EXHAUSTED", "LLM_OVERLOADED"))
    empty = failure_of(says("Hel"), fails(429, "RESOURCE_EXHAUSTED"))

    assert type(busy) is UpstreamOverloaded
    assert type(empty) is QuotaExhausted


def test_failed_takes_the_meaning_of_the_error_that_follows() -> None:
    error = failure_of(response({"state": "FAILED"}), fails(429, "RESOURCE_EXHAUSTED"))

    assert type(error) is QuotaExhausted


def test_failed_with_a_failed_precondition_is_not_the_request_s_fault() -> None:
    error = failure_of(
        says("Hel"), response({"state": "FAILED"}), fails(400, "FAILED_PRECONDITION")
    )

    assert (type(error), error.status) == (UpstreamUnclear, 502)


@pytest.mark.parametrize("closed", [True, False])
def test_failed_alone_is_an_upstream_error(closed: bool) -> None:
    error = failure_of(says("Hel"), response({"state": "FAILED"}), closed=closed)

    assert (type(error), error.code) == (UpstreamUnclear, "upstream_error")


@pytest.mark.parametrize("closed", [True, False])
def test_cancelled_is_an_error(closed: bool) -> None:
    error = failure_of(says("Hel"), response({"state": "CANCELLED"}), closed=closed)

    assert type(error) is UpstreamUnclear
    assert "cancelled" in error.message


@pytest.mark.parametrize("end", [[ends()], []], ids=["succeeded", "bracket"])
def test_thoughts_without_an_answer_are_an_error_that_says_so(end: list[Element]) -> None:
    thought = response(
        {"replies": [{"groundedContent": {"content": {"text": "Hm.", "thought": True}}}]}
    )

    error = failure_of(thought, *end)

    assert type(error) is AnswerEmpty
    assert "thought" in error.message


@pytest.mark.parametrize(
    "elements", [[ends()], [response({})], []], ids=["succeeded", "bracket", "nothing"]
)
def test_nothing_at_all_is_an_error(elements: list[Element]) -> None:
    error = failure_of(*elements)

    assert type(error) is AnswerEmpty
    assert "empty" in error.message


def test_a_token_in_place_of_an_answer_is_a_refused_token() -> None:
    assert type(failure_of({"uToken": "u"})) is TokenRefused
    assert type(failure_of({"uToken": "u"}, {"uToken": "v"})) is TokenRefused


def test_a_token_before_an_empty_answer_is_an_empty_answer() -> None:
    assert type(failure_of({"uToken": "u"}, ends())) is AnswerEmpty


@pytest.mark.parametrize(
    "error", [fails(503, "UNAVAILABLE"), fails(401, "UNAUTHENTICATED"), {"message": "Oops."}]
)
def test_an_error_after_the_answer_s_end_takes_nothing_from_it(error: Element) -> None:
    assert read(says("Hello"), ends(), error, closed=False) == [TextDelta("Hello"), Done()]


def test_an_empty_error_object_is_none() -> None:
    assert text_of({"error": {}, **says("Hello")}, {"error": None, **ends()}) == "Hello"


# When is an answer whole?


@pytest.mark.parametrize("closed", [True, False])
def test_succeeded_is_whole_however_the_stream_ended(closed: bool) -> None:
    assert read(says("Hello"), ends(), closed=closed)[-1] == Done("stop")


@pytest.mark.parametrize("closed", [True, False])
def test_skipped_is_whole_however_the_stream_ended(closed: bool) -> None:
    assert read(response({"state": "SKIPPED"}), closed=closed)[-1] == Done("content_filter")


@pytest.mark.parametrize("closed", [True, False])
@pytest.mark.parametrize("state", ["IN_PROGRESS", "SOMETHING_NEW"])
def test_states_without_a_last_one_are_a_cut_off_answer(state: str, closed: bool) -> None:
    error = failure_of(says("Hello", state), closed=closed)

    assert type(error) is UpstreamProtocolError
    assert "cut off" in error.message


def test_an_answer_without_any_state_is_whole_when_the_framing_says_so() -> None:
    assert read(says("Hello", None), closed=True) == [TextDelta("Hello"), Done()]


def test_an_answer_without_any_state_is_cut_off_otherwise() -> None:
    assert type(failure_of(says("Hello", None), closed=False)) is UpstreamProtocolError


@pytest.mark.parametrize("state", ["", None, 3, []])
def test_a_state_without_a_word_is_none(state: object) -> None:
    assert (
        read(response({"state": state, **says("Hello", None)["streamAssistResponse"]["answer"]}))[
            -1
        ]
        == Done()
    )


# Junk

scalars = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8)
)
junk = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)

FULL: list[Element] = [
    {
        "uToken": "u",
        "streamAssistResponse": {
            "answer": {
                "state": "IN_PROGRESS",
                "replies": [
                    {
                        "groundedContent": {
                            "content": {
                                "role": "model",
                                "text": "Hello 世界",
                                "thought": False,
                                "file": {"fileId": "f1", "mimeType": "image/png", "name": "a.png"},
                                "inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgo="},
                            },
                            "textGroundingMetadata": {
                                "segments": [
                                    {
                                        "startIndex": "0",
                                        "endIndex": "12",
                                        "referenceIndices": [0, "0"],
                                    }
                                ],
                                "references": [
                                    {"documentMetadata": {"uri": "u", "title": "t", "domain": "d"}}
                                ],
                            },
                            "attachments": [{"fileId": "f2", "mimeType": "image/png"}],
                        },
                        "generatedImages": [
                            {
                                "image": {
                                    "bytesBase64Encoded": "iVBORw0KGgo=",
                                    "mimeType": "image/png",
                                }
                            }
                        ],
                    }
                ],
                "assistSkippedReasons": [],
                "customerPolicyEnforcementResult": {"verdict": "ALLOW", "policyResults": []},
                "diagnosticInfo": {"plannerSteps": []},
            },
            "sessionInfo": {"session": "s/1", "queryId": "1", "turnId": "1"},
            "assistToken": "t",
        },
    },
    fails(429, "RESOURCE_EXHAUSTED", "LLM_OVERLOADED"),
    response({"state": "SKIPPED", "assistSkippedReasons": ["CUSTOMER_POLICY_VIOLATION"]}),
    {"message": "Oops.", "details": [{"reason": "x", "retryDelay": "3s"}]},
]


def paths(value: object) -> list[tuple[str | int, ...]]:
    """Where every value inside a JSON value stands."""
    found: list[tuple[str | int, ...]] = [()]
    pairs = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for key, inner in pairs:
        found += [(key, *path) for path in paths(inner)]
    return found


def replaced(value: Any, path: tuple[str | int, ...], new: object) -> Any:
    """A copy of a JSON value in which another value stands at the path."""
    if not path:
        return new
    copy: Any = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = replaced(value[path[0]], path[1:], new)
    return copy


PLACES = [(element, path) for element in FULL for path in paths(element) if path]
IN_ITS_PLACE = [
    None,
    True,
    False,
    0,
    -1,
    7,
    1.5,
    10**30,
    "",
    "x",
    "-1",
    "9" * 30,
    [],
    [[]],
    [None],
    [1],
    ["x"],
    {},
    {"a": 1},
]


@pytest.mark.parametrize(
    ("element", "path"),
    PLACES,
    ids=[f"{FULL.index(element)}/{'/'.join(map(str, path))}" for element, path in PLACES],
)
def test_a_value_of_any_type_in_any_place_is_read_or_an_error_of_ours(
    element: Element, path: tuple[str | int, ...]
) -> None:
    for value in IN_ITS_PLACE:
        try:
            events = read(replaced(element, path, value))
        except GatewayError:
            continue
        assert isinstance(events[-1], Done)
        assert_sane(events)


@given(st.lists(st.tuples(st.sampled_from(PLACES), junk), min_size=1, max_size=4), st.booleans())
def test_junk_is_read_or_an_error_of_ours(
    changes: list[tuple[tuple[Element, tuple[str | int, ...]], Any]], closed: bool
) -> None:
    elements = [replaced(element, path, value) for (element, path), value in changes]
    try:
        events = read(*elements, closed=closed)
    except GatewayError:
        return

    assert isinstance(events[-1], Done)
    assert_sane(events)


def assert_sane(events: list[ChatEvent]) -> None:
    """Every event holds what its type promises; sources lie within the answer."""
    length = sum(len(event.text) for event in events if isinstance(event, TextDelta))
    for event in events:
        match event:
            case TextDelta(text) | ThoughtDelta(text) | Refusal(text):
                assert isinstance(text, str)
                assert text
            case Citation(start, end, uri, title, domain):
                assert 0 <= start <= end <= length
                assert all(isinstance(value, str) for value in (uri, title, domain))
            case FileOutput(mime_type, file_id, name, data):
                assert isinstance(mime_type, str)
                assert (file_id is None) != (data is None)
                assert name is None or isinstance(name, str)
            case _:
                assert isinstance(event, Done)
