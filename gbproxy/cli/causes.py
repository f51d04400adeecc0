"""Possible causes of a failed step of a first question, the likeliest first, and what to try.

Source: docs/upstream.md, credentials, gates, editions and hosts, errors.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import Enum

from gbproxy.cli.steps import Step
from gbproxy.errors import QuotaExhausted, UpstreamOverloaded
from gbproxy.outbound.recording import Exchange


class Cause(Enum):
    """Each with its meaning, and advice on what to try."""

    NETWORK = (
        (
            "no answer came: this machine, PROXY or something on the way keeps the call from the"
            " service"
        ),
        "See what `gbproxy doctor` says of the network, and whether PROXY is needed.",
    )
    SERVICE = (
        "the service itself failed",
        "Try again in some minutes; nothing here needs changing.",
    )
    COOKIES = (
        "the cookies are stale, rotated or of another sign-in",
        (
            "Sign in anew in a private window, copy all values from there (a request as cURL is"
            " best), and close the window without signing out."
        ),
    )
    FURTHER_COOKIES = (
        "the service wants more cookies of its page than the two",
        "Import a whole request as cURL or a HAR: its further cookies are kept with the account.",
    )
    CSESIDX = (
        "CSESIDX belongs to another sign-in",
        "Compare it with `csesidx=` in the page's address.",
    )
    RENEWAL = (
        (
            "the service renews the cookies by a way that is not followed: too long, in a circle,"
            " or to a foreign host"
        ),
        (
            "Sign in anew in a private window and copy all values; if it stays, hand on a file of"
            " `gbproxy capture`."
        ),
    )
    RESTRICTED = (
        "the account is restricted or has no licence",
        "Open the page with this account and ask it something there.",
    )
    USER_AGENT = (
        "the service answers browsers only",
        (
            "Set the account's user_agent, or USER_AGENT, to your browser's; an imported request"
            " brings it along."
        ),
    )
    SERVER_TOKEN = (
        "the service wants the header x-server-token, or another one than the account has",
        "Import a request of the page (copy as cURL): the account's server_token is taken from it.",
    )
    EDITION = (
        "the account belongs to the other edition",
        "Set its edition (business, enterprise), or give CONFIG_ID as the page's whole address.",
    )
    LOCATION = (
        "the account's app is in another location",
        "Set its location (global, us, eu), or give CONFIG_ID as the page's whole address.",
    )
    CONFIG_ID = (
        "CONFIG_ID belongs to another account",
        "Compare it with the part behind /cid/ of the page's address.",
    )
    SESSION_FORM = (
        "the service makes no session in this way",
        "Set UPSTREAM_SESSION to a form that passed above (dash, own).",
    )
    TOOLS = (
        "the account's administrator has switched off a tool that was asked for",
        "Leave it out: MODELS, `tools` of the model.",
    )
    QUOTA = ("the account's quota is used up", "Wait until it begins anew, or use another account.")
    OVERLOADED = ("the service is overloaded", "Try again in some minutes.")
    PROTOCOL = (
        "the service said something that is not known here",
        "Make a file with `gbproxy capture` and open an issue with it: CONTRIBUTING.md.",
    )

    @property
    def meaning(self) -> str:
        return self.value[0]

    @property
    def advice(self) -> str:
        return self.value[1]


_SIGN_IN_PAGES = ("login", "account-chooser", "signin")


def likely(step: Step, proven: Iterable[Cause]) -> list[Cause]:
    """The causes of a failure, likeliest first: those that are proven, then those that fit
    the service's answer.
    """
    return list(dict.fromkeys((*proven, *_causes_of(step))))


def may_be_varied(step: Step) -> bool:
    """True where a variant can pass: network, service and quota fail whatever is asked."""
    return next(_causes_of(step)) not in (
        Cause.NETWORK,
        Cause.SERVICE,
        Cause.QUOTA,
        Cause.OVERLOADED,
    )


def _causes_of(step: Step) -> Iterator[Cause]:
    if isinstance(step.error, QuotaExhausted):
        yield Cause.QUOTA
        return
    if isinstance(step.error, UpstreamOverloaded):
        yield Cause.OVERLOADED
        return
    last = step.exchanges[-1] if step.exchanges else None
    if last is None or last.status is None:
        yield Cause.NETWORK
    elif last.status >= 500:
        yield Cause.SERVICE
    elif step.name == "sign in":
        yield from _causes_of_sign_in(step, last)
    elif step.name in ("session", "list"):
        yield from _causes_of_call(last.status)
    else:
        yield from _causes_of_question(last.status)


def _causes_of_sign_in(step: Step, last: Exchange) -> Iterator[Cause]:
    location = last.header("Location")
    if location and not any(page in location for page in _SIGN_IN_PAGES):
        yield Cause.RENEWAL
    if last.status == 403:
        yield Cause.RESTRICTED
    yield from (Cause.COOKIES, Cause.CSESIDX, Cause.FURTHER_COOKIES)
    if len(step.exchanges) > 1:
        yield Cause.RENEWAL
    if last.status == 200:
        yield Cause.USER_AGENT
        yield Cause.PROTOCOL


def _causes_of_call(status: int | None) -> Iterator[Cause]:
    match status:
        case 401:
            yield from (Cause.CONFIG_ID, Cause.EDITION, Cause.SERVER_TOKEN)
        case 403:
            yield from (Cause.CONFIG_ID, Cause.SERVER_TOKEN, Cause.RESTRICTED)
        case 404:
            yield from (Cause.LOCATION, Cause.SESSION_FORM, Cause.CONFIG_ID)
        case 400:
            yield from (Cause.SERVER_TOKEN, Cause.LOCATION, Cause.SESSION_FORM)
        case 200:
            yield from (Cause.USER_AGENT, Cause.PROTOCOL)
        case _:
            yield Cause.PROTOCOL


def _causes_of_question(status: int | None) -> Iterator[Cause]:
    if status in (400, 403, 404, 200):
        yield Cause.TOOLS
    if status in (401, 403):
        yield from (Cause.RESTRICTED, Cause.SERVER_TOKEN)
    yield Cause.PROTOCOL
