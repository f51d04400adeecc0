"""Long texts in a conversation's history: known by their digest, also when they arrive in
pieces.
"""

from __future__ import annotations

import tracemalloc

import pytest

from gbproxy.domain.chat import Message, TextPart
from gbproxy.domain.history import LONG_CHARS, AnswerDigest, LongText, answered, extended, start

HEAD = start(b"caller", "model", ())
LONG = 3 * LONG_CHARS


def collected(*pieces: str) -> str | LongText:
    digest = AnswerDigest()
    for piece in pieces:
        digest.add(piece)
    return digest.result()


def head_of(answer: str | LongText) -> bytes:
    return answered(HEAD, (Message("user", (TextPart("Hi"),)),), answer)


def cut(text: str, size: int) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)]


@pytest.mark.parametrize(
    "text",
    [
        "x" * LONG,
        "\n \t" + "语 🍵\r\nand\rso\non " * LONG_CHARS + " \r\n",
        "<think>Hm.\r\n</think>\r\n" + "x" * LONG,
        "<think>Hm.</think> <details open>" + "y" * 1000 + "</details> \n" + "x " * LONG,
        "<think>" + "x" * LONG + "</think> The answer.",
        "\r" * 50 + "x" * LONG + "\r" * 50,
        "x" * (LONG_CHARS + 1),
        "x" * LONG_CHARS,
        "<think>Hm.</think>" + "x" * (LONG_CHARS + 1),
    ],
    ids=[
        "plain",
        "line ends",
        "thinking",
        "blocks",
        "endless thinking",
        "returns",
        "just long",
        "short",
        "just",
    ],
)
@pytest.mark.parametrize("size", [997, 100_000, 10**9])
def test_what_arrives_in_pieces_is_known_as_when_a_client_sends_it_whole(
    text: str, size: int
) -> None:
    sent = head_of(text)

    assert head_of(collected(*cut(text, size))) == sent
    assert head_of(text.strip().replace("\r\n", "\n")) == sent


@pytest.mark.parametrize("rest", ["y", "\ny", "\r\ny", "\r", ""])
def test_a_line_end_may_be_cut_where_the_text_becomes_long(rest: str) -> None:
    begun = "x" * LONG + "\r"

    assert head_of(collected(begun, rest)) == head_of(begun + rest)
    assert head_of(collected(begun, "", *rest)) == head_of(begun + rest)


def test_two_long_texts_are_told_apart() -> None:
    heads = {
        head_of(collected("x" * LONG)),
        head_of(collected("x" * LONG, "y")),
        head_of("x" * (LONG - 1)),
    }

    assert len(heads) == 3


def test_a_long_text_is_no_text_that_says_its_digest() -> None:
    long = collected("x" * LONG)
    assert isinstance(long, LongText)

    turn = Message("assistant", (TextPart(long.digest.hex()),))

    assert extended(HEAD, (turn,)) != answered(HEAD, (), long)


def test_little_is_kept_of_a_long_text() -> None:
    digest = AnswerDigest()
    tracemalloc.start()
    for number in range(400):
        digest.add(f"{number} words " * 3000)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert isinstance(digest.result(), LongText)
    assert most < 1_500_000
