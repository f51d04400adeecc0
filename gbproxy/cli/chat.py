"""`gbproxy chat`: one question, answered in the terminal as the answer arrives."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, TextIO

from gbproxy.cli.clients import chat_client
from gbproxy.cli.environment import add_env_file, environ
from gbproxy.cli.terminal import CannotBegin, CommandError, harmless, read_pasted, without_log

if TYPE_CHECKING:
    from gbproxy.domain.events import ChatStream


def define(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Ask one question and print the answer as it arrives: from the accounts of the environment"
        " (and of DATABASE_URL) in this process, without a server; or, with --url and API_KEY in"
        " the environment, from a running gateway."
    )
    parser.add_argument(
        "question",
        nargs="?",
        default="-",
        help="what to ask; - or nothing: read from standard input",
    )
    parser.add_argument(
        "--model", metavar="NAME", help="a model's id or alias (default: DEFAULT_MODEL)"
    )
    parser.add_argument(
        "--thoughts", action="store_true", help="show the model's thoughts too, on stderr"
    )
    parser.add_argument(
        "--url", metavar="URL", help="a running gateway, such as http://127.0.0.1:8080"
    )
    add_env_file(parser)
    parser.set_defaults(run=_chat)


def _chat(options: argparse.Namespace) -> int:
    given = environ(options)
    connecting = chat_client(options.url, given)
    question = _question(options.question)
    from gbproxy.domain.chat import ChatRequest, Message, TextPart

    chat = ChatRequest(
        (Message("user", (TextPart(question),)),),
        options.model,
        show_thoughts=options.thoughts,
        is_kept=False,
    )
    with (
        without_log(),
        _ended_by_signals(),
        connecting as client,
        closing(client.stream(chat)) as events,
    ):
        return _show(events)


def _question(text: str) -> str:
    if text == "-":
        text = read_pasted("Ask your question")
    if not text.strip():
        raise CannotBegin("there is no question: give it as the argument or on standard input")
    return text


def _show(events: ChatStream) -> int:
    """Print an answer as it arrives; an error in the middle still ends the line."""
    from gbproxy.domain.events import Done, Refusal, TextDelta, ThoughtDelta

    answer, thoughts = _Flow(sys.stdout), _Flow(sys.stderr)
    blocked = False
    try:
        for event in events:
            match event:
                case TextDelta(text) | Refusal(text):
                    thoughts.end()
                    answer.write(text)
                case ThoughtDelta(text):
                    thoughts.write(text)
                case Done("content_filter"):
                    blocked = True
                case _:
                    pass
    finally:
        thoughts.end()
        answer.end()
    if blocked:
        raise CommandError("the upstream's policy has blocked the answer")
    return 0


class _Flow:
    """Writes a text piece by piece, and ends its last line."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._line_is_open = False

    def write(self, text: str) -> None:
        # Before it is written: a signal may come in between, and the line is to be ended then.
        self._line_is_open = not text.endswith("\n")
        self._stream.write(harmless(text, self._stream))
        self._stream.flush()

    def end(self) -> None:
        if self._line_is_open:
            self.write("\n")


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Let a closed terminal and SIGTERM end the answer as Ctrl-C does, so that its session is
    deleted upstream.
    """
    numbers = (signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, signal.default_int_handler) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
