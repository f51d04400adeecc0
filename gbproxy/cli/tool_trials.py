"""The twenty function calls that `gbproxy doctor --tools` asks a model for. They are fixed, so that
rates can be compared.

Together they hold what agents' calls hold: each type of JSON, objects and lists within each other,
texts that JSON has to escape, texts of several lines, a choice among several functions, a tool that
takes a text, the next call behind a result, and calls that are required or named.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gbproxy.domain.chat import (
    ChatRequest,
    Message,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from gbproxy.domain.tools import CustomTool, FunctionTool, Tool, ToolChoice, Tools

_FREE = ToolChoice()


@dataclass(frozen=True, slots=True)
class Trial:
    """One call that is asked for. `expected`: the arguments that the question names, by name; a
    custom tool's input stands under "".
    """

    title: str
    question: str
    name: str  # of the tool that is to be called
    expected: Mapping[str, Any]
    tools: tuple[Tool, ...]
    choice: ToolChoice = _FREE
    before: tuple[Message, ...] = ()

    def request(self, model: str | None) -> ChatRequest:
        question = Message("user", (TextPart(self.question),))
        messages = self.before if not self.question else (*self.before, question)
        return ChatRequest(
            messages, model, show_thoughts=False, tools=Tools(self.tools, self.choice)
        )


def _function(name: str, description: str, **properties: Mapping[str, Any]) -> FunctionTool:
    return FunctionTool(name, description, _object(properties))


def _object(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
    }


_TEXT = {"type": "string"}
_WHOLE = {"type": "integer"}
_NUMBER = {"type": "number"}
_YES_OR_NO = {"type": "boolean"}
_TEXTS = {"type": "array", "items": _TEXT}

_WEATHER = _function("get_weather", "The weather in a city", city=_TEXT)
_FORECAST = _function("get_forecast", "The next days' weather in a city", city=_TEXT, days=_WHOLE)
_TIMER = _function("set_timer", "Start a timer", minutes=_WHOLE)
_SHIFT = _function("shift_clock", "Set a clock forward, or back", seconds=_WHOLE)
_CONVERT = _function(
    "convert_money",
    "Convert an amount of money",
    amount=_NUMBER,
    currency={"type": "string", "enum": ["EUR", "NOK", "JPY"]},
)
_LIGHT = _function("switch_light", "Switch the light on or off", room=_TEXT, bright=_YES_OR_NO)
_SEARCH = _function("search_files", "Search files by a regular expression", pattern=_TEXT)
_READ = _function("read_file", "Read a file", path=_TEXT)
_WRITE = _function("write_file", "Write a file, which may exist", path=_TEXT, content=_TEXT)
_COMMAND = _function("run_command", "Run a command of the shell", command=_TEXT)
_SEND = _function("send_mail", "Send a mail", subject=_TEXT, recipients=_TEXTS)
_TRANSLATE = _function("translate_text", "Translate a text into English", original=_TEXT)
_ORDER = _function(
    "order_goods",
    "Order goods",
    items={"type": "array", "items": _object({"article": _TEXT, "count": _WHOLE})},
)
_BOOK = _function(
    "book_room",
    "Book a room",
    guest=_object({"surname": _TEXT, "address": _object({"town": _TEXT, "postcode": _TEXT})}),
    nights=_WHOLE,
)
_STATUS = _function("get_status", "Whether a job is done", job=_TEXT)
_PING = FunctionTool("ping_server", "See whether the server is there")
_NOTE = CustomTool("take_note", "Note a text down, as it is")
_MANY = (
    _READ, _WRITE, _SEARCH, _COMMAND, _TIMER, _SHIFT, _CONVERT, _LIGHT, _SEND, _TRANSLATE, _ORDER,
    _BOOK, _STATUS, _PING, _WEATHER, _FORECAST,
)  # fmt: skip

_QUOTES = """grep -c "it's" 'a b.txt' | sort"""
_PROGRAM = 'def greet(name):\n    """Say hello."""\n    print(f"Hello, {name}!\\n")'
_README = "# Notes\n\nRun it:\n\n```sh\nmake run\n```\n\nThen look at the log."
_VERSE = "A cold wind blows,\nthe harbour sleeps,\nand morning comes."


def _block(text: str, fence: str = "```") -> str:
    return f"{fence}\n{text}\n{fence}"


def _asked(job: str) -> tuple[Message, ...]:
    """A call that was made, and a result that asks for it once more."""
    call = ToolCallPart("call_1", _STATUS.name, f'{{"job":"{job}"}}')
    result = ToolResultPart("call_1", f'The job "{job}" is not done yet: ask once more.')
    return (
        Message("user", (TextPart(f'Get the status of the job "{job}" until it is done.'),)),
        Message("assistant", (call,)),
        Message("tool", (result,)),
    )


TRIALS: tuple[Trial, ...] = (
    Trial("a text", 'What is the weather in the city "Oslo"?', "get_weather", {"city": "Oslo"},
        (_WEATHER,)),
    Trial("a text and a number", 'What is the forecast for the city "Bergen" for days: 3?',
        "get_forecast", {"city": "Bergen", "days": 3}, (_FORECAST,)),
    Trial("a whole number", "Start a timer with minutes: 25.", "set_timer", {"minutes": 25},
        (_TIMER,)),
    Trial("a negative number", "Shift the clock by seconds: -90.", "shift_clock", {"seconds": -90},
        (_SHIFT,)),
    Trial("a fraction and one of three words",
        "Convert this money: the amount 12.5, into the currency NOK.", "convert_money",
        {"amount": 12.5, "currency": "NOK"}, (_CONVERT,)),
    Trial("yes or no", 'Switch the light on in the room "kitchen", with bright: false.',
        "switch_light", {"room": "kitchen", "bright": False}, (_LIGHT,)),
    Trial("nothing to say", "Is the server there? Please ping it.", "ping_server", {}, (_PING,)),
    Trial("backslashes", r'Search the files for the pattern "^\d+\.\s*\\w$".', "search_files",
        {"pattern": r"^\d+\.\s*\\w$"}, (_SEARCH,)),
    Trial("quotation marks", f"Run this command:\n{_block(_QUOTES)}", "run_command",
        {"command": _QUOTES}, (_COMMAND,)),
    Trial("other scripts", 'Translate the original "Grüße aus 東京 🗼, до свидания".',
        "translate_text", {"original": "Grüße aus 東京 🗼, до свидания"}, (_TRANSLATE,)),
    Trial("a list of texts",
        'Send a mail with the subject "Friday" to the recipients "anna@example.org" and'
        ' "ben@example.org".', "send_mail",
        {"subject": "Friday", "recipients": ["anna@example.org", "ben@example.org"]}, (_SEND,)),
    Trial("a list of objects", 'Order goods: the article "A-17", count 4.', "order_goods",
        {"items": [{"article": "A-17", "count": 4}]}, (_ORDER,)),
    Trial("objects within objects",
        'Book a room for nights: 2, for the surname "Dahl", of the town "Tromsø", postcode "9008".',
        "book_room",
        {"guest": {"surname": "Dahl", "address": {"town": "Tromsø", "postcode": "9008"}},
            "nights": 2}, (_BOOK,)),
    Trial("a text of several lines",
        f'Write a file with the path "verse.txt" and this content:\n{_block(_VERSE)}',
        "write_file", {"path": "verse.txt", "content": _VERSE}, (_WRITE,)),
    Trial("a program",
        f'Write a file with the path "greet.py" and this content:\n{_block(_PROGRAM)}',
        "write_file", {"path": "greet.py", "content": _PROGRAM}, (_WRITE,)),
    Trial("a text that holds a code block",
        f'Write a file with the path "README.md" and this content:\n{_block(_README, "````")}',
        "write_file", {"path": "README.md", "content": _README}, (_WRITE,)),
    Trial("one of sixteen functions", 'Read the file with the path "src/main.py".', "read_file",
        {"path": "src/main.py"}, _MANY),
    Trial("a tool that takes a text", f"Take a note of this text:\n{_block(_VERSE)}", "take_note",
        {"": _VERSE}, (_NOTE, _READ)),
    Trial("the next call behind a result", "", "get_status", {"job": "build-7"},
        (_STATUS, _PING), before=_asked("build-7")),
    Trial("a call that is required", 'I am off to the city "Kyoto".', "get_weather",
        {"city": "Kyoto"}, (_WEATHER,), ToolChoice.named("get_weather")),
)  # fmt: skip
