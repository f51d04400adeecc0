"""Anthropic's files: `/v1/files`, where api/files.py lets each client meet its own API.

Its own SDKs of today ask for pages by `page`, earlier ones by `after_id` and `before_id`: both are
answered. Source: https://platform.claude.com/docs/en/api/beta/files
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from flask import Response, jsonify, request

from gbproxy.api import file_forms
from gbproxy.api.anthropic.answers import (
    AnthropicFile,
    AnthropicFileForm,
    AnthropicFiles,
    DeletedAnthropicFile,
)
from gbproxy.api.anthropic.errors import id_header
from gbproxy.api.format import FileViews, Surface
from gbproxy.domain.media_type_names import file_name, normalized
from gbproxy.errors import BadRequest, NotFound
from gbproxy.media.uploads import Upload, Uploads
from gbproxy.storage.files import TTL_S, StoredFile
from gbproxy.web import auth
from gbproxy.web.operations import Parameter

_PURPOSE = "user_data"  # by which OpenAI's clients find these files
_USUAL_PAGE, _MOST_ON_PAGE = 20, 1000
_MOST_IDS = 100
_LEAST_TTL_S, _MOST_TTL_S = 3_600, 90 * 86_400
_PAGE = "page_"
_PARAMETERS = tuple(
    Parameter(name=name, place="query", description=f"with `anthropic-version`: {meaning}")
    for name, meaning in (
        ("limit", f"the most files of a page, up to {_MOST_ON_PAGE}"),
        ("page", "`next_page` of the page before"),
        ("after_id", "the file behind which the page begins"),
        ("before_id", "the file before which it ends"),
        ("ids[]", f"only these files, up to {_MOST_IDS}, on one page"),
    )
)


def views(surface: Surface) -> FileViews:
    uploads = surface.uploads

    def create() -> Response:
        return jsonify(_object(file_forms.receive(surface, _finished)))

    def list_all() -> Response:
        return jsonify(_listed(uploads))

    def retrieve(file_id: str) -> Response:
        return jsonify(_object(uploads.get(auth.principal().key_digest, file_id)))

    def remove(file_id: str) -> Response:
        uploads.remove(auth.principal().key_digest, file_id)
        return jsonify(id=file_id, type="file_deleted")

    return FileViews(
        create=create,
        list_all=list_all,
        retrieve=retrieve,
        remove=remove,
        form=AnthropicFileForm,
        list_schema=AnthropicFiles,
        list_parameters=_PARAMETERS,
        file_schema=AnthropicFile,
        created_schema=AnthropicFile,
        removed_schema=DeletedAnthropicFile,
        headers=id_header,
    )


def _finished(upload: Upload, fields: Mapping[str, str]) -> StoredFile:
    ttl_s = _ttl_s(fields.get("expires_in_seconds"))
    name = re.split(r"[/\\]", upload.name)[-1] or file_name("unnamed", normalized(upload.label))
    return upload.finish(purpose=_PURPOSE, ttl_s=ttl_s, name=name)


def _ttl_s(text: str | None) -> float:
    if text is None:
        return TTL_S
    if not re.fullmatch("[0-9]{1,9}", text) or not _LEAST_TTL_S <= int(text) <= _MOST_TTL_S:
        raise BadRequest(
            f"expires_in_seconds must be from {_LEAST_TTL_S} to {_MOST_TTL_S}",
            param="expires_in_seconds",
        )
    return float(text)


def _listed(uploads: Uploads) -> dict[str, Any]:
    """The page that is asked for, the newest file first. Raises BadRequest."""
    query = request.args
    places = [name for name in ("page", "after_id", "before_id") if query.get(name)]
    if len(places) > 1:
        raise BadRequest(f"{places[1]}: not together with {places[0]}", param=places[1])
    if query.get("scope_id"):  # a session of that API's own, of which there is none here
        return _page([], has_more=False)
    if ids := [*query.getlist("ids[]"), *query.getlist("ids")]:
        if "limit" in query or places:
            raise BadRequest("ids: not together with a page", param="ids")
        return _page(_of_ids(uploads, ids), has_more=False)
    limit, is_before = _limit(query.get("limit")), places == ["before_id"]
    found = uploads.rows.page(
        auth.principal().key_digest,
        limit=limit + 1,
        after=_place(uploads, places[0], query[places[0]]) if places else None,
        is_ascending=is_before,
    )
    shown = found[:limit][::-1] if is_before else found[:limit]
    has_more = len(found) > limit
    return _page(shown, has_more=has_more, leads_on=has_more and not is_before)


def _page(files: Sequence[StoredFile], *, has_more: bool, leads_on: bool = False) -> dict[str, Any]:
    data = [_object(file) for file in files]
    return {
        "data": data,
        "has_more": has_more,
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
        "next_page": f"{_PAGE}{files[-1].id}" if leads_on else None,
    }


def _of_ids(uploads: Uploads, ids: Sequence[str]) -> list[StoredFile]:
    """Those of the files that there are."""
    distinct = dict.fromkeys(ids)
    if len(distinct) > _MOST_IDS:
        raise BadRequest(f"ids: at most {_MOST_IDS} are taken", param="ids")
    found, key_digest = [], auth.principal().key_digest
    for id_ in distinct:
        with suppress(NotFound):
            found.append(uploads.get(key_digest, id_))
    return sorted(found, key=lambda file: (file.created_at, file.id), reverse=True)


def _limit(text: str | None) -> int:
    if not text:
        return _USUAL_PAGE
    limit = int(text) if re.fullmatch("[0-9]{1,5}", text) else 0
    if not 1 <= limit <= _MOST_ON_PAGE:
        raise BadRequest(f"limit must be from 1 to {_MOST_ON_PAGE}", param="limit")
    return limit


def _place(uploads: Uploads, param: str, id_: str) -> StoredFile:
    try:
        return uploads.get(auth.principal().key_digest, id_.removeprefix(_PAGE))
    except NotFound as error:
        raise BadRequest(f"{param}: no file of this id is listed", param=param) from error


def _object(file: StoredFile) -> dict[str, Any]:
    return {
        "id": f"file_{file.id}",
        "type": "file",
        "filename": file.name,
        "mime_type": file.media_type,
        "size_bytes": file.size,
        "created_at": _time(file.created_at),
        "expires_at": _time(file.expires_at),
        "downloadable": True,
    }


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
