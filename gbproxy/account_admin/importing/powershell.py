"""`Invoke-WebRequest` commands as browsers copy them ("Copy as PowerShell"), read without a shell.

A session with its cookies comes first, then the request; strings stand in `"…"`, where a backtick
protects the next sign and `$([char]233)` is a character. Source:
https://learn.microsoft.com/powershell/module/microsoft.powershell.core/about/about_quoting_rules
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from gbproxy.account_admin.importing.bounds import WORD_CHARS, Hosts, WorkLimit
from gbproxy.account_admin.importing.cookies import FIELDS
from gbproxy.account_admin.importing.headers import Request, from_request
from gbproxy.account_admin.importing.partial_account import PartialAccount, from_cookies

_PROMPT = r"(?:PS(?:[ ][^\r\n>]{0,260}+)?>++|>>)"
START = re.compile(
    rf"(?:[\s;]|{_PROMPT})*+(?P<word>\$session|invoke-webrequest|invoke-restmethod|iwr|irm)(?=[\s.=])",
    re.IGNORECASE,
)
"""The beginning of such a command, after blanks, prompts and ends of others."""

# Each quote may lack its end: a search for it that fails would be repeated from the next quote on.
_TOKEN = re.compile(
    r"""(?P<string>"[^"`]*+(?:(?:`.|"")[^"`]*+)*+"?+|'[^']*+(?:''[^']*+)*+'?+)
    |(?P<break>`\r?\n|[ \t]++)|(?P<end>[;\r\n]++)|(?P<open>[({])|(?P<close>[)}])
    |(?P<word>[-$\[\]:.\w]++)|(?P<other>[^\s"'`;({})\w$\[\]:.-]++|.)""",
    re.DOTALL | re.VERBOSE,
)
_IN_DOUBLE = re.compile(r"`(.)|\$\(\[char\]([0-9]{1,5})\)|\"\"|\"", re.DOTALL)
_SIGNS = {"n": "\n", "r": "\r", "t": "\t", "0": "\0"}
_COOKIE = "system.net.cookie"


@dataclass(slots=True)
class _Statement:
    """The words of one statement, in lower case, and its strings by the word that each came
    after.
    """

    words: list[str] = field(default_factory=list)
    strings: list[tuple[str, str]] = field(default_factory=list)

    def after(self, word: str) -> list[str]:
        return [text for before, text in self.strings if before == word]


@dataclass(slots=True)
class _Session:
    """State that PowerShell keeps between requests: the page's cookies, and its User-Agent."""

    jar: list[tuple[str, str]] = field(default_factory=list)
    headers: list[tuple[str, str]] = field(default_factory=list)


def read(text: str, at: int, hosts: Hosts, limit: WorkLimit) -> tuple[list[PartialAccount], int]:
    """The values in the commands that follow each other from `at` on, and where they end."""
    found: list[PartialAccount] = []
    session = _Session()
    while start := START.match(text, at):
        statement, at = _statement(text, start.start("word"), limit)
        if start["word"].startswith("$"):
            session = _after(statement, session, hosts)
        else:
            found += _asked(statement, session, hosts)
    return found or [from_cookies(session.jar)], at


def _after(statement: _Statement, session: _Session, hosts: Hosts) -> _Session:
    """The session after a statement: a new one is empty, of an added cookie the domain decides."""
    match statement.after(_COOKIE), statement.after("$session.useragent"):
        case [name, value, _, domain, *_], _ if hosts.page_gets(domain) or (
            name.lower() in FIELDS and hosts.sends_cookies_of(domain)
        ):
            session.jar.append((name, value))
        case _, [user_agent, *_]:
            session.headers = [("user-agent", user_agent)]
        case _ if statement.words[:2] == ["$session", "new-object"]:
            return _Session()
    return session


def _asked(statement: _Statement, session: _Session, hosts: Hosts) -> list[PartialAccount]:
    headers = statement.after("-headers")
    pairs = list(zip(headers[::2], headers[1::2], strict=False))
    body = "".join(statement.after("-body"))
    cookies: list[tuple[str, str]] = []
    if "-websession" in statement.words:
        cookies, pairs = session.jar, [*session.headers, *pairs]
    partials = [
        from_request(Request(url, pairs, cookies, body), hosts)
        for url in (statement.after("-uri") or statement.after(statement.words[0]))[:1]
    ]
    return [partial for partial in partials if partial is not None]


def _statement(text: str, at: int, limit: WorkLimit) -> tuple[_Statement, int]:
    """The statement that begins at `at`, and where it ends."""
    statement = _Statement()
    before, depth = "", 0
    for token in _TOKEN.finditer(text, at):
        limit.spend()
        match token.lastgroup:
            case "string":
                statement.strings.append((before, _decoded(token[0][:WORD_CHARS])))
            case "word":
                word = token[0].lower()
                statement.words.append(word)
                before = before if word in _PASSING else word
            case "open":
                depth += 1
            case "close":
                depth -= 1
            case "end" if depth <= 0:
                return statement, token.start()
    return statement, len(text)


# stands between `-Body` and its text
_PASSING = frozenset({"[system.text.encoding]::utf8.getbytes"})


def _decoded(string: str) -> str:
    if string[0] == "'":
        return string[1:].removesuffix("'").replace("''", "'")
    return _IN_DOUBLE.sub(_sign, string[1:])


def _sign(matched: re.Match[str]) -> str:
    if protected := matched[1]:
        return _SIGNS.get(protected, protected)
    if code := matched[2]:
        return chr(int(code))
    return '"' if matched[0] == '""' else ""
