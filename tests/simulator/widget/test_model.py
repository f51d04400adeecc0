"""The fake model's answers when no script governs it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gbproxy.simulator.widget.model import last_user_message, reply_to, words


@given(st.text())
def test_the_words_of_a_text_are_the_text(text: str) -> None:
    assert "".join(words(text)) == text


@given(st.text())
def test_there_is_an_answer_to_everything(text: str) -> None:
    assert reply_to(text).text


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("2+2", "2+2 = **4**"),
        ("What is 17*23?", "17*23 = **391**"),
        ("(3 + 4) * 2 / 7", "(3 + 4) * 2 / 7 = **2**"),
        ("2^10", "2^10 = **1024**"),
        ("7/2 please", "7/2 = **3.5**"),
        ("count to 10", "1, 2, 3, 4, 5, 6, 7, 8, 9, 10."),
        ("数到3", "1、2、3。"),
        ("say banana", "banana"),
        ("Repeat after me: all is well", "all is well"),
        ('Reply with exactly "pong"', "pong"),
    ],
)
def test_simple_requests_are_fulfilled(question: str, answer: str) -> None:
    assert reply_to(question).text == answer


@pytest.mark.parametrize("sum_", ["9**9**9**9", "1/0", "2^9999999", "(" * 90 + "1+1"])
def test_a_sum_that_cannot_be_done_is_no_trouble(sum_: str) -> None:
    assert reply_to(sum_).text


@pytest.mark.parametrize(
    ("question", "part"),
    [
        ("hello", "simulated model"),
        ("你好", "模拟"),
        ("What can you do?", "count to ten"),
        ("你能做什么?", "俳句"),
        ("write a haiku about rain", "like rain"),
        ("Write a python function", "```python\n"),
        ("What is the capital of France?", "**capital of France**"),
        ("请解释量子力学", "量子力学"),
        ("draw a red fox", "Here is a red fox"),
    ],
)
def test_the_answer_fits_the_kind_of_question(question: str, part: str) -> None:
    assert part in reply_to(question).text


def test_pictures_and_clips_are_told_apart() -> None:
    assert reply_to("draw a fox").media == "image/png"
    assert reply_to("generate a video of a fox").media == "video/mp4"
    assert reply_to("画一只猫").media == "image/png"
    assert reply_to("describe a fox").media == ""


@pytest.mark.parametrize(
    "prompt",
    [
        "What now?",
        "System: Be kind.\n\nUser: Hi\n\nAssistant: Yes?\n\nUser: What now?\n\nAssistant:",
        "<system>\nBe kind.\n</system>\n\nHuman: Hi\n\nAssistant: Yes?\n\nHuman: What now?",
        "<user>\nHi\n</user>\n<assistant>\nYes?\n</assistant>\n<user>\nWhat now?\n</user>",
        "[User]\nHi\n[Assistant]\nYes?\n[User]\nWhat now?\n[Assistant]\n",
        "## user\nHi\n\n## assistant\nYes?\n\n## user\nWhat now?",
        (
            "Parts begin with ==ab12cd34==\n\n==ab12cd34== user (bob)\nWhat now?\n\n==ab12cd34=="
            " tool result\n42\n\n==ab12cd34== assistant\n"
        ),
        "用户:你好\n\n助手:您好\n\n用户:What now?",
    ],
)
def test_the_last_user_message_is_found_in_a_flattened_conversation(prompt: str) -> None:
    assert last_user_message(prompt) == "What now?"
