"""Stored responses: what a request needs of those before it, and what is kept of each answer.

All of it is encrypted, and only the API key that has made a response finds it.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

from gbproxy.api.openai.responses import compaction, item_ids, large_values
from gbproxy.api.openai.responses.body import Item
from gbproxy.api.openai.responses.image_tool import CALL
from gbproxy.domain import base64_pieces, jsontext
from gbproxy.domain.inline_file import InlineFile
from gbproxy.domain.principal import Principal
from gbproxy.domain.slices import Work
from gbproxy.errors import NotFound, PreviousResponseNotFound, StorageUnavailable
from gbproxy.storage.responses import ResponseRows
from gbproxy.web.body import run_in_thread

if TYPE_CHECKING:
    from gbproxy.api.openai.responses.request import ParsedResponse

T = TypeVar("T")

log = logging.getLogger(__name__)

_LARGE_BYTES = 256 * 1024  # from here on encryption would hold up the worker's other requests


class History:
    """The stored responses of all keys. All methods raise StorageUnavailable."""

    def __init__(self, rows: ResponseRows) -> None:
        self._rows = rows

    def items(self, principal: Principal, response_id: str) -> list[Item]:
        """All items up to this response's last one, the oldest first; a summary that a response has
        made stands for all before it. Raises PreviousResponseNotFound, also when one of the
        responses before it is gone: an answer that knows half of a conversation would be a wrong
        one.
        """
        return _told(self._contents(principal, response_id))

    def item(self, principal: Principal, item_id: str) -> Item | None:
        """The item of this id, if it belongs to a stored response."""
        response_id = item_ids.response_of(item_id)
        content = self._content(principal, response_id) if response_id is not None else None
        if content is None:
            return None
        known = (*content["response"]["output"], *content["input"])
        return next((item for item in known if item.get("id") == item_id), None)

    def response(self, principal: Principal, response_id: str) -> dict[str, Any]:
        """The response as it was answered. Raises NotFound."""
        content = self._content(principal, response_id)
        if content is None:
            raise _no_such(response_id)
        found: dict[str, Any] = content["response"]
        return found

    def input_items(self, principal: Principal, response_id: str) -> list[Item]:
        """The items that the response answers, those of the responses before it included, the
        oldest first; one that was sent or named again is there once, as its id tells where a page
        ends. Raises NotFound, also where one of those before it is gone: a list with a hole would
        look like a whole one.
        """
        self.response(principal, response_id)
        try:
            *before, last = self._contents(principal, response_id)
        except PreviousResponseNotFound:
            raise NotFound(
                f"the response {response_id[:100]!r} is there, but not all of those before it (any"
                " more): what it answers cannot be listed as a whole"
            ) from None
        found: dict[str, Item] = {}
        for item in (*_told(before), *_without_triggers(last["input"])):
            found.setdefault(item["id"], item)
        return list(found.values())

    def remove(self, principal: Principal, response_id: str) -> None:
        """Raises NotFound."""
        if not self._rows.remove(principal.key_digest, response_id):
            raise _no_such(response_id)

    def keep(self, token: str, response: dict[str, Any], parsed: ParsedResponse) -> bool:
        """Store a response that has ended; its input items get the ids under which they are listed.
        False: the database is away, and the response is answered all the same.
        """
        content = {
            "input": item_ids.with_ids(_without_triggers(parsed.items), token),
            "response": {**response, "output": list(map(_as_file, response["output"]))},
        }
        try:
            self._store(parsed, response["id"], content)
        except StorageUnavailable as error:
            log.warning("response.not_stored", extra={"code": error.code})
            return False
        return True

    def _store(self, parsed: ParsedResponse, id_: str, content: dict[str, Any]) -> None:
        """The row first: a large value without one would stay. Until all of them are in, the
        response is one that is not there.
        """
        with Work() as work:
            small, large = large_values.taken_out(content, work.rest)
            small["large"] = [each.described() for each in large]
            head = jsontext.encode_bytes(small)
            beside = [each.content for each in large]
            if len(head) >= _LARGE_BYTES:
                beside.append(head)
                head = jsontext.encode_bytes({"at": sum(map(len, beside[:-1])), "size": len(head)})
            work.rest()
            size = sum(map(len, beside))
            self._rows.add(
                parsed.chat.key_digest,
                id_,
                parsed.body.previous_response_id,
                self._rows.seal(head),
                beside_bytes=size,
            )
            at = 0
            for each in beside:
                for _ in self._rows.add_beside(id_, each, at):
                    work.rest()
                at += len(each)

    def _contents(self, principal: Principal, response_id: str) -> list[Any]:
        """Of all responses up to this one, the oldest first. Raises PreviousResponseNotFound."""
        chain = self._rows.chain(principal.key_digest, response_id)
        contents = [self._opened(*each) for each in chain]
        if not contents or None in contents:
            raise PreviousResponseNotFound(response_id)
        return contents

    def _content(self, principal: Principal, response_id: str) -> Any:
        sealed = self._rows.get(principal.key_digest, response_id)
        return None if sealed is None else self._opened(response_id, sealed)

    def _opened(self, id_: str, sealed: bytes) -> Any:
        """None for one under a key that is not known any more, and for one whose large values are
        not all there.
        """
        # Rows of earlier versions hold all that is large themselves.
        opened = _aside(sealed, lambda: self._rows.open(sealed))
        if opened is None:
            return None
        with Work() as work:
            content = jsontext.decode_bytes(opened)
            if "at" in content:
                whole = self._read(id_, content["at"], content["size"], work)
                if whole is None:
                    return None
                content = jsontext.decode_bytes(whole)
            at = 0
            for described in content.get("large", ()):
                value = self._read(id_, at, described["size"], work)
                if value is None:
                    return None
                large_values.put_back(content, described, value)
                at += len(value)
        return content

    def _read(self, id_: str, at: int, size: int, work: Work) -> bytes | None:
        """A value that stands beside a response."""
        found = io.BytesIO()
        for piece in self._rows.beside(id_, at, size):
            found.write(piece)
            work.rest()
        return found.getvalue() if found.tell() == size else None  # which is no copy


def _told(contents: Iterable[Any]) -> list[Item]:
    items: list[Item] = []
    for content in contents:
        items += _without_triggers(content["input"])
        output = content["response"]["output"]
        if any(item["type"] == compaction.SUMMARY for item in output):
            items.clear()  # the summary stands for them
        items += output
    return items


def _without_triggers(items: Iterable[Item]) -> list[Item]:
    """What asks for a summary is answered with it, once: rows of earlier versions hold it too."""
    return [item for item in items if item.get("type") != compaction.TRIGGER]


def _as_file(item: Item) -> Item:
    """A picture that the model has made, as its bytes."""
    if item["type"] != CALL or not item.get("result"):
        return item
    with Work() as work:
        content = base64_pieces.decode(item["result"], 0, work.rest)
    return {**item, "result": InlineFile("", content)}


def _aside(data: bytes, work: Callable[[], T]) -> T:
    return work() if len(data) < _LARGE_BYTES else run_in_thread(work)


def _no_such(response_id: str) -> NotFound:
    return NotFound(f"there is no response {response_id[:100]!r} (any more)")
