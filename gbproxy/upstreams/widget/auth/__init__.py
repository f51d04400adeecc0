"""Cookies -> xsrf key -> the bearer token of the widget calls; tokens and renewed cookies are
shared by all workers.

A token is signed for 300 s and used for 240. It is cached per account; one refresh runs however
many requests wait for it. Source: docs/upstream.md, credentials and token.
"""

from gbproxy.upstreams.widget.auth.auth import WidgetAuth
from gbproxy.upstreams.widget.auth.jwt import Token, XsrfKey, sign
from gbproxy.upstreams.widget.auth.records import CookieRecords, NoTokens, TokenRecords

__all__ = ["CookieRecords", "NoTokens", "Token", "TokenRecords", "WidgetAuth", "XsrfKey", "sign"]
