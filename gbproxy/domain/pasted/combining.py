"""Clues to accounts: what was seen together or can only belong together. Where that is not clear, nothing is guessed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

from pydantic import SecretStr, ValidationError

from gbproxy.domain.pasted import warnings
from gbproxy.domain.pasted.clues import FIELDS, Clue
from gbproxy.domain.pasted.cookies import NONE, Cookies
from gbproxy.domain.pasted.rows import merged
from gbproxy.settings import AccountSettings
from gbproxy.settings.entries import STAND_INS

_PAGE = "https://business.gemini.google/home/cid/<config_id>?csesidx=<csesidx>"
_COOKIES = "the browser's developer tools, Application (Firefox: Storage), Cookies, https://business.gemini.google: "
WHERE = {
    "secure_c_ses": f"{_COOKIES}the value of __Secure-C_SES",
    "host_c_oses": f"{_COOKIES}the value of __Host-C_OSES; not every account has it",
    "csesidx": f"the digits after csesidx= in the page's address, {_PAGE}; or developer tools, Network, getoxsrf?csesidx=",
    "config_id": f"the part after /cid/ of the page's address, {_PAGE}; or developer tools, Network, "
    "`configId` in what any request sends whose name begins with widget",
}
"""Where a user finds each field."""

OPTIONAL = frozenset({"host_c_oses"})

MAX_ACCOUNTS = 100
"""The most accounts of one text: each is looked for among all that are known, and stored by itself."""


@dataclass(frozen=True, slots=True)
class FoundAccount:
    """An account as far as a paste tells it.

    `values`: what was found, by field, as the gateway keeps it. `missing`: the fields without a value. `wrong`: why a
    value cannot be, by field, in words that do not quote it. `is_disabled`: it was written down as one not to be used.
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
    """The accounts of a paste. `warnings`: what was to be expected in it and could not be read, or was left out."""

    warnings: tuple[str, ...] = ()


def accounts(clues: Sequence[Clue]) -> Found:
    """The accounts that clues speak of, in the order in which they first do; of more than `MAX_ACCOUNTS` only one more."""
    drafts = list(islice(_combined([clue for clue in clues if clue.given()]), MAX_ACCOUNTS + 1))
    found = Found(map(_checked, drafts))
    found.warnings = tuple(warnings.of(clues, drafts))
    return found


def _combined(clues: list[Clue]) -> Iterator[Clue]:
    own: dict[str, list[Clue]] = {}
    for clue in clues:
        if clue.csesidx is not None:
            own.setdefault(clue.csesidx, []).append(clue)
    drafts = [draft for parts in islice(own.values(), MAX_ACCOUNTS + 1) for draft in _of_sign_in(parts)]
    drafts += [clue for clue in clues if clue.is_account and clue.csesidx is None]
    loose = _Loose([clue for clue in clues if not clue.is_account and clue.csesidx is None])
    if len(drafts) > 1 and _is_one(drafts, {clue.config_id for clue in clues} - {None}):
        drafts = [merged(drafts)]
    if drafts:
        yield from loose.filled(drafts)
    elif clues:
        yield merged(clues)


def _of_sign_in(own: list[Clue]) -> Iterator[Clue]:
    """The account of one sign-in; several only where somebody wrote them down with different config ids."""
    written = dict.fromkeys(clue.config_id for clue in own if clue.is_account and clue.config_id is not None)
    if len(written) <= 1:
        yield merged(own)
        return
    parts: dict[str | None, list[Clue]] = {}
    for clue in own:
        parts.setdefault(clue.config_id, []).append(clue)
    for config_id in islice(written, MAX_ACCOUNTS + 1):
        yield merged([*parts.get(None, ()), *parts[config_id]])


def _is_one(drafts: list[Clue], places: set[str | None]) -> bool:
    """Whether a sign-in, and an account that was written down without one, are the same: nothing speaks against it."""
    firsts = {draft.cookies.secure_c_ses for draft in drafts if draft.cookies}
    return len(drafts) == 2 and drafts[0].csesidx != drafts[1].csesidx is None and len(places) <= 1 and len(firsts) <= 1


class _Loose:
    """What stands in the paste without a csesidx: it is given to whom it can be meant for only."""

    def __init__(self, clues: list[Clue]) -> None:
        self._config_ids = list(dict.fromkeys(clue.config_id for clue in clues if clue.config_id is not None))
        jars: dict[str | None, list[Clue]] = {}
        for clue in clues:
            if clue.cookies:
                jars.setdefault(clue.config_id, []).append(clue)
        self._jars = {config_id: merged(parts).cookies for config_id, parts in jars.items()}
        self._are_several = len({clue.cookies.secure_c_ses for clue in clues if clue.cookies}) > 1

    def filled(self, drafts: list[Clue]) -> Iterator[Clue]:
        lacking = [draft for draft in drafts if draft.config_id is None]
        for draft in drafts:
            if draft.config_id is None and len(lacking) == 1 and len(self._config_ids) == 1:
                draft = replace(draft, config_id=self._config_ids[0])
            yield replace(draft, cookies=self._with_cookies(draft, is_alone=len(drafts) == 1))

    def _with_cookies(self, draft: Clue, *, is_alone: bool) -> Cookies:
        """Those that were seen with the account's ids; or else those of its browser, both of them."""
        # The later ones count where all is one account's; elsewhere nobody can tell two jars apart.
        if self._are_several and not is_alone:
            return draft.cookies
        jar = self._jars.get(None, NONE).followed_by(self._jars.get(draft.config_id, NONE))
        own = draft.cookies
        return own.followed_by(jar) if own.secure_c_ses in (None, jar.secure_c_ses) else own


def _checked(clue: Clue) -> FoundAccount:
    given = clue.given() | ({"name": clue.name} if clue.name is not None else {})
    wrong: dict[str, str] = {}
    try:
        AccountSettings.model_validate(STAND_INS | given)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_context=False, include_input=False)
        wrong = {str(fault["loc"][0]): fault["msg"].removeprefix("Value error, ") for fault in faults}
    good = {name: value for name, value in given.items() if name not in wrong}
    account = AccountSettings.model_validate(STAND_INS | good)
    return FoundAccount(
        name=account.name if "name" in good else None,
        values={name: _bare(getattr(account, name)) for name in FIELDS if name in good},
        missing=tuple(name for name in FIELDS if name not in given),
        wrong=wrong,
        is_disabled=clue.is_disabled,
    )


def _bare(value: str | SecretStr) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else value
