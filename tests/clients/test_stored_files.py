"""Uploaded files by every official SDK: the same in every worker and every format, for the key that
made them.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest
from google import genai
from google.genai import errors, types

from gbproxy.simulator.widget.files import picture
from tests.support import node_client
from tests.support.messages_with_files import uploaded
from tests.support.node_client import needs_node
from tests.support.serving import Served, SharedUpstream, serving
from tests.support.storages import two_workers

KEYS = tuple(f"sk-test-{number:02}-0123456789abcdef" for number in range(40))
MB = 1024 * 1024
USED = "gemini-3.8-flash"
PNG = picture("a fox")
PDF = b"%PDF-1.7 " + bytes(range(256)) * 4096  # of five chunks


@dataclass(frozen=True)
class Filing:
    """A gateway of two workers, and the simulator behind it. Each of the keys has no file yet."""

    served: Served
    upstream: SharedUpstream
    keys: Iterator[str] = field(default_factory=lambda: iter(KEYS))


@pytest.fixture(
    scope="module",
    params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)],
)
def gateway_of_two(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Filing]:
    keys = {"API_KEYS": ",".join(KEYS)}
    lasting = two_workers(request.param, request, tmp_path_factory) | keys
    with (
        SharedUpstream() as upstream,
        serving(upstream.environment() | lasting) as served,
    ):
        yield Filing(served, upstream)


@pytest.fixture
def filing(gateway_of_two: Filing) -> Filing:
    gateway_of_two.upstream.reset()
    return gateway_of_two


@pytest.fixture
def key(filing: Filing) -> str:
    return next(filing.keys)


@pytest.fixture
def clients() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def connected(clients: ExitStack, served: Served, key: str) -> openai.OpenAI:
    """A client with connections of its own, each of which is taken by one of the workers."""
    made = openai.OpenAI(base_url=f"{served.url}/v1", api_key=key, max_retries=0)
    return clients.enter_context(made)


def test_files_are_there_for_every_worker_and_their_own_key(
    filing: Filing, clients: ExitStack, key: str
) -> None:
    served, upstream = filing.served, filing.upstream
    client = connected(clients, served, key)
    made = client.files.create(
        file=("what.pdf", PDF),
        purpose="user_data",
        expires_after={"anchor": "created_at", "seconds": 7200},
    )
    image = client.files.create(file=("a.png", PNG), purpose="vision")

    assert (made.filename, made.bytes, made.purpose) == ("what.pdf", len(PDF), "user_data")
    assert made.expires_at == made.created_at + 7200
    for _ in range(4):
        elsewhere = connected(clients, served, key)
        assert elsewhere.files.retrieve(made.id) == made
        assert elsewhere.files.content(made.id).read() == PDF
    part = client.files.with_raw_response.content(made.id, extra_headers={"Range": "bytes=262140-262150"})  # fmt: skip
    assert (part.status_code, part.content) == (206, PDF[262140:262151])
    check_lists(client, made, image)
    check_uses(client, upstream, made, image)
    check_other_key(connected(clients, served, next(filing.keys)), made)
    client.files.delete(made.id)
    with pytest.raises(openai.NotFoundError):
        connected(clients, served, key).files.retrieve(made.id)
    with pytest.raises(openai.NotFoundError):
        connected(clients, served, key).files.content(made.id)


def check_lists(client: openai.OpenAI, *made: Any) -> None:
    assert [file.id for file in client.files.list(order="asc")] == [file.id for file in made]
    newest = client.files.list(limit=1)
    assert [file.id for file in newest.data] == [made[-1].id]
    assert newest.has_more
    assert [file.id for file in client.files.list(limit=1)] == [file.id for file in reversed(made)]
    assert [file.id for file in client.files.list(purpose="vision")] == [made[-1].id]


def check_uses(client: openai.OpenAI, upstream: SharedUpstream, pdf: Any, image: Any) -> None:
    chat: Any = [
        {"type": "text", "text": "What is it?"},
        {"type": "file", "file": {"file_id": pdf.id}},
    ]
    client.chat.completions.create(model=USED, messages=[{"role": "user", "content": chat}])
    assert uploaded(upstream) == [PDF]
    items: Any = [
        {"type": "input_text", "text": "And these?"},
        {"type": "input_image", "file_id": image.id, "detail": "auto"},
        {"type": "input_file", "file_id": pdf.id},
    ]
    response = client.responses.create(model=USED, input=[{"role": "user", "content": items}])
    assert uploaded(upstream) == sorted([PDF, PDF, PNG])
    client.responses.create(model=USED, input="Colour?", previous_response_id=response.id)
    assert len(uploaded(upstream)) == 3


def check_other_key(other: openai.OpenAI, made: Any) -> None:
    assert other.files.list().data == []
    with pytest.raises(openai.NotFoundError):
        other.files.retrieve(made.id)
    with pytest.raises(openai.NotFoundError):
        other.files.content(made.id)
    with pytest.raises(openai.NotFoundError):
        other.files.delete(made.id)
    chat: Any = [{"type": "file", "file": {"file_id": made.id}}]
    with pytest.raises(openai.BadRequestError, match="no such file") as refused:
        other.chat.completions.create(model=USED, messages=[{"role": "user", "content": chat}])
    assert refused.value.param == "messages[0].content[0].file.file_id"


def test_googles_client_finds_what_it_has_uploaded(
    filing: Filing, clients: ExitStack, key: str
) -> None:
    options = types.HttpOptions(base_url=filing.served.url)
    google = clients.enter_context(closing(genai.Client(api_key=key, http_options=options)))
    large = PDF + 9 * MB * b"x"  # which the SDK sends in two pieces

    config = types.UploadFileConfig(mime_type="application/pdf", display_name="large.pdf")
    made = google.files.upload(file=io.BytesIO(large), config=config)

    assert made.name is not None
    assert (made.size_bytes, made.display_name) == (len(large), "large.pdf")
    assert made.state == types.FileState.ACTIVE
    assert made.sha256_hash
    assert google.files.get(name=made.name) == made
    assert made in list(google.files.list(config={"page_size": 1}))
    google.models.generate_content(model=USED, contents=["What is it?", made])
    assert uploaded(filing.upstream) == [large]
    google.files.delete(name=made.name)
    with pytest.raises(errors.ClientError):
        google.files.get(name=made.name)


@pytest.fixture
def claude(filing: Filing, key: str) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=filing.served.url, api_key=key, max_retries=0) as made:
        yield made


@pytest.fixture
def kept(claude: anthropic.Anthropic) -> list[Any]:
    """Three files, in the order in which they were made."""
    given = (("a/b/what.pdf", PDF), ("a.png", PNG, "image/png"), ("", b"words", "text/plain"))
    return [claude.beta.files.upload(file=file, expires_in_seconds=7200) for file in given]


def test_anthropics_client_reads_what_it_has_uploaded(
    filing: Filing, claude: anthropic.Anthropic, kept: list[Any]
) -> None:
    files = claude.beta.files
    pdf, png, text = kept

    assert (pdf.type, pdf.filename, pdf.mime_type) == ("file", "what.pdf", "application/pdf")
    assert (pdf.size_bytes, pdf.downloadable) == (len(PDF), True)
    assert pdf.expires_at - pdf.created_at == timedelta(hours=2)
    assert (png.mime_type, text.mime_type) == ("image/png", "text/plain")
    assert text.filename == "unnamed.txt"
    assert files.retrieve_metadata(pdf.id) == pdf
    assert files.download(pdf.id).read() == PDF
    raw = files.with_raw_response.download(pdf.id)
    assert raw.headers["request-id"] == raw.headers["x-request-id"]
    source = {"type": "file", "file_id": pdf.id}
    blocks: Any = [
        {"type": "document", "source": source, "title": "Report"},
        {"type": "image", "source": {"type": "file", "file_id": png.id}},
        {"type": "container_upload", "file_id": text.id},
        {"type": "text", "text": "Summarize them"},
    ]
    message = claude.beta.messages.create(
        model=USED,
        max_tokens=4096,
        messages=[{"role": "user", "content": blocks}],
        betas=["files-api-2025-04-14"],
    )
    assert message.stop_reason == "end_turn"
    assert uploaded(filing.upstream) == sorted([PDF, PNG, b"words"])
    deleted = files.delete(pdf.id)
    assert (deleted.id, deleted.type) == (pdf.id, "file_deleted")
    with pytest.raises(anthropic.NotFoundError) as refused:
        files.retrieve_metadata(pdf.id)
    assert refused.value.request_id
    with pytest.raises(anthropic.NotFoundError):
        files.download(pdf.id)


def test_anthropics_client_lists_its_files_by_pages(
    claude: anthropic.Anthropic, kept: list[Any]
) -> None:
    files, newest = claude.beta.files, [each.id for each in reversed(kept)]

    def listed(**query: str) -> list[str]:
        """As earlier clients ask: all the pages of one file."""
        page = claude.get("/v1/files", cast_to=object, options={"params": {"limit": "1", **query}})
        assert isinstance(page, dict)
        ids = [each["id"] for each in page["data"]]
        assert (page["first_id"], page["last_id"]) == (ids[0], ids[-1])
        if not page["has_more"]:
            return ids
        if "before_id" in query:
            return listed(before_id=ids[0]) + ids
        return ids + listed(after_id=ids[-1])

    assert [file.id for file in files.list()] == newest
    first = files.list(limit=2)
    assert [file.id for file in first.data] == newest[:2]
    assert [file.id for file in first] == newest
    assert [file.id for file in files.list(ids=[*newest[1:], "file_none"])] == newest[1:]
    assert files.list(scope_id="a-session").data == []
    assert listed() == newest
    assert listed(before_id=newest[2]) == newest[:2]


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ({"limit": "0"}, "limit"),
        ({"limit": "1001"}, "limit"),
        ({"page": "page_none"}, "page"),
        ({"after_id": "file_none"}, "after_id"),
        ({"after_id": "file_a", "before_id": "file_b"}, "before_id"),
        ({"ids[]": "file_a", "limit": "2"}, "ids"),
    ],
)
def test_a_page_of_anthropics_that_cannot_be_is_refused(
    claude: anthropic.Anthropic, query: dict[str, str], param: str
) -> None:
    with pytest.raises(anthropic.BadRequestError, match=param):
        claude.get("/v1/files", cast_to=object, options={"params": query})


@pytest.mark.parametrize("seconds", [3599, 7776001])
def test_a_file_of_anthropics_that_cannot_be_is_refused(
    claude: anthropic.Anthropic, seconds: int
) -> None:
    with pytest.raises(anthropic.BadRequestError, match="expires_in_seconds"):
        claude.beta.files.upload(file=("a.txt", b"words"), expires_in_seconds=seconds)

    assert claude.beta.files.list().data == []


@needs_node
def test_files_of_openais_client_for_node(filing: Filing, pdf: Path) -> None:
    found = of_node("openai_files.mjs", filing, pdf, "files", BASE_URL=f"{filing.served.url}/v1")

    files = found["files"]
    made, image = files["made"], files["image"]
    assert (made["filename"], made["bytes"], made["purpose"]) == ("what.pdf", len(PDF), "user_data")
    assert made["expires_at"] == made["created_at"] + 7200
    assert files["one"] == made
    assert files["listed"] == [made["id"], image["id"]]
    assert base64.b64decode(files["content"]) == PDF
    assert files["said"]
    assert files["answered"]
    assert uploaded(filing.upstream) == sorted([PDF, PDF, PNG + b"a.png"])
    assert files["deleted"] == {"id": made["id"], "object": "file", "deleted": True}
    assert files["gone"]


@needs_node
def test_pictures_of_openais_client_for_node(filing: Filing, pdf: Path) -> None:
    url = f"{filing.served.url}/v1"

    found = of_node("openai_files.mjs", filing, pdf, "generated", "edited", BASE_URL=url)

    made, edited = found["generated"], found["edited"]
    [event] = made["events"]
    assert event["type"] == "image_generation.completed"
    for data in (
        made["b64_json"],
        made["linked"],
        event["b64_json"],
        edited["one"],
        edited["several"],
    ):
        assert base64.b64decode(data).startswith(b"\x89PNG")
    assert uploaded(filing.upstream) == [
        PNG + name for name in (b"a.png", b"b.png", b"c.png", b"m.png")
    ]


@needs_node
def test_files_of_googles_client_for_node(filing: Filing, pdf: Path) -> None:
    google = {"BASE_URL": filing.served.url, "API_VERSION": "v1", "QUESTION": "What are these?"}

    found = of_node("google_genai.mjs", filing, pdf, "files", **google)

    files = found["files"]
    made, other = files["made"], files["other"]
    assert (made["displayName"], made["sizeBytes"]) == ("what.pdf", str(len(PDF)))
    assert (made["mimeType"], made["state"]) == ("application/pdf", "ACTIVE")
    assert other["mimeType"] == "image/png"
    assert files["one"] == made
    assert files["listed"] == [other["name"], made["name"]]
    assert files["text"]
    assert uploaded(filing.upstream) == sorted([PDF, PNG])
    assert (files["failure"]["isApiError"], files["failure"]["status"]) == (True, 404)


@pytest.fixture
def pdf(tmp_path: Path) -> Path:
    path = tmp_path / "what.pdf"
    path.write_bytes(PDF)
    return path


def of_node(script: str, filing: Filing, pdf: Path, *scenarios: str, **said: str) -> Any:
    given = {"API_KEY": next(filing.keys), "MODEL": USED, "FILE": str(pdf)}
    png = base64.b64encode(PNG).decode()
    return node_client.run(script, *scenarios, **given, IMAGE=png, **said)
