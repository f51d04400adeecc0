"""What people paste out of their browser or another gateway, to the values of accounts.

    for account in find(text, "https://business.gemini.google/home/cid/…?csesidx=…"):
        account.values, account.missing, account.wrong

A text may hold several pieces, one after another: accounts as JSON, `curl` and PowerShell commands,
`fetch` calls, a HAR file, exported cookies, headers, the page's address. Nothing is run, fetched or
kept.
"""

from __future__ import annotations

from collections.abc import Iterable

from gbproxy.account_admin.importing.hosts import Hosts
from gbproxy.account_admin.importing.merge import (
    MAX_ACCOUNTS,
    OPTIONAL,
    PAGE,
    WHERE,
    Found,
    FoundAccount,
    accounts,
)
from gbproxy.account_admin.importing.partial_account import (
    WRONG_SERVICE,
    PartialAccount,
    from_address,
)
from gbproxy.account_admin.importing.tokenize import tokenize
from gbproxy.account_admin.importing.work_limit import WorkLimit
from gbproxy.errors import BadRequest, RequestTooLarge
from gbproxy.settings.account_values import OF_CONSUMER_APP

__all__ = [
    "MAX_ACCOUNTS",
    "MAX_CHARS",
    "OPTIONAL",
    "WHERE",
    "Found",
    "FoundAccount",
    "Hosts",
    "find",
]

MAX_CHARS = 8 * 1024 * 1024
"""The longest text. A HAR of the few requests that matter has some hundred thousand characters."""


_LOOKED_AT = 1024


def find(text: str, url: str | None = None, hosts: Hosts | None = None) -> Found:
    """The accounts that a paste tells of, whole or in part; `url`: the page's address, if it was
    given apart.

    Raises RequestTooLarge beyond `MAX_CHARS`, and BadRequest when nothing of an account is in it,
    more than `MAX_ACCOUNTS` are, or it is too much to read. No message quotes anything.
    """
    hosts = hosts or Hosts()
    if len(text) > MAX_CHARS:
        raise RequestTooLarge(
            f"the text is longer than {MAX_CHARS} characters: paste only the requests of the Gemini"
            " Business page",
            param="text",
        )
    if text.count("\0", 0, _LOOKED_AT) > min(len(text), _LOOKED_AT) // 4:
        raise BadRequest(
            "the text is UTF-16 that was read as something else: save it as UTF-8", param="text"
        )
    address = _address(url, hosts) if url is not None and url.strip() else PartialAccount()
    told = [*tokenize(text, hosts, WorkLimit(len(text))), address]
    found = accounts(told)
    if not found:
        raise _nothing_found(told, found.warnings)
    if len(found) > MAX_ACCOUNTS:
        raise BadRequest(
            f"the text holds more than {MAX_ACCOUNTS} accounts: paste them in parts", param="text"
        )
    return found


def _nothing_found(told: Iterable[PartialAccount], warnings: Iterable[str]) -> BadRequest:
    if any(partial.doubt and partial.doubt.kind in WRONG_SERVICE for partial in told):
        advice = f"what is in it is {OF_CONSUMER_APP}"
    else:
        reasons = "".join(f"; {warning}" for warning in warnings)
        advice = (
            "paste an account as JSON, a request of the page as cURL, PowerShell or fetch, a HAR"
            f" file, exported cookies, its headers, or the page's address{reasons}"
        )
    return BadRequest(
        f"nothing of a Gemini Business account was found in it: {advice}", param="text"
    )


def _address(url: str, hosts: Hosts) -> PartialAccount:
    partial = from_address(url.strip(), hosts)
    if not partial.given():
        raise BadRequest(f"must be the page's address, {PAGE}", param="url")
    return partial
