"""The head of an answer, and where its body ends: only after one that ended exactly may its
connection serve another request.

Taken apart by hand: http.client reads over `100 Continue` alone, takes the first of two lengths,
and parses a head as that of an e-mail (saves 65 µs of a call). Source: RFC 9112, 4 to 6.3 and 9.2;
RFC 9110, 15.2.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cached_property
from http import HTTPStatus
from http.client import BadStatusLine, HTTPException, RemoteDisconnected

from urllib3 import HTTPHeaderDict

from gbproxy.outbound.reader import SocketReader

_MAX_HEAD_BYTES = 1024 * 1024  # with all interim answers
_MAX_HEADERS = 100
_MAX_INTERIM = 100
_READ_SIZE = 8 * 1024
_BEGIN = b"HTTP/"
_HEAD_END = re.compile(rb"\n\r?\n")
_STATUS_LINE = re.compile(r"HTTP/(0\.9|1\.\d)[ \t]+([1-9]\d\d)(?:[ \t](.*))?")
_FOLD = re.compile(r"\r?\n[ \t]+")
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_LENGTH = re.compile(r"[0-9]{1,18}")
# Some servers send a body with them all the same, perhaps after the answer was read.
_BODILESS = (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED)


class Answer:
    """An answer that is read from a socket until `reader.until`, on the monotonic clock.

    Its body is `chunked`, or has a `length`, or neither: then it ends with the connection. `unread`
    is what came of it with the head.
    """

    def __init__(
        self,
        reader: SocketReader,
        *,
        method: str = "GET",
        give_back: Callable[[bool], None] = lambda is_reusable: None,
    ) -> None:
        """`give_back`: called once, at the end, with True if the connection may be used again."""
        self.reader = reader
        self.status, self.reason = 0, ""
        self.header_pairs: tuple[tuple[str, str], ...] = ()
        self.chunked = False
        self.length: int | None = None
        self.unread = b""
        self.ended = False
        self.ended_exactly = False
        self._is_to_head = method == "HEAD"
        self._give_back = give_back
        self._values: dict[str, str] = {}
        self._may_be_kept = False

    def begin(self) -> None:
        """Read the head. Raises HTTPException and OSError."""
        left = _MAX_HEAD_BYTES
        for _ in range(_MAX_INTERIM):
            head = self._read_head(left)
            left -= len(head)
            self._parse(head)
            if not 100 <= self.status < 200:
                self._find_end()
                return
            if self.status == HTTPStatus.SWITCHING_PROTOCOLS:  # no request asks for that
                break
        raise BadStatusLine("interim answers without end")

    def end(self, behind: bytes = b"") -> None:
        """The body was read to its end; `behind` it are bytes that belong to nothing."""
        self._release(is_exact=not behind)

    def close(self) -> None:
        self._release(is_exact=False)

    @cached_property
    def headers(self) -> HTTPHeaderDict:
        """By their names in any case; values of one name are joined."""
        return HTTPHeaderDict(self.header_pairs)

    def value(self, name: str) -> str:
        """The value of a header, by its name in lower case; "" without one, several are joined."""
        return self._values.get(name, "")

    def _read_head(self, limit: int) -> bytes:
        """Read to the empty line, and keep what came behind it."""
        data, seen = self.unread, 0
        while (end := _HEAD_END.search(data, seen)) is None:
            if not data.startswith(_BEGIN[: len(data)]):
                raise BadStatusLine("no answer")
            if len(data) > limit:
                raise HTTPException("the answer's head is too large")
            more = self.reader.read1(_READ_SIZE)
            if not more:
                raise RemoteDisconnected("the connection ended before an answer")
            seen = max(0, len(data) - 2)
            data += more
        self.unread = data[end.end() :]
        return data[: end.start()]

    def _parse(self, head: bytes) -> None:
        text = head.decode("latin-1")
        if "\n " in text or "\n\t" in text:
            text = _FOLD.sub(" ", text)
        first, *lines = text.split("\n")
        found = _STATUS_LINE.fullmatch(first.rstrip("\r"))
        if found is None or len(lines) > _MAX_HEADERS:
            raise BadStatusLine("no answer")
        version, status, reason = found.groups()
        self.status, self.reason = int(status), (reason or "").strip()
        pairs = [(name, value.strip(" \t\r")) for name, _, value in map(_partition, lines)]
        self.header_pairs = tuple(pairs)
        self._values = {}
        for name, value in pairs:
            known = self._values.get(name := name.lower())
            self._values[name] = value if known is None else f"{known}, {value}"
        self._may_be_kept = version == "1.1" and all(map(_NAME.fullmatch, self._values))

    def _find_end(self) -> None:
        """Find the body's end as the standard has it. Raises HTTPException if it is not clear."""
        codings = self.value("transfer-encoding").lower()
        if codings not in ("", "identity", "chunked"):
            raise HTTPException("the answer's transfer coding is not known")
        lengths = self._lengths()
        is_chunked = codings == "chunked"
        is_bodiless = self._is_to_head or self.status in _BODILESS
        # Both: a proxy on the way may have understood it otherwise.
        is_plain = is_chunked != bool(lengths) and not is_bodiless
        if not is_plain or "close" in self.value("connection").lower():
            self._may_be_kept = False
        if is_bodiless:
            self.length = 0
        elif is_chunked:
            self.chunked = True
        elif lengths:
            self.length = int(lengths.pop())

    def _lengths(self) -> set[str]:
        if "content-length" not in self._values:
            return set()
        lengths = {length.strip() for length in self._values["content-length"].split(",")}
        if len(lengths) > 1 or not all(map(_LENGTH.fullmatch, lengths)):
            raise HTTPException("the answer's length cannot be told")
        return lengths

    def _release(self, *, is_exact: bool) -> None:
        if not self.ended:
            self.ended = True
            self.ended_exactly = is_exact and self._may_be_kept
            self.reader.close()
            self._give_back(self.ended_exactly)


def _partition(line: str) -> tuple[str, str, str]:
    return line.partition(":")
