"""The accounts: a table that keeps itself up to date, and what can be done with each."""

from __future__ import annotations

from collections.abc import Callable

from flask import Blueprint, Response, request
from flask_babel import gettext

from gbproxy.account_admin.daily_use import DailyUse
from gbproxy.account_admin.registry import AccountRegistry
from gbproxy.console import texts
from gbproxy.console.accounts_seen import look
from gbproxy.console.forms import fields
from gbproxy.console.pages import Notice, Pages
from gbproxy.errors import BadRequest


def add_routes(bp: Blueprint, pages: Pages, registry: AccountRegistry, use: DailyUse) -> None:
    do = _actions(registry)

    @bp.get("/accounts")
    def accounts() -> Response:
        return pages.page("accounts.html", seen=look(registry, use))

    @bp.get("/accounts/table")
    def accounts_table() -> Response:
        """The table for who has seen another state of it."""
        seen = look(registry, use)
        if request.args.get("seen") == seen.digest:
            return pages.unchanged()
        return pages.fragment("_accounts_table.html", seen=seen)

    # The name of an account of the environment is its id, and may contain slashes.
    @bp.post("/accounts/<path:account_id>/do")
    def change_account(account_id: str) -> Response:
        action = fields().get("action", "")
        if action not in do:
            raise BadRequest(texts.N_("there is no such action"), param="action")
        return pages.to("console.accounts", do[action](account_id))

    @bp.get("/accounts/<path:account_id>/delete")
    def ask_to_delete_account(account_id: str) -> Response:
        return pages.page("delete_account.html", account=registry.get(account_id))

    @bp.post("/accounts/<path:account_id>/delete")
    def delete_account(account_id: str) -> Response:
        name = registry.get(account_id).name
        registry.remove(account_id)
        return pages.to("console.accounts", Notice(gettext("%(name)s is deleted.", name=name)))


def _actions(registry: AccountRegistry) -> dict[str, Callable[[str], Notice]]:
    """What a button does, and what is said about it."""

    def enable(account_id: str) -> Notice:
        name = registry.change(account_id, {"is_active": True}).name
        return Notice(gettext("%(name)s is enabled.", name=name))

    def disable(account_id: str) -> Notice:
        name = registry.change(account_id, {"is_active": False}).name
        return Notice(gettext("%(name)s is disabled.", name=name))

    def clear_cooldown(account_id: str) -> Notice:
        name = registry.clear_cooldown(account_id).name
        return Notice(gettext("%(name)s is asked again at once.", name=name))

    def check(account_id: str) -> Notice:
        found = registry.check(account_id)
        status = texts.check_status(found.status)
        said = gettext("%(name)s: %(status)s.", name=found.name, status=status)
        return Notice(said, "good" if found.status == "valid" else "bad", said=found.detail)

    return {
        "enable": enable,
        "disable": disable,
        "clear-cooldown": clear_cooldown,
        "check": check,
    }
