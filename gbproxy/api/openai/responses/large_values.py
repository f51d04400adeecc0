"""What is large in a response's items, apart from the rest: the files, as their bytes, and long
texts. So the rest is soon encoded, and each of these is stored and read piece by piece.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gbproxy.domain import jsontext
from gbproxy.domain.base64_pieces import encoded as base64_pieces
from gbproxy.domain.base64_pieces import encoded_size
from gbproxy.domain.inline_file import InlineFile

_LARGE_CHARS = 64 * 1024
_DEEPEST = 8  # below, nothing is looked for: no file is read from there
_MARK_BYTES = 16

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class LargeValue:
    """`prefix`: of a file; None: this is a text, in UTF-8. In its place stands null."""

    path: Path
    prefix: str | None
    content: bytes = field(repr=False)

    def described(self) -> dict[str, Any]:
        return {"path": self.path, "prefix": self.prefix, "size": len(self.content)}


def taken_out(value: Any, rest: Callable[[], None]) -> tuple[Any, list[LargeValue]]:
    """A copy without its large values, and these. `rest` is called between the steps."""
    taken: list[LargeValue] = []

    def replace(value: str | InlineFile, path: Path) -> str | None:
        if isinstance(value, InlineFile):
            taken.append(LargeValue(path, value.prefix, value.content))
        elif len(value) >= _LARGE_CHARS:
            taken.append(LargeValue(path, None, value.encode()))
            rest()
        else:
            return value
        return None

    return _copied(value, replace, rest), taken


def put_back(value: Any, described: Mapping[str, Any], content: bytes) -> None:
    """Put a large value, as it was `described`, in its place again."""
    *way, last = described["path"]
    for step in way:
        value = value[step]
    prefix = described["prefix"]
    value[last] = content.decode() if prefix is None else InlineFile(prefix, content)


def encoded(value: object) -> tuple[int, Iterator[bytes]]:
    """The length and the pieces of a value's JSON, in which files are the texts that they were."""
    files: dict[str, InlineFile] = {}  # by what stands in their place

    def replace(value: str | InlineFile, path: Path) -> str:
        if isinstance(value, str):
            return value
        mark = secrets.token_hex(_MARK_BYTES)
        files[mark] = value
        return mark

    text = jsontext.encode_bytes(_copied(value, replace, lambda: None))
    between = []
    for mark in files:  # they stand in this order
        before, _, text = text.partition(mark.encode())
        between.append(before)
    length = sum(map(len, (*between, text))) + sum(
        len(_head(file)) + encoded_size(file.content) for file in files.values()
    )
    return length, _spliced(between, list(files.values()), text)


def _spliced(between: Sequence[bytes], files: Sequence[InlineFile], end: bytes) -> Iterator[bytes]:
    for before, file in zip(between, files, strict=True):
        yield before + _head(file)
        yield from base64_pieces(file.content)
    yield end


def _head(file: InlineFile) -> bytes:
    """The prefix as a part of a JSON string."""
    return jsontext.encode_bytes(file.prefix)[1:-1]


def _copied(
    value: Any,
    replace: Callable[[str | InlineFile, Path], Any],
    rest: Callable[[], None],
    path: Path = (),
) -> Any:
    # No function inside of this one: it would refer to itself, and so hold the files long after.
    if isinstance(value, str | InlineFile):
        return replace(value, path)
    if len(path) == _DEEPEST:
        return value
    if isinstance(value, dict):
        return {key: _copied(each, replace, rest, (*path, key)) for key, each in value.items()}
    if isinstance(value, list):
        rest()
        return [_copied(each, replace, rest, (*path, at)) for at, each in enumerate(value)]
    return value
