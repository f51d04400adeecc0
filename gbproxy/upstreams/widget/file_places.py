"""Where the files of a session are: its full name, by which they are fetched, and what the list of
its files says of each.

Source: docs/upstream.md, list, download.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from gbproxy.domain.account import Account
from gbproxy.errors import RequestRefused, SessionGone
from gbproxy.upstreams.base import FileMetadata
from gbproxy.upstreams.decoding.objects import as_list, as_mapping, as_text
from gbproxy.upstreams.widget import session_names, verbs

LIST = "widgetListSessionFileMetadata"
_MOST_KNOWN = 1024

Call = Callable[[Account, str, Mapping[str, object]], Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a file is: the full name of its session; and what the list says of it."""

    session: str
    metadata: FileMetadata


class FilePlaces:
    """Safe for use by many threads at once. `call`: makes a control call of the widget."""

    def __init__(self, call: Call) -> None:
        self._call = call
        # Films are fetched in many ranges: each would list the session's files again.
        self._places: dict[tuple[str, str, str], Place] = {}
        self._locations: dict[str, str] = {}  # by account key: how its full names begin

    def find(self, account: Account, session: str, file_id: str) -> Place:
        known = self._places.get((account.account_key, session, file_id))
        if known is None:
            known = self._looked_up(account, session, file_id)
            self.keep(account, session, file_id, known)
        return known

    def keep(self, account: Account, session: str, file_id: str, place: Place) -> None:
        if len(self._places) >= _MOST_KNOWN:
            self._places.clear()
        self._places[account.account_key, session, file_id] = place

    def note_name(self, account: Account, session: str) -> None:
        """Keep the location of a name that the upstream has told, if it is a full one."""
        location = session_names.location(session)
        if location and self._locations.get(account.account_key) != location:
            if len(self._locations) >= _MOST_KNOWN:
                self._locations.clear()
            self._locations[account.account_key] = location

    def _looked_up(self, account: Account, session: str, file_id: str) -> Place:
        known = self._full_name(account, session)
        files = self._listed(account, session, known)
        found = next((each for each in files if each.get("fileId") == file_id), {})
        names = (as_text(each.get("session")) for each in (found, *files))
        full = next(filter(session_names.is_full, (*names, known)), "")
        if not full:
            raise SessionGone("the upstream does not know the file (any more)")
        self.note_name(account, full)
        metadata = FileMetadata(
            as_text(found.get("name")), as_text(found.get("mimeType")), _size(found)
        )
        return Place(full, metadata)

    def _full_name(self, account: Account, session: str) -> str:
        """The full name as far as it is known without the list, else ""."""
        if session_names.is_full(session):
            return session
        location = self._locations.get(account.account_key, "")
        return location and location + session_names.short(session)

    def _listed(self, account: Account, session: str, full: str) -> list[Mapping[str, Any]]:
        """The files of a session, by whichever of its names the list takes; none where it takes
        none, and the files can be fetched without it.

        Without a filter: what a made file's origin is called has changed before.
        """
        short = session_names.short(session)
        refusals: list[RequestRefused | SessionGone] = []
        for name in filter(None, dict.fromkeys((short, session_names.id_of(short), full))):
            request = {"listSessionFileMetadataRequest": {"name": name}}
            try:
                answer = verbs.asked_twice(partial(self._call, account, LIST, request))
            except (RequestRefused, SessionGone) as error:
                refusals.append(error)
                continue
            listed = as_mapping(answer.get("listSessionFileMetadataResponse")) or answer
            return [as_mapping(each) for each in as_list(listed.get("fileMetadata"))]
        if full:
            return []
        raise refusals[0]


def _size(file: Mapping[str, Any]) -> int | None:
    text = str(file.get("byteSize", ""))
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else None
