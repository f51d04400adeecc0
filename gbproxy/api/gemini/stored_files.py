"""Google's files, found by what they were uploaded as, wherever that was.

Source: https://ai.google.dev/api/files
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, Response, jsonify, request

from gbproxy.api import file_content
from gbproxy.api.format import FileViews, Surface
from gbproxy.api.gemini import whole_uploads
from gbproxy.api.gemini.answers import (
    GoogleFile,
    GoogleFileForm,
    GoogleFiles,
    NoFields,
    UploadedGoogleFile,
)
from gbproxy.errors import BadRequest, NotFound
from gbproxy.storage.files import StoredFile
from gbproxy.web import auth
from gbproxy.web.operations import Operation, Parameter, described

VERSIONS = ("v1beta", "v1", "v1alpha")
TAG = "Gemini"
_SHARED = "/v1"  # where other APIs have files too
_USUAL_PAGE, _MOST_ON_PAGE = 10, 100
_DOWNLOAD = ":download"  # behind a file's id
_ALT = Parameter(name="alt", place="query", description="media: its bytes; also by :download")
_PAGES = (
    Parameter(name="pageSize", place="query", description="the most files of a page"),
    Parameter(name="pageToken", place="query", description="`nextPageToken` of the page before"),
)


def blueprint(surface: Surface) -> Blueprint:
    """Where files are Google's alone; api/files.py has the path that other APIs share."""
    bp = Blueprint("gemini_files", __name__)
    bp.before_request(surface.check_key)
    found = views(surface)
    for prefix in ("", "/gemini"):
        for version in VERSIONS:
            path = f"{prefix}/{version}"
            if path != _SHARED:
                _add(bp, f"{path}/files", found)
    return bp


def views(surface: Surface) -> FileViews:
    uploads = surface.uploads

    def create() -> Response:
        return jsonify(file=render(surface, whole_uploads.of_form(surface)))

    @described(
        Operation(
            tag=TAG, summary="Uploaded files", answers={200: (GoogleFiles,)}, parameters=_PAGES
        )
    )
    def list_all() -> Response:
        return jsonify(_listed(surface, request.args))

    @described(
        Operation(
            tag=TAG, summary="One uploaded file", answers={200: (GoogleFile,)}, parameters=(_ALT,)
        )
    )
    def retrieve(file_id: str) -> Response:
        if file_id.endswith(_DOWNLOAD) or request.args.get("alt") == "media":
            return file_content.answer(surface, file_id.removesuffix(_DOWNLOAD))
        return jsonify(render(surface, uploads.get(auth.principal().key_digest, file_id)))

    @described(Operation(tag=TAG, summary="Delete an uploaded file", answers={200: (NoFields,)}))
    def remove(file_id: str) -> Response:
        uploads.remove(auth.principal().key_digest, file_id)
        return jsonify({})

    return FileViews(
        create=create,
        list_all=list_all,
        retrieve=retrieve,
        remove=remove,
        form=GoogleFileForm,
        list_schema=GoogleFiles,
        list_parameters=_PAGES,
        file_schema=GoogleFile,
        created_schema=UploadedGoogleFile,
        removed_schema=NoFields,
    )


def _add(bp: Blueprint, path: str, found: FileViews) -> None:
    one = f"{path}/<file_id>"
    bp.add_url_rule(path, endpoint=f"list{path}", view_func=found.list_all)
    bp.add_url_rule(one, endpoint=f"get{path}", view_func=found.retrieve)
    bp.add_url_rule(one, endpoint=f"delete{path}", view_func=found.remove, methods=["DELETE"])


def _listed(surface: Surface, query: Mapping[str, str]) -> dict[str, Any]:
    """The page that is asked for. Raises BadRequest."""
    size = query.get("pageSize") or query.get("page_size") or "0"
    if not (size.isascii() and size.isdecimal() and len(size) < 10):
        raise BadRequest("pageSize must be a whole number, 0 or more", param="pageSize")
    limit = min(int(size) or _USUAL_PAGE, _MOST_ON_PAGE)
    key_digest, after = auth.principal().key_digest, None
    if token := query.get("pageToken") or query.get("page_token"):
        try:
            after = surface.uploads.get(key_digest, token)
        except NotFound as error:
            raise BadRequest("pageToken is none of this list", param="pageToken") from error
    found = surface.uploads.rows.page(key_digest, limit=limit + 1, after=after)
    listed: dict[str, Any] = {"files": [render(surface, file) for file in found[:limit]]}
    if len(found) > limit:
        listed["nextPageToken"] = listed["files"][-1]["name"]
    return listed


def render(surface: Surface, file: StoredFile) -> dict[str, Any]:
    made_at = _time(file.created_at)
    told = {
        "name": f"files/{file.id}",
        "displayName": file.name,
        "mimeType": file.media_type,
        "sizeBytes": str(file.size),
        "createTime": made_at,
        "updateTime": made_at,
        "expirationTime": _time(file.expires_at),
        "sha256Hash": base64.b64encode(bytes.fromhex(file.digest)).decode(),
        "uri": surface.address(f"/v1beta/files/{file.id}"),
        "state": "ACTIVE",
        "source": "UPLOADED",
    }
    return {name: value for name, value in told.items() if value}


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
