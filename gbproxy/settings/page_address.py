"""What the address of an account's page tells of the account. Source: docs/upstream.md, editions
and hosts.
"""

from __future__ import annotations

import re

from gbproxy.settings import account_values

# As the address bar shows it, with or without the scheme.
_PAGE = re.compile(
    r"(?:(?:https?:)?//)?(?:(?P<business>business\.gemini\.google)|vertexaisearch\.cloud\.google)"
    r"(?::[0-9]+)?(?:/(?P<location>global|us|eu))?/(?:\S*/)?cid/",
    re.IGNORECASE,
)


def told(text: str) -> dict[str, str]:
    """The fields of an account that a page's address tells: ids, and edition and location where it
    names the page's host.

    A page without a location in its path is the global one's. Nothing for what is no address, and
    for what is wrong in one.
    """
    bare = text.strip()
    if not re.search(r"cid/|csesidx", bare, re.IGNORECASE):
        return {}
    found = {}
    for name, rule in (
        ("config_id", account_values.config_id),
        ("csesidx", account_values.csesidx),
    ):
        try:
            found[name] = rule(bare)
        except ValueError:
            continue
    page = _PAGE.match(bare)
    if page:
        found["edition"] = "business" if page["business"] else "enterprise"
        found["location"] = (page["location"] or "global").lower()
    return found
