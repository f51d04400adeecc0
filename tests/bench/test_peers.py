"""The answers of the quick peers: whole chunks, wherever the network has cut the upstream's."""

from __future__ import annotations

import json
from typing import Any

import pytest

ELEMENT = """{
  "uToken": "t",
  "streamAssistResponse": {
    "answer": {
      "state": "IN_PROGRESS",
      "replies": [
        {
          "groundedContent": {
            "content": {
              "role": "model",
              "text": %s
            }
          }
        }
      ]
    }
  }
}
"""
TEXTS = ['The "quick" fox\n}', "世界 🚀 {", "end"]
ARRAY = ("[" + ",\r\n".join(ELEMENT % json.dumps(text) for text in TEXTS) + "]").encode()


@pytest.fixture
def peers(monkeypatch: pytest.MonkeyPatch) -> Any:
    for name, value in (("UPSTREAM", "http://127.0.0.1:1"), ("KEY", "k"), ("CALLS", "3")):
        monkeypatch.setenv(f"BENCH_{name}", value)
    from bench.peers import answers

    return answers


@pytest.mark.parametrize("size", [1, 7, 100, len(ARRAY)])
def test_an_answer_is_the_same_in_pieces_of_any_size(peers: Any, size: int) -> None:
    answer = peers.Answer("gemini-auto")
    cuts = range(0, len(ARRAY), size)

    frames = [answer.feed(ARRAY[at : at + size], is_last=at == cuts[-1]) for at in cuts]

    *chunks, done, after = b"".join(frames).decode().split("\n\n")
    choices = [json.loads(chunk.removeprefix("data: "))["choices"][0] for chunk in chunks]
    assert [choice["delta"].get("content") for choice in choices] == ["", *TEXTS, None]
    assert [choice["finish_reason"] for choice in choices] == [None] * 4 + ["stop"]
    assert (done, after) == ("data: [DONE]", "")


def test_what_is_asked_is_all_that_the_client_has_sent(peers: Any) -> None:
    chat = {"messages": [{"content": 'say "%"'}, {"content": "and again"}]}
    prompt, images = peers.parts(chat)

    asked = json.loads(peers.question(prompt, "sessions/1", images))["streamAssistRequest"]

    assert asked["session"] == "sessions/1"
    assert asked["query"]["parts"] == [{"text": 'say "%"\nand again'}]


def test_an_image_is_put_up_and_asked_about_by_its_id(peers: Any) -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBO"}}
    chat = {"messages": [{"content": [{"type": "text", "text": "What is it?"}, image]}]}
    prompt, images = peers.parts(chat)

    added = json.loads(peers.upload(images[0], "sessions/1"))["addContextFileRequest"]
    found = peers.file_id(b'{"addContextFileResponse":{"fileId":"17"}}')
    asked = json.loads(peers.question(prompt, "sessions/1", [found]))["streamAssistRequest"]

    assert (added["name"], added["mimeType"]) == ("sessions/1", "image/png")
    assert added["fileContents"] == "iVBO"
    assert asked["query"]["parts"] == [{"text": "What is it?"}]
    assert asked["fileIds"] == ["17"]
