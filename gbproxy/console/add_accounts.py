"""Adds accounts from what was copied out of a browser: paste by paste until all is there, then a
live check, then what to put into a client. The first page while there is no account.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from flask import Blueprint, Response, request
from flask_babel import gettext, ngettext

from gbproxy.account_admin.import_accounts import Import, import_accounts
from gbproxy.account_admin.importing import OPTIONAL, Hosts, find
from gbproxy.account_admin.registry import AccountRegistry
from gbproxy.console import texts
from gbproxy.console.address import gateway_url
from gbproxy.console.forms import fields
from gbproxy.console.pages import Notice, Pages
from gbproxy.console.seal import Seal
from gbproxy.errors import BadRequest, RequestTooLarge
from gbproxy.web.body import run_in_thread
from gbproxy.web.operations import told_elsewhere

_ONE_BY_ONE = ("secure_c_ses", "host_c_oses", "csesidx", "config_id")
_MOST_CHECKED = 5  # at once: each may take seconds
_STORED = ("created", "changed")


@dataclass(frozen=True, slots=True)
class ClientLines:
    """What a client is told: a model, and where the gateway is (None: as the browser found it)."""

    model: str
    public_url: str | None


def add_routes(
    bp: Blueprint,
    pages: Pages,
    seal: Seal,
    registry: AccountRegistry,
    hosts: Hosts,
    lines: ClientLines,
) -> None:
    importing = _Importing(pages, seal, registry, hosts)

    @bp.get("/accounts/new")
    def add_accounts() -> Response:
        return importing.show()

    # Answered with a page, not a redirect: it changes nothing, and what was pasted is too large and
    # too secret for an address.
    @bp.post("/accounts/new")
    @told_elsewhere
    def preview_accounts() -> Response:
        return importing.preview()

    @bp.post("/accounts/import")
    @told_elsewhere
    def store_accounts() -> Response:
        return importing.store()

    @bp.get("/accounts/added")
    def added_accounts() -> Response:
        ids = set(request.args.getlist("id"))
        found = [each for each in registry.checks() if each.id in ids]
        if not found:
            return pages.to("console.accounts")
        checks = [each for each in found if each.checked_at is not None]
        return pages.page(
            "accounts_added.html",
            checks=checks,
            left_out=len(found) - len(checks),
            is_good=all(each.status == "valid" for each in checks),
            url=gateway_url(lines.public_url),
            model=lines.model,
        )


class _Importing:
    """What was pasted before comes back with each form, sealed: the gateway keeps nothing of it."""

    def __init__(self, pages: Pages, seal: Seal, registry: AccountRegistry, hosts: Hosts) -> None:
        self._pages = pages
        self._seal = seal
        self._registry = registry
        self._hosts = hosts

    def show(
        self,
        draft: str = "",
        imports: Sequence[Import] = (),
        warnings: Sequence[str] = (),
        trouble: str | None = None,
    ) -> Response:
        return self._pages.page(
            "add_accounts.html",
            200 if trouble is None else 400,
            is_first=not self._registry.list(),
            draft=self._seal.close("draft", draft) if draft else "",
            imports=imports,
            optional=OPTIONAL,
            warnings=warnings,
            trouble=trouble,
            is_one_by_one=request.method == "POST" and not fields().get("text"),
            can_store=any(each.result in _STORED for each in imports),
        )

    def preview(self) -> Response:
        before, pasted = self._draft(), _pasted()
        draft = f"{before}\n{pasted}" if before else pasted
        try:
            return self.show(draft, *self._imports(draft, dry_run=True))
        except (BadRequest, RequestTooLarge) as error:
            # What was good before stays.
            kept = self._imports(before, dry_run=True) if before else ((), ())
            return self.show(before, *kept, trouble=error.message)

    def store(self) -> Response:
        imports, _ = self._imports(self._draft(), dry_run=False)
        stored = [each.id for each in imports if each.id and each.result in _STORED]
        # Also what the same form, sent before, has stored.
        known = [each.id for each in imports if each.id and each.result == "unchanged"]
        for id_ in [*stored, *known][:_MOST_CHECKED]:
            self._registry.check(id_)
        return self._pages.to(
            "console.added_accounts", _told(len(stored), len(known)), id=[*stored, *known]
        )

    def _draft(self) -> str:
        given = fields().get("draft", "")
        found = self._seal.open("draft", given) if given else ""
        if found is None:
            raise BadRequest(
                texts.N_("What was pasted before cannot be read any more: start over.")
            )
        return str(found)

    def _imports(self, text: str, *, dry_run: bool) -> tuple[Sequence[Import], Sequence[str]]:
        # Megabytes take a part of a second.
        found = run_in_thread(partial(find, text, "", self._hosts))
        imports = import_accounts(self._registry, found, dry_run=dry_run)
        warnings = [*found.warnings, *(each.warning for each in imports if each.warning)]
        return imports, warnings


def _told(stored: int, known: int) -> Notice:
    if stored:
        return Notice(
            ngettext("%(num)s account is stored.", "%(num)s accounts are stored.", stored)
        )
    if known:
        return Notice(
            ngettext(
                "%(num)s account was stored before: nothing is new.",
                "%(num)s accounts were stored before: nothing is new.",
                known,
            )
        )
    return Notice(gettext("Nothing could be stored."), "bad")


def _pasted() -> str:
    """What the form brings: a text, or single values, as the lines of settings that a text may have
    too.
    """
    single = ((field, fields().get(field, "").strip()) for field in _ONE_BY_ONE)
    lines = [f"{field.upper()}={value}" for field, value in single if value]
    return "\n".join(filter(None, [fields().get("text", ""), *lines]))
