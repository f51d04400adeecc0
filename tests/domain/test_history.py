"""The digest of a history: what clients do to text does not change it, everything else does."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gbproxy.api.openai.request import parse
from gbproxy.domain.chat import Message, Part, Role, TextPart, ToolCallPart, ToolResultPart
from gbproxy.domain.history import (
    LONG_CHARS,
    AnswerDigest,
    answered,
    digest,
    extended,
    has_instructions,
    split,
    start,
    with_system,
)
from gbproxy.domain.tools import canonical_arguments

KEY, OTHER_KEY = b"k" * 32, b"o" * 32
MODEL = "gemini-auto"
STORED_BY_OLDER_VERSIONS = "3c488f0f1f820903d3d4b6e71c7a5b6192678fc7206b53d1eeacb258c40bf243"

texts = st.text(
    alphabet=st.one_of(
        st.characters(codec=None), st.sampled_from("\r\n <>/thinkdetails\"'0123456789:")
    ),
    max_size=40,
)
roles: st.SearchStrategy[Role] = st.sampled_from(["user", "assistant", "tool"])
parts: st.SearchStrategy[Part] = st.one_of(
    st.builds(TextPart, texts),
    st.builds(ToolCallPart, texts, texts, texts),
    st.builds(ToolResultPart, texts, texts),
)
messages = st.builds(Message, roles, st.lists(parts, max_size=3).map(tuple), st.none() | texts)


def says(role: Role, text: str, name: str | None = None) -> Message:
    return Message(role, (TextPart(text),), name)


def head(
    *turns: Message, system: Sequence[str] = (), key_digest: bytes = KEY, model: str = MODEL
) -> bytes:
    return digest(key_digest, model, system, turns)


def head_of(*messages: dict[str, Any]) -> bytes:
    """The head of messages as a client sends them."""
    found = split(parse({"messages": json.loads(json.dumps(messages))}).chat.messages)
    return digest(KEY, MODEL, found.system, (*found.past, *found.turns))


# Splitting


def test_what_comes_after_the_assistants_last_turn_is_new() -> None:
    first, reply, second, third = (
        says("user", "1"),
        says("assistant", "2"),
        says("user", "3"),
        says("user", "4"),
    )

    found = split([says("system", "Be brief."), first, reply, second, third])

    assert (found.system, found.past, found.turns) == (
        ("Be brief.",),
        (first, reply),
        (second, third),
    )


def test_without_a_turn_of_the_assistants_everything_is_new() -> None:
    found = split([says("system", "Be brief."), says("user", "Hi.")])

    assert (found.past, found.turns) == ((), (says("user", "Hi."),))


def test_a_history_that_ends_with_the_assistant_has_nothing_new() -> None:
    found = split([says("user", "Hi."), says("assistant", "Hello")])

    assert found.turns == ()


def test_system_texts_count_wherever_they_stand_and_empty_ones_do_not() -> None:
    found = split(
        [
            says("system", " A\r\nB "),
            says("user", "Hi."),
            says("assistant", "Ho."),
            says("system", " "),
            says("system", "C"),
        ]
    )

    assert found.system == ("A\nB", "C")
    assert found.turns == ()


# What clients do to text

PLAIN = ({"role": "user", "content": "One\ntwo"}, {"role": "assistant", "content": "Three\nfour"})


@pytest.mark.parametrize(
    "user",
    [
        "  One\ntwo\n\n",
        "One\r\ntwo",
        "One\rtwo",
        "\u00a0One\ntwo\u3000",
        [{"type": "text", "text": "One\ntwo"}],
        [{"type": "text", "text": "One"}, {"type": "text", "text": "two"}],
        [{"type": "input_text", "text": "One\r\ntwo "}],
    ],
)
def test_the_form_of_a_users_text_does_not_count(user: object) -> None:
    assert head_of({"role": "user", "content": user}, PLAIN[1]) == head_of(*PLAIN)


@pytest.mark.parametrize(
    "before",
    [
        "<think>Let me see.</think>",
        "<think>\nLet me see.\n</think>\n\n",
        "\n<thinking>Hm</thinking>",
        (
            '<details type="reasoning" done="true" duration="3">\n<summary>Thought for 3'
            " seconds</summary>\n> Hm\n</details>\n"
        ),
        "<details><summary>Thoughts</summary>Hm</details>",
        "<think>Hm</think>\n<details>again</details>\r\n<think></think>",
        "<THINK>Hm</Think >",
        "<think>a </thinking> b</think>",
    ],
)
def test_reasoning_before_the_assistants_words_does_not_count(before: str) -> None:
    assert head_of(PLAIN[0], {"role": "assistant", "content": f"{before}Three\nfour"}) == head_of(
        *PLAIN
    )


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning", "thinking"])
def test_reasoning_in_a_field_of_its_own_does_not_count(field: str) -> None:
    assert head_of(PLAIN[0], {**PLAIN[1], field: "Let me see."}) == head_of(*PLAIN)


@pytest.mark.parametrize("name", [None, "", " "])
def test_an_empty_name_is_none(name: str | None) -> None:
    assert head_of({**PLAIN[0], "name": name}, PLAIN[1]) == head_of(*PLAIN)


def test_an_assistants_missing_empty_and_absent_texts_are_the_same_beside_a_tool_call() -> None:
    calls = {
        "role": "assistant",
        "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": "{}"}}],
    }

    heads = {head_of(PLAIN[0], {**calls, "content": content}) for content in (None, "", " \n", [])}

    assert heads == {head_of(PLAIN[0], calls)}


def test_calls_are_the_same_however_a_client_writes_their_arguments() -> None:
    shown = ToolCallPart("1", "f", '{"b":1,"a":"é"}')
    sent = ToolCallPart("1", "f", '{ "a": "\\u00e9", "b": 1.0 }')
    others = (
        ToolCallPart("2", "f", shown.arguments),
        ToolCallPart("1", "g", shown.arguments),
        ToolCallPart("1", "f", '{"b":"1","a":"é"}'),
        ToolCallPart("1", "f", shown.arguments, is_custom=True),
    )
    base, turns = head(), (says("user", "Hi"),)

    answer = answered(base, turns, "Let me look.\n", (shown,))

    message = Message("assistant", (TextPart("Let me look."), sent))
    assert answer == extended(base, (*turns, message))
    assert answer not in {answered(base, turns, "Let me look.", (other,)) for other in others}


def test_calls_behind_a_long_text_count_too() -> None:
    text = "x" * (LONG_CHARS + 1)
    collected = AnswerDigest()
    for _ in range(3):
        collected.add(text)
    call = ToolCallPart("1", "f", "{}")

    answer = answered(head(), (), collected.result(), (call,))

    assert answer == extended(head(), (Message("assistant", (TextPart(text * 3), call)),))


def test_a_history_without_tools_has_the_digest_that_older_versions_have_stored() -> None:
    stored = digest(KEY, MODEL, ("Be brief.",), ()).hex()

    assert stored == STORED_BY_OLDER_VERSIONS


def test_what_a_conversation_was_told_last_is_known() -> None:
    base = digest(KEY, MODEL, ("S",), (), b"tools")

    assert has_instructions(base, KEY, ("S",), b"tools")
    assert has_instructions(base, KEY, ())
    for system, form in ((("S",), b""), (("S",), b"others"), ((), b"tools")):
        assert not has_instructions(base, KEY, system, form)
        told = with_system(base, KEY, system, form)
        assert has_instructions(told, KEY, system, form)
        assert told != base


def test_what_was_said_of_tools_counts() -> None:
    assert digest(KEY, MODEL, (), (), b"tools") != digest(KEY, MODEL, (), ())


def test_a_developers_text_is_a_system_text() -> None:
    assert head_of({"role": "developer", "content": "S"}, *PLAIN) == head_of(
        {"role": "system", "content": "S"}, *PLAIN
    )


@pytest.mark.parametrize(
    "text",
    [
        "<think>Hm",
        "<think>Hm</details>Three",
        "<thinker>Hm</thinker>Three",
        "Three <think>Hm</think>",
        "<think>Hm</think>",
    ],
)
def test_what_is_no_leading_block_with_words_behind_it_counts(text: str) -> None:
    other = text.replace("Hm", "Oh")

    assert head_of(PLAIN[0], {"role": "assistant", "content": text}) != head_of(
        PLAIN[0], {"role": "assistant", "content": other}
    )


def test_the_last_block_is_the_answer_when_nothing_follows() -> None:
    block = "<details>Read this.</details>"

    assert head(says("assistant", f"<think>Hm</think>{block}")) == head(says("assistant", block))


def test_a_users_block_counts() -> None:
    assert head(says("user", "<think>a</think>b")) != head(says("user", "b"))


# What counts


@pytest.mark.parametrize(
    "other",
    [
        head(says("user", "Hi"), says("assistant", "Ho"), key_digest=OTHER_KEY),
        head(says("user", "Hi"), says("assistant", "Ho"), model="gemini-2.5-pro"),
        head(says("user", "Hi"), says("assistant", "Ho"), system=("S",)),
        head(says("user", "hi"), says("assistant", "Ho")),
        head(says("user", "Hi."), says("assistant", "Ho")),
        head(says("user", "Hi", "Ada"), says("assistant", "Ho")),
        head(says("assistant", "Hi"), says("user", "Ho")),
        head(says("user", "HiHo")),
        head(says("user", "Hi\nHo")),
        head(says("user", "Hi")),
        head(),
        head(says("user", "Hi"), says("assistant", "Ho"), says("user", "")),
        head(
            says("user", "Hi"), Message("assistant", (TextPart("Ho"), ToolCallPart("1", "f", "{}")))
        ),
        head(says("user", "Hi"), Message("assistant", (ToolCallPart("", "Ho", ""),))),
        head(says("user", "Hi"), Message("tool", (ToolResultPart("", "Ho"),))),
    ],
)
def test_everything_else_counts(other: bytes) -> None:
    assert other != head(says("user", "Hi"), says("assistant", "Ho"))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("ab", "c"), ("a", "bc")),
        (("ab",), ("a", "b")),
        (("1:a",), ("a", "1:")),
        (("a\n\nb",), ("a", "b")),
    ],
)
def test_system_texts_are_told_apart_by_their_borders(
    one: tuple[str, ...], other: tuple[str, ...]
) -> None:
    assert head(system=one) != head(system=other)


def test_a_turn_cannot_be_written_into_the_text_of_another() -> None:
    forged = Message("user", (TextPart("Hi4:text9:assistant"),))

    assert head(forged) != head(says("user", "Hi"), says("assistant", ""))


@given(st.lists(messages, max_size=5), st.lists(messages, max_size=5))
def test_two_histories_have_the_same_head_only_if_they_are_the_same_in_what_counts(
    one: list[Message], other: list[Message]
) -> None:
    assert (head(*one) == head(*other)) == (
        [_plainly(m) for m in one] == [_plainly(m) for m in other]
    )


@given(st.lists(messages, max_size=3), texts, texts)
def test_white_space_and_line_ends_around_any_text_do_not_count(
    turns: list[Message], text: str, name: str
) -> None:
    plain = says("user", text.replace("\r\n", "\n").replace("\r", "\n").strip(), name)
    dressed = says(
        "user",
        " \r\n"
        + text.replace("\r\n", "\n").replace("\r", "\n").strip().replace("\n", "\r\n")
        + "\t\n",
        name,
    )

    assert head(*turns, dressed) == head(*turns, plain)


# The chain


@given(st.lists(messages, max_size=4), st.lists(messages, max_size=4), st.lists(texts, max_size=2))
def test_a_head_can_be_gone_on_from(
    past: list[Message], new: list[Message], system: list[str]
) -> None:
    stored = digest(KEY, MODEL, system, past)

    assert extended(stored, new) == digest(KEY, MODEL, system, [*past, *new])
    assert answered(stored, new, "Yes.") == digest(
        KEY, MODEL, system, [*past, *new, says("assistant", "Yes.")]
    )
    assert len(stored) == 32


def test_a_head_tells_which_system_texts_were_given_last() -> None:
    begun = extended(start(KEY, MODEL, ("S", "T")), [says("user", "Hi"), says("assistant", "Ho")])
    changed = extended(
        with_system(begun, KEY, ("U",)), [says("user", "Hm"), says("assistant", "So")]
    )

    assert [
        has_instructions(begun, KEY, system) for system in ((), ("S", "T"), ("S",), ("U",))
    ] == [
        True,
        True,
        False,
        False,
    ]
    assert [has_instructions(changed, KEY, system) for system in ((), ("U",), ("S", "T"))] == [
        True,
        True,
        False,
    ]


def test_further_instructions_make_another_history() -> None:
    begun = start(KEY, MODEL, ("S",))

    heads = {
        begun,
        with_system(begun, KEY, ("T",)),
        with_system(begun, KEY, ("S",)),
        start(KEY, MODEL, ("S", "T")),
        start(KEY, MODEL, ("T",)),
    }

    assert len(heads) == 5


# Any text, any length


def test_half_a_surrogate_pair_does_no_harm() -> None:
    assert head(says("user", "\ud83d", "\udc00"), system=("\udfff",)) != head(
        says("user", "\ud83e")
    )


@pytest.mark.parametrize(
    "evil",
    [
        "<think>" * 300_000,
        "<think>a</think>" * 100_000 + "b",
        "<think>a</think>" * 100_000,
        "<details " * 300_000,
        "<details>" + "</details " * 300_000,
        "<details>" + "</details" + " " * 2_000_000,
        "\n" * 2_000_000 + "<think",
        "<think" + " " * 2_000_000,
    ],
)
def test_no_text_takes_more_than_its_length(evil: str) -> None:
    started = time.process_time()

    head(says("assistant", evil))

    # milliseconds, where a square of the length would be hours
    assert time.process_time() - started < 2


def _plainly(message: Message) -> object:
    """What counts of a turn, said once more without haste: texts that follow each other are joined,
    then tidied.
    """
    kept: list[object] = []
    run: list[str] = []
    for part in (*message.parts, None):
        if isinstance(part, TextPart):
            run.append(part.text)
            continue
        text = _tidy("\n".join(run))
        while message.role == "assistant" and (rest := _behind_block(text)):
            text = rest
        if text:
            kept.append(text)
        run = []
        if isinstance(part, ToolCallPart):
            kept.append(("call", part.id, part.name, canonical_arguments(part.arguments)))
        elif isinstance(part, ToolResultPart):
            kept.append(("result", part.call_id, _tidy(part.text)))
    return message.role, " ".join((message.name or "").split()), kept


def _tidy(text: str) -> str:
    return "\n".join(text.replace("\r\n", "\n").split("\r")).strip()


def _behind_block(text: str) -> str:
    for tag in ("think", "thinking", "details"):
        opened, closed = text.lower().startswith(f"<{tag}>"), text.lower().find(f"</{tag}>")
        if opened and closed > 0:
            return text[closed + len(tag) + 3 :].strip()
    return ""
