"""Find the values of accounts in text pasted out of a browser or another gateway.

    for account in find(text, "https://business.gemini.google/home/cid/…?csesidx=…"):
        account.values, account.missing, account.wrong

A text may hold several pieces, one after another: accounts as JSON, `curl` and PowerShell commands,
`fetch` calls, a HAR file, exported cookies, headers, the page's address. Nothing is run, fetched or
kept.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from pydantic import SecretStr, ValidationError

from gbproxy.account_admin.importing.bounds import Hosts, WorkLimit
from gbproxy.account_admin.importing.merge import MAX_ACCOUNTS, merge, warnings
from gbproxy.account_admin.importing.partial_account import (
    FIELDS,
    FURTHER_FIELDS,
    WRONG_SERVICE,
    PartialAccount,
    from_address,
)
from gbproxy.account_admin.importing.tokenize import tokenize
from gbproxy.errors import BadRequest, RequestTooLarge
from gbproxy.settings import AccountSettings
from gbproxy.settings.account_values import OF_CONSUMER_APP
from gbproxy.settings.entries import STAND_INS

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
"""The longest text. A HAR of the needed requests has some hundred thousand characters."""

PAGE = (
    "https://business.gemini.google/home/cid/<config_id>?csesidx=<csesidx>, or of the Enterprise"
    " edition https://vertexaisearch.cloud.google/home/cid/<config_id>?csesidx=<csesidx>"
)
_COOKIES = (
    "the browser's developer tools, Application (Firefox: Storage), Cookies,"
    " https://business.gemini.google or https://vertexaisearch.cloud.google: "
)
WHERE = {
    "secure_c_ses": f"{_COOKIES}the value of __Secure-C_SES",
    "host_c_oses": f"{_COOKIES}the value of __Host-C_OSES; not every account has it",
    "csesidx": (
        f"the digits after csesidx= in the page's address, {PAGE}; or developer tools, Network,"
        " getoxsrf?csesidx="
    ),
    "config_id": (
        f"the part after /cid/ of the page's address, {PAGE}; or developer tools, Network, "
        "`configId` in what any request sends whose name begins with widget"
    ),
}
"""The place where a user finds each field."""

_LOOKED_AT = 1024
OPTIONAL = frozenset({"host_c_oses"})


@dataclass(frozen=True, slots=True)
class FoundAccount:
    """An account as far as a paste tells it.

    `values`: what was found, by field, as the gateway keeps it. `missing`: the fields without a
    value. `wrong`: why a value cannot be, by field, in words that do not quote it. `is_disabled`:
    it was written down as one not to be used.
    """

    name: str | None
    values: dict[str, str] = field(repr=False)
    missing: tuple[str, ...]
    wrong: dict[str, str]
    is_disabled: bool = False

    @property
    def is_complete(self) -> bool:
        return not self.wrong and OPTIONAL.issuperset(self.missing)


class Found(list[FoundAccount]):
    """The accounts of a paste. `warnings`: what was to be expected in it and could not be read, or
    was left out.
    """

    warnings: tuple[str, ...] = ()


def find(text: str, url: str | None = None, hosts: Hosts | None = None) -> Found:
    """The accounts of a paste, whole or in part; `url`: the page's address, if it was given apart.

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
    partials = [*tokenize(text, hosts, WorkLimit(len(text))), address]
    drafts = merge(partials)
    found = Found(map(_validated, drafts))
    found.warnings = tuple(warnings(partials, drafts))
    if not found:
        raise _nothing_found(partials, found.warnings)
    if len(found) > MAX_ACCOUNTS:
        raise BadRequest(
            f"the text holds more than {MAX_ACCOUNTS} accounts: paste them in parts", param="text"
        )
    return found


def _nothing_found(partials: Iterable[PartialAccount], doubts: Iterable[str]) -> BadRequest:
    if any(partial.doubt and partial.doubt.kind in WRONG_SERVICE for partial in partials):
        advice = f"what is in it is {OF_CONSUMER_APP}"
    else:
        reasons = "".join(f"; {doubt}" for doubt in doubts)
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


def _validated(partial: PartialAccount) -> FoundAccount:
    given = (
        partial.given()
        | partial.carried()
        | ({"name": partial.name} if partial.name is not None else {})
    )
    wrong: dict[str, str] = {}
    try:
        AccountSettings.model_validate(STAND_INS | given)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_context=False, include_input=False)
        wrong = {
            str(fault["loc"][0]): fault["msg"].removeprefix("Value error, ") for fault in faults
        }
    good = {name: value for name, value in given.items() if name not in wrong}
    account = AccountSettings.model_validate(STAND_INS | good)
    return FoundAccount(
        name=account.name if "name" in good else None,
        values={
            name: _bare(getattr(account, name))
            for name in (*FIELDS, *FURTHER_FIELDS)
            if name in good
        },
        missing=tuple(name for name in FIELDS if name not in given),
        wrong=wrong,
        is_disabled=partial.is_disabled,
    )


def _bare(value: str | SecretStr) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else value
