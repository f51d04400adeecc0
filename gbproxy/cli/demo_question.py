"""The question of `gbproxy demo`: asked through the official `openai` client where that is
installed, as `make demo` does, and else, from the wheel alone, through the gateway's own.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec

QUESTION = "What can you do?"


class NoAnswer(Exception):
    """The answer did not arrive, or not whole; the message says why."""


def ask(url: str, key: str) -> Iterator[str]:
    """Yield the answer's text as it arrives. Raises NoAnswer unless it comes whole."""
    pieces = _by_openai(url, key) if find_spec("openai") else _by_our_own(url, key)
    said = False
    for piece in pieces:
        said = said or bool(piece)
        yield piece
    if not said:
        raise NoAnswer("the answer is empty")


def _by_openai(url: str, key: str) -> Iterator[str]:
    from openai import DefaultHttpxClient, OpenAI, OpenAIError

    finish_reason = None
    try:
        direct = DefaultHttpxClient(trust_env=False)  # never through a proxy of the environment
        with OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0, http_client=direct) as client:
            stream = client.chat.completions.create(
                model="gemini-auto", messages=[{"role": "user", "content": QUESTION}], stream=True
            )
            for chunk in stream:
                for choice in chunk.choices:
                    finish_reason = choice.finish_reason or finish_reason
                    yield choice.delta.content or ""
    except OpenAIError as error:
        raise NoAnswer(f"the answer did not arrive: {error}") from error
    if finish_reason != "stop":
        raise NoAnswer(f"the answer did not arrive whole (finish_reason {finish_reason})")


def _by_our_own(url: str, key: str) -> Iterator[str]:
    from gbproxy.cli.remote import connect
    from gbproxy.cli.terminal import CommandError
    from gbproxy.domain.chat import ChatRequest, Message, TextPart
    from gbproxy.domain.events import Done, TextDelta

    chat = ChatRequest((Message("user", (TextPart(QUESTION),)),), "gemini-auto")
    finish_reason = None
    try:
        with connect(url, key) as gateway:
            for event in gateway.stream(chat):
                if isinstance(event, TextDelta):
                    yield event.text
                elif isinstance(event, Done):
                    finish_reason = event.finish_reason
    except CommandError as error:
        raise NoAnswer(f"the answer did not arrive: {error}") from error
    if finish_reason != "stop":
        raise NoAnswer(f"the answer did not arrive whole (finish_reason {finish_reason})")
