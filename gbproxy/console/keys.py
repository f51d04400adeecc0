"""The keys of clients: each is shown once, when it is created; what it allows can be changed."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, Response
from flask_babel import gettext

from gbproxy.account_admin.daily_use import DailyUse, KeyUse
from gbproxy.api_keys.registry import ApiKeys
from gbproxy.console import texts
from gbproxy.console.faults import faults
from gbproxy.console.forms import fields
from gbproxy.console.pages import Notice, Pages
from gbproxy.domain.principal import CONSOLE, ApiKey
from gbproxy.errors import BadRequest, NotFound

_NUMBERS = ("tokens_per_day", "concurrent_streams")
_LISTS = ("models", "allowed_addresses")
# The form's in its order, by their names in the API.
_FIELDS = {
    **{name: name for name in ("name", "models", "rate_limit", *_NUMBERS, "allowed_addresses")},
    "expires_at": "expires_on",
}
_SHOWN = "shown_"  # in front of a field's name: what stood in it when the form was made
_SEPARATORS = re.compile(r"[\s,]+")


def add_routes(bp: Blueprint, pages: Pages, api_keys: ApiKeys, use: DailyUse) -> None:
    _add_edit_form(bp, pages, api_keys)

    def show(given: Mapping[str, str], error: BadRequest | None = None) -> Response:
        status = 200 if error is None else 400
        known, today = api_keys.list(), use.keys_today()
        listed = {key.fingerprint for key in known}
        return pages.page(
            "keys.html",
            status,
            api_keys=known,
            today=today,
            unused=KeyUse(),
            # Of the environment, revoked today, or the console's own.
            others={_shown(name): used for name, used in today.items() if name not in listed},
            now=time.time(),
            given=given,
            faults=faults(error, _FIELDS),
        )

    @bp.get("/keys")
    def keys() -> Response:
        return show({})

    @bp.post("/keys")
    def create_key() -> Response:
        try:
            made, key = api_keys.create(_given(fields()))
        except BadRequest as error:
            return show(fields(), error)
        said = gettext(
            "%(name)s is created. Copy the key now: it is not shown again.", name=made.name
        )
        return pages.to("console.keys", Notice(said, key=key))

    @bp.get("/keys/<key_id>/revoke")
    def ask_to_revoke_key(key_id: str) -> Response:
        return pages.page("revoke_key.html", api_key=_found(api_keys, key_id))

    @bp.post("/keys/<key_id>/revoke")
    def revoke_key(key_id: str) -> Response:
        name = _found(api_keys, key_id).name
        api_keys.revoke(key_id)
        return pages.to("console.keys", Notice(gettext("%(name)s is revoked.", name=name)))


def _add_edit_form(bp: Blueprint, pages: Pages, api_keys: ApiKeys) -> None:
    def show(key: ApiKey, given: Mapping[str, str], error: BadRequest | None = None) -> Response:
        told = faults(error, _FIELDS)
        status = 400 if error else 200
        return pages.page("edit_key.html", status, api_key=key, given=given, faults=told)

    @bp.get("/keys/<key_id>/edit")
    def edit_key(key_id: str) -> Response:
        key = _found(api_keys, key_id)
        form = _as_form(key)
        return show(key, form | {f"{_SHOWN}{field}": value for field, value in form.items()})

    @bp.post("/keys/<key_id>/edit")
    def store_key(key_id: str) -> Response:
        key = _found(api_keys, key_id)
        try:
            changed = api_keys.change(key_id, _changes(key, fields()))
        except BadRequest as error:
            return show(key, fields(), error)
        said = gettext("%(name)s is stored.", name=changed.name)
        return pages.to("console.keys", Notice(said))


def _shown(fingerprint: str) -> str:
    """As the log of requests has it."""
    return "console" if fingerprint == CONSOLE.fingerprint else fingerprint


def _found(api_keys: ApiKeys, key_id: str) -> ApiKey:
    found = next((each for each in api_keys.list() if each.id == key_id), None)
    if found is None:
        raise NotFound(texts.N_("there is no such key"))
    return found


def _as_form(key: ApiKey) -> dict[str, str]:
    """What stands in the fields of a form for this key."""
    policy, expiry = key.policy, key.expires_at
    return {
        "name": key.name,
        "models": ", ".join(sorted(policy.models or ())),
        "rate_limit": str(policy.rate_limit or ""),
        "tokens_per_day": str(policy.tokens_per_day or ""),
        "concurrent_streams": str(policy.concurrent_streams or ""),
        "allowed_addresses": ", ".join(map(str, policy.allowed_addresses or ())),
        "expires_on": "" if expiry is None else f"{datetime.fromtimestamp(expiry, UTC):%Y-%m-%d}",
    }


def _changes(key: ApiKey, form: Mapping[str, str]) -> dict[str, Any]:
    """The fields that are no longer as they were shown; None for one that is empty now. What was
    left alone is not looked at: an expiry may lie in the past, and another administrator may have
    changed it since.
    """
    shown = {each: form.get(f"{_SHOWN}{each}", now) for each, now in _as_form(key).items()}
    given = _given(form)
    return {
        name: given.get(name)
        for name, field in _FIELDS.items()
        if form.get(field, shown[field]).strip() != shown[field]
    }


def _given(form: Mapping[str, str]) -> dict[str, Any]:
    """The fields of a key; an empty one is none."""
    given: dict[str, Any] = {"name": form.get("name", "")}
    if form.get("expires_on"):
        given["expires_at"] = f"{form['expires_on']}T23:59:59+00:00"  # the whole day counts
    for name in _LISTS:
        words = [word for word in _SEPARATORS.split(form.get(name, "")) if word]
        if words:
            given[name] = words
    if form.get("rate_limit", "").strip():
        given["rate_limit"] = form["rate_limit"].strip()
    for name in _NUMBERS:
        text = form.get(name, "").strip()
        if text:
            given[name] = int(text) if text.isdecimal() and len(text) < 20 else text
    return given
