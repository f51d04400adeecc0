"""Requests in the shapes that Gemini CLI sends, replayed; and a chat that moves from one API to the
other.
"""

from __future__ import annotations

import json
from typing import Any

from gbproxy.simulator import answer
from tests.support.chats import used_sessions
from tests.support.serving import Reply, Served, SharedUpstream

HEADERS = {
    "Content-Type": "application/json",
    "User-Agent": "GeminiCLI/0.61.0/gemini-3.8-flash (linux; x64)",
    "x-goog-api-client": "google-genai-sdk/1.30.0 gl-node/v22.22.0",
}
MODEL = "/v1beta/models/gemini-3.8-flash"
THINKING = {
    "temperature": 1,
    "topP": 0.95,
    "topK": 64,
    "thinkingConfig": {"includeThoughts": True, "thinkingBudget": 8192},
}
SYSTEM = {"role": "user", "parts": [{"text": "You are an interactive CLI agent."}]}
LIST_DIRECTORY = {
    "name": "list_directory",
    "description": "Lists the names of files directly within a directory path.",
    "parametersJsonSchema": {
        "type": "object",
        "properties": {
            "path": {"description": "The path to the directory", "type": "string"},
            "ignore": {"items": {"type": "string"}, "type": "array"},
        },
        "required": ["path"],
    },
}
TOOLS = [
    {
        "functionDeclarations": [
            LIST_DIRECTORY,
            {"name": "save_memory", "description": "Saves a fact.", "parametersJsonSchema": {"type": "object", "properties": {"fact": {"type": "string"}}, "required": ["fact"]}},
        ]
    }
]  # fmt: skip
NEXT_SPEAKER = {
    "type": "object",
    "properties": {
        "reasoning": {"type": "string", "description": "Brief explanation."},
        "next_speaker": {"type": "string", "enum": ["user", "model"]},
    },
    "required": ["reasoning", "next_speaker"],
}


def post(gateway: Served, method: str, body: dict[str, Any]) -> Reply:
    reply = gateway.request(
        "POST", f"{MODEL}:{method}", json.dumps(body), {**HEADERS, "x-goog-api-key": gateway.key}
    )
    assert reply.status == 200, reply.body
    return reply


def stream(gateway: Served, contents: list[Any], **fields: Any) -> list[dict[str, Any]]:
    """The parts of a streamed turn, as the program keeps them in its history."""
    body = {
        "contents": contents,
        "systemInstruction": SYSTEM,
        "tools": TOOLS,
        "generationConfig": THINKING,
        **fields,
    }
    frames = post(gateway, "streamGenerateContent?alt=sse", body).frames
    candidates = [each for frame in frames for each in frame["candidates"]]
    assert [each["finishReason"] for each in candidates if "finishReason" in each] == ["STOP"]
    return [part for each in candidates for part in each["content"]["parts"]]


def said(role: str, *parts: Any) -> dict[str, Any]:
    return {
        "role": role,
        "parts": [{"text": part} if isinstance(part, str) else part for part in parts],
    }


def test_a_turn_of_the_agent(gateway: Served, upstream: SharedUpstream) -> None:
    contents = [
        said("user", "This is the Gemini CLI. We are setting up the context for our chat."),
        said("model", "Got it. Thanks for the context!"),
        said("user", 'List the directory "src".'),
    ]

    parts = stream(gateway, contents)
    [call] = [part["functionCall"] for part in parts if "functionCall" in part]
    response = {"id": call["id"], "name": call["name"], "response": {"output": "a.py\nb.py"}}
    kept = [part for part in parts if part.get("text") != "" or "functionCall" in part]
    contents += [said("model", *kept), said("user", {"functionResponse": response})]
    answered = stream(gateway, contents)

    assert call["name"] == "list_directory"
    assert "".join(part["text"] for part in answered) == "It says: a.py\nb.py"
    assert len(used_sessions(upstream)) == 1


def test_who_speaks_next_and_how_much_there_is(gateway: Served, upstream: SharedUpstream) -> None:
    contents = [said("user", "Hi"), said("model", "Hello."), said("user", "Who speaks next?")]
    config = {
        "temperature": 0,
        "topP": 1,
        "responseMimeType": "application/json",
        "responseJsonSchema": NEXT_SPEAKER,
        "thinkingConfig": {"include_thoughts": True, "thinking_level": "LOW"},
    }

    found = post(
        gateway,
        "generateContent",
        {"contents": contents, "systemInstruction": SYSTEM, "generationConfig": config},
    ).json()
    counted = post(gateway, "countTokens", {"contents": contents}).json()

    [candidate] = found["candidates"]
    text = "".join(
        part["text"] for part in candidate["content"]["parts"] if not part.get("thought")
    )
    assert json.loads(text)["next_speaker"] in ("user", "model")
    assert 0 < counted["totalTokens"] < found["usageMetadata"]["promptTokenCount"]


def test_a_search_of_the_web(gateway: Served, upstream: SharedUpstream) -> None:
    upstream.set(citations=True)
    upstream.script(*answer("Tea ", "is hot."))
    body = {
        "contents": [said("user", "What is new about tea?")],
        "tools": [{"googleSearch": {}}],
        "generationConfig": {"temperature": 0, "topP": 1},
    }

    [candidate] = post(gateway, "generateContent", body).json()["candidates"]

    assert candidate["groundingMetadata"]["groundingChunks"][0]["web"]["uri"]
    [call] = upstream.calls("widgetStreamAssist")
    assert call.body["streamAssistRequest"]["toolsSpec"].keys() == {"webGroundingSpec"}


def test_a_chat_moves_from_one_api_to_the_other(gateway: Served, upstream: SharedUpstream) -> None:
    for text in ("Rock.", "Grey.", "Dusty."):
        upstream.script(*answer(text))
    asked = [{"role": "user", "content": "What is it of?"}]
    contents = [
        said("user", "What is it of?"),
        said("model", "Rock."),
        said("user", "Which colour?"),
    ]

    first = gateway.ask(asked, model="gemini-3.8-flash")
    second = post(gateway, "generateContent", {"contents": contents}).json()
    third = gateway.ask(
        [
            *asked,
            {"role": "assistant", "content": "Rock."},
            {"role": "user", "content": "Which colour?"},
            {"role": "assistant", "content": "Grey."},
            {"role": "user", "content": "And else?"},
        ],
        model="gemini-3.8-flash",
    )

    assert (first.text, third.text) == ("Rock.", "Dusty.")
    assert second["candidates"][0]["content"]["parts"] == [{"text": "Grey."}]
    [session] = used_sessions(upstream)
    assert session.queries == ["What is it of?", "Which colour?", "And else?"]
