"""Partial accounts -> accounts: values that were seen together, or can only belong together. Where
that is not clear, nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

from pydantic import SecretStr, ValidationError

from gbproxy.account_admin.importing import warnings
from gbproxy.account_admin.importing.cookies import Cookies
from gbproxy.account_admin.importing.partial_account import (
    FIELDS,
    FURTHER_FIELDS,
    PartialAccount,
    merged,
)
from gbproxy.settings import AccountSettings
from gbproxy.settings.entries import STAND_INS
from gbproxy.upstreams.widget.credential import EDITIONS

PAGE = (
    "https://business.gemini.google/home/cid/<config_id>?csesidx=<csesidx>, or of the Enterprise"
    " edition https://vertexaisearch.cloud.google/home/cid/<config_id>?csesidx=<csesidx>"
)
_COOKIES = (
    "the browser's developer tools, Application (Firefox: Storage), Cookies,"
    " https://business.gemini.google or https://vertexaisearch.cloud.google: "
)
WHERE = {
    "secure_c_ses": f"{_COOKIES}the value of __Secure-C_SES",
    "host_c_oses": f"{_COOKIES}the value of __Host-C_OSES; not every account has it",
    "csesidx": (
        f"the digits after csesidx= in the page's address, {PAGE}; or developer tools, Network,"
        " getoxsrf?csesidx="
    ),
    "config_id": (
        f"the part after /cid/ of the page's address, {PAGE}; or developer tools, Network, "
        "`configId` in what any request sends whose name begins with widget"
    ),
}
"""Where a user finds each field."""

OPTIONAL = frozenset({"host_c_oses"})

MAX_ACCOUNTS = 100
"""The most accounts of one text: each is looked for among all that are known, and stored by
itself.
"""


@dataclass(frozen=True, slots=True)
class FoundAccount:
    """An account as far as a paste tells it.

    `values`: what was found, by field, as the gateway keeps it. `missing`: the fields without a
    value. `wrong`: why a value cannot be, by field, in words that do not quote it. `is_disabled`:
    it was written down as one not to be used.
    """

    name: str | None
    values: dict[str, str] = field(repr=False)
    missing: tuple[str, ...]
    wrong: dict[str, str]
    is_disabled: bool = False

    @property
    def is_complete(self) -> bool:
        return not self.wrong and OPTIONAL.issuperset(self.missing)


class Found(list[FoundAccount]):
    """The accounts of a paste. `warnings`: what was to be expected in it and could not be read, or
    was left out.
    """

    warnings: tuple[str, ...] = ()


def accounts(partials: Sequence[PartialAccount]) -> Found:
    """The accounts, in the order of their first values; of too many, one more than
    `MAX_ACCOUNTS`.
    """
    useful = [partial for partial in partials if partial.given() or partial.further.given()]
    drafts = [draft for draft in islice(_combined(useful), MAX_ACCOUNTS + 1) if draft.given()]
    found = Found(map(_checked, drafts))
    found.warnings = tuple(warnings.of(partials, drafts))
    return found


def _combined(partials: list[PartialAccount]) -> Iterator[PartialAccount]:
    own: dict[str, list[PartialAccount]] = {}
    for partial in partials:
        if partial.csesidx is not None:
            own.setdefault(partial.csesidx, []).append(partial)
    drafts = [
        draft for parts in islice(own.values(), MAX_ACCOUNTS + 1) for draft in _of_sign_in(parts)
    ]
    drafts += [partial for partial in partials if partial.is_account and partial.csesidx is None]
    loose = [partial for partial in partials if not partial.is_account and partial.csesidx is None]
    if len(drafts) > 1 and _is_one(drafts, {partial.config_id for partial in partials} - {None}):
        drafts = [merged(drafts)]
    if drafts:
        yield from _filled(drafts, loose)
    else:  # one account, whose sign-in nobody has named
        yield from _filled([merged([partial for partial in loose if not partial.cookies])], loose)


def _of_sign_in(own: list[PartialAccount]) -> Iterator[PartialAccount]:
    """The account of one sign-in; several only where somebody wrote them down with different config
    ids.
    """
    written = dict.fromkeys(
        partial.config_id for partial in own if partial.is_account and partial.config_id is not None
    )
    if len(written) <= 1:
        yield merged(own)
        return
    parts: dict[str | None, list[PartialAccount]] = {}
    for partial in own:
        parts.setdefault(partial.config_id, []).append(partial)
    for config_id in islice(written, MAX_ACCOUNTS + 1):
        yield merged([*parts.get(None, ()), *parts[config_id]])


def _is_one(drafts: list[PartialAccount], places: set[str | None]) -> bool:
    """Whether a sign-in, and an account that was written down without one, are the same: nothing
    speaks against it.
    """
    firsts = {draft.cookies.secure_c_ses for draft in drafts if draft.cookies}
    return (
        len(drafts) == 2
        and drafts[0].csesidx != drafts[1].csesidx is None
        and len(places) <= 1
        and len(firsts) <= 1
    )


def _filled(drafts: list[PartialAccount], loose: list[PartialAccount]) -> Iterator[PartialAccount]:
    """The accounts with what stands in the paste without a csesidx: it is given to whom it can be
    meant for only.
    """
    config_ids = {partial.config_id for partial in loose} - {
        None,
        *(draft.config_id for draft in drafts),
    }
    lacking = [draft for draft in drafts if draft.config_id is None]
    by_edition: dict[str | None, _Loose] = {}
    for draft in drafts:
        named = draft.further.given().get("edition")
        edition = named if named in EDITIONS else None  # so that there are few
        if draft.config_id is None and len(lacking) == 1 and len(config_ids) == 1:
            (config_id,) = config_ids
            if any(
                partial.config_id == config_id and not _is_of_another(partial, edition)
                for partial in loose
            ):
                draft = replace(draft, config_id=config_id)
        if edition not in by_edition:
            its = [
                partial
                for partial in loose
                if not (partial.cookies and _is_of_another(partial, edition))
            ]
            by_edition[edition] = _Loose(its)
        yield by_edition[edition].added_to(draft, is_alone=len(drafts) == 1)


def _is_of_another(partial: PartialAccount, edition: str | None) -> bool:
    return edition is not None and partial.further.given().get("edition", edition) != edition


class _Loose:
    """What was seen without a csesidx, and may be that of an account of one edition."""

    def __init__(self, partials: list[PartialAccount]) -> None:
        parts: dict[str | None, list[PartialAccount]] = {}
        for partial in partials:
            parts.setdefault(partial.config_id, []).append(partial)
        self._parts = {config_id: merged(several) for config_id, several in parts.items()}
        self._are_several = (
            len({partial.cookies.secure_c_ses for partial in partials if partial.cookies}) > 1
        )

    def added_to(self, draft: PartialAccount, *, is_alone: bool) -> PartialAccount:
        nobodys = self._parts.get(None, _NOTHING)
        of_app = self._parts.get(draft.config_id, _NOTHING) if draft.config_id else _NOTHING
        further = of_app.further.followed_by(draft.further)
        return replace(
            draft,
            cookies=self._cookies(draft.cookies, nobodys, of_app, is_alone=is_alone),
            further=nobodys.further.followed_by(further) if is_alone else further,
        )

    def _cookies(
        self, own: Cookies, nobodys: PartialAccount, of_app: PartialAccount, *, is_alone: bool
    ) -> Cookies:
        """Those that were seen with the account's ids; or else those of its browser, both of
        them.
        """
        # The later ones count where all is one account's; elsewhere nobody can tell two jars apart.
        if self._are_several and not is_alone:
            return own
        jar = nobodys.cookies.followed_by(of_app.cookies)
        return own.followed_by(jar) if own.secure_c_ses in (None, jar.secure_c_ses) else own


_NOTHING = PartialAccount()


def _checked(partial: PartialAccount) -> FoundAccount:
    given = (
        partial.given()
        | partial.carried()
        | ({"name": partial.name} if partial.name is not None else {})
    )
    wrong: dict[str, str] = {}
    try:
        AccountSettings.model_validate(STAND_INS | given)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_context=False, include_input=False)
        wrong = {
            str(fault["loc"][0]): fault["msg"].removeprefix("Value error, ") for fault in faults
        }
    good = {name: value for name, value in given.items() if name not in wrong}
    account = AccountSettings.model_validate(STAND_INS | good)
    return FoundAccount(
        name=account.name if "name" in good else None,
        values={
            name: _bare(getattr(account, name))
            for name in (*FIELDS, *FURTHER_FIELDS)
            if name in good
        },
        missing=tuple(name for name in FIELDS if name not in given),
        wrong=wrong,
        is_disabled=partial.is_disabled,
    )


def _bare(value: str | SecretStr) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else value
