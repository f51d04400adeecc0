"""Clues to accounts: what was seen together or can only belong together. Where that is not clear, nothing is guessed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import reduce

from pydantic import SecretStr, ValidationError

from gbproxy.domain.pasted.clues import FIELDS, Clue
from gbproxy.settings import AccountSettings

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


@dataclass(frozen=True, slots=True)
class FoundAccount:
    """An account as far as a paste tells it.

    `values`: what was found, by field, as the gateway keeps it. `missing`: the fields without a value. `wrong`: why a
    value cannot be, by field, in words that do not quote it.
    """

    name: str | None
    values: dict[str, str] = field(repr=False)
    missing: tuple[str, ...]
    wrong: dict[str, str]

    @property
    def is_complete(self) -> bool:
        return not self.wrong and OPTIONAL.issuperset(self.missing)


def accounts(clues: Sequence[Clue]) -> list[FoundAccount]:
    """The accounts that clues speak of, in the order in which they first do."""
    said = [clue for clue in clues if clue.given()]
    return [_checked(clue) for clue in _combined(said)]


def _combined(clues: list[Clue]) -> list[Clue]:
    sign_ins = _distinct(clue.csesidx for clue in clues)
    nameless = [clue for clue in clues if clue.is_account and clue.csesidx is None]
    loose = [clue for clue in clues if not clue.is_account and clue.csesidx is None]
    places = _distinct(clue.config_id for clue in clues)
    is_one = len(sign_ins) <= 1 and len(places) <= 1 and len(nameless) <= 1
    if is_one or not (sign_ins or nameless):
        return [_merged(clues)] if clues else []
    drafts = [draft for csesidx in sign_ins for draft in _of_sign_in(clues, csesidx)]
    drafts += nameless
    return list(_filled(drafts, loose))


def _of_sign_in(clues: list[Clue], csesidx: str) -> Iterator[Clue]:
    """The account of one sign-in; several only where somebody wrote them down with different config ids."""
    own = [clue for clue in clues if clue.csesidx == csesidx]
    written = _distinct(clue.config_id for clue in own if clue.is_account)
    if len(written) <= 1:
        yield _merged(own)
        return
    for config_id in written:
        yield _merged(clue for clue in own if clue.config_id in (config_id, None))


def _filled(drafts: list[Clue], loose: list[Clue]) -> Iterator[Clue]:
    """The drafts with what stands alone in the paste, where it can be meant for them only."""
    lacking = [draft for draft in drafts if draft.config_id is None]
    config_ids = _distinct(clue.config_id for clue in loose)
    is_one_jar = len(_distinct(clue.secure_c_ses for clue in loose)) <= 1
    jar = _merged(loose) if loose and is_one_jar else Clue()
    for draft in drafts:
        filled = _with_cookies(draft, jar)
        if draft.config_id is None and len(lacking) == 1 and len(config_ids) == 1:
            filled = Clue(config_id=config_ids[0]).overlaid(filled)
        yield filled


def _with_cookies(draft: Clue, jar: Clue) -> Clue:
    """The draft, with the cookies of its browser if it has none: the two belong together."""
    if draft.secure_c_ses not in (None, jar.secure_c_ses):
        return draft
    return Clue(secure_c_ses=jar.secure_c_ses, host_c_oses=jar.host_c_oses).overlaid(draft)


def _merged(clues: Iterable[Clue]) -> Clue:
    return reduce(Clue.overlaid, clues, Clue())


def _distinct(values: Iterable[str | None]) -> list[str]:
    return list(dict.fromkeys(value for value in values if value is not None))


# Stands where nothing was found, so that what was found can be read by the rules for a whole account.
_STAND_IN = {"name": "imported", "secure_c_ses": "x", "csesidx": "0", "config_id": "x"}


def _checked(clue: Clue) -> FoundAccount:
    given = clue.given() | ({"name": clue.name} if clue.name is not None else {})
    wrong: dict[str, str] = {}
    try:
        AccountSettings.model_validate(_STAND_IN | given)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_context=False, include_input=False)
        wrong = {str(fault["loc"][0]): fault["msg"].removeprefix("Value error, ") for fault in faults}
    good = {name: value for name, value in given.items() if name not in wrong}
    account = AccountSettings.model_validate(_STAND_IN | good)
    return FoundAccount(
        name=account.name if "name" in good else None,
        values={name: _bare(getattr(account, name)) for name in FIELDS if name in good},
        missing=tuple(name for name in FIELDS if name not in given),
        wrong=wrong,
    )


def _bare(value: str | SecretStr) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else value
