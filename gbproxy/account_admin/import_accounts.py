"""Store the accounts that were found in a paste: new ones are added, known ones renewed."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Literal

from gbproxy.account_admin.importing import FoundAccount
from gbproxy.account_admin.registry import AccountRegistry
from gbproxy.account_admin.views import AccountRecord
from gbproxy.errors import BadRequest, Conflict, NotFound

Result = Literal["created", "changed", "unchanged", "incomplete", "refused"]


@dataclass(frozen=True, slots=True)
class Import:
    """The result for one account of a paste, without secrets.

    `id`: None if it is not stored. `found`: the fields with a value; `missing`: those without one
    in the paste and in the database; `wrong`: by field, why its value cannot be. `reason`: why
    nothing was done, where the fields do not say it. `warning`: which values were left out or
    removed.
    """

    result: Result
    id: str | None
    name: str | None
    csesidx: str | None
    config_id: str | None
    found: tuple[str, ...]
    missing: tuple[str, ...]
    wrong: dict[str, str]
    reason: str | None = None
    warning: str | None = None


def import_accounts(
    registry: AccountRegistry, found: Iterable[FoundAccount], *, dry_run: bool = False
) -> Sequence[Import]:
    """Add accounts that are complete and new, and renew known ones, which keep what was not found.

    An account is known by csesidx and config id, by a csesidx that only one has, or by its name.
    Its two cookies are a pair: a new first one is never kept with the old second, nor with the
    further cookies of the old sign-in. An account that was written down as disabled is disabled.
    `dry_run`: nothing is stored, the results are the same. Raises StorageUnavailable.
    """
    importer = _Importer(registry, dry_run)
    imports = []
    for account in found:
        time.sleep(0)  # a hundred accounts are much to look up: let running requests go on
        imports.append(importer.import_account(account))
    return imports


class _Importer:
    def __init__(self, registry: AccountRegistry, dry_run: bool) -> None:
        self._registry = registry
        self._dry_run = dry_run
        self._known = list(registry.list())
        self._names = {record.name for record in self._known}
        self._credentials: set[tuple[str, str]] = set()  # of what this paste has created

    def import_account(self, account: FoundAccount) -> Import:
        record = self._record(account)
        if record is not None:
            self._known.remove(record)  # a second one in the same paste is another account
        if account.wrong:
            return _result("refused", account, record)
        if record is None and not account.is_complete:
            return _result("incomplete", account, None)
        try:
            return self._created(account) if record is None else self._renewed(record, account)
        except (BadRequest, Conflict, NotFound) as error:
            return _result("refused", account, record, reason=error.message)

    def _record(self, account: FoundAccount) -> AccountRecord | None:
        csesidx, config_id = account.values.get("csesidx"), account.values.get("config_id")
        same_sign_in = [record for record in self._known if record.credential["csesidx"] == csesidx]
        same = [record for record in same_sign_in if record.credential["config_id"] == config_id]
        if same or len(same_sign_in) == 1:
            return (same or same_sign_in)[0]
        named = [
            record
            for record in self._known
            if account.name is not None and record.name == account.name
        ]
        return named[0] if named else None

    def _created(self, account: FoundAccount) -> Import:
        name = self._free_name(account.name or f"account-{account.values['csesidx']}")
        given = {**account.values, "name": name, "is_active": not account.is_disabled}
        credential = (account.values["csesidx"], account.values["secure_c_ses"])
        if credential in self._credentials:
            raise Conflict("this account is in the text twice")
        if self._dry_run:
            self._registry.try_add(given)
            created = None
        else:
            created = self._registry.add(given).id
        self._names.add(name)
        self._credentials.add(credential)
        return _result("created", account, None, name=name, id_=created)

    def _renewed(self, record: AccountRecord, account: FoundAccount) -> Import:
        values, warning = self._with_matching_cookies(record, account.values)
        known = record.credential["config_id"]
        if values.get("config_id", known) != known:
            values = {"server_token": "", **values}  # the old one belongs to another app
        is_to_end = account.is_disabled and record.is_active
        if not self._registry.try_change(record.id, values) and not is_to_end:
            return _result("unchanged", account, record, warning=warning)
        if not self._dry_run:
            self._registry.change(
                record.id, {**values, "is_active": False} if is_to_end else values
            )
        return _result("changed", account, record, warning=warning)

    def _with_matching_cookies(
        self, record: AccountRecord, values: dict[str, str]
    ) -> tuple[dict[str, object], str | None]:
        """The changes that keep no cookie beside those of another sign-in, and the warning if that
        removes one.
        """
        if "secure_c_ses" not in values:
            rest = {name: value for name, value in values.items() if name != "host_c_oses"}
            return dict(rest), _warning(record, _LONE_SECOND) if rest != values else None
        if not self._registry.try_change(record.id, {"secure_c_ses": values["secure_c_ses"]}):
            return dict(values), None
        # The credential is not opened here: a change to "" that changes nothing shows it was empty.
        lacking = [field for field in _REMOVED if field not in values]
        had = [
            _REMOVED[field]
            for field in lacking
            if self._registry.try_change(record.id, {field: ""})
        ]
        return {**values, **dict.fromkeys(lacking, "")}, (
            _warning(record, "; it ".join(had)) if had else None
        )

    def _free_name(self, name: str) -> str:
        names = (name if number == 1 else f"{name[:120]}-{number}" for number in count(1))
        return next(free for free in names if free not in self._names)


def _result(
    result: Result,
    account: FoundAccount,
    record: AccountRecord | None,
    *,
    name: str | None = None,
    id_: str | None = None,
    reason: str | None = None,
    warning: str | None = None,
) -> Import:
    known = record.credential if record is not None else {}
    return Import(
        result=result,
        id=record.id if record is not None else id_,
        name=record.name if record is not None else name or account.name,
        csesidx=account.values.get("csesidx", known.get("csesidx")),
        config_id=account.values.get("config_id", known.get("config_id")),
        found=tuple(account.values),
        missing=account.missing if record is None else (),
        wrong=account.wrong,
        reason=reason,
        warning=warning,
    )


_REMOVED = {
    "host_c_oses": (
        "has the new __Secure-C_SES without a __Host-C_OSES, as none was found with it and the old"
        " one belongs to the old cookie: if the browser has one, copy both"
    ),
    "cookies": (
        "has the new __Secure-C_SES without the further cookies of the old sign-in, which belong to"
        " the old cookie: copy a whole request of the page to have the new ones"
    ),
}
_LONE_SECOND = (
    "keeps its cookies: a __Host-C_OSES was found without the __Secure-C_SES that it belongs to;"
    " copy both"
)


def _warning(record: AccountRecord, said: str) -> str:
    return f"{record.name} {said}"
