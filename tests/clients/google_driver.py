"""What `google-genai` makes of the gateway's answers, whichever version is installed, as
node/google_genai.mjs tells it of the client for Node: the scenarios that are named as arguments, one
after the other, and one JSON object on stdout with a field for each.

BASE_URL, API_KEY, MODEL and QUESTION come from the environment; the API's version is the client's own.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from collections.abc import Callable
from typing import Any

from google import genai
from google.genai import errors, types

warnings.filterwarnings("ignore", category=UserWarning, module="google.genai")

MODEL, QUESTION = os.environ["MODEL"], os.environ["QUESTION"]
google = genai.Client(
    api_key=os.environ["API_KEY"],
    http_options=types.HttpOptions(base_url=os.environ["BASE_URL"]),
)
WEATHER = {
    "name": "get_weather",
    "parameters": {
        "type": "OBJECT",
        "properties": {"city": {"type": "STRING"}},
        "required": ["city"],
    },
}


def generate(contents: Any = QUESTION, model: str = MODEL, **config: Any) -> Any:
    return google.models.generate_content(model=model, contents=contents, config=config or None)


def text_of(stream: Any) -> str:
    return "".join(chunk.text or "" for chunk in stream)


def failure_of(work: Callable[[], object]) -> dict[str, Any] | None:
    try:
        work()
    except errors.APIError as error:
        return {"isApiError": True, "status": error.code, "message": str(error)}
    return None


def version() -> str:
    return genai.__version__


def whole() -> dict[str, Any]:
    response = generate(
        thinking_config={"include_thoughts": True}, system_instruction="Be brief."
    ).model_dump(mode="json", by_alias=True)
    [candidate] = response["candidates"]
    texts: dict[bool, list[str]] = {False: [], True: []}
    for part in candidate["content"]["parts"]:
        texts[bool(part["thought"])].append(part["text"] or "")
    return {
        "text": "".join(texts[False]),
        "thoughts": texts[True],
        "finishReason": candidate["finishReason"],
        "usage": response["usageMetadata"],
    }


def streamed() -> str:
    return text_of(google.models.generate_content_stream(model=MODEL, contents=QUESTION))


def chat() -> dict[str, Any]:
    begun = google.chats.create(model=MODEL)
    said = text_of(begun.send_message_stream(QUESTION))
    return {"said": said, "text": begun.send_message("Which colour?").text}


def broken_stream() -> dict[str, Any]:
    texts: list[str] = []

    def read() -> None:
        for chunk in google.models.generate_content_stream(model=MODEL, contents=QUESTION):
            texts.append(chunk.text or "")

    failure = failure_of(read)
    return {"text": "".join(texts), "failure": failure}


def call() -> dict[str, Any]:
    tools = [{"function_declarations": [WEATHER]}]
    contents: list[Any] = [{"role": "user", "parts": [{"text": "What is the weather in Oslo?"}]}]
    choice = {"function_calling_config": {"mode": "ANY"}}
    first = generate(contents, tools=tools, tool_config=choice)
    [called] = first.function_calls
    answered = {"id": called.id, "name": called.name, "response": {"output": "4 C"}}
    contents += [
        first.candidates[0].content,
        {"role": "user", "parts": [{"function_response": answered}]},
    ]
    return {
        "name": called.name,
        "args": called.args,
        "text": generate(contents, tools=tools).text,
    }


def structured() -> Any:
    schema = {
        "type": "OBJECT",
        "properties": {"capital": {"type": "STRING"}},
        "required": ["capital"],
    }
    response = generate(
        "What is the capital, Oslo?",
        response_mime_type="application/json",
        response_schema=schema,
    )
    return json.loads(response.text)


def tokens() -> int | None:
    return google.models.count_tokens(model=MODEL, contents=QUESTION).total_tokens


def models() -> dict[str, Any]:
    names = [each.name for each in google.models.list(config={"page_size": 4})]
    return {"names": names, "one": {"name": google.models.get(model=MODEL).name}}


def unknown_model() -> dict[str, Any] | None:
    return failure_of(lambda: generate(model="none-such"))


def wrong_field() -> dict[str, Any] | None:
    return failure_of(lambda: generate(candidate_count=9))


SCENARIOS: dict[str, Callable[[], object]] = {
    "version": version,
    "whole": whole,
    "streamed": streamed,
    "chat": chat,
    "brokenStream": broken_stream,
    "call": call,
    "structured": structured,
    "tokens": tokens,
    "models": models,
    "unknownModel": unknown_model,
    "wrongField": wrong_field,
}

if __name__ == "__main__":
    json.dump({name: SCENARIOS[name]() for name in sys.argv[1:]}, sys.stdout)
