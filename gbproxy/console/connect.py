"""How to connect a program: its fields, variables, files and code, with this gateway's address."""

from __future__ import annotations

import shlex

from flask import Blueprint, Response, request
from flask_babel import gettext

from gbproxy.accounts.available_models import AvailableModels
from gbproxy.connect.endpoint import Endpoint
from gbproxy.connect.program import FORMATS, Program, Way
from gbproxy.connect.programs import PROGRAMS, find
from gbproxy.connect.rendering import code_text, exports, file_text
from gbproxy.console import texts
from gbproxy.console.address import gateway_url
from gbproxy.console.pages import Pages
from gbproxy.errors import NotFound


def add_routes(
    bp: Blueprint,
    pages: Pages,
    models: AvailableModels,
    default_model: str,
    public_url: str | None,
) -> None:
    """`public_url`: the gateway's address; None: as the browser has reached it."""

    @bp.get("/connect")
    def connect() -> Response:
        program = find(request.args.get("program") or PROGRAMS[0].name)
        if program is None:
            raise NotFound(texts.N_("no such program is known here"))
        ids = tuple(each.id for each in models.all() if not each.makes_media)
        model = request.args.get("model")
        endpoint = Endpoint(
            gateway_url(public_url),
            model if model in ids else None,
            ids,
            default_model,
        )
        return pages.page(
            "connect.html",
            program=program,
            programs=PROGRAMS,
            endpoint=endpoint,
            formats=FORMATS,
            translated=lambda text: gettext(text) if text else "",
            file_text=file_text,
            code_text=code_text,
            exports=exports,
            command=_command,
        )


def _command(program: Program, way: Way, endpoint: Endpoint) -> str:
    """The line that puts it into the program's file."""
    words = ["gbproxy", "connect", program.name, "--url", endpoint.url]
    if way is not program.ways[0]:
        words += ["--format", way.format]
    if endpoint.model is not None:
        words += ["--model", endpoint.model]
    return shlex.join([*words, "--write"])
