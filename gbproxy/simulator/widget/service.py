"""The widget service: identifies the caller, checks the call, chooses the script that answers."""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from gbproxy.simulator.http.actions import End, Head, html_reply
from gbproxy.simulator.http.connection import Request
from gbproxy.simulator.http.layout import Layout
from gbproxy.simulator.scripting.actions import Script, u_token_only
from gbproxy.simulator.scripting.google_errors import (
    RefusedError,
    invalid,
    permission_denied,
    unauthenticated,
)
from gbproxy.simulator.scripting.service import Call, Context, Reply
from gbproxy.simulator.scripting.switches import layout_for
from gbproxy.simulator.widget import configuration, files, gates, sign_in
from gbproxy.simulator.widget.accounts import Account, edition_of, location_of
from gbproxy.simulator.widget.assist import Question, read_question, stream_answer
from gbproxy.simulator.widget.elements import ElementStream, arranged
from gbproxy.simulator.widget.gates import HOSTS, BadTokenError, Keys, base_of, bearer
from gbproxy.simulator.widget.model import ModelAnswer, reply_to
from gbproxy.simulator.widget.obedient import follow
from gbproxy.simulator.widget.sessions import Session, Sessions, Turn, is_dash, own_id
from gbproxy.simulator.widget.switches import WidgetSwitches
from gbproxy.simulator.widget.verbs import REQUEST_KEYS, ControlVerbs, read_envelope

STREAM = "widgetStreamAssist"
_VERB = re.compile(r"/v1alpha/locations/(global|us|eu)/(\w+)")
_DOWNLOAD = re.compile(r"(?:/download)?/v1alpha/(.+):downloadFile")
_PATH_LOCATION = re.compile(r"/locations/(\w+)/")
_HOME = re.compile(r"(?:/(global|us|eu))?/home/cid/([\w-]+)(?:/.*)?")
_SIGN_IN_PATHS = {
    f"/auth/{name}": name for name in ("getoxsrf", "refreshcookies", "signin", "setocookie")
}
_MEDIA = re.compile(r"/_media/([a-z0-9-]+)/(\d+)")
_UNDELAYED = (STREAM, "downloadFile", "media", "page")
_OPEN = (*_SIGN_IN_PATHS.values(), "media", "page")


@dataclass(frozen=True)
class Caller:
    """The caller of a verb: `account` if a good token came, `refused` if one was needed."""

    name: str
    csesidx: str | None
    account: Account | None = None
    refused: bool = False


class WidgetService:
    """The service's own state, and which script answers a call. Not locked: the caller is."""

    hosts = HOSTS
    streams = (STREAM,)

    def __init__(self, context: Context) -> None:
        self.accounts: dict[str, Account] = {}
        self.keys = Keys()
        self.sessions = Sessions(context.rng, context.now)
        self.model: Callable[[str], ModelAnswer] = reply_to
        self._context = context
        self._verbs = ControlVerbs(self.sessions)

    def apply_switches(self, changed: Container[str], switches: WidgetSwitches) -> None:
        """Start anew what these switches count or age."""
        if "create_session_transient" in changed:
            self._verbs.transient_failures = switches.create_session_transient
        if "getoxsrf" in changed:
            self.expire_cookies()

    def expire_cookies(self) -> None:
        """Under `refreshcookies`: the present cookies need renewing again."""
        for account in self.accounts.values():
            account.needs_renewal = True

    def accept(self, request: Request, switches: WidgetSwitches) -> Call:
        """Any request as a call; a path that the service does not have is answered with 404."""
        caller = self._identify(request, switches)
        return Call(
            name=caller.name,
            account_id=caller.csesidx,
            reply=partial(self._reply, request, caller, switches),
            delayed=caller.name not in _UNDELAYED,
        )

    def _identify(self, request: Request, switches: WidgetSwitches) -> Caller:
        """Check the token, if one is needed."""
        name = _name(request.path)
        if name in _OPEN:
            return Caller(name, request.query.get("csesidx"))
        single_use = switches.xsrf_key_uses == "one"
        try:
            key = self.keys.verify(bearer(request), self._context.now(), single_use=single_use)
        except BadTokenError:
            return Caller(name, None, refused=True)
        account = self.accounts.get(key.csesidx)
        if account is None or edition_of(account, switches) is not key.edition:
            return Caller(name, None, refused=True)
        return Caller(name, key.csesidx, account)

    def _reply(self, request: Request, caller: Caller, switches: WidgetSwitches) -> Reply:
        try:
            return self._accepted(request, caller, switches)
        except RefusedError as refused:
            in_array = caller.name == STREAM and switches.stream_error_shape == "array"
            return Reply(refused.script(in_array=in_array))

    def _accepted(self, request: Request, caller: Caller, switches: WidgetSwitches) -> Reply:
        """The answer of a call that passes the gates. Raises RefusedError."""
        if not gates.is_served_here(request):
            return Reply(_not_found())
        unwanted = gates.user_agent(request, switches, is_api=caller.name not in _OPEN)
        if unwanted is not None and caller.name != "media":
            return Reply(unwanted)
        if caller.refused:
            return _unauthenticated(caller.name, request, switches)
        if caller.account is None:
            scripted = self._scripted(caller)
            return Reply(scripted or self._open_page(caller.name, request, switches))
        if caller.account.restricted:
            raise permission_denied()
        self._check_gates(request, caller.account, switches)
        return self._api(request, caller, caller.account, switches)

    def _api(
        self, request: Request, caller: Caller, account: Account, switches: WidgetSwitches
    ) -> Reply:
        if caller.name == "downloadFile":
            scripted = self._scripted(caller)
            return Reply(scripted or self._download(request, account, switches))
        if request.method == "POST" and caller.name == configuration.LOOKUP:
            scripted = self._scripted(caller)
            return Reply(scripted or configuration.answer(request.body, account, switches))
        if request.method != "POST" or caller.name not in REQUEST_KEYS:
            return Reply(_not_found())
        wanted = read_envelope(caller.name, request.body, account, switches)
        if caller.name == STREAM:
            return self._stream(request, wanted, account, switches)
        scripted = self._scripted(caller)
        return Reply(scripted or self._verbs.answer(caller.name, wanted, account, switches))

    def _scripted(self, caller: Caller) -> Script | None:
        # Asked for last: a call that the checks refuse does not use a script up.
        return self._context.scripts.take(caller.name, caller.csesidx)

    def _open_page(self, name: str, request: Request, switches: WidgetSwitches) -> Script:
        """Answer where no token is needed: the key, the renewal, the pages, a redirect's target."""
        match request.method, name:
            case "GET", "getoxsrf":
                return sign_in.getoxsrf(
                    request, self.accounts, self.keys, switches, self._context.origin
                )
            case "GET", "refreshcookies":
                return sign_in.refreshcookies(
                    request, self.accounts, switches, self._context.origin
                )
            case "GET", "signin":
                return sign_in.signin(request, self.accounts, switches, self._context.origin)
            case "GET", "setocookie":
                return sign_in.setocookie(request, self.accounts, switches)
            case _:
                return self._other_page(request, switches)

    def _other_page(self, request: Request, switches: WidgetSwitches) -> Script:
        media = _MEDIA.fullmatch(request.path)
        if media and media[1] in self.sessions.by_id:
            session, wanted = self.sessions.by_id[media[1]], request.headers.get("range", "")
            return files.download(session, media[2], switches, wanted)
        if request.path in ("/login", "/account-chooser"):
            return html_reply(200, "Sign in")
        return self._home(request, switches) or _not_found()

    def _home(self, request: Request, switches: WidgetSwitches) -> Script | None:
        """A widget's page; its address names the config id and, unless global, the location."""
        home = _HOME.fullmatch(request.path)
        account = self.accounts.get(request.query.get("csesidx", "")) if home else None
        if home is None or account is None or home[2] != account.config_id:
            return None
        if (home[1] or "global") != location_of(account, switches):
            return None
        return html_reply(200, edition_of(account, switches).title)

    def _check_gates(self, request: Request, account: Account, switches: WidgetSwitches) -> None:
        named = _PATH_LOCATION.search(request.path)
        gates.check(request, named[1] if named else "", account, switches)

    def _stream(
        self,
        request: Request,
        wanted: Mapping[str, Any],
        account: Account,
        switches: WidgetSwitches,
    ) -> Reply:
        question = read_question(wanted, switches)
        session = self._session_of(question, account, switches)
        turn = Turn(question.text, model_id=question.model_id, file_ids=question.file_ids)
        session.asked.append(turn)
        script = question.instead or self._context.scripts.take(STREAM, account.csesidx)
        if script is None:
            script = stream_answer(self._answer_to(question, session, switches), switches)
        stream = ElementStream(
            switches=switches,
            now=self._context.now,
            lock=self._context.lock,
            sessions=self.sessions,
            session=session,
            turn=turn,
        )
        return Reply(arranged(script, switches), _layout(request, switches), stream)

    def _session_of(
        self, question: Question, account: Account, switches: WidgetSwitches
    ) -> Session:
        if is_dash(question.session) and switches.dash_session == "creates":
            return self.sessions.create(account, location_of(account, switches))
        self._make_own_session(question.session, account, switches)
        session = self.sessions.find(question.session, account.csesidx)
        missing = [file_id for file_id in question.file_ids if file_id not in session.files]
        if missing and switches.file_ids_elsewhere == "400":
            raise invalid(f"File {missing[0]} was not found in the session.")
        return session

    def _make_own_session(self, name: str, account: Account, switches: WidgetSwitches) -> None:
        """Make the session that a client names by an id of its own, when it is first asked."""
        chosen = own_id(name)
        if not chosen or chosen in self.sessions.by_id or switches.own_session == "404":
            return
        if switches.own_session == "400":
            raise invalid(f"Invalid resource name: {name!r}.")
        self.sessions.create(account, location_of(account, switches), session_id=chosen)

    def _answer_to(
        self, question: Question, session: Session, switches: WidgetSwitches
    ) -> ModelAnswer:
        """The model's answer, with a file only where the tools allow one or ask for it."""
        told = follow(
            session.queries,
            switches.tool_manner,
            switches.json_manner,
            heeds_corrections=switches.heeds_corrections,
        )
        answer = told or self.model(question.text)
        if question.tools == {"videoGenerationSpec"}:
            return replace(answer, media="video/mp4")
        if question.tools == {"imageGenerationSpec"} or "image" in (question.model_id or ""):
            return replace(answer, media="image/png")
        spec = "videoGenerationSpec" if answer.media == "video/mp4" else "imageGenerationSpec"
        if answer.media and question.tools and spec not in question.tools:
            return replace(answer, media="")
        return answer

    def _download(self, request: Request, account: Account, switches: WidgetSwitches) -> Script:
        form = "download" if request.path.startswith("/download/") else "plain"
        if switches.download_path not in ("both", form):
            return _not_found()
        match = _DOWNLOAD.fullmatch(request.path)
        name = match[1] if match else ""
        session = self.sessions.find(name, account.csesidx, project_required=True)
        file_id = request.query.get("fileId", "")
        if request.query.get("alt") != "media":
            raise invalid("alt=media is required.")
        if switches.download_redirect and file_id in session.files:
            base = base_of(request, edition_of(account, switches).api_host, self._context.origin)
            return (Head(302, {"Location": f"{base}/_media/{session.id}/{file_id}"}), End())
        return files.download(session, file_id, switches, request.headers.get("range", ""))


def _name(path: str) -> str:
    """The name of a path in scripts and records."""
    if path in _SIGN_IN_PATHS:
        return _SIGN_IN_PATHS[path]
    if _DOWNLOAD.fullmatch(path):
        return "downloadFile"
    verb = _VERB.fullmatch(path)
    if verb:
        return verb[2]
    return "media" if _MEDIA.fullmatch(path) else "page"


def _unauthenticated(name: str, request: Request, switches: WidgetSwitches) -> Reply:
    if name == STREAM and switches.bad_token == "u_token_only":  # noqa: S105  a switch's value
        return Reply(u_token_only(), _layout(request, switches))
    return Reply(unauthenticated())


def _layout(request: Request, switches: WidgetSwitches) -> Layout:
    return layout_for(switches, sse=request.query.get("alt") == "sse")


def _not_found() -> Script:
    return html_reply(404, "Error 404 (Not Found)!!1")
