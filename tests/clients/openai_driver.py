"""Makes calls with OpenAI's SDK for Python, whichever version is installed: a job in JSON on each line
of standard input, and on standard output what a program that uses the SDK sees of it.

    python openai_driver.py BASE_URL KEY

A job has `call`, `mode` (whole, streamed, or the SDK's stream helper) and `params`.
"""

from __future__ import annotations

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


CALLS: dict[str, Any] = {
    "version": lambda client, job: {"version": openai.__version__},
    "chat": chat,
    "models": models,
    "model": model,
    "embeddings": lambda client, job: {"made": str(client.embeddings.create(**job["params"]))},
    "moderations": lambda client, job: {"made": str(client.moderations.create(**job["params"]))},
    "speech": lambda client, job: {"made": str(client.audio.speech.create(**job["params"]))},
    "transcription": transcription,
}


def main() -> None:
    base_url, key = sys.argv[1:]
    with openai.OpenAI(base_url=base_url, api_key=key, max_retries=0) as client:
        for line in sys.stdin:
            sys.stdout.write(json.dumps(run(client, json.loads(line))) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
