"""An account's last error in plain words, and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from flask_babel import LazyString, lazy_gettext

_PASTE_ANEW = lazy_gettext(
    "Sign in to the account in a browser, and paste a fresh copy of what is there."
)
_BY_ITSELF = lazy_gettext("Nothing: it is asked again by itself.")
_IF_IT_LASTS = lazy_gettext(
    "Nothing at first. If it lasts, look at this machine's network and at PROXY in the settings."
)
_DOCTOR = lazy_gettext("Nothing at first. If it lasts, run `gbproxy doctor` beside the gateway.")


@dataclass(frozen=True, slots=True)
class Advice:
    """What has happened, and what to do about it."""

    what: LazyString
    to_do: LazyString


_NO_REASON = Advice(lazy_gettext("Gemini Business gave no answer, and no reason."), _DOCTOR)

# By GatewayError.kind, those that count for an account (accounts/failure_policy.py).
ADVICE: Mapping[str, Advice] = {
    "CredentialRefused": Advice(
        lazy_gettext("Gemini Business does not accept the account's cookies any more."),
        _PASTE_ANEW,
    ),
    "AccountRestricted": Advice(
        lazy_gettext("Gemini Business refuses this account's sign-in (403)."),
        lazy_gettext(
            "Open its page with this account and see whether it is restricted. If it is not, paste"
            " a fresh copy of what is there."
        ),
    ),
    "ConfigRefused": Advice(
        lazy_gettext("The account may not open the app of this config id."),
        lazy_gettext("Compare the config id with the part after /cid/ in the page's address."),
    ),
    "QuotaExhausted": Advice(
        lazy_gettext("The account's quota is used up."),
        lazy_gettext("Wait until the time that is shown, or add another account."),
    ),
    "UpstreamOverloaded": Advice(lazy_gettext("Gemini Business is overloaded."), _BY_ITSELF),
    "AccountStalled": Advice(
        lazy_gettext("Signing in, or opening a conversation, took too long."), _IF_IT_LASTS
    ),
    "AccountSuspected": Advice(
        lazy_gettext("A question was refused as if the account were at fault."),
        lazy_gettext(
            "Nothing, if other questions are answered. Else compare the config id with the part"
            " after /cid/ in the page's address."
        ),
    ),
    "SessionDenied": Advice(
        lazy_gettext("A conversation was refused; the next question began a new one."), _BY_ITSELF
    ),
    "SessionGone": Advice(
        lazy_gettext("A conversation was gone upstream; the next question began a new one."),
        _BY_ITSELF,
    ),
    "TokenRefused": Advice(
        lazy_gettext("A token of the sign-in was refused; a fresh one was made."), _BY_ITSELF
    ),
    "UpstreamUnreachable": Advice(
        lazy_gettext("There was no connection to Gemini Business."), _IF_IT_LASTS
    ),
    "UpstreamTimeout": Advice(
        lazy_gettext("Gemini Business did not answer in time."), _IF_IT_LASTS
    ),
    "UpstreamGaveUp": Advice(
        lazy_gettext("Gemini Business gave up: its own time for the answer was over."), _BY_ITSELF
    ),
    "UpstreamBroken": Advice(
        lazy_gettext("The connection broke, or Gemini Business had a passing fault."), _BY_ITSELF
    ),
    "UpstreamProtocolError": Advice(
        lazy_gettext("An answer of Gemini Business could not be read."), _DOCTOR
    ),
    "UpstreamUnclear": _NO_REASON,
    "AnswerEmpty": _NO_REASON,
    "UpstreamError": Advice(lazy_gettext("Gemini Business failed at a question."), _DOCTOR),
}


def advice(kind: str | None) -> Advice | None:
    """None for an error of another version, whose own words are all that there is."""
    return ADVICE.get(kind or "")
