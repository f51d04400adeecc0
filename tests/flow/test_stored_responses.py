"""Stored responses are the same in every worker, for the key that made them."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import openai
import pytest

from gbproxy.simulator import Simulator, answer
from tests.support.databases import PostgreSQL
from tests.support.messages_with_files import PNG, data_url, uploaded
from tests.support.serving import KEY, serving

pytestmark = pytest.mark.slow

OTHER_KEY = "sk-test-another-0123456789abcdef"
MB = 1_000_000
SECRET = "a-secret-key-of-the-tests"
Connect = Callable[..., openai.OpenAI]


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/gbproxy.db"
    server: PostgreSQL = request.getfixturevalue("server")
    return server.new_database()


@pytest.fixture
def connect() -> Iterator[Connect]:
    with ExitStack() as stack:
        yield lambda served, key=KEY: stack.enter_context(
            openai.OpenAI(base_url=f"{served.url}/v1", api_key=key, max_retries=0)
        )


def test_every_worker_goes_on_from_a_stored_response(url: str, connect: Connect) -> None:
    with Simulator() as upstream:
        environment = upstream.environment() | {
            "DATABASE_URL": url,
            "SECRET_KEY": SECRET,
            "API_KEYS": f"{KEY},{OTHER_KEY}",
            "WEB_CONCURRENCY": "2",
        }
        with serving(environment) as served:
            upstream.script(*answer("Rock."))
            upstream.script(*answer("Grey."))

            made = connect(served).responses.create(input="What is it of?")

            elsewhere = connect(served)
            assert elsewhere.responses.retrieve(made.id).output_text == "Rock."
            gone_on = elsewhere.responses.create(input="Colour?", previous_response_id=made.id)
            assert gone_on.output_text == "Grey."
            [session] = [each for each in upstream.sessions.values() if each.turns]
            assert session.queries[-1] == "Colour?"
            # of connections of its own each is taken by one of the workers
            for _ in range(8):
                listed = connect(served).responses.input_items.list(gone_on.id, order="asc")
                assert [texts(item.to_dict()) for item in listed] == [
                    "What is it of?",
                    "Rock.",
                    "Colour?",
                ]
            for ask in (
                lambda client: client.responses.retrieve(made.id),
                lambda client: client.responses.delete(made.id),
                lambda client: client.responses.input_items.list(made.id),
            ):
                with pytest.raises(openai.NotFoundError):
                    ask(connect(served, OTHER_KEY))
            with pytest.raises(openai.BadRequestError):
                connect(served, OTHER_KEY).responses.create(input="?", previous_response_id=made.id)
            elsewhere.responses.delete(made.id)
            with pytest.raises(openai.NotFoundError):
                connect(served).responses.retrieve(made.id)


def texts(item: dict[str, Any]) -> str:
    return "".join(part["text"] for part in item["content"])


def test_an_answer_is_given_also_while_it_cannot_be_stored(
    tmp_path: Path, connect: Connect
) -> None:
    path = tmp_path / "gbproxy.db"
    with Simulator() as upstream:
        environment = upstream.environment() | {
            "DATABASE_URL": f"sqlite:///{path}",
            "SECRET_KEY": SECRET,
        }
        with serving(environment) as served:
            client = connect(served)
            client.responses.create(input="Say: before")
            with closing(sqlite3.connect(path, isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE")  # no other writes while this lasts
                response = client.responses.create(input="Say: hello")

            assert response.output_text == "hello"
            assert (response.model_extra or {})["store"] is False
            assert served.wait_for_event("response.not_stored")["code"] == "storage_unavailable"


def test_a_large_file_is_stored_read_and_gone_on_from(url: str, connect: Connect) -> None:
    content = PNG + os.urandom(5 * MB)
    image = data_url(content)
    part = {"type": "input_image", "image_url": image, "detail": "auto"}
    asked: Any = [{"role": "user", "content": [part]}]
    with Simulator() as upstream:
        environment = upstream.environment() | {
            "DATABASE_URL": url,
            "SECRET_KEY": SECRET,
            "WEB_CONCURRENCY": "2",
        }
        with serving(environment) as served:
            made = connect(served).responses.create(input=asked)

            [listed] = connect(served).responses.input_items.list(made.id).data
            connect(served).responses.create(
                input="Why?", previous_response_id=made.id, instructions="In a session of its own."
            )

            assert listed.to_dict()["content"] == [part]
            assert uploaded(upstream) == [content, content]
            connect(served).responses.delete(made.id)
            with pytest.raises(openai.NotFoundError):
                connect(served).responses.retrieve(made.id)
