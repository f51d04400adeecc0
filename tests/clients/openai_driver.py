"""Makes calls with OpenAI's SDK for Python, whichever version is installed: a job in JSON on each line
of standard input, and on standard output what a program that uses the SDK sees of it.

    python openai_driver.py BASE_URL KEY

A job has `call`, `mode` (whole, streamed, or the SDK's stream helper) and `params`.
"""

from __future__ import annotations

import base64
import io
import json
import sys
from typing import Any

import openai


def run(client: openai.OpenAI, job: dict[str, Any]) -> dict[str, Any]:
    try:
        return CALLS[job["call"]](client, job)
    except openai.APIError as error:
        return {
            "error": {
                "status": getattr(error, "status_code", None),
                "code": error.code,
                "param": error.param,
                "type": error.type,
            }
        }


def chat(client: openai.OpenAI, job: dict[str, Any]) -> dict[str, Any]:
    params = job["params"]
    if job["mode"] == "helper":
        with client.chat.completions.stream(**params) as stream:
            for _ in stream:
                pass
            return said(stream.get_final_completion().model_dump())
    raw = client.chat.completions.with_raw_response.create(
        **params, stream=job["mode"] == "streamed"
    )
    parsed = raw.parse()
    whole = parsed.model_dump() if job["mode"] == "whole" else joined(parsed)
    return {**said(whole), "ignored": raw.headers.get("x-gbproxy-ignored")}


def joined(stream: Any) -> dict[str, Any]:
    """The chunks of a stream as one completion, put together as programs do it."""
    whole: dict[str, Any] = {"choices": {}, "usage": None}
    try:
        for chunk in stream:
            found = chunk.model_dump()
            whole["model"] = found["model"]
            whole["usage"] = found.get("usage") or whole["usage"]
            for choice in found["choices"]:
                add(whole["choices"].setdefault(choice["index"], {"message": {}}), choice)
    except openai.APIError as error:
        whole["error"] = {"status": None, "code": error.code, "param": error.param}
    whole["choices"] = [choice for _, choice in sorted(whole["choices"].items())]
    return whole


def add(choice: dict[str, Any], more: dict[str, Any]) -> None:
    choice["finish_reason"] = more["finish_reason"] or choice.get("finish_reason")
    message = choice["message"]
    for name, value in more["delta"].items():
        if name == "tool_calls":
            for call in value or ():
                add_call(message.setdefault("tool_calls", []), call)
        elif name == "function_call":
            for key, text in (value or {}).items():
                called = message.setdefault("function_call", {})
                called[key] = (called.get(key) or "") + (text or "")
        elif isinstance(value, str):
            message[name] = (message.get(name) or "") + value
        elif value is not None:
            message[name] = value


def add_call(calls: list[dict[str, Any]], more: dict[str, Any]) -> None:
    if more["index"] == len(calls):
        assert more["id"], "a call has to begin with its id"
        calls.append({"id": more["id"], "type": more["type"]})
    call = calls[more["index"]]
    for kind in ("function", "custom"):
        for key, text in (more.get(kind) or {}).items():
            inner = call.setdefault(kind, {})
            inner[key] = (inner.get(key) or "") + (text or "")


def said(completion: dict[str, Any]) -> dict[str, Any]:
    """What all drivers tell of a completion."""
    usage = completion.get("usage")
    return {
        "model": completion["model"],
        "usage": usage and {name: usage[name] for name in ("prompt_tokens", "completion_tokens")},
        "choices": [
            {
                "text": choice["message"].get("content") or "",
                "refusal": choice["message"].get("refusal"),
                "finish_reason": choice["finish_reason"],
                "calls": [call_said(call) for call in choice["message"].get("tool_calls") or ()],
                "function_call": choice["message"].get("function_call"),
                "annotations": [
                    each["url_citation"] for each in choice["message"].get("annotations") or ()
                ],
            }
            for choice in completion["choices"]
        ],
        "error": completion.get("error"),
    }


def call_said(call: dict[str, Any]) -> dict[str, Any]:
    inner = call[call["type"]]
    text = inner["input"] if call["type"] == "custom" else inner["arguments"]
    return {"id": call["id"], "type": call["type"], "name": inner["name"], "text": text}


def models(client: openai.OpenAI, job: dict[str, Any]) -> dict[str, Any]:
    del job
    return {"models": [model.model_dump() for model in client.models.list().data]}


def model(client: openai.OpenAI, job: dict[str, Any]) -> dict[str, Any]:
    return {"models": [client.models.retrieve(job["params"]["model"]).model_dump()]}


def transcription(client: openai.OpenAI, job: dict[str, Any]) -> dict[str, Any]:
    voice = ("voice.wav", io.BytesIO(b"RIFF"))
    return {"made": str(client.audio.transcriptions.create(file=voice, **job["params"]))}


def file(client: openai.OpenAI, job: dict[str, Any]) -> dict[str, Any]:
    """Uploads a file, reads it, asks about it in two ways, and deletes it."""
    model, name, text = (job["params"][key] for key in ("model", "name", "text"))
    made = client.files.create(file=(name, text.encode()), purpose="user_data")
    parts = [
        {"type": "text", "text": "What is it?"},
        {"type": "file", "file": {"file_id": made.id}},
    ]
    chat: Any = {"model": model, "messages": [{"role": "user", "content": parts}]}
    content: Any = [{"type": "input_file", "file_id": made.id}]
    asked: Any = [{"role": "user", "content": content}]
    return {
        "made": made.model_dump(),
        "read": client.files.retrieve(made.id).model_dump(),
        "content": client.files.content(made.id).read().decode(),
        "is_listed": made.id in [each.id for each in client.files.list(limit=1)],
        "chat": client.chat.completions.create(**chat).choices[0].message.content,
        "response": client.responses.create(model=model, input=asked).output_text,
        "deleted": client.files.delete(made.id).model_dump(),
    }


def picture(client: openai.OpenAI, job: dict[str, Any]) -> dict[str, Any]:
    """Makes a picture, and edits it: both in base64."""
    is_streamed = job["mode"] == "streamed"

    def last(made: Any) -> str:
        return list(made)[-1].b64_json if is_streamed else made.data[0].b64_json

    ask = {**job["params"], "stream": is_streamed}
    made = last(client.images.generate(**ask))
    given = ("fox.png", base64.b64decode(made), "image/png")
    return {"made": made, "edited": last(client.images.edit(image=given, **ask))}


def response(client: openai.OpenAI, job: dict[str, Any]) -> dict[str, Any]:
    """Asks for a response, and tells its items."""
    params, mode = job["params"], job["mode"]
    if mode == "helper":
        with client.responses.stream(**params) as stream:
            events = [event.type for event in stream]
            made = stream.get_final_response()
    elif mode == "streamed":
        *begun, last = client.responses.create(**params, stream=True)
        events, made = [event.type for event in (*begun, last)], last.response
    else:
        events, made = [], client.responses.create(**params)
    return {
        "status": made.status,
        "last": events[-1] if events else None,
        "items": [item.type for item in made.output],
        "thoughts": [s.text for item in made.output for s in getattr(item, "summary", None) or ()],
        "text": made.output_text,
        "calls": [
            {"name": item.name, "arguments": item.arguments}
            for item in made.output
            if item.type == "function_call"
        ],
    }


def stored_response(client: openai.OpenAI, job: dict[str, Any]) -> dict[str, Any]:
    """Asks for a response and goes on from it, reads both as they are kept, and deletes the first."""
    ask, further = job["params"], {**job["params"], "input": job["params"]["further"]}
    del ask["further"], further["further"]
    first = client.responses.create(**ask)
    with client.responses.stream(**further, previous_response_id=first.id) as stream:
        for _ in stream:
            pass
        second = stream.get_final_response()
    items = client.responses.input_items.list(second.id, order="asc", limit=1)
    listed = [part.text for item in items for part in item.content]
    read = [client.responses.retrieve(each.id) for each in (first, second)]
    client.responses.delete(first.id)
    try:
        client.responses.retrieve(first.id)
        is_gone = False
    except openai.NotFoundError:
        is_gone = True
    return {
        "texts": [each.output_text for each in read],
        "follows": read[1].previous_response_id == first.id,
        "listed": listed,
        "is_gone": is_gone,
    }


CALLS: dict[str, Any] = {
    "version": lambda client, job: {"version": openai.__version__},
    "chat": chat,
    "models": models,
    "model": model,
    "embeddings": lambda client, job: {"made": str(client.embeddings.create(**job["params"]))},
    "moderations": lambda client, job: {"made": str(client.moderations.create(**job["params"]))},
    "speech": lambda client, job: {"made": str(client.audio.speech.create(**job["params"]))},
    "transcription": transcription,
    "file": file,
    "picture": picture,
    "response": response,
    "stored response": stored_response,
}


def main() -> None:
    base_url, key = sys.argv[1:]
    with openai.OpenAI(base_url=base_url, api_key=key, max_retries=0) as client:
        for line in sys.stdin:
            sys.stdout.write(json.dumps(run(client, json.loads(line))) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
