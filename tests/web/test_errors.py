"""In which format an error is told (gbproxy/web/errors.py)."""

from __future__ import annotations

import pytest

from gbproxy.web.errors import ErrorFormat, ErrorFormats


def error_format(name: str, paths: tuple[str, ...], *header_names: str) -> ErrorFormat:
    return ErrorFormat(
        body=lambda error, status: name.encode(),
        headers=lambda error: {},
        paths=paths,
        header_names=header_names,
    )


FIRST = error_format("first", ("/v1/chat", "/chat"))
LETTERS = error_format("letters", ("/v1/letters", "/v1/chat/letters"), "letters-version")
NUMBERS = error_format("numbers", ("/v2",), "x-numbers-client", "x-numbers-key")
FORMATS = ErrorFormats([FIRST, LETTERS, NUMBERS])


@pytest.mark.parametrize(
    ("path", "header", "found"),
    [
        ("/v1/letters", None, LETTERS),
        ("/v1/letters/", None, LETTERS),
        ("//v1//letters//7", None, LETTERS),
        ("/v1/lettersmith", None, FIRST),
        ("/v2", None, NUMBERS),
        ("/v2/models/one:say", None, NUMBERS),
        ("/v1/chat/completions", None, FIRST),
        ("/v1/chat/letters", None, LETTERS),
        ("/v1/models", None, FIRST),
        ("/v1/models", "HTTP_LETTERS_VERSION", LETTERS),
        ("/v1/models", "HTTP_X_NUMBERS_KEY", NUMBERS),
        ("/v1/models", "HTTP_X_OTHER", FIRST),
        ("/v1/chat/completions", "HTTP_X_NUMBERS_KEY", FIRST),
        ("/v2/models", "HTTP_LETTERS_VERSION", NUMBERS),
        ("", None, FIRST),
    ],
)
def test_the_path_says_first_and_then_what_only_one_kind_of_client_sends(
    path: str, header: str | None, found: ErrorFormat
) -> None:
    environ = {"PATH_INFO": path} | ({header: "1"} if header else {})

    assert FORMATS.of(environ) is found
