"""Switches of sign-in: cookies and their renewal, keys, tokens, and what else a call must bring."""

from __future__ import annotations

from dataclasses import dataclass

from gbproxy.simulator.scripting.switches import SwitchGroup, switch


@dataclass(frozen=True)
class CredentialSwitches(SwitchGroup):
    """Credentials: cookies, the way by which they are renewed, keys and tokens."""

    getoxsrf: str = switch(
        "ok",
        "refreshcookies",
        "refreshcookies_dead",
        "refreshcookies_elsewhere",
        "login",
        "account_chooser",
        "401",
        "403",
        "html",
        "eof",
        "missing_fields",
        "500",
        "503",
        "garbage",
        fact="how the key for the token is refused or given; an expired cookie shows as a redirect",
        certainty="certain",
        breaks=(
            "refreshcookies_dead",
            "refreshcookies_elsewhere",
            "login",
            "account_chooser",
            "401",
            "403",
            "html",
            "eof",
            "missing_fields",
            "500",
            "503",
            "garbage",
        ),
    )
    elsewhere_url: str = switch(
        "http://evil.invalid/auth/refreshcookies",
        fact=(
            "where refreshcookies_elsewhere, and a chain that goes elsewhere, point; cookies must"
            " not be taken there"
        ),
        certainty="inferred",
        open_ended=True,
    )
    refreshcookies_answer: str = switch(
        "redirect",
        "page",
        fact="refreshcookies renews the cookie and redirects to `continue`, or answers 200",
        certainty="one source",
    )
    refresh_hops: int = switch(
        1,
        3,
        10,
        11,
        fact=(
            "how many redirects a renewal takes, getoxsrf's own not counted: 1 is refreshcookies"
            " alone; with more, the sign-in hosts come between, and the last is /auth/setocookie of"
            " the page's host, which alone renews __Host-C_OSES and must be reached; clients are to"
            " follow ten"
        ),
        certainty="inferred",
        breaks=(11,),
        open_ended=True,
    )
    refresh_chain: str = switch(
        "good",
        "elsewhere",
        "http",
        "loop",
        fact=(
            "where the renewal goes after refreshcookies: on to its end, to `elsewhere_url`, to the"
            " page's host without TLS, or back to refreshcookies for ever"
        ),
        certainty="inferred",
        breaks=("elsewhere", "http", "loop"),
    )
    nid_triggers_refresh: bool = switch(
        True,
        False,
        fact="a NID cookie sent to getoxsrf makes it redirect to refreshcookies",
        certainty="one source",
    )
    bad_cookie: str = switch(
        "login",
        "401",
        "403",
        fact="how getoxsrf refuses a cookie or csesidx that it does not know",
        certainty="certain",
    )
    host_c_oses: str = switch(
        "optional",
        "required",
        fact="whether the second session cookie is needed",
        certainty="unknown",
    )
    further_cookies: tuple[str, ...] = switch(
        (),
        ("__Secure-C_AUX",),
        fact=(
            "cookies of the page's host, by name, that getoxsrf wants beside the two (the name is"
            " made up; an account's `cookies` say the values)"
        ),
        certainty="one source",
        open_ended=True,
    )
    xsrf_prefix: str = switch(
        "newline",
        "bare",
        "none",
        "spaces",
        fact="what stands before the JSON of getoxsrf",
        certainty="certain",
    )
    xsrf_key_uses: str = switch(
        "many",
        "one",
        fact="whether one key may sign several tokens",
        certainty="unknown",
    )
    bad_token: str = switch(
        "401",
        "u_token_only",
        fact="a refused token shows as 401, or on a stream as 200 with nothing but a uToken",
        certainty="one source",
    )
    clock_skew_s: float = switch(
        0.0,
        3600.0,
        -3600.0,
        fact="the server's clock against the host's; the Date header tells it",
        certainty="inferred",
        open_ended=True,
    )


@dataclass(frozen=True)
class GateSwitches(SwitchGroup):
    """Gates: edition, location, server token, user agent. An account's own edition and location go
    first.
    """

    edition: str = switch(
        "business",
        "enterprise",
        fact=(
            "which pair of hosts an account belongs to; the token's iss and aud, Origin and Referer"
            " must be those of its edition: another token is 401, another page 403"
        ),
        certainty="certain",
    )
    location: str = switch(
        "global",
        "us",
        "eu",
        fact=(
            "the location in the path, of each call and in full names; only the account's own is"
            " served"
        ),
        certainty="certain",
    )
    wrong_location: str = switch(
        "404",
        "403",
        "400",
        fact="how a call to another location than the account's is refused",
        certainty="unknown",
    )
    server_token: str = switch(
        "ignored",
        "wanted",
        "exact",
        fact=(
            "x-server-token on the API's calls: not looked at, any value that begins with CAMS, or"
            " the account's own"
        ),
        certainty="unknown",
    )
    server_token_refusal: str = switch(
        "403",
        "400",
        "401",
        fact="how a call without the server token that is wanted is refused",
        certainty="unknown",
    )
    user_agent: str = switch(
        "any",
        "browser",
        fact="which user agents are served, on the page's host and the API's alike",
        certainty="unknown",
    )
    user_agent_refusal: str = switch(
        "403",
        "html",
        fact="other user agents get 403, or a page with status 200",
        certainty="unknown",
    )
