"""In the page's language: what the packages below say in English, in APIs and logs too.

Those that people meet at forms; any other stays as it is. tests/console/test_core_messages.py has
the packages say each.
"""

from __future__ import annotations

import re

from flask_babel import gettext

from gbproxy.console.texts import N_

MESSAGES = (
    # of any form
    N_("is missing"),
    N_("is too long"),
    N_("must be a number"),
    N_("the gateway's database cannot be used at the moment"),
    # of a key
    N_("must be a text of 1 to 128 printable characters"),
    N_("must lie in the future"),
    N_("must be a time such as 2030-12-31T00:00:00Z, with its zone, or Unix seconds"),
    N_("names what is no model: the model %(name)s does not exist"),
    N_("must look like 60/hour, 10/second or 100/15 minutes; the units go from second to day"),
    N_("must be from 1 to %(most)s in at most 31 days"),
    N_("must be a whole number from 1 to %(most)s"),
    N_("must be an array of 1 to %(most)s addresses or networks, or null for all"),
    N_("%(text)s must be addresses or networks such as 192.0.2.7, 192.0.2.0/24 or 2001:db8::/32"),
    N_("%(text)s has an address inside of a network: %(network)s is the whole network"),
    N_("limits need REDIS_URL, where the several workers (WEB_CONCURRENCY) count together"),
    # of an account
    N_("there is no account of this id"),
    N_("another account has this name"),
    N_("this is the account %(name)s, which is there already: change that one"),
    N_("this account stands in the environment: change it there; here it can only be disabled"),
    N_("this account stands in the environment: take it out there; here it can only be disabled"),
    N_("this account is in the text twice"),
    N_("must be at most 128 printable characters"),
    N_("must be decimal digits"),
    N_("must be the UUID after /cid/ in the page's address, %(page)s, or that address"),
    N_(
        "is a placeholder; it must be the UUID after /cid/ in the page's address, %(page)s, or"
        " that address"
    ),
    N_("is empty; it must be the value of the cookie %(name)s"),
    N_("is the cookie %(other)s; it must be the value of %(name)s"),
    N_(
        "is of the consumer Gemini app (%(host)s), which is another service: open"
        " https://business.gemini.google (Enterprise: https://vertexaisearch.cloud.google), sign in"
        " there, and copy __Secure-C_SES and __Host-C_OSES"
    ),
    N_("contains `;`; it must be the value of the one cookie %(name)s"),
    N_(
        "contains white space; it must be the value of the cookie %(name)s alone, without a comment"
        " behind it"
    ),
    N_("is a placeholder; it must be the value of the cookie %(name)s"),
    N_(
        "contains characters that no cookie has, or is too long; it must be the value of the cookie"
        " %(name)s"
    ),
    N_("must look like a Cookie header: name=value; name=value"),
    N_(
        "has no cookie beside __Secure-C_SES and __Host-C_OSES, which are given apart: leave it out"
    ),
    N_("must be the value of the header %(name)s, printable ASCII"),
    N_("must be the value of the header %(name)s, printable ASCII without spaces"),
    # of a paste
    N_(
        "the text is longer than %(most)s characters: paste only the requests of the Gemini"
        " Business page"
    ),
    N_("the text is UTF-16 that was read as something else: save it as UTF-8"),
    N_("the text holds more than %(most)s accounts: paste them in parts"),
    N_("the text holds too many commands and lines: paste only those of the Gemini Business page"),
    N_("the text is cut off or damaged in too many places: copy it anew"),
    N_(
        "nothing of a Gemini Business account was found in it: what is in it is of the consumer"
        " Gemini app (%(host)s), which is another service: open https://business.gemini.google"
        " (Enterprise: https://vertexaisearch.cloud.google), sign in there, and copy __Secure-C_SES"
        " and __Host-C_OSES"
    ),
    N_(
        "nothing of a Gemini Business account was found in it: paste an account as JSON, a request"
        " of the page as cURL, PowerShell or fetch, a HAR file, exported cookies, its headers, or"
        " the page's address"
    ),
    # of a webhook
    N_("it could not be reached (%(code)s)"),
    N_("it redirects elsewhere (%(status)s)"),
    N_("it took the message and refused it in its answer"),
    N_("it answered %(status)s"),
)
_MARK = re.compile(r"%\((\w+)\)s")


def _pattern(message: str) -> re.Pattern[str]:
    fixed = _MARK.split(message)  # texts and names by turns
    return re.compile(
        "".join(
            f"(?P<{part}>.+)" if number % 2 else re.escape(part)
            for number, part in enumerate(fixed)
        ),
        re.DOTALL,
    )


_PATTERNS = {message: _pattern(message) for message in MESSAGES if _MARK.search(message)}


def translated(message: str) -> str:
    """A message that `N_` has marked, here or in the console, in the page's language; any other as
    it is.
    """
    shown = str(gettext(message)) if message else ""
    if shown != message:
        return shown
    for known, pattern in _PATTERNS.items():
        if found := pattern.fullmatch(message):
            return str(gettext(known, **found.groupdict()))
    return message
