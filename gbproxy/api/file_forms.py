"""Forms with one file, which is stored as it comes."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from gbproxy.api.format import Surface
from gbproxy.errors import BadRequest, GatewayError, UnsupportedMediaType
from gbproxy.media.uploads import Upload
from gbproxy.storage.files import StoredFile
from gbproxy.web import auth
from gbproxy.web.form import Write, is_form, pass_form

Finish = Callable[[Upload, Mapping[str, str]], StoredFile]


def receive(surface: Surface, finish: Finish, *, field: str | None = "file") -> StoredFile:
    """Store the file of the form in the request's body. None is left where anything of it is wrong.

    `finish` completes the upload by the form's other fields. `field`: the file's; None: any.

    Raises BadRequest, RequestTooLarge, RequestTimeout, UnsupportedMediaType or StorageUnavailable.
    """
    if not is_form():
        raise UnsupportedMediaType("the body must be a form (multipart/form-data) with a file")
    begun: list[Upload] = []
    key_digest = auth.principal().key_digest

    def begin(place: str, name: str, label: str) -> Write:
        if begun or field not in (None, place):
            where = f", in its field `{field}`" if field else ""
            raise BadRequest(f"the form must have one file{where}", param=field or place)
        begun.append(Upload(surface.uploads, key_digest, name=name, label=label))
        return begun[0].write

    try:
        fields = pass_form(surface.max_file_bytes, begin, place=field)
        if not begun:
            raise BadRequest("file: the form has no file", param="file")
        return finish(begun[0], fields)
    except GatewayError:
        for upload in begun:
            upload.abandon()
        raise
