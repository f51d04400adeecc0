"""OpenAI's files. Source: https://platform.openai.com/docs/api-reference/files"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, get_args

from flask import Response, jsonify, request

from gbproxy.api import file_forms
from gbproxy.api.format import FileViews, Surface
from gbproxy.api.openai.answers import DeletedFile, FileForm, FileList, FileObject, Purpose
from gbproxy.domain import jsontext
from gbproxy.errors import BadRequest, NotFound
from gbproxy.media.uploads import Upload
from gbproxy.storage.files import TTL_S, StoredFile
from gbproxy.web import auth
from gbproxy.web.operations import Parameter

_PURPOSES = get_args(Purpose)
_MOST_LISTED = 10_000
_LEAST_TTL_S = 3_600

_PAGE = (
    Parameter(name="limit", place="query", description=f"how many files, up to {_MOST_LISTED}"),
    Parameter(name="order", place="query", description="asc, or desc: the newest first"),
    Parameter(name="after", place="query", description="the id of the file before the first one"),
    Parameter(name="purpose", place="query", description="only files of this purpose"),
)


def views(surface: Surface) -> FileViews:
    uploads = surface.uploads

    def create() -> Response:
        return jsonify(_object(file_forms.receive(surface, _finished)))

    def list_all() -> Response:
        return jsonify(_listed(surface, request.args))

    def retrieve(file_id: str) -> Response:
        return jsonify(_object(uploads.get(auth.principal().key_digest, file_id)))

    def remove(file_id: str) -> Response:
        uploads.remove(auth.principal().key_digest, file_id)
        return jsonify(id=file_id, object="file", deleted=True)

    return FileViews(
        create=create,
        list_all=list_all,
        retrieve=retrieve,
        remove=remove,
        form=FileForm,
        list_schema=FileList,
        list_parameters=_PAGE,
        file_schema=FileObject,
        created_schema=FileObject,
        removed_schema=DeletedFile,
    )


def _finished(upload: Upload, fields: Mapping[str, str]) -> StoredFile:
    return upload.finish(purpose=_purpose(fields), ttl_s=_ttl_s(fields))


def _purpose(fields: Mapping[str, str]) -> str:
    purpose = fields.get("purpose", "")
    if purpose not in _PURPOSES:
        raise BadRequest(f"purpose must be one of {', '.join(_PURPOSES)}", param="purpose")
    return purpose


def _ttl_s(fields: Mapping[str, str]) -> float:
    anchor, text = _expiry(fields)
    if anchor is None and text is None:
        return TTL_S
    if anchor not in (None, "created_at"):
        place = "expires_after.anchor"
        raise BadRequest(f"{place} must be created_at", param=place)
    if not re.fullmatch("[0-9]{1,9}", text or "") or not _LEAST_TTL_S <= int(text or 0) <= TTL_S:
        place = "expires_after.seconds"
        raise BadRequest(f"{place} must be from {_LEAST_TTL_S} to {TTL_S:.0f}", param=place)
    return float(text or 0)


def _expiry(fields: Mapping[str, str]) -> tuple[str | None, str | None]:
    """Anchor and seconds, from a field each, or from one field of JSON. Raises BadRequest."""
    place = "expires_after"
    if place not in fields:
        return fields.get(f"{place}[anchor]"), fields.get(f"{place}[seconds]")
    try:
        told = jsontext.decode(fields[place].strip())
    except ValueError as error:
        raise BadRequest(f"{place} {error}", param=place) from error
    if not isinstance(told, dict):
        raise BadRequest(f"{place} must be an object with anchor and seconds", param=place)
    return str(told.get("anchor")), str(told.get("seconds"))


def _listed(surface: Surface, arguments: Mapping[str, str]) -> dict[str, Any]:
    limit, order = arguments.get("limit", str(_MOST_LISTED)), arguments.get("order", "desc")
    if not re.fullmatch("[0-9]{1,5}", limit) or not 1 <= int(limit) <= _MOST_LISTED:
        raise BadRequest(f"limit must be between 1 and {_MOST_LISTED}", param="limit")
    if order not in ("asc", "desc"):
        raise BadRequest("order must be asc or desc", param="order")
    key_digest, after = auth.principal().key_digest, None
    if after_id := arguments.get("after"):
        try:
            after = surface.uploads.get(key_digest, after_id)
        except NotFound as error:
            raise BadRequest("after names no file of this list", param="after") from error
    found = surface.uploads.rows.page(
        key_digest,
        limit=int(limit) + 1,
        after=after,
        is_ascending=order == "asc",
        purpose=arguments.get("purpose"),
    )
    page = [_object(file) for file in found[: int(limit)]]
    return {
        "object": "list",
        "data": page,
        "first_id": page[0]["id"] if page else None,
        "last_id": page[-1]["id"] if page else None,
        "has_more": len(found) > len(page),
    }


def _object(file: StoredFile) -> dict[str, Any]:
    return {
        "id": f"file-{file.id}",
        "object": "file",
        "bytes": file.size,
        "created_at": int(file.created_at),
        "expires_at": int(file.expires_at),
        "filename": file.name,
        "purpose": file.purpose,
        "status": "processed",
    }
