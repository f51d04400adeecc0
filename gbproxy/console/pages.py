"""How the console answers: pages, fragments of them, and redirects with a notice."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Literal
from urllib.parse import quote

from flask import (
    Blueprint,
    Response,
    current_app,
    g,
    make_response,
    redirect,
    render_template,
    request,
    url_for,
)
from flask_babel import lazy_gettext

from gbproxy.console import core_messages, texts
from gbproxy.console.assets import Assets
from gbproxy.console.forms import fields
from gbproxy.console.seal import Seal
from gbproxy.console.sessions import Session

PREFIX = "/admin"
# The pages of the menu: endpoint and name. A new section adds its line.
MENU = (
    ("console.start", lazy_gettext("What needs you")),
    ("console.accounts", lazy_gettext("Accounts")),
    ("console.add_accounts", lazy_gettext("Add an account")),
    ("console.keys", lazy_gettext("Keys")),
    ("console.overview", lazy_gettext("Overview")),
    ("console.request_log", lazy_gettext("Requests")),
    ("console.alerts", lazy_gettext("Alerts")),
    ("console.connect", lazy_gettext("Connect")),
    ("console.playground", lazy_gettext("Playground")),
)
_NOTICE = "gbproxy_notice"
_NOTICE_S = 60
_MOST_CHARS = 1000  # of a notice: a cookie holds 4 KB
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
    " connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


@dataclass(frozen=True, slots=True)
class Notice:
    """What a page says once about the form before it; `key`: a new API key, which is never shown
    again; `said`: the reason in another package's English, translated where that is known.
    """

    text: str
    kind: Literal["good", "bad"] = "good"
    key: str | None = None
    said: str = ""


class Pages:
    def __init__(self, seal: Seal, assets: Assets) -> None:
        self._seal = seal
        self._assets = assets

    def install(self, bp: Blueprint) -> None:
        bp.context_processor(self._context)
        bp.add_app_template_filter(_iso, "iso")
        bp.add_app_template_filter(_utc, "utc")
        bp.after_request(_add_headers)
        bp.after_request(self._forget_notice)

    def page(self, template: str, status: int = 200, **values: Any) -> Response:
        """A whole page; it shows the notice that waits, if there is one."""
        notice = self._notice()
        return make_response(render_template(template, notice=notice, **values), status)

    def fragment(self, template: str, **values: Any) -> Response:
        """A part of a page, which htmx puts in the place of an older one."""
        return make_response(render_template(template, **values))

    def trouble(self, template: str, status: int, **values: Any) -> Response:
        """In place of a fragment: a line at the top, so that what polls goes on polling."""
        answer = make_response(render_template(template, **values), status)
        answer.headers.update({"HX-Retarget": "#trouble", "HX-Reswap": "innerHTML"})
        return answer

    def unchanged(self) -> Response:
        return Response(status=204)

    def to(self, endpoint: str, notice: Notice | None = None, **values: Any) -> Response:
        """A redirect after a form, and what the page there says."""
        answer = make_response(redirect(url_for(endpoint, **values), 303))
        if notice is not None:
            set_cookie(
                answer, _NOTICE, self._seal.close("notice", _short(notice)), max_age=_NOTICE_S
            )
        return answer

    def _notice(self) -> Notice | None:
        sealed = request.cookies.get(_NOTICE)
        value = self._seal.open("notice", sealed) if sealed else None
        try:
            notice = Notice(**value) if value else None
        except TypeError:  # of a version with other fields
            notice = None
        if notice is not None and notice.key is not None and g.get("console_session") is None:
            return None  # the key waits for who has made it
        g.console_notice_is_shown = sealed is not None
        return notice

    def _forget_notice(self, answer: Response) -> Response:
        if g.get("console_notice_is_shown"):
            answer.delete_cookie(_NOTICE)
        return answer

    def _context(self) -> dict[str, Any]:
        session: Session | None = g.get("console_session")
        return {
            "asset": lambda file: url_for("console.asset", name=self._assets.name(file)),
            "csrf_token": session.csrf_token if session else "",
            "is_signed_in": session is not None,
            "menu": MENU,
            "language": texts.language(),
            "languages": texts.LANGUAGES,
            "here": here,
            "theme": texts.theme(),
            "themes": texts.THEMES,
            "texts": texts,
            "translated_error": core_messages.translated,
        }


def here() -> str:
    """Path and query by which a browser gets this page anew; the start's if it has none."""
    if request.method == "GET":
        return _address(request.query_string.decode("ascii", "replace"))
    if request.endpoint == "console.try_sign_in":
        return url_for("console.sign_in", next=fields().get("next"))
    routes = current_app.create_url_adapter(request)
    is_page = routes is not None and routes.match(method="GET")[0] != "console.nothing"
    return _address("") if is_page else PREFIX


def _address(query: str) -> str:
    path = quote(request.path)
    return f"{path}?{query}" if query else path


def wants_fragment() -> bool:
    """True if htmx asks."""
    return request.headers.get("HX-Request") == "true"


def set_cookie(answer: Response, name: str, value: str, *, max_age: int) -> None:
    """A cookie of ours: no script and no other site's page can use it."""
    answer.set_cookie(
        name,
        value,
        max_age=max_age,
        secure=request.is_secure,
        httponly=True,
        samesite="Strict",
    )


def _short(notice: Notice) -> dict[str, Any]:
    text = str(notice.text)[:_MOST_CHARS]
    return {**asdict(notice), "text": text, "said": notice.said[: _MOST_CHARS - len(text)]}


def _add_headers(answer: Response) -> Response:
    answer.headers.update(_HEADERS)
    answer.headers.setdefault("Cache-Control", "no-store")
    return answer


def _iso(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _utc(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M UTC")
