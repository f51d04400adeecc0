"""Ranges of files whose listed size is wrong, and what browsers that have a file ask."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
from flask import Flask, Response

from gbproxy.upstreams.base import ByteRange, FileMetadata, OpenFile
from gbproxy.web import downloads
from gbproxy.web.cors import Cors
from gbproxy.web.downloads import Download
from gbproxy.web.errors import ErrorFormats
from gbproxy.web.middleware import install
from gbproxy.web.streaming import StreamResponder
from tests.support.serving import InProcess
from tests.support.toy_format import ERRORS

CONTENT = bytes(range(100))


@dataclass
class File:
    """A file of CONTENT. `listed`: the size that a list tells; `told`: what comes with the file."""

    listed: int | None
    told: int | None = len(CONTENT)
    opened: list[ByteRange] = field(default_factory=list)
    closed: int = 0

    def metadata(self) -> FileMetadata:
        return FileMetadata(size=self.listed)

    def open(self, wanted: ByteRange) -> OpenFile:
        self.opened.append(wanted)
        pieces = iter([CONTENT[wanted.start : wanted.end]])
        return OpenFile(FileMetadata(size=self.told), pieces, CONTENT, self._close)

    def _close(self) -> None:
        self.closed += 1


@contextmanager
def offering(file: File) -> Iterator[InProcess]:
    app = Flask("gbproxy")
    install(app, max_body_bytes=1 << 20, cors=Cors(["*"]), error_formats=ErrorFormats([ERRORS]))
    responder = StreamResponder(limit=10, heartbeat_s=10)

    def get() -> Response:
        return downloads.answer(responder, Download(file.metadata, file.open, "tag", 3600))

    app.get("/file")(get)
    yield InProcess(app)


@pytest.mark.parametrize("listed", [40, 100, 400, None])
@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [("10-19", 10, 19), ("50-", 50, 99), ("-10", 90, 99), ("0-", 0, 99), ("90-299", 90, 99)],
)
def test_a_range_is_counted_in_what_the_file_is(
    asked: str, first: int, last: int, listed: int | None
) -> None:
    file = File(listed)

    with offering(file) as app:
        reply = app.request("GET", "/file", None, {"Range": f"bytes={asked}"})

    assert (reply.status, reply.body) == (206, CONTENT[first : last + 1])
    assert reply.headers["Content-Range"] == f"bytes {first}-{last}/100"
    assert reply.headers["Content-Length"] == str(last + 1 - first)
    assert file.closed == len(file.opened) <= 2
    assert len(file.opened) == 1 or listed != 100


@pytest.mark.parametrize("listed", [40, 100, 400, None])
def test_a_range_behind_the_end_is_refused_for_now_alone(listed: int | None) -> None:
    file = File(listed)

    with offering(file) as app:
        refused = app.request("GET", "/file", None, {"Range": "bytes=100-200"})
        whole = app.request("GET", "/file")

    assert (refused.status, refused.body) == (416, b"")
    assert refused.headers["Content-Range"] == "bytes */100"
    assert refused.headers["Cache-Control"] == "no-store"
    assert whole.headers["Cache-Control"] == "private, max-age=3600"
    assert file.closed == len(file.opened)


@pytest.mark.parametrize("asked", ["10-19", "-10", "90-299"])
def test_no_range_is_told_of_a_file_of_unknown_size(asked: str) -> None:
    with offering(File(listed=400, told=None)) as app:
        reply = app.request("GET", "/file", None, {"Range": f"bytes={asked}"})

    assert (reply.status, reply.body) == (200, CONTENT)
    assert "Content-Range" not in reply.headers


@pytest.mark.parametrize("form", ["{}", "W/{}", '"other", W/{}', "*"])
def test_a_file_that_is_known_is_not_sent_again(form: str) -> None:
    with offering(File(100)) as app:
        tag = app.request("GET", "/file").headers["ETag"]
        reply = app.request("GET", "/file", None, {"If-None-Match": form.format(tag)})

    assert (reply.status, reply.body) == (304, b"")
