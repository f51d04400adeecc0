"""Paths of an API that this gateway does not offer: clients try them, and are told so in place of a
404.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from flask import Blueprint, Response, request

from gbproxy.api.format import Surface
from gbproxy.errors import NotOffered
from gbproxy.web.operations import Operation, described


def blueprint(
    name: str, surface: Surface, owner: str, paths: Iterable[str], *, posts: Iterable[str] = ()
) -> Blueprint:
    """Answers 501 at these paths, to callers with a key. `owner`: of the API, as its description
    says; `posts`: paths that clients only post to.
    """
    bp = Blueprint(name, __name__)
    bp.before_request(surface.check_key)

    @described(Operation(tag="Not offered", summary=f"Known from {owner}'s API: 501"))
    def refuse(**_: str) -> Response:
        raise NotOffered(f"this gateway does not offer {request.path}")

    for path in posts:
        bp.add_url_rule(path, endpoint=path, view_func=refuse, methods=["POST"])
    for path in paths:
        bp.add_url_rule(path, endpoint=path, view_func=refuse, methods=["GET", "POST", "DELETE"])
    return bp


def with_all_below(*roots: str) -> Iterator[str]:
    """Each path, and every one below it."""
    for root in roots:
        yield root
        yield f"{root}/<path:rest>"


def also_unversioned(paths: Iterable[str]) -> Iterator[str]:
    """Each path, and the one without `/v1` that clients with another base URL call."""
    for path in paths:
        yield path
        yield path.removeprefix("/v1")
