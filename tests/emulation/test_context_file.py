"""Prompts that are too long for one question: what stays, what goes up as a file."""

from __future__ import annotations

from typing import get_args

from hypothesis import given
from hypothesis import strategies as st

from gbproxy.domain.attachment import Attachment
from gbproxy.domain.chat import Message, Role, TextPart
from gbproxy.emulation import context_file, roles
from tests.support.gateways import says

_texts = st.text("abc =\n中", max_size=120) | st.just("x" * 700)
_messages = st.lists(
    st.builds(says, st.sampled_from(get_args(Role)), _texts), min_size=1, max_size=12
).map(tuple)


def parts_of(message: Message) -> tuple[str, Attachment | None]:
    text, *files = message.parts
    assert isinstance(text, TextPart)
    assert len(files) <= 1
    [file] = files or [None]
    assert file is None or isinstance(file, Attachment)
    return text.text, file


@given(_messages, st.integers(600, 3000), st.booleans())
def test_the_prompt_keeps_to_the_limit_and_nothing_is_lost(
    messages: tuple[Message, ...], most_chars: int, is_resumed: bool
) -> None:
    [written] = context_file.flatten(most_chars, messages, is_resumed)

    prompt, file = parts_of(written)
    if file is None:
        assert (written,) == roles.flatten_to_one(messages, is_resumed)
        return
    assert (
        len(prompt)
        <= most_chars
        < len(parts_of(roles.flatten_to_one(messages, False)[0])[0]) + 1000
    )
    older = file.content.decode()
    rest = older
    for message in (each for each in messages if each.role != "system"):
        [part] = message.parts
        assert isinstance(part, TextPart)
        if part.text not in rest:  # the file's turns come before the prompt's
            rest = prompt
        assert part.text in rest
    assert parts_of(Message("user", (messages[-1].parts[0],)))[0] in prompt
    for message in messages:
        [part] = message.parts
        if message.role == "system":
            assert isinstance(part, TextPart)
            assert part.text in prompt


@given(_messages, st.integers(600, 3000))
def test_it_is_measured_as_it_is_written(messages: tuple[Message, ...], most_chars: int) -> None:
    size = context_file.measure(most_chars, messages)

    prompt, file = parts_of(context_file.flatten(most_chars, messages, False)[0])
    assert (size.chars, size.has_file) == (len(prompt), file is not None)
    assert size.quarter_tokens == roles.measure(messages).quarter_tokens


@given(_messages, st.integers(600, 3000))
def test_only_what_is_new_and_too_long_by_itself_stays_too_long(
    messages: tuple[Message, ...], most_chars: int
) -> None:
    size = context_file.measure(most_chars, messages)

    if size.chars > most_chars:
        kept = [each for each in messages if each.role == "system"]
        turns = [each for each in messages if each.role != "system"][-1:]
        least = roles.measure((says("user", ""), *kept, *turns)).chars
        assert least + 300 > most_chars
