"""A program that embeds the gateway, whose account stands in the environment. It prints what became of
its questions; gevent is never loaded.
"""

import sys
from concurrent.futures import ThreadPoolExecutor

from gbproxy import (
    ChatRequest,
    Done,
    GatewayError,
    LocalGateway,
    Message,
    TextDelta,
    TextPart,
    load_settings,
    open_gateway,
)


def ask(gateway: LocalGateway, question: str) -> str:
    """The answer, and how it ended."""
    chat = ChatRequest((Message("user", (TextPart(question),)),))
    text, ended = [], "early"
    try:
        for event in gateway.stream(chat):
            match event:
                case TextDelta(piece):
                    text.append(piece)
                case Done(reason):
                    ended = reason
    except GatewayError as error:
        ended = error.code
    return f"{question} {bool(''.join(text))} {ended}"


def main() -> None:
    with open_gateway(load_settings()) as gateway, ThreadPoolExecutor(8) as threads:
        questions = [f"Question {number}?" for number in range(8)]
        for line in threads.map(lambda question: ask(gateway, question), questions):
            print(line)  # noqa: T201
    print("gevent" in sys.modules)  # noqa: T201


main()
