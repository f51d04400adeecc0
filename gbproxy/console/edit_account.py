"""One account's name and values: each can be replaced by itself. Secrets are never shown."""

from __future__ import annotations

from collections.abc import Mapping

from flask import Blueprint, Response
from flask_babel import gettext

from gbproxy.account_admin.registry import AccountRegistry
from gbproxy.account_admin.views import AccountRecord
from gbproxy.console import texts
from gbproxy.console.faults import faults
from gbproxy.console.forms import fields
from gbproxy.console.pages import Notice, Pages
from gbproxy.errors import BadRequest, Conflict, GatewayError

_SECRETS = ("secure_c_ses", "host_c_oses", "cookies", "server_token")
_SHOWN = ("name", "csesidx", "config_id", "edition", "location", "user_agent")
REMOVABLE = frozenset({"host_c_oses", "cookies", "server_token", "user_agent"})
# What belongs to an older value of the first, and goes with it unless it is given anew.
_GOES_WITH = {"secure_c_ses": ("host_c_oses", "cookies"), "config_id": ("server_token",)}


def add_routes(bp: Blueprint, pages: Pages, registry: AccountRegistry) -> None:
    def show(
        account: AccountRecord,
        given: Mapping[str, str],
        error: GatewayError | None = None,
    ) -> Response:
        stored = {"name": account.name, **account.credential}
        values = {**stored, **given}
        return pages.page(
            "edit_account.html",
            error.status if error else 200,
            account=account,
            values={name: values.get(name) or "" for name in _SHOWN},
            shown={name: given.get(f"shown_{name}", stored.get(name) or "") for name in _SHOWN},
            removable=REMOVABLE,
            faults=faults(error, {name: name for name in (*_SHOWN, *_SECRETS)}),
        )

    @bp.get("/accounts/<path:account_id>/edit")
    def edit_account(account_id: str) -> Response:
        return show(registry.get(account_id), {})

    @bp.post("/accounts/<path:account_id>/edit")
    def store_account(account_id: str) -> Response:
        account = registry.get(account_id)
        try:
            changes = _changes(registry, account)
            is_sign_in = registry.try_change(account_id, {**changes, "name": account.name})
            changed = registry.change(account_id, changes)
        except (BadRequest, Conflict) as error:
            return show(account, fields(), error)
        said = gettext("%(name)s is stored.", name=changed.name)
        if not is_sign_in:
            return pages.to("console.accounts", Notice(said))
        checked = registry.check(account_id)
        notice = Notice(
            f"{said} {texts.check_status(checked.status)}",
            "good" if checked.status == "valid" else "bad",
            said=checked.detail,
        )
        return pages.to("console.accounts", notice)


def _changes(registry: AccountRegistry, account: AccountRecord) -> dict[str, object]:
    """The fields that are to change: an empty one stays as it is, and so does one that is as it was
    shown, which another administrator may have changed since; a ticked one is removed.
    """
    given = fields()
    changes: dict[str, object] = {
        name: given[name]
        for name in (*_SHOWN, *_SECRETS)
        if given.get(name, "").strip() and given[name] != given.get(f"shown_{name}")
    }
    changes |= {name: "" for name in REMOVABLE if given.get(f"remove_{name}")}
    for first, others in _GOES_WITH.items():
        if first in changes and registry.try_change(account.id, {first: changes[first]}):
            changes = dict.fromkeys(others, "") | changes
    return changes
