"""Warnings beside the accounts of a paste: values that were expected and are in none of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import get_args

from gbproxy.account_admin.importing.partial_account import PartialAccount
from gbproxy.upstreams.widget.credential import EditionName, Location

_MOST = 10
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


def of(partials: Sequence[PartialAccount], drafts: Sequence[PartialAccount]) -> Iterator[str]:
    """About a paste of these partials, which were combined to these drafts of accounts."""
    yield from islice(dict.fromkeys(_doubts(partials, drafts)), _MOST)
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
    yield from islice((said for draft in drafts for said in _contradictions(draft)), _MOST)


def _is_of_another_edition(jar: PartialAccount, drafts: Sequence[PartialAccount]) -> bool:
    """Whether the page that the cookies are of is known, and no account's."""
    known = {draft.further.editions[-1] for draft in drafts if draft.further.editions}
    return bool(jar.further.editions) and bool(known) and known.isdisjoint(jar.further.editions)


def _contradictions(draft: PartialAccount) -> Iterator[str]:
    """That pages and calls do not name the same edition or location."""
    whose = f"csesidx {draft.csesidx}" if draft.csesidx else "the account"
    for what, names in (("edition", draft.further.editions), ("location", draft.further.locations)):
        if len(names) > 1 and _KNOWN.issuperset(names):  # another is wrong, and told by its field
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
    """Whether an account is without a second cookie, though the paste has one that could be its own
    or nobody's.
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
