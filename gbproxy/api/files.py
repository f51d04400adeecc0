"""`/v1/files`, one path of several APIs: each client uploads files, and gets them, in the form of
its own.

A client that says nothing of its format gets that of the first.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from flask import Blueprint, Response, request

from gbproxy.api import file_content
from gbproxy.api.format import FileViews, Format, Surface
from gbproxy.web.errors import ErrorFormats
from gbproxy.web.form import CONTENT_TYPE
from gbproxy.web.operations import Operation, Schema, described


def blueprint(surface: Surface, formats: Sequence[Format], errors: ErrorFormats) -> Blueprint:
    bp = Blueprint("files", __name__)
    bp.before_request(surface.check_key)
    views = {id(each.errors): each.files(surface) for each in formats if each.files is not None}
    if not views:
        return bp
    forms = tuple(views.values())

    def wanted() -> FileViews:
        return views.get(id(errors.of(request.environ)), forms[0])

    @bp.after_request
    def with_headers(response: Response) -> Response:
        response.headers.update(wanted().headers())
        return response

    @bp.post("/v1/files")
    @bp.post("/files")
    @described(
        replace(
            _operation("Upload a file", (each.created_schema for each in forms)),
            forms={CONTENT_TYPE: _all(each.form for each in forms)},
        )
    )
    def create() -> Response:
        return wanted().create()

    @bp.get("/v1/files")
    @bp.get("/files")
    @described(
        replace(
            _operation(
                "The files that this key has uploaded", (each.list_schema for each in forms)
            ),
            parameters=tuple(p for each in forms for p in each.list_parameters),
        )
    )
    def list_all() -> Response:
        return wanted().list_all()

    @bp.get("/v1/files/<file_id>")
    @bp.get("/files/<file_id>")
    @described(_operation("One uploaded file", (each.file_schema for each in forms)))
    def retrieve(file_id: str) -> Response:
        return wanted().retrieve(file_id)

    @bp.get("/v1/files/<file_id>/content")
    @bp.get("/files/<file_id>/content")
    @described(
        replace(
            _operation("The bytes of an uploaded file", ()),
            answers={200: (), 206: ()},
            content_type="*/*",
        )
    )
    def content(file_id: str) -> Response:
        return file_content.answer(surface, file_id)

    @bp.delete("/v1/files/<file_id>")
    @bp.delete("/files/<file_id>")
    @described(_operation("Delete an uploaded file", (each.removed_schema for each in forms)))
    def remove(file_id: str) -> Response:
        return wanted().remove(file_id)

    return bp


def _operation(summary: str, answers: Iterable[Schema]) -> Operation:
    return Operation(tag="Files", summary=summary, answers={200: _all(answers)})


def _all(schemas: Iterable[Schema]) -> tuple[Schema, ...]:
    """Each once."""
    return tuple(dict.fromkeys(schemas))
