"""Partial accounts -> drafts of accounts, and warnings of what is in none of them.

Values are merged that were seen together, or can only belong together. Where that is not clear,
nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import get_args

from gbproxy.account_admin.importing.cookies import Cookies
from gbproxy.account_admin.importing.partial_account import PartialAccount, merged
from gbproxy.upstreams.widget.credential import EDITIONS, EditionName, Location

MAX_ACCOUNTS = 100
"""The most accounts of one text: each is looked for among all that are known, and stored by
itself.
"""

_MOST_WARNINGS = 10
_KNOWN = frozenset((*get_args(EditionName), *get_args(Location)))

_SEVERAL_JARS = (
    "the text holds cookies of which nobody can say whose they are: they were given to no account;"
    " paste them together with the one request, or the one address, that they belong to"
)
_ANOTHER_EDITIONS = (
    "the cookies in the text are of another edition's page than the rest of it, and were given to"
    " no account: copy those of the page whose address the account has"
)
_LONE_SECOND = (
    "a __Host-C_OSES was left out, as it was not found together with the __Secure-C_SES that"
    " counts: the two belong together; copy both from the same request or the same table"
)


def merge(partials: Sequence[PartialAccount]) -> list[PartialAccount]:
    """One draft for each account, in the order of their first values; of too many, one more than
    `MAX_ACCOUNTS`.
    """
    useful = [partial for partial in partials if partial.given() or partial.further.given()]
    return [draft for draft in islice(_drafts(useful), MAX_ACCOUNTS + 1) if draft.given()]


def _drafts(partials: list[PartialAccount]) -> Iterator[PartialAccount]:
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
    else:  # one account, whose sign-in has no csesidx
        yield from _filled([merged([partial for partial in loose if not partial.cookies])], loose)


def _of_sign_in(own: list[PartialAccount]) -> Iterator[PartialAccount]:
    """The account of one sign-in; several only where they were written down with different config
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
    """True when a sign-in, and an account that was written down without one, may be the same:
    nothing contradicts it.
    """
    firsts = {draft.cookies.secure_c_ses for draft in drafts if draft.cookies}
    return (
        len(drafts) == 2
        and drafts[0].csesidx != drafts[1].csesidx is None
        and len(places) <= 1
        and len(firsts) <= 1
    )


def _filled(drafts: list[PartialAccount], loose: list[PartialAccount]) -> Iterator[PartialAccount]:
    """The drafts, each with the values without a csesidx that can belong to no other."""
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
    """The values without a csesidx that may belong to an account of one edition."""

    def __init__(self, partials: list[PartialAccount]) -> None:
        parts: dict[str | None, list[PartialAccount]] = {}
        for partial in partials:
            parts.setdefault(partial.config_id, []).append(partial)
        self._parts = {config_id: merged(several) for config_id, several in parts.items()}
        self._are_several = (
            len({partial.cookies.secure_c_ses for partial in partials if partial.cookies}) > 1
        )

    def added_to(self, draft: PartialAccount, *, is_alone: bool) -> PartialAccount:
        unowned = self._parts.get(None, _NOTHING)
        of_app = self._parts.get(draft.config_id, _NOTHING) if draft.config_id else _NOTHING
        further = of_app.further.followed_by(draft.further)
        return replace(
            draft,
            cookies=self._cookies(draft.cookies, unowned, of_app, is_alone=is_alone),
            further=unowned.further.followed_by(further) if is_alone else further,
        )

    def _cookies(
        self, own: Cookies, unowned: PartialAccount, of_app: PartialAccount, *, is_alone: bool
    ) -> Cookies:
        """Those that were seen with the account's ids; or else those of its browser, both of
        them.
        """
        # The later ones count where all is one account's; elsewhere two jars cannot be told apart.
        if self._are_several and not is_alone:
            return own
        jar = unowned.cookies.followed_by(of_app.cookies)
        return own.followed_by(jar) if own.secure_c_ses in (None, jar.secure_c_ses) else own


_NOTHING = PartialAccount()


def warnings(partials: Sequence[PartialAccount], drafts: Sequence[PartialAccount]) -> Iterator[str]:
    """Values that were expected in the paste and are in none of the merged drafts."""
    yield from islice(dict.fromkeys(_doubts(partials, drafts)), _MOST_WARNINGS)
    taken = {draft.cookies.secure_c_ses for draft in drafts}
    loose = [
        partial for partial in partials if partial.csesidx is None and partial.cookies.secure_c_ses
    ]
    left_out = [partial for partial in loose if partial.cookies.secure_c_ses not in taken]
    # Of those of one account the last count.
    if left_out and (loose[-1] in left_out or not any(draft.csesidx for draft in drafts)):
        yield (
            _ANOTHER_EDITIONS
            if all(_is_of_another_edition(partial, drafts) for partial in left_out)
            else _SEVERAL_JARS
        )
    if _lacks_a_second(partials, drafts):
        yield _LONE_SECOND
    yield from islice((said for draft in drafts for said in _contradictions(draft)), _MOST_WARNINGS)


def _is_of_another_edition(jar: PartialAccount, drafts: Sequence[PartialAccount]) -> bool:
    """True when the edition of the cookies' page is known, and no account's."""
    known = {draft.further.editions[-1] for draft in drafts if draft.further.editions}
    return bool(jar.further.editions) and bool(known) and known.isdisjoint(jar.further.editions)


def _contradictions(draft: PartialAccount) -> Iterator[str]:
    """Warnings where pages and calls name different editions or locations."""
    whose = f"csesidx {draft.csesidx}" if draft.csesidx else "the account"
    for what, names in (("edition", draft.further.editions), ("location", draft.further.locations)):
        if len(names) > 1 and _KNOWN.issuperset(
            names
        ):  # an unknown one is wrong, and named by its field
            yield (
                f"{whose}: the text names more than one {what}, {' and '.join(names)}; {names[-1]}"
                " was taken: if that is not what the page's address shows, paste the address alone"
            )


def _doubts(partials: Sequence[PartialAccount], drafts: Sequence[PartialAccount]) -> Iterator[str]:
    with_cookies = {draft.csesidx for draft in drafts if draft.cookies.secure_c_ses}
    is_all = bool(drafts) and all(draft.cookies.secure_c_ses for draft in drafts)
    for partial in partials:
        if partial.doubt is None:
            continue
        # A request without cookies says nothing where those of another are at hand; a value that is
        # damaged may be newer.
        is_settled = is_all or (partial.csesidx is not None and partial.csesidx in with_cookies)
        if not is_settled or partial.doubt.kind in ("damaged", "mixed", "json", "consumer"):
            yield str(partial.doubt)


def _lacks_a_second(partials: Sequence[PartialAccount], drafts: Sequence[PartialAccount]) -> bool:
    """True when an account is without a second cookie, though the paste has one that could be its
    own.
    """
    seconds = {partial.csesidx for partial in partials if partial.cookies.host_c_oses}
    loose_second = any(
        partial.cookies.host_c_oses and not partial.cookies.secure_c_ses
        for partial in partials
        if not partial.csesidx
    )
    return any(
        draft.cookies.secure_c_ses is not None
        and draft.cookies.host_c_oses is None
        and (loose_second or draft.csesidx in seconds)
        for draft in drafts
    )
