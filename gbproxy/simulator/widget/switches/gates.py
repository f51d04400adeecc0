"""Which edition an account belongs to, and what a call must bring beside its token."""

from __future__ import annotations

from dataclasses import dataclass

from gbproxy.simulator.scripting.switches import switch


@dataclass(frozen=True)
class GateSwitches:
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
