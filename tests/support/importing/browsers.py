"""How browsers write a request into the clipboard: the quoting of each shell, and whole commands in
it.

Sources: Chromium's DevTools (NetworkLogView) and Firefox's (devtools/client/shared/curl.js,
netmonitor/src/utils/powershell.js).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

Quote = Callable[[str], str]


def posix(text: str) -> str:
    """Chromium's on Linux and macOS."""
    if not re.search(r"[\0-\x1f\x7f-\x9f!']", text):
        return f"'{text}'"
    escaped = (
        text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n").replace("\r", "\\r")
    )
    return (
        "$'" + re.sub(r"[\0-\x1f\x7f-\x9f!]", lambda sign: f"\\u{ord(sign[0]):04x}", escaped) + "'"
    )


def posix_firefox(text: str) -> str:
    if re.fullmatch(r"[a-zA-Z-]+", text):
        return text
    if not re.search(r"[^\x20-\x7e]|!|'", text):
        return f"'{text}'"
    escaped = (
        text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n").replace("\r", "\\r")
    )
    escaped = escaped.replace("!", "\\041")
    return "$'" + re.sub(r"[^\x20-\x7e]", lambda sign: _hexadecimal(ord(sign[0])), escaped) + "'"


def _hexadecimal(code: int) -> str:
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"


def windows(text: str) -> str:
    """Chromium's for cmd.exe."""
    return _careted(text.replace("\\", "\\\\"), '^"', r"[^a-zA-Z0-9\s_\-:=+~'/.',?;()*`]")


def windows_older(text: str) -> str:
    """The same up to 2023: plain quotes unless there is a line break, and carets all the same."""
    around = '^"' if re.search(r"[\r\n]", text) else '"'
    return _careted(text.replace("\\", "\\\\"), around, r"[^a-zA-Z0-9\s_\-:=+~'/.',?;()*`&]")


def windows_oldest(text: str) -> str:
    """The same before carets."""
    doubled = text.replace('"', '""').replace("%", '"%"').replace("\\", "\\\\")
    return '"' + re.sub(r"[\r\n]+", lambda end: f'"^{end[0]}"', doubled) + '"'


def windows_firefox(text: str) -> str:
    if re.fullmatch(r"[a-zA-Z-]+", text):
        return text
    return _careted(text, '^"', r"[^a-zA-Z0-9\s_\-:=+~/.',?;()*`]")


def _careted(text: str, around: str, unsafe: str) -> str:
    escaped = re.sub(unsafe, lambda sign: f"^{sign[0]}", text.replace('"', '\\"'))
    escaped = re.sub(r"%(?=[a-zA-Z0-9_])", "%^", escaped)
    return around + re.sub(r"\r?\n", "^\n\n", escaped) + around


def powershell(text: str) -> str:
    escaped = re.sub(r"[`$\"]", lambda sign: f"`{sign[0]}", text)
    return '"' + re.sub(r"[^\x20-\x7e]", lambda sign: f"$([char]{ord(sign[0])})", escaped) + '"'


def curl(
    quote: Quote,
    url: str,
    headers: Mapping[str, str],
    body: str | None = None,
    *,
    cookie: str | None = None,
    joint: str = " \\\n  ",
    program: str = "curl",
) -> str:
    """One command; `cookie` by an option of its own, as Chromium has it by now."""
    url = re.sub(r"[\[{}\]]", lambda sign: f"\\{sign[0]}", quote(url))
    parts = [url, *(f"-H {quote(f'{name}: {value}')}" for name, value in headers.items())]
    if cookie is not None:
        parts.append(f"-b {quote(cookie)}")
    if body is not None:
        parts.append(f"--data-raw {quote(body)}")
    return f"{program} {joint.join(parts)}"


def invoke(
    url: str,
    headers: Mapping[str, str],
    cookies: Mapping[str, tuple[str, str]],
    body: str | None = None,
    *,
    user_agent: str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64)",
) -> str:
    """Chromium's "Copy as PowerShell"; cookies are name -> (value, domain)."""
    lines = ["$session = New-Object Microsoft.PowerShell.Commands.WebRequestSession"]
    lines.append(f"$session.UserAgent = {powershell(user_agent)}")
    for name, (value, domain) in cookies.items():
        cookie = ", ".join((powershell(name), powershell(value), '"/"', powershell(domain)))
        lines.append(f"$session.Cookies.Add((New-Object System.Net.Cookie({cookie})))")
    parts = [
        f"-Uri {powershell(url)}",
        *(['-Method "POST"'] if body else []),
        "-WebSession $session",
    ]
    pairs = "\n  ".join(
        f"{powershell(name)}={powershell(value)}" for name, value in headers.items()
    )
    parts += [f"-Headers @{{\n{pairs}\n}}", '-ContentType "application/json"']
    if body is not None:
        parts.append(f"-Body {_bytes(body)}")
    return "\n".join([*lines, "Invoke-WebRequest -UseBasicParsing " + " `\n".join(parts)])


def _bytes(body: str) -> str:
    if re.search(r"[^\x20-\x7e]", body):
        return f"([System.Text.Encoding]::UTF8.GetBytes({powershell(body)}))"
    return powershell(body)
