"""Who may see the console: sign-in and sign-out, the check of each request, and of each form."""

from __future__ import annotations

import logging
from urllib.parse import unquote, urlsplit

from flask import Blueprint, Response, g, make_response, redirect, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext

from gbproxy.console import texts
from gbproxy.console.forms import fields, read_fields
from gbproxy.console.pages import PREFIX, Notice, Pages, here, set_cookie, wants_fragment
from gbproxy.console.sessions import IDLE_S, ConsoleSessions, Session
from gbproxy.errors import BadRequest, GatewayError, RateLimitExceeded, Unauthenticated
from gbproxy.web import audit
from gbproxy.web.operations import secures, told_elsewhere
from gbproxy.web.secret_guard import SecretGuard

log = logging.getLogger(__name__)

SESSION_COOKIE = "gbproxy_console"
_OPEN = frozenset(
    {"console.sign_in", "console.try_sign_in", "console.asset", "console.preferences"}
)
_SMALL_BYTES = 16 * 1024  # of the forms that everybody may send
_LARGE_BYTES = 32 * 1024 * 1024
_A_YEAR_S = 365 * 24 * 3600


class Access:
    def __init__(self, guard: SecretGuard, sessions: ConsoleSessions, pages: Pages) -> None:
        self._guard = guard
        self._sessions = sessions
        self._pages = pages

    def install(self, bp: Blueprint) -> None:
        bp.before_request(self.check)
        bp.after_request(self._renew)
        bp.add_url_rule("/sign-in", "sign_in", self._show_sign_in, methods=["GET"])
        bp.add_url_rule("/sign-in", "try_sign_in", self._try_sign_in, methods=["POST"])
        bp.add_url_rule("/sign-out", "sign_out", self._sign_out, methods=["POST"])
        bp.add_url_rule("/preferences", "preferences", self._prefer, methods=["POST"])

    @secures("operator")
    def check(self) -> ResponseReturnValue | None:
        """A `before_request` function: who is not signed in is led to the sign-in; a form must come
        out of the session's own pages. Raises BadRequest.
        """
        is_open = request.endpoint in _OPEN
        if request.endpoint != "console.asset":
            cookie = request.cookies.get(SESSION_COOKIE)
            g.console_session = self._sessions.find(cookie) if cookie else None
        session: Session | None = g.get("console_session")
        if session is None and not is_open:
            return self._to_sign_in()
        if session is not None:
            audit.begin_console(session.fingerprint)
        if request.method == "POST":
            _check_site()
            read_fields(_SMALL_BYTES if is_open else _LARGE_BYTES)
            # Open forms change nothing that a session protects.
            if session is not None and not is_open:
                _check_token(session)
        return None

    def _to_sign_in(self) -> Response:
        if wants_fragment():  # of a page that stays open: something may be half typed there
            shown = urlsplit(request.headers.get("HX-Current-URL", ""))
            goal = _goal(f"{shown.path}?{shown.query}" if shown.query else shown.path)
            # No 401: browsers report one as an error of the page.
            return self._pages.trouble("_signed_out.html", 200, goal=goal)
        goal = here() if request.method == "GET" else PREFIX
        return make_response(redirect(url_for("console.sign_in", next=goal), 303))

    def _show_sign_in(self) -> ResponseReturnValue:
        if g.console_session is not None:
            return self._pages.to("console.start")
        return self._pages.page("sign_in.html", goal=_goal(request.args.get("next", "")))

    def _try_sign_in(self) -> ResponseReturnValue:
        goal = _goal(fields().get("next", ""))
        try:
            self._guard.verify(fields().get("admin_key", "").strip())
        except RateLimitExceeded as error:
            wait_s = int(error.retry_after or 0) + 1
            trouble = gettext("Too many wrong passwords. Try again in %(n)s seconds.", n=wait_s)
            return self._refused(error, trouble, goal)
        except Unauthenticated as error:
            return self._refused(error, gettext("This is not the password (ADMIN_KEY)."), goal)
        answer = make_response(redirect(goal, 303))
        session = self._sessions.start()
        self._give(answer, session)
        log.info(
            "console.signed_in",
            extra={"address": request.remote_addr, "session": session.fingerprint},
        )
        return answer

    def _refused(self, error: GatewayError, trouble: str, goal: str) -> Response:
        answer = self._pages.page("sign_in.html", error.status, goal=goal, trouble=trouble)
        if error.retry_after is not None:
            answer.headers["Retry-After"] = str(int(error.retry_after) + 1)
        return answer

    def _sign_out(self) -> ResponseReturnValue:
        self._sessions.end_all()
        g.console_session = None
        answer = self._pages.to("console.sign_in", Notice(gettext("You are signed out.")))
        answer.delete_cookie(SESSION_COOKIE)
        log.info("console.signed_out", extra={"address": request.remote_addr})
        return answer

    @told_elsewhere
    def _prefer(self) -> ResponseReturnValue:
        """Language and theme: kept in the browser alone."""
        answer = make_response(redirect(_goal(fields().get("next", "")), 303))
        for field, cookie, allowed in (
            ("language", texts.LANGUAGE_COOKIE, texts.LANGUAGES),
            ("theme", texts.THEME_COOKIE, texts.THEMES),
        ):
            if fields().get(field) in allowed:
                set_cookie(answer, cookie, fields()[field], max_age=_A_YEAR_S)
        return answer

    def _give(self, answer: Response, session: Session) -> None:
        set_cookie(answer, SESSION_COOKIE, self._sessions.cookie(session), max_age=IDLE_S)

    def _renew(self, answer: Response) -> Response:
        """What a page asks for by itself is no deed of its user: an open tab must not keep the
        session.
        """
        session: Session | None = g.get("console_session")
        renewed = self._sessions.renewed(session) if session else None
        if renewed is not None and not wants_fragment() and request.endpoint not in _OPEN:
            self._give(answer, renewed)
        return answer


def _goal(given: str) -> str:
    """Where to go next: a page of the console, whatever the address says."""
    is_ours = given == PREFIX or given.startswith((f"{PREFIX}/", f"{PREFIX}?"))
    stays = ".." not in unquote(given.partition("?")[0]) and "\\" not in given
    return given if is_ours and stays and given.isprintable() else PREFIX


def _check_site() -> None:
    # Browsers leave this header out on plain HTTP; the token counts in any case.
    if request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
        raise BadRequest(texts.N_("this form was sent by another site's page"))


def _check_token(session: Session) -> None:
    given = fields().get("csrf_token") or request.headers.get("X-CSRF-Token", "")
    if not given:
        raise BadRequest(texts.N_("the form has no csrf_token"), param="csrf_token")
    if not session.has_token(given):
        raise BadRequest(
            texts.N_("this form belongs to another session: open the page again"),
            param="csrf_token",
        )
